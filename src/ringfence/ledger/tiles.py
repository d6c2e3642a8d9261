"""Names and contents of a log's files. Pure: no files are touched here.

Source: c2sp.org/tlog-tiles: `tile/<level>/<index>` holds up to 256 hashes, `tile/entries/<index>` up to 256 entries; a file that is not
full has the suffix `.p/<width>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ringfence.ledger.merkle import HASH, TILE

MAX_ENTRY = 0xFFFF  # bytes: two bytes hold the length
MAX_BUNDLE = TILE * (2 + MAX_ENTRY)
MAX_TILE = TILE * HASH
_BITS = 8
_PATH = re.compile(r"tile/(?P<level>entries|[0-9]{1,2})/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class Tile:
    """One file: `width` hashes of `level`, or, when `level` is None, `width` entries."""

    level: int | None
    index: int
    width: int

    @property
    def path(self) -> str:
        """The file's name below the log's folder."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "".join(f"x{part}/" for part in parts[:-1]) + parts[-1]
        level = "entries" if self.level is None else self.level
        return f"tile/{level}/{number}" + ("" if self.width == TILE else f".p/{self.width}")

    def is_within(self, size: int) -> bool:
        """Return whether a log of `size` entries vouches for every byte of this file."""
        return self.index * TILE + self.width <= size >> _BITS * (self.level or 0)


def parse_path(path: str) -> Tile | None:
    """Return the tile of that name, or None if no tile is called so."""
    parts = _PATH.fullmatch(path)
    if parts is None:
        return None
    level = None if parts["level"] == "entries" else int(parts["level"])
    tile = Tile(level, int(re.sub("[x/]", "", parts["index"])), int(parts["width"] or TILE))
    is_canonical = tile.width <= TILE and tile.path == path  # not 01, x000/001 or .p/256: second names of one tile
    return tile if is_canonical else None


def grown_tiles(old: int, new: int) -> Iterator[Tile]:
    """Yield every file that a log of `new` entries needs and one of `old` entries does not have."""
    yield from _grown(None, old, new)
    level = 0
    while new >> _BITS * level:
        yield from _grown(level, old >> _BITS * level, new >> _BITS * level)
        level += 1


def _grown(level: int | None, old: int, new: int) -> Iterator[Tile]:
    if new > old:
        for index in range(old // TILE, -(-new // TILE)):
            yield Tile(level, index, min(TILE, new - index * TILE))


def bundles(size: int, start: int = 0) -> Iterator[Tile]:
    """Yield the files that hold the entries from `start` on, as a log of `size` entries names them."""
    for index in range(start // TILE, -(-size // TILE)):
        yield Tile(None, index, min(TILE, size - index * TILE))


def pack(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of an entry bundle: each entry after its length in two bytes, big-endian."""
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def unpack(bundle: bytes, count: int) -> list[bytes]:
    """Return the entries of a bundle: [count].

    Raises: ValueError when the bundle does not hold exactly `count` entries.
    """
    entries, at, end = [], 0, len(bundle)
    while at + 2 <= end:
        stop = at + 2 + (bundle[at] << _BITS | bundle[at + 1])
        entries.append(bundle[at + 2 : stop])
        at = stop
    if at != end or len(entries) != count:
        raise ValueError("an entry bundle is cut, too long or miscounted")
    return entries
