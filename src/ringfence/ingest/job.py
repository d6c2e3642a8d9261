"""The child halves of `ringfence import` and `ringfence data export`: a file comes in and a sealed set goes out, and the other way round."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ringfence.core.order import Child, Progress
from ringfence.ingest.ids import IdKeys, exported_unit
from ringfence.ingest.importer import Importer
from ringfence.ingest.readers import FORMATS, read, sniff
from ringfence.ingest.rows import Row
from ringfence.ingest.settings import ExportFigures, ExportSettings, ImportFigures, ImportSettings
from ringfence.ingest.writers import WRITERS, columns
from ringfence.vault.sets import SetReader, SetWriter

_EVERY = 2_000  # rows between two words to the host
_PART = 1 << 19  # bytes of a file in one message; in base64 they fit a frame


def run(child: Child[ImportSettings]) -> ImportFigures:
    """Write the file's rows as the output `set` and return what was imported.

    Raises: every IngestError that crosses, StorageFull.
    """
    order, keys = child.order, child.keys
    settings, slot = order.settings, order.outputs["set"]
    importer = Importer(settings, IdKeys.of(keys.purpose))
    path = Path(order.files["source"])
    writer = SetWriter(slot, keys.data[slot.slot], keys.purpose["content"], unit_table=settings.unit is not None)
    with path.open("rb") as file, writer as output:
        reader = sniff(file, settings.source, named=settings.format)
        for record in importer.records(_watched(read(file, reader), child, file, path.stat().st_size)):
            output.write(record)
        output.index.former_units = importer.former_units
        return importer.figures(output.index, file_format=FORMATS[reader])


def _watched(rows: Iterator[Row], child: Child[ImportSettings], file: BinaryIO, size: int) -> Iterator[Row]:
    """Yield the rows and tell the host, now and then, how many bytes are read."""
    for count, row in enumerate(rows):
        if count % _EVERY == 0:
            child.channel.progress(Progress(done=min(file.tell(), size), total=size, phase="read"))
        yield row


def export(child: Child[ExportSettings]) -> ExportFigures:
    """Say the set's rows as a file and return what was said. What lies sealed beside the texts, the file's other columns, stays.

    Raises: ParquetMissing, ObjectBroken.
    """
    settings, slot = child.order.settings, child.order.inputs["set"]
    reader = SetReader(slot, child.keys.data[slot.slot])
    has_unit = settings.unit and reader.index.unit_table is not None
    out = _Said(child)
    WRITERS[settings.format](_exported(child, reader, has_unit=has_unit), settings.layout, out.more, unit=has_unit)
    out.end()
    return ExportFigures(rows=len(reader), bytes=out.size, has_unit=has_unit)


def _exported(child: Child[ExportSettings], reader: SetReader, *, has_unit: bool) -> Iterator[dict[str, object]]:
    unit_keys = IdKeys(record=b"", unit=child.keys.purpose["unit-id"])
    salt = secrets.token_hex(8)
    for count, record in enumerate(reader):
        if count % _EVERY == 0:
            child.channel.progress(Progress(done=count, total=len(reader), phase="write"))
        row = columns(record, child.order.settings.layout)
        yield {**row, "unit": exported_unit(unit_keys, record.unit, salt=salt)} if has_unit else row


class _Said:
    """A file whose bytes are said to the host."""

    def __init__(self, child: Child[ExportSettings]) -> None:
        self._say, self._held, self.size = child.channel.say, bytearray(), 0

    def more(self, data: bytes) -> None:
        """Take some more bytes and say those that fill a message."""
        self._held += data
        self.size += len(data)
        while len(self._held) >= _PART:
            self._pass_on()

    def end(self) -> None:
        """Say the rest."""
        while self._held:
            self._pass_on()

    def _pass_on(self) -> None:
        part, self._held = self._held[:_PART], self._held[_PART:]
        self._say(json.dumps({"data": base64.b64encode(part).decode("ascii")}))
