"""Import: a file becomes a sealed set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringfence.core.errors import FileUnreadable, LayoutMisfit, ParquetMissing, UnknownLayout
from ringfence.core.order import Progress
from ringfence.core.statement import Label
from ringfence.core.work import Done, Work
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.ingest.parquet import is_installed
from ringfence.ingest.settings import NEEDED, REASONS, ImportFigures, ImportSettings
from ringfence.jobs.start import Handlers, start
from ringfence.vault.files import file_names, read_file
from ringfence.vault.index import RowIndex, read_index
from ringfence.workspace.accounts import overlap
from ringfence.workspace.arrow import Arrow, Committed, Facts, Plan
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import State

FILE_DIGEST = "file"  # in a set's account: the SHA-256 of the file that it was imported from


def import_file(
    space: Workspace,
    path: Path,
    *,
    name: str,
    settings: ImportSettings,
    label: Label = "sensitive",
    show: Callable[[Progress], None] = lambda _: None,
) -> tuple[Committed, ImportFigures]:
    """Seal the rows of a file as the set `name` and return what was made.

    The units of the set's privacy budget are kept in an object of their own, which deleting the set will leave, with the file's digest; where an earlier
    import had some of them, the budget is the same one.

    Raises: FileUnreadable, every IngestError, SandboxError.
    """
    if not path.is_file():
        raise FileUnreadable(path=str(path))
    if (settings.format == "parquet" or path.suffix.lower() == ".parquet") and not is_installed():
        raise ParquetMissing
    before = path.stat()
    outputs = {"set": Plan("set", "sealed")}
    with Arrow(space, "import", name=name, label=label, settings=settings, outputs=outputs) as arrow:
        work = arrow.work(
            "import.v1",
            purpose=("record-id", "unit-id", "content"),
            files={"source": path.resolve()},
            vocabulary=REASONS,
            tier=tier_for(space.policy(), label),
        )
        done = _start(work, show)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise FileUnreadable(path=f"{path} (it changed while it was read)")
        slot, key = arrow.output("set")
        slot = slot.model_copy(update={"files": space.store.collect(Path(slot.path))})
        index = read_index(slot, key)
        kept = {**_account(index), FILE_DIGEST: digest}
        arrow.add("account", Plan("account", "account"), kept)
        former = bytes(index.former_units)
        return arrow.commit(done, Facts(software=software()), joins=lambda state: _joined(space, state, kept, former)), done.figures


def _account(index: RowIndex) -> dict[str, bytes]:
    """Return the files of an account: its units, how many rows each has, and the rows' contents, all as HMACs."""
    units, rows = count_units(index.unit_ids)
    contents = index.content_hmacs
    return {"units": units, "rows": rows, "contents": b"" if contents is None else count_units(contents)[0]}


def _joined(space: Workspace, state: State, kept: Mapping[str, bytes], former: bytes) -> tuple[str, ...]:
    """Return the accounts of earlier imports that hold some of these units, or some of these very rows: who is in both has one budget.

    former: ids [units · 16] by which earlier versions knew some of the units.
    """
    mine, joined = (("units", kept["units"]), ("units", former), ("contents", kept["contents"])), []
    for digest, thing in state.things.items():
        if thing.made.kind == "account":
            slot = space.input(thing).slot
            key = space.keys.data_key(slot.slot)
            there = set(file_names(slot, key))  # an account of an earlier version has no contents
            if any(overlap(ids, read_file(slot, key, name)) for name, ids in mine if name in there):
                joined.append(digest)
    return tuple(joined)


def _start(work: Work[ImportSettings], show: Callable[[Progress], None]) -> Done[ImportFigures]:
    try:
        return start(work, ImportFigures, handlers=Handlers(progress=show))
    except UnknownLayout:
        settings = work.settings
        if settings.layout == "auto" or settings.mapping:
            raise
        needed = NEEDED[settings.layout]
        example = ",".join(f"{role}=COLUMN" for role in needed)
        raise LayoutMisfit(layout=settings.layout, columns=", ".join(needed), example=example) from None


def count_units(ids: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Return the distinct unit ids, sorted, 16 bytes each, and how many rows each has, little-endian uint32.

    ids: [rows, 16]. A sixteenth at a time, by the first four bits: sorting all of them at once takes a hundred bytes a row.
    """
    units, counts = bytearray(), bytearray()
    part = ids[:, 0] >> 4
    for number in range(16):
        found, rows = np.unique(ids[part == number], axis=0, return_counts=True)
        units += found.tobytes()
        counts += rows.astype("<u4").tobytes()
    return bytes(units), bytes(counts)
