from __future__ import annotations

import io
import os
import random
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import ObjectBroken, StorageFull
from ringfence.core.order import StoredFile
from ringfence.vault import streams
from ringfence.vault.streams import ObjectStreams, opened, seal
from tests.unit.vault.vault_tools import TENANT, flipped, new_key, quick

KEY = new_key()
PLACE = {"key": KEY, "tenant": TENANT, "slot": "cd" * 16, "version": 1, "position": "3", "last": False}


def read(path: Path, **place: object) -> bytes:
    return b"".join(opened(path, **(PLACE | place)))


@quick
@given(blocks=st.lists(st.binary(max_size=200)), repeat=st.sampled_from([1, 1, 1, 5_000]))
def test_what_was_sealed_comes_back(tmp_path, blocks, repeat):
    path = tmp_path / "f"
    path.unlink(missing_ok=True)
    seal(path, (block * repeat for block in blocks), **PLACE)
    assert read(path) == b"".join(block * repeat for block in blocks)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 56, (1 << 20) - 55, 1 << 20, (4 << 20) + 7])
def test_segment_boundaries(tmp_path, size):
    data = random.Random(size).randbytes(size)
    seal(tmp_path / "f", [data], **PLACE)
    blocks = list(opened(tmp_path / "f", **PLACE))
    assert b"".join(blocks) == data
    assert max(map(len, blocks), default=0) <= 1 << 20


def test_the_file_is_private_and_holds_no_plaintext(tmp_path):
    seal(tmp_path / "f", [b"a secret sentence"], **PLACE)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert b"secret" not in (tmp_path / "f").read_bytes()


@pytest.mark.parametrize(
    "place",
    [
        {"key": new_key()},
        {"tenant": "ac" * 16},
        {"slot": "ce" * 16},
        {"version": 2},
        {"position": "4"},
        {"position": "index"},
        {"last": True},
        {"key": b"not a keyset"},
        {"key": b""},
    ],
)
def test_another_place_or_key_does_not_open_it(tmp_path, place):
    seal(tmp_path / "f", [b"text"], **PLACE)
    with pytest.raises(ObjectBroken) as caught:
        read(tmp_path / "f", **place)
    assert caught.value.facts["file"] == {"4": 4, "index": -1}.get(place.get("position"), 3)


def test_every_flipped_byte_of_a_small_file_is_found(tmp_path):
    seal(tmp_path / "f", [b"forty bytes of text, more or less, here."], **PLACE)
    data = (tmp_path / "f").read_bytes()
    for at in range(len(data)):
        (tmp_path / "f").write_bytes(flipped(data, at, at % 8))
        with pytest.raises(ObjectBroken):
            read(tmp_path / "f")


def test_flips_in_every_region_of_a_large_file_are_found(tmp_path):
    seal(tmp_path / "f", [bytes(3 << 20)], **PLACE)
    data = (tmp_path / "f").read_bytes()
    edges = [i * (1 << 20) + d for i in range(4) for d in (-17, -16, -1, 0, 1)]  # tags and segment starts
    for at in [*range(0, 45, 11), *edges, len(data) - 1, *random.Random(1).sample(range(len(data)), 10)]:
        if 0 <= at < len(data):
            (tmp_path / "f").write_bytes(flipped(data, at, at % 8))
            with pytest.raises(ObjectBroken):
                read(tmp_path / "f")


@pytest.mark.parametrize("cut", [0, 1, 39, 40, 56, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, -16, -1])
def test_a_cut_file_is_found(tmp_path, cut):
    seal(tmp_path / "f", [bytes((1 << 20) + 1000)], **PLACE)
    (tmp_path / "f").write_bytes((tmp_path / "f").read_bytes()[:cut])
    with pytest.raises(ObjectBroken):
        read(tmp_path / "f")


def test_appended_bytes_are_found(tmp_path):
    seal(tmp_path / "f", [b"text"], **PLACE)
    with (tmp_path / "f").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ObjectBroken):
        read(tmp_path / "f")


def test_a_link_or_folder_or_nothing_in_its_place_is_broken(tmp_path):
    seal(tmp_path / "f", [b"text"], **PLACE)
    (tmp_path / "link").symlink_to(tmp_path / "f")
    for name in ("link", ".", "absent"):
        with pytest.raises(ObjectBroken):
            read(tmp_path / name)


def test_an_existing_file_is_not_overwritten(tmp_path):
    (tmp_path / "f").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        seal(tmp_path / "f", [b"text"], **PLACE)
    assert (tmp_path / "f").read_bytes() == b"precious"


def test_a_source_that_fails_leaves_no_file(tmp_path):
    def source():
        yield bytes(3 << 20)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        seal(tmp_path / "f", source(), **PLACE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("does", ["seal", "open"])
def test_ctrl_c_inside_tink_is_ctrl_c(tmp_path, monkeypatch, does):
    """It strikes in the middle of Tink's call for bytes, where any error would come out as Tink's own."""
    really = streams.write_all
    seal(tmp_path / "there", [bytes(3 << 20)], **PLACE)

    def struck(handle, data):
        os.kill(os.getpid(), signal.SIGINT)
        really(handle, data)

    class Source(io.FileIO):
        def read(self, size=-1):
            os.kill(os.getpid(), signal.SIGINT)
            return super().read(size)

    monkeypatch.setattr(streams, "write_all", struck)
    monkeypatch.setattr(streams, "open", lambda path, mode, **_: Source(path, mode), raising=False)
    with pytest.raises(KeyboardInterrupt):
        seal(tmp_path / "new", [bytes(3 << 20)], **PLACE) if does == "seal" else read(tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_full_disk_is_said_and_leaves_no_file(small_disk):
    tiny_disk = small_disk(2 << 20)
    with pytest.raises(StorageFull):
        seal(tiny_disk / "f", [os.urandom(1 << 20)] * 5, **PLACE)
    assert not list(tiny_disk.iterdir())
    seal(tiny_disk / "f", [os.urandom(1 << 20)], **PLACE)  # there is room again


def test_the_last_bytes_count_too_on_a_full_disk(small_disk):
    tiny_disk = small_disk(2 << 20)
    with pytest.raises(StorageFull):  # everything is still in Tink's segment when the last block was given
        seal(tiny_disk / "f", [bytes((2 << 20) - 10)], **PLACE)
    assert not list(tiny_disk.iterdir())


@pytest.mark.parametrize(
    ("listed", "at"),
    [(["a", "b", "index"], None), (["b", "a", "index"], 0), (["a", "index"], 1), (["a", "b"], -1), (["a", "b", "index", "c"], -1)],
)
def test_the_list_of_files_must_be_exact(slot, key, listed, at):
    for name in ("a", "b", "index"):
        Path(slot.path, name).write_bytes(b"x")
    files = tuple(StoredFile(name=name, size=1, sha256="0" * 64) for name in listed)
    streams = ObjectStreams(slot.model_copy(update={"files": files}), key)
    if at is None:
        streams.check_files(["a", "b", "index"])
    else:
        with pytest.raises(ObjectBroken) as caught:
            streams.check_files(["a", "b", "index"])
        assert caught.value.facts["file"] == at
