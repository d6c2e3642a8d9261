"""Automata are kept and loaded again; a file that this account did not make is never loaded."""

from __future__ import annotations

import os
import stat

import pytest

from ringfence.core.digest import sha256
from ringfence.core.errors import AutomatonChanged
from ringfence.deid import compiled
from ringfence.deid.engine import Engine, keep_automata
from ringfence.deid.profile import settings_for
from ringfence.deid.scanner import has_vectorscan

pytestmark = pytest.mark.skipif(not has_vectorscan(), reason="there is no hyperscan wheel here")
SETTINGS = settings_for("default").model_copy(update={"taggers": (), "parts": ("cn-mobile.v1", "email.v1", "iban.v1", "qq.v1")})
TEXT = "电话13800138000，mail a@b.internal，QQ：12345678，玄鸟平台"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An account with places of its own: (cache folder, data folder)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "cache" / "ringfence" / "automata", tmp_path / "data" / "ringfence"


@pytest.fixture
def cache(places):
    return keep_automata(SETTINGS)


def kinds(kept, terms=()):
    return [span.kind for span in Engine.build(SETTINGS, b"k" * 32, terms=terms, automata=kept).find(TEXT)]


@pytest.fixture
def counted(monkeypatch):
    """Count how many automata are compiled."""
    made = []
    compile_ = compiled.compiled
    monkeypatch.setattr(compiled, "compiled", lambda patterns: made.append(1) or compile_(patterns))
    return made


def test_what_is_kept_is_loaded_and_finds_the_same(cache, places, counted):
    assert cache.folder == places[0]
    assert {path.name: sha256(path.read_bytes()) for path in cache.folder.iterdir()} == cache.digests
    assert len(cache.digests) == 2
    assert kinds(cache) == ["CN_MOBILE", "EMAIL", "QQ"]
    assert not counted
    assert kinds(None) == kinds(cache)
    assert len(counted) == 2
    assert keep_automata(SETTINGS) == cache
    assert len(counted) == 2


def spoilt(path, how):
    data = path.read_bytes()
    if how == "foreign":  # whole, but not a database of this machine
        path.write_bytes(sha256(b"no database").encode() + b"no database")
    elif how == "of its own digest":
        path.write_bytes(sha256(data[64:]).encode() + data[64:])
    else:
        path.write_bytes(data[:-9] if how == "cut" else data[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:])


SPOILT = ["cut", "flipped", "foreign", "of its own digest"]


@pytest.fixture
def loaded(monkeypatch):
    """What was handed to the library to be loaded."""
    import hyperscan

    seen = []
    load = hyperscan.loadb
    monkeypatch.setattr(hyperscan, "loadb", lambda data, **more: seen.append(data) or load(data, **more))
    return seen


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_is_not_the_announced_one_is_never_loaded(cache, loaded, how):
    for path in cache.folder.iterdir():
        spoilt(path, how)
    with pytest.raises(AutomatonChanged):
        kinds(cache)
    assert not loaded


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_without_the_mark_of_the_account_is_made_anew(cache, counted, loaded, how):
    for path in cache.folder.iterdir():
        spoilt(path, how)
    again = keep_automata(SETTINGS)
    assert len(counted) == 2
    assert again.digests.keys() == cache.digests.keys()
    assert not loaded  # the half that keeps them loads none
    assert kinds(again) == ["CN_MOBILE", "EMAIL", "QQ"]
    assert len(loaded) == 2
    assert not [data for data in loaded if b"no database" in data]


def test_a_file_does_not_stand_for_another(cache, counted):
    one, other = sorted(cache.folder.iterdir())
    one.write_bytes(other.read_bytes())
    again = keep_automata(SETTINGS)
    assert len(counted) == 1
    assert again.digests[one.name] != again.digests[other.name]
    assert kinds(again) == ["CN_MOBILE", "EMAIL", "QQ"]


def test_what_another_key_vouches_for_is_made_anew(cache, places, counted):
    (places[1] / "automata.key").write_bytes(b"k" * 32)
    keep_automata(SETTINGS)
    assert len(counted) == 2


def test_a_file_that_is_gone_or_was_not_announced_is_compiled(cache, counted):
    assert kinds(compiled.Kept(cache.folder)) == ["CN_MOBILE", "EMAIL", "QQ"]
    assert len(counted) == 2
    for path in cache.folder.iterdir():
        path.unlink()
    assert kinds(cache) == ["CN_MOBILE", "EMAIL", "QQ"]
    assert len(counted) == 4


def test_what_the_library_cannot_load_is_compiled(places, counted, monkeypatch):
    import hyperscan

    monkeypatch.setattr(hyperscan, "dumpb", lambda _: b"of another processor")
    kept = keep_automata(SETTINGS)
    assert kinds(kept) == ["CN_MOBILE", "EMAIL", "QQ"]
    assert len(counted) == 4


# ── where they are kept ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_to_is_not_used(places, mode):
    places[0].mkdir(parents=True)
    places[0].chmod(mode)
    assert keep_automata(SETTINGS) is None
    assert not list(places[0].iterdir())


def test_a_folder_of_another_owner_or_a_link_is_not_used(places, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    places[0].parent.mkdir(parents=True)
    places[0].symlink_to(tmp_path / "elsewhere")
    assert keep_automata(SETTINGS) is None
    places[0].unlink()
    assert keep_automata(SETTINGS) is not None
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(places[0]).st_uid + 1)
    assert keep_automata(SETTINGS) is None


def test_a_folder_that_others_may_read_is_closed_to_them(places):
    places[0].mkdir(parents=True, mode=0o755)
    places[0].chmod(0o755)
    kept = keep_automata(SETTINGS)
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.folder.iterdir()} == {0o600}


def test_a_term_is_in_no_file(cache):
    before = {path: path.read_bytes() for path in cache.folder.iterdir()}
    assert kinds(cache, terms=["玄鸟平台"])[-1] == "TERM"
    assert {path: path.read_bytes() for path in cache.folder.iterdir()} == before


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "XDG_DATA_HOME"])
def test_an_account_without_a_place_for_it_compiles_each_time(tmp_path, places, monkeypatch, variable):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv(variable, str(blocked))
    assert keep_automata(SETTINGS) is None
    assert kinds(None) == ["CN_MOBILE", "EMAIL", "QQ"]
