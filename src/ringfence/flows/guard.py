"""The replay guard of a run: built from its training set the first time that somebody asks for it, and found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ringfence.core.digest import settings_digest, sha256
from ringfence.core.errors import GuardRefused
from ringfence.core.order import Progress
from ringfence.core.text import Text
from ringfence.core.work import Input
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.guard.settings import GuardFigures, GuardSettings
from ringfence.jobs.start import Handlers, start
from ringfence.release.manifest import MANIFEST
from ringfence.workspace.arrow import Arrow, Facts, Plan
from ringfence.workspace.entries import Released
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

Choice = Literal["auto", "on", "off"]

ELSEWHERE = Text("the training set is in another workspace", "训练集在别的工作区")
GONE = Text("the training set was deleted, and nobody had built a guard before", "训练集已删除，此前也没有建立过防护")
PRIVATE = Text(
    "the run is private, and what a guard blocks tells of rows that epsilon does not cover; its release did not say that it has one",
    "该运行受差分隐私保护，而防护所拦截的内容会透露 epsilon 未涵盖的行；其放行也没有说明带有防护",
)


@dataclass(frozen=True)
class Guarding:
    """A guard and its data key, or why there is none where somebody would have it."""

    guard: tuple[Input, bytes] | None = None
    why: Text | None = None


FROM_ELSEWHERE = Guarding(why=ELSEWHERE)


def of_adapter(
    space: Workspace,
    adapter: str,
    choice: Choice = "auto",
    *,
    is_promised: bool = False,
    show: Callable[[Progress], None] = lambda _: None,
) -> Guarding:
    """Return what answers of an adapter pass. auto: a guard wherever there can be one, but for private runs whose release did not say so.

    adapter: its digest. is_promised: the release said that its answers pass a guard.

    Raises: GuardRefused where it is to be "on" and cannot; as `guard_of`.
    """
    if choice == "off":
        return Guarding()
    thing = space.state.things.get(adapter)
    why = ELSEWHERE if thing is None else PRIVATE if _is_private(space, thing) and not is_promised else None
    found = guard_of(space, thing, show=show) if thing and not why else None
    if found is None:
        why = why or GONE
        if choice == "on":
            raise GuardRefused(why=why.show())
        return Guarding(why=why)
    source = space.input(found)
    return Guarding((source, space.keys.data_key(source.slot.slot)))


def released(space: Workspace, folder: Path) -> Released | None:
    """Return the release of the bundle in a folder; None where it is none of this workspace's."""
    manifest = sha256((folder / MANIFEST).read_bytes())
    return next((entry for _, entry in space.state.releases.values() if entry.manifest == manifest), None)


def of_bundle(space: Workspace, folder: Path, choice: Choice, *, show: Callable[[Progress], None] = lambda _: None) -> Guarding:
    """Return what the answers of a bundle pass.

    Raises: as `of_adapter`.
    """
    entry = released(space, folder)
    is_promised = entry is not None and promises(space, entry)
    return of_adapter(space, entry.adapter if entry else "", choice, is_promised=is_promised, show=show)


def promises(space: Workspace, entry: Released) -> bool:
    """Return whether a release said that its answers pass a guard."""
    return bool(space.statement(entry.statement).predicate.settings.get("guard"))


def refuse_on(choice: Choice) -> None:
    """Return unless a guard is to be on where there is no vault that could hold one.

    Raises: GuardRefused.
    """
    if choice == "on":
        raise GuardRefused(why=ELSEWHERE.show())


def guard_of(space: Workspace, adapter: Thing, *, show: Callable[[Progress], None] = lambda _: None) -> Thing | None:
    """Return the guard of the very set that an adapter was trained on, built now where there is none yet; None where the set is gone, too.

    Raises: SandboxError, Busy, LedgerUnavailable, StorageFull.
    """
    read = space.chain(adapter)[-1].predicate.inputs.get("set", "")
    settings, live = GuardSettings(), space.state.live()
    wanted = ({"set": read}, settings_digest(settings))
    made = [one for run in space.state.runs.values() if (run.intent.inputs, run.intent.settings) == wanted for one in run.made]
    found = [live[one.digest] for one in made if one.kind == "guard" and one.digest in live]
    if found:
        return found[-1]
    return _build(space, live[read], settings, show) if read in live else None


def _build(space: Workspace, source: Thing, settings: GuardSettings, show: Callable[[Progress], None]) -> Thing:
    made = source.made
    with Arrow(
        space,
        "guard",
        name=made.name,
        label=made.label,
        settings=settings,
        inputs={"set": source},
        outputs={"guard": Plan("guard", "guard")},
    ) as arrow:
        done = start(arrow.work("guard.v1", tier=tier_for(space.policy(), made.label)), GuardFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(software=software(), seals_times=True)).things["guard"]


def _is_private(space: Workspace, adapter: Thing) -> bool:
    return "plan" in space.chain(adapter)[-1].predicate.figures
