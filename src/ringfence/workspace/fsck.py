"""Finds what does not agree with the ledger; completes or removes what a crash left."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.core.digest import sha256
from ringfence.core.durable import sync_folder
from ringfence.core.errors import LedgerBroken, RingfenceError
from ringfence.core.statement import PAYLOAD_TYPE
from ringfence.ledger.dsse import ed25519_public, verify
from ringfence.ledger.log import verify_log
from ringfence.workspace.entries import Deleted, Failed, Interrupted
from ringfence.workspace.locks import is_free
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run, Thing

_INTERRUPTED = "RF-CORE-005"


@dataclass
class Report:
    """What fsck saw. `broken` needs a backup; `mended` is done."""

    checked: int = 0
    broken: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether everything that the ledger names is there and unchanged."""
        return not self.broken


def fsck(space: Workspace) -> Report:
    """Check every object, statement and ledger tile; end runs that a crash cut off; remove leftovers.

    Runs of living processes are left alone. Nothing that a ledger entry names is ever removed.
    """
    report = Report()
    try:
        verify_log(space.path / "ledger", space.public.origin, ed25519_public(space.public.ledger))
    except LedgerBroken as error:
        report.broken.append(error.sentences()[0])
        return report  # without a sound ledger nothing else can be judged, so nothing is touched
    with space.locked() as state:
        alive = {run.id for run in state.runs.values() if not is_free(space.path / "runs" / run.id / "lock")}
        alive |= {path.name for path in (space.path / "runs").iterdir() if not is_free(path / "lock")}
        for run in list(state.runs.values()):
            if run.state == "open" and run.id not in alive:
                _end(space, run, report)
        _finish_deletions(space, report)
        _check_objects(space, report)
        if not alive:  # a living run's slots and statement are not in the ledger yet
            _finish_releases(space, report)
            _remove_leftovers(space, report)
        for run_id in set(space.store.incoming_runs()) - alive:
            space.store.clear_incoming(run_id)
            report.mended.append(f"removed the unfinished output of {run_id}")
        _remove_run_folders(space, alive)
    return report


def _end(space: Workspace, run: Run, report: Report) -> None:
    if run.checkpoint:
        space.record(Interrupted(run=run.id, code=_INTERRUPTED))
        report.mended.append(f"{run.id} was cut off; it can be resumed from step {run.step}")
    else:
        space.record(Failed(run=run.id, arrow=run.intent.arrow, code=_INTERRUPTED, exit_code=130))
        report.mended.append(f"{run.id} was cut off and is closed")


def _finish_deletions(space: Workspace, report: Report) -> None:
    begun = [thing for thing in space.state.things.values() if thing.deletion == "begun"]
    if begun:
        finish_deletion(space, begun)
        report.mended.append(f"finished the deletion of {len(begun)} objects")


def finish_deletion(space: Workspace, things: list[Thing]) -> None:
    """Destroy the keys and bytes of objects whose deletion the ledger announced; the caller holds the lock."""
    space.keys.destroy({thing.made.slot for thing in things})
    for thing in things:
        space.store.remove(thing.made.slot)
    space.record(Deleted(objects=tuple(thing.made.digest for thing in things), generation=space.keys.tenant_version))


def _check_objects(space: Workspace, report: Report) -> None:
    slots = set(space.keys.slots())
    evidence = ed25519_public(space.public.evidence)
    for thing in space.state.live().values():
        title = f"{thing.made.name} ({thing.made.stage}, {thing.made.digest[:12]})"
        report.checked += 1
        try:
            manifest = space.manifest(thing)
            if thing.statement:
                verify(space.envelope(thing.statement), PAYLOAD_TYPE, evidence)
        except RingfenceError as error:
            report.broken.append(f"{title}: {error.sentences()[0]}")
            continue
        if thing.made.slot not in slots:
            report.broken.append(f"{title}: its key is missing")
        report.broken += [f"{title}: file {name} was changed" for name in space.store.check(manifest.files, thing.made.slot)]


def _remove_leftovers(space: Workspace, report: Report) -> None:
    things = [thing for thing in space.state.things.values() if thing.deletion != "finished"]
    slots = {thing.made.slot for thing in things}
    for slot in set(space.store.slots()) - slots:
        space.store.remove(slot)
        report.mended.append(f"removed an object that was never committed ({slot[:12]})")
    if orphans := set(space.keys.slots()) - slots:
        space.keys.destroy(orphans)
        report.mended.append(f"destroyed {len(orphans)} keys of objects that were never committed")
    manifests = {f"{thing.made.manifest}.json" for thing in space.state.things.values()}
    statements = {f"{run.statement}.json" for run in space.state.runs.values() if run.statement}
    for folder, known in ((space.path / "vault" / "manifests", manifests), (space.path / "evidence", statements)):
        for path in folder.iterdir():
            if path.name not in known:
                path.unlink()
                report.mended.append(f"removed the leftover {folder.name}/{path.name[:12]}")
    for path in (*space.path.glob(".*.tmp"), *(space.path / "keys").glob(".*.tmp")):
        path.unlink()


def _finish_releases(space: Workspace, report: Report) -> None:
    """Let a bundle appear that was recorded just before a crash; remove one that was not."""
    recorded = {entry.manifest: name for name, (_, entry) in space.state.releases.items()}
    for path in (space.path / "releases").glob(".*.tmp"):
        manifest = path / "manifest.json"
        name = recorded.get(sha256(manifest.read_bytes())) if manifest.is_file() else None
        if name and not (path.parent / name).exists():
            path.rename(path.parent / name)
            sync_folder(path.parent)
            report.mended.append(f"finished the release of {name}")
        else:
            shutil.rmtree(path)
            report.mended.append(f"removed an unfinished bundle ({path.name[:24]})")


def _remove_run_folders(space: Workspace, alive: set[str]) -> None:
    keep = alive | {run.id for run in space.state.runs.values() if run.state == "interrupted"}
    for path in Path(space.path / "runs").iterdir():
        if path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)
