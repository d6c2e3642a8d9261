"""Finds what does not agree with the ledger; completes or removes what a crash left."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.core.digest import sha256
from ringfence.core.durable import sync_folder
from ringfence.core.errors import LedgerBroken, NoSuchObject, RingfenceError
from ringfence.core.statement import PAYLOAD_TYPE
from ringfence.core.text import t
from ringfence.ledger.dsse import ed25519_public, verify
from ringfence.ledger.log import verify_log
from ringfence.workspace.arrow import forget
from ringfence.workspace.entries import Deleted, Failed, Interrupted
from ringfence.workspace.locks import is_free
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run, State, Thing

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

    Runs of living processes are left alone. Nothing that a ledger entry names is ever removed. The workspace lock is held for the mending
    only: objects are hashed without it, so a large vault never keeps others from committing.
    """
    report = Report()
    try:
        verify_log(space.path / "ledger", space.public.origin, ed25519_public(space.public.ledger))
    except LedgerBroken as error:
        report.broken.append(error.sentences()[0])
        return report  # without a sound ledger nothing else can be judged, so nothing is touched
    with space.locked() as state:
        _mend(space, state, report)
        there = list(space.state.live().values())
        statements = [(run.id, run.statement) for run in state.runs.values() if run.statement]
    found = {thing.made.digest: _problems(space, thing) for thing in there}
    report.checked = len(found)
    report.broken += [line for run, digest in statements for line in _unsound_statement(space, run, digest)]
    with space.locked(seconds=None) as state:  # what was deleted or replaced meanwhile is no longer a problem
        report.broken += [line for digest, lines in found.items() if digest in state.live() for line in lines]
    return report


def _mend(space: Workspace, state: State, report: Report) -> None:
    alive = {run.id for run in state.runs.values() if not is_free(space.path / "runs" / run.id / "lock")}
    alive |= {path.name for path in (space.path / "runs").iterdir() if not is_free(path / "lock")}
    for run in list(state.runs.values()):
        if run.state == "open" and run.id not in alive:
            _end(space, run, report)
    _finish_deletions(space, report)
    live = state.live()
    for run in list(state.runs.values()):
        if run.state == "interrupted" and run.id not in alive and set(run.intent.inputs.values()) - set(live):
            close_run(space, run.id, because=NoSuchObject)
            report.mended.append(t("{run} is closed: one of its inputs is deleted", "{run} 已关闭：它的一个输入已被删除", run=run.id))
    if not alive:  # a living run's slots and statement are not in the ledger yet
        _finish_releases(space, report)
        _remove_leftovers(space, report)
    for run_id in set(space.store.incoming_runs()) - alive:
        space.store.clear_incoming(run_id)
        report.mended.append(t("removed the unfinished output of {run}", "已清除 {run} 未完成的输出", run=run_id))
    _remove_run_folders(space, alive)


def _end(space: Workspace, run: Run, report: Report) -> None:
    if run.checkpoint:
        space.record(Interrupted(run=run.id, code=_INTERRUPTED))
        line = t("{run} was cut off; it can be resumed from step {step}", "{run} 曾被中断；可从第 {step} 步继续", run=run.id, step=run.step)
    else:
        space.record(Failed(run=run.id, arrow=run.intent.arrow, code=_INTERRUPTED, exit_code=130))
        line = t("{run} was cut off and is closed", "{run} 曾被中断，已关闭", run=run.id)
        if run.intent.arrow == "train":
            line += t(
                "; it left no checkpoint to go on from (save_steps in its recipe keeps one)",
                "；没有可继续的检查点（配方中的 save_steps 会保存）",
            )
    report.mended.append(line)


def _finish_deletions(space: Workspace, report: Report) -> None:
    begun = [thing for thing in space.state.things.values() if thing.deletion == "begun"]
    if begun:
        finish_deletion(space, begun)
        report.mended.append(t("finished the deletion of {n} objects", "已完成 {n} 个对象的删除", n=len(begun)))


