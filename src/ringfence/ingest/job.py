"""The child half of `ringfence import`: a file comes in, a sealed set goes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ringfence.core.order import Child, Progress
from ringfence.ingest.ids import IdKeys
from ringfence.ingest.importer import Importer
from ringfence.ingest.readers import FORMATS, read, sniff
from ringfence.ingest.rows import Row
from ringfence.ingest.settings import ImportFigures, ImportSettings
from ringfence.vault.sets import SetWriter

_EVERY = 2_000  # rows between two words to the host


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
        return importer.figures(output.index, file_format=FORMATS[reader])


def _watched(rows: Iterator[Row], child: Child[ImportSettings], file: BinaryIO, size: int) -> Iterator[Row]:
    """Yield the rows and tell the host, now and then, how many bytes are read."""
    for count, row in enumerate(rows):
        if count % _EVERY == 0:
            child.channel.progress(Progress(done=min(file.tell(), size), total=size, phase="read"))
        yield row
