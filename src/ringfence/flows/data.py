"""Objects: list, describe, shred."""

from __future__ import annotations

from typing import Any

from ringfence.core.errors import NoSuchObject
from ringfence.workspace.entries import Delete
from ringfence.workspace.fsck import finish_deletion
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

_MAIN = ("set", "quarantine", "adapter")
_NOT_DELETED = ("account", "checkpoint")  # what was spent stays known; a checkpoint goes with its run


def listing(space: Workspace, *, everything: bool = False) -> list[dict[str, Any]]:
    """Return the objects as rows of a table, oldest first."""
    rows = []
    for thing in space.state.things.values():
        if not everything and (thing.made.kind not in _MAIN or thing.deletion != "none"):
            continue
        size = sum(file.size for file in space.manifest(thing).files) if thing.deletion == "none" else 0
        profile = f":{thing.made.profile}" if thing.made.profile else ""
        rows.append(
            {
                "name": f"{thing.made.name}@{thing.made.stage}{profile}",
                "digest": thing.made.digest,
                "kind": thing.made.kind,
                "label": thing.made.label,
                "size": size,
                "made": thing.time,
                "run": thing.run,
                "state": "there" if thing.deletion == "none" else "deleted",
            }
        )
    return rows


def describe(space: Workspace, name: str) -> dict[str, Any]:
    """Return one set with the statements that lead to it.

    Raises: UnknownName, AmbiguousName.
    """
    thing = space.state.resolve(name)
    manifest = space.manifest(thing)
    chain = space.chain(thing)
    return {
        "name": f"{thing.made.name}@{thing.made.stage}",
        "digest": thing.made.digest,
        "label": thing.made.label,
        "made": thing.time,
        "run": thing.run,
        "files": len(manifest.files),
        "bytes": sum(file.size for file in manifest.files),
        "chain": [
            {
                "step": s.step,
                "run": s.predicate.run,
                "ended": s.predicate.ended,
                "parts": list(s.predicate.parts),
                "figures": dict(s.predicate.figures),
            }
            for s in reversed(chain)
        ],
    }


def derived(space: Workspace, thing: Thing) -> list[Thing]:
    """Return the live objects that were made from `thing`, directly or not: sets, span tables, figures, adapters; oldest first."""
    known = {thing.made.digest}
    found: list[Thing] = []
    live = space.state.live()
    for run in sorted(space.state.runs.values(), key=lambda run: run.outcome_index or 0):  # inputs are older than what was made of them
        if known & set(run.intent.inputs.values()):
            known |= {made.digest for made in run.made}
            found += [live[made.digest] for made in run.made if made.digest in live and made.kind not in _NOT_DELETED]
    return found


def delete(space: Workspace, things: list[Thing]) -> None:
    """Announce a deletion in the ledger, destroy the keys and bytes, and record that it is done.

    The account of the set's units stays: what was spent on it stays spent.

    Raises: NoSuchObject for what is gone by now, or is no object of the user's to delete (an account, a checkpoint); LedgerUnavailable.
    """
    with space.locked() as state:
        live = state.live()
        for thing in things:
            if thing.made.digest not in live or thing.made.kind in _NOT_DELETED:
                raise NoSuchObject(object=thing.made.digest[:12])
        space.record(Delete(objects=tuple(thing.made.digest for thing in things)))
        finish_deletion(space, [space.state.things[thing.made.digest] for thing in things])
