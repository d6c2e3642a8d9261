"""The span table of a masked set: a line of JSON for each record with what was replaced in it."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.core.order import Slot
from ringfence.vault.files import read_blocks

FILE = "spans.jsonl"


def table_lines(slot: Slot, key: bytes) -> Iterator[bytes]:
    """Yield the lines of a span table.

    Raises: ObjectBroken.
    """
    rest = b""
    for block in read_blocks(slot, key, FILE):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        yield rest
