"""Scan: a sealed set becomes a cleared one; flagged rows go to quarantine."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.core.errors import NothingToKeep
from ringfence.core.order import Progress
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.flows.join import refuse_joined
from ringfence.jobs.start import Handlers, start
from ringfence.scan.settings import KeepSettings, ScanFigures, ScanSettings
from ringfence.workspace.arrow import Arrow, Committed, Facts, Plan
from ringfence.workspace.space import Workspace


def scan(
    space: Workspace,
    name: str,
    *,
    settings: ScanSettings,
    show: Callable[[Progress], None] = lambda _: None,
) -> tuple[Committed, ScanFigures]:
    """Move the rows that a detector flags into a sealed quarantine set, and return what was made.

    Raises: UnknownName, BadArgument, NothingLeft, SandboxError.
    """
    source = space.state.resolve(name if "@" in name else f"{name}@sealed")
    refuse_joined(source, verb="scan")
    made = source.made
    outputs = {"set": Plan("set", "cleared"), "quarantine": Plan("quarantine", "quarantine")}
    with Arrow(space, "scan", name=made.name, label=made.label, settings=settings, inputs={"set": source}, outputs=outputs) as arrow:
        work = arrow.work("scan.v1", purpose=("content",), vocabulary=settings.parts, tier=tier_for(space.policy(), made.label))
        done = start(work, ScanFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(parts=settings.parts, software=software())), done.figures


def keep(
    space: Workspace,
    name: str,
    *,
    settings: KeepSettings,
    show: Callable[[Progress], None] = lambda _: None,
) -> tuple[Committed, ScanFigures]:
    """Readmit quarantined rows into a new cleared set, on record, and return what was made.

    Raises: UnknownName, NothingToKeep, SandboxError.
    """
    cleared = space.state.resolve(f"{name.partition('@')[0]}@cleared")
    run = space.state.runs[cleared.run]
    held = next((one for one in run.made if one.stage == "quarantine"), None)
    if held is None or held.digest not in space.state.live():
        raise NothingToKeep(name=name)
    inputs = {"set": cleared, "quarantine": space.state.things[held.digest]}
    outputs = {"set": Plan("set", "cleared"), "quarantine": Plan("quarantine", "quarantine")}
    made = cleared.made
    with Arrow(space, "keep", name=made.name, label=made.label, settings=settings, inputs=inputs, outputs=outputs) as arrow:
        scanned = space.statement(run.statement).predicate.parts if run.statement else ()
        work = arrow.work("keep.v1", purpose=("content",), vocabulary=scanned, tier=tier_for(space.policy(), made.label))
        done = start(work, ScanFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(parts=scanned, software=software())), done.figures
