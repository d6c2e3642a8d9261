"""Objects: list, describe, shred."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.core.errors import Busy, NoSuchObject
from ringfence.core.interrupts import uninterrupted
from ringfence.core.text import t
from ringfence.workspace.entries import Delete
from ringfence.workspace.fsck import close_run, finish_deletion
from ringfence.workspace.locks import is_free
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

_MAIN = ("set", "quarantine", "adapter", "tagger")
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
    thing = space.state.find(name)
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
                "set": space.state.runs[s.predicate.run].intent.name,
                "run": s.predicate.run,
                "ended": s.predicate.ended,
                "parts": list(s.predicate.parts),
                "figures": dict(s.predicate.figures),
            }
            for s in reversed(chain)
        ],
    }


@dataclass(frozen=True)
class Deletion:
    """What a deletion takes, and what it leaves."""

    going: tuple[Thing, ...]
    staying: tuple[Thing, ...]  # made from what goes
    namesakes: tuple[Thing, ...]  # other sets of the same name and stage
    accounts: tuple[Thing, ...]  # of the units of what goes; they stay
    bundles: tuple[str, ...]  # released with the weights of what goes or stays
    runs: tuple[str, ...]  # unfinished trainings on what goes: they end, and their checkpoints go


def foresee(space: Workspace, things: Sequence[Thing], *, with_derived: bool) -> Deletion:
    """Return what `delete` would take and leave now.

    Raises: NoSuchObject for what is gone by now, or is no object of the user's to delete (an account, a checkpoint).
    """
    live = space.state.live()
    for thing in things:
        if thing.made.digest not in live or thing.made.kind in _NOT_DELETED:
            raise NoSuchObject(object=thing.made.digest[:12])
    named = {thing.made.digest for thing in things}
    others = [thing for thing in _derived(space, things) if thing.made.digest not in named]
    going = (*things, *others) if with_derived else tuple(things)
    gone = {thing.made.digest for thing in going}
    known = named | {thing.made.digest for thing in others}
    names = {(thing.made.name, thing.made.stage) for thing in things if thing.made.kind in _MAIN}
    return Deletion(
        going,
        () if with_derived else tuple(others),
        tuple(one for one in live.values() if one.made.digest not in known and (one.made.name, one.made.stage) in names),
        tuple(one for one in live.values() if one.made.kind == "account" and one.run in {thing.run for thing in going}),
        tuple(
            name for name, (_, made) in space.state.releases.items() if made.adapter in known and (space.path / "releases" / name).is_dir()
        ),
        tuple(
            run.id for run in space.state.runs.values() if run.state in ("open", "interrupted") and gone & set(run.intent.inputs.values())
        ),
    )


def _derived(space: Workspace, things: Sequence[Thing]) -> list[Thing]:
    """Return the live objects that were made from `things`, directly or not, and the span tables and figures made beside them; oldest first.

    The dictionary of internal terms belongs to the workspace: candidates of every set may have led to it, and it outlives them all.
    """
    known = {thing.made.digest for thing in things}
    own = {thing.run for thing in things}
    found: list[Thing] = []
    live = space.state.live()
    for run in sorted(space.state.runs.values(), key=lambda run: run.outcome_index or 0):  # inputs are older than what was made of them
        is_made_from = bool(known & set(run.intent.inputs.values()))
        beside = [one for one in run.made if is_made_from or (run.id in own and one.kind in ("spans", "figures"))]
        made = [one for one in beside if one.kind != "dictionary"]
        known |= {one.digest for one in made}
        found += [live[one.digest] for one in made if one.digest in live and one.kind not in _NOT_DELETED]
    return found


def delete(space: Workspace, things: Sequence[Thing], *, with_derived: bool = False) -> Deletion:
    """Announce a deletion in the ledger, destroy the keys and bytes, record that it is done, and return what went and what stays.

    The account of the set's units stays: what was spent on it stays spent. What was made from the set meanwhile goes along, too.

    Ctrl-C stops nothing that has begun.

    Raises: NoSuchObject as `foresee`; Busy while a run works on one of them; LedgerUnavailable.
    """
    with space.locked():
        found = foresee(space, things, with_derived=with_derived)
        for run in found.runs:
            if not is_free(space.path / "runs" / run / "lock"):
                raise Busy(what_held=t("run {run}", "运行 {run}", run=run))
        with uninterrupted(final=True):
            for run in found.runs:
                close_run(space, run, because=NoSuchObject)
            if with_derived:
                for name in found.bundles:
                    shutil.rmtree(space.path / "releases" / name)
            space.record(Delete(objects=tuple(thing.made.digest for thing in found.going)))
            finish_deletion(space, [space.state.things[thing.made.digest] for thing in found.going])
    return found
