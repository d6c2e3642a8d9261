"""Export: a set leaves as a file in the clear, where the policy allows it; what left is on record with the digest of the file."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ringfence.core.durable import full_disk_as_error, write_all
from ringfence.core.errors import BadArgument, JobMisbehaved, ParquetMissing, PlaintextUnconfirmed
from ringfence.core.order import Keys, Progress
from ringfence.core.text import t
from ringfence.core.work import Work
from ringfence.flows.files import new_file
from ringfence.flows.gate import tier_for
from ringfence.flows.rights import refuse_export
from ringfence.ingest.parquet import is_installed
from ringfence.ingest.settings import ExportFigures, ExportSettings, FilePart
from ringfence.jobs.start import Handlers, start
from ringfence.workspace.entries import Exported, Opened
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing


@dataclass(frozen=True)
class Left:
    """What left the vault."""

    thing: Thing
    entry: Exported
    figures: ExportFigures


def export_set(
    space: Workspace,
    name: str,
    path: Path,
    *,
    file_format: Literal["jsonl", "parquet"],
    unit: bool = True,
    replace: bool = False,
    is_confirmed: bool = False,
    show: Callable[[Progress], None] = lambda _: None,
) -> Left:
    """Write a set to a file that its owner alone may read, and return what was written.

    unit: say which rows belong together, where a unit was chosen at import.  replace: the file may exist.  is_confirmed: for a set that is neither masked
    nor public, somebody said that this is meant.

    The opening is on record before a key is handed out, and the file's digest before the file has its name: no failure leaves a file that the ledger
    does not know.

    Raises: UnknownName, AmbiguousName, WrongStage, ExportRefused, PolicyRefused, PlaintextUnconfirmed, ParquetMissing, AlreadyExists, BadArgument,
    StorageFull, SandboxError, LedgerUnavailable.
    """
    thing = space.state.resolve(name)
    refuse_export(space, thing)
    if not is_confirmed and thing.made.stage != "masked" and thing.made.label != "public":
        raise PlaintextUnconfirmed(option="data export")
    if file_format == "parquet" and not is_installed():
        raise ParquetMissing
    if path.resolve().is_relative_to(space.path.resolve()):
        problem = t(
            "{path} lies in the workspace, where no record text lies in the clear", "{path} 位于工作区内，其中不存放明文记录", path=path
        )
        raise BadArgument(option="FILE", problem=problem, verb="data export")
    layout = space.chain(thing)[0].predicate.figures["layout"]
    settings = ExportSettings(format=file_format, layout=layout, unit=unit)
    with new_file(path, option="FILE", verb="data export", replace=replace) as handle:
        with space.locked():
            refuse_export(space, thing)
            space.record(Opened(object=thing.made.digest, purpose="export"))
        file = _File(handle)
        figures = start(_work(space, thing, settings), ExportFigures, handlers=Handlers(progress=show, say=file.take)).figures
        if figures.bytes != file.size:
            raise JobMisbehaved(job="export.v1", problem=t("another number of bytes than it says", "字节数与其所述不符"))
        entry = Exported(object=thing.made.digest, file=file.digest.hexdigest(), size=file.size, rows=figures.rows, format=file_format)
        with space.locked():
            refuse_export(space, thing)  # it may have been taken back since
            space.record(entry)
    return Left(thing, entry, figures)


class _File:
    """Writes what a child says, unread."""

    def __init__(self, handle: int) -> None:
        self._handle, self.size, self.digest = handle, 0, hashlib.sha256()

    def take(self, said: str) -> None:
        """Write one more part."""
        data = FilePart.model_validate_json(said).data
        with full_disk_as_error():
            write_all(self._handle, data)
        self.digest.update(data)
        self.size += len(data)


def _work(space: Workspace, thing: Thing, settings: ExportSettings) -> Work[ExportSettings]:
    source = space.input(thing)
    return Work(
        job="export.v1",
        run=f"export-{secrets.token_hex(6)}",
        tenant=space.settings.tenant,
        settings=settings,
        inputs={"set": source},
        keys=Keys(data={source.slot.slot: space.keys.data_key(source.slot.slot)}, purpose={"unit-id": space.keys.purpose("unit-id")}),
        tier=tier_for(space.policy(), thing.made.label),
    )
