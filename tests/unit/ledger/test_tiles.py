from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.ledger.tiles import Tile, bundles, grown_tiles, pack, parse_path, unpack

TILES = st.builds(Tile, st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 10**10), st.integers(1, 256))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067, 256), "tile/0/x001/x234/067"),  # the example of c2sp.org/tlog-tiles
        (Tile(2, 0, 1), "tile/2/000.p/1"),
        (Tile(None, 999, 256), "tile/entries/999"),
        (Tile(None, 1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_names_are_those_of_the_specification(tile, path):
    assert tile.path == path
    assert parse_path(path) == tile


@given(TILES)
def test_every_name_reads_back(tile):
    assert parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/00/000",
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/300",
        "tile/data/000",
        "tile/0/000 ",
        "tile/0/000\n",
        "x/tile/0/000",
        "checkpoint",
    ],
)
def test_a_second_name_of_a_tile_is_none(path):
    assert parse_path(path) is None


def test_a_log_of_70000_needs_the_files_that_the_specification_lists():
    tiles = list(grown_tiles(0, 70_000))
    hashes = [t for t in tiles if t.level is not None]
    assert sum(t.level == 0 and t.width == 256 for t in hashes) == 273
    assert [t for t in hashes if t.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert [t for t in hashes if t.level == 1 and t.width == 256] == [Tile(1, 0, 256)]
    assert len(tiles) - len(hashes) == 274


def test_a_log_of_256_has_a_full_tile_and_one_above():
    assert {t.path for t in grown_tiles(0, 256)} == {"tile/entries/000", "tile/0/000", "tile/1/000.p/1"}


@given(st.integers(0, 70_000), st.integers(0, 2_000))
def test_growing_never_touches_a_file_that_the_old_log_needs(old, more):
    grown = set(grown_tiles(old, old + more))
    assert not any(tile.is_within(old) for tile in grown)
    assert all(tile.is_within(old + more) for tile in grown)
    assert set(grown_tiles(0, old + more)) - grown <= set(grown_tiles(0, old))


@given(st.integers(0, 2_000), st.integers(0, 2_000))
def test_bundles_cover_every_entry_from_the_start_on(size, start):
    covered = [tile.index * 256 + n for tile in bundles(size, start) for n in range(tile.width)]
    assert [n for n in covered if n >= start] == list(range(start, size))


@given(st.lists(st.binary(max_size=70), max_size=20))
def test_a_bundle_reads_back(entries):
    assert unpack(pack(entries), len(entries)) == entries


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=5), st.data())
def test_a_cut_or_longer_bundle_is_refused(entries, data):
    bundle = pack(entries)
    at = data.draw(st.integers(0, len(bundle) - 1))
    for wrong, count in (
        (bundle[:at], len(entries)),
        (bundle + b"\0", len(entries)),
        (bundle, len(entries) + 1),
        (bundle, len(entries) - 1),
    ):
        with pytest.raises(ValueError):
            unpack(wrong, count)


def test_the_largest_entry_fits():
    assert unpack(pack([b"x" * 65535]), 1) == [b"x" * 65535]