def finish_deletion(space: Workspace, things: list[Thing]) -> None:
    """Destroy the keys and bytes of objects whose deletion the ledger announced; the caller holds the lock."""
    space.keys.destroy({thing.made.slot for thing in things})
    for thing in things:
        space.store.remove(thing.made.slot)
    space.record(Deleted(objects=tuple(thing.made.digest for thing in things), generation=space.keys.tenant_version))


def close_run(space: Workspace, run_id: str, *, because: type[RingfenceError]) -> None:
    """Close an unfinished run for good, and shred its checkpoint: it knows the rows. The caller holds the lock.

    because: NoSuchObject when an input is deleted, Interrupted when its owner gives it up.
    """
    run = space.state.runs[run_id]
    space.record(Failed(run=run.id, arrow=run.intent.arrow, code=because.code, exit_code=because.exit_code))
    if run.checkpoint:
        forget(space, [run.checkpoint])
    shutil.rmtree(space.path / "runs" / run.id, ignore_errors=True)


def _problems(space: Workspace, thing: Thing) -> list[str]:
    """Return what is wrong with one object; empty when it is as committed. Reads without a lock: the object may vanish meanwhile."""
    title = f"{thing.made.name} ({thing.made.stage}, {thing.made.digest[:12]})"
    try:
        manifest = space.manifest(thing)
        changed = space.store.check(manifest.files, thing.made.slot)
    except RingfenceError as error:
        return [f"{title}: {error.sentences()[0]}"]
    except OSError as error:
        return [f"{title}: {type(error).__name__}"]
    lines = [t("{title}: file {name} was changed", "{title}：文件 {name} 被改动", title=title, name=name) for name in changed]
    if thing.made.slot not in space.keys.slots():
        lines.append(t("{title}: its key is missing", "{title}：缺少其密钥", title=title))
    return lines


def _unsound_statement(space: Workspace, run: str, digest: str) -> list[str]:
    """Return what is wrong with the signed statement of a run; a release has one, too, and no object."""
    try:
        verify(space.envelope(digest), PAYLOAD_TYPE, ed25519_public(space.public.evidence))
    except RingfenceError as error:
        return [f"{run}: {error.sentences()[0]}"]
    return []


def _remove_leftovers(space: Workspace, report: Report) -> None:
    things = [thing for thing in space.state.things.values() if thing.deletion != "finished"]
    slots = {thing.made.slot for thing in things}
    for slot in set(space.store.slots()) - slots:
        space.store.remove(slot)
        report.mended.append(t("removed an object that was never committed ({slot})", "已清除从未提交的对象（{slot}）", slot=slot[:12]))
    if orphans := set(space.keys.slots()) - slots:
        space.keys.destroy(orphans)
        report.mended.append(
            t("destroyed {n} keys of objects that were never committed", "已销毁从未提交的对象的 {n} 个密钥", n=len(orphans))
        )
    manifests = {f"{thing.made.manifest}.json" for thing in space.state.things.values()}
    statements = {f"{run.statement}.json" for run in space.state.runs.values() if run.statement}
    for folder, known in ((space.path / "vault" / "manifests", manifests), (space.path / "evidence", statements)):
        for path in folder.iterdir():
            if path.name not in known:
                path.unlink()
                report.mended.append(t("removed the leftover {name}", "已清除残留 {name}", name=f"{folder.name}/{path.name[:12]}"))
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
            report.mended.append(t("finished the release of {name}", "已完成 {name} 的放行", name=name))
        else:
            shutil.rmtree(path)
            report.mended.append(t("removed an unfinished bundle ({name})", "已清除未完成的发布包（{name}）", name=path.name[:24]))


def _remove_run_folders(space: Workspace, alive: set[str]) -> None:
    keep = alive | {run.id for run in space.state.runs.values() if run.state == "interrupted"}
    for path in Path(space.path / "runs").iterdir():
        if path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)
