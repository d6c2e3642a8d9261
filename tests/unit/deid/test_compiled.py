"""Automata are kept and loaded again; a file that is broken or of another machine is never trusted."""

from __future__ import annotations

import pytest

from ringfence.deid import compiled
from ringfence.deid.engine import Engine, keep_automata
from ringfence.deid.profile import settings_for
from ringfence.deid.scanner import has_vectorscan

pytestmark = pytest.mark.skipif(not has_vectorscan(), reason="there is no hyperscan wheel here")
SETTINGS = settings_for("default").model_copy(update={"taggers": (), "parts": ("cn-mobile.v1", "email.v1", "iban.v1", "qq.v1")})
TEXT = "电话13800138000，mail a@b.internal，QQ：12345678，玄鸟平台"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return keep_automata(SETTINGS)


def kinds(folder, terms=()):
    return [span.kind for span in Engine.build(SETTINGS, b"k" * 32, terms=terms, automata=folder).find(TEXT)]


@pytest.fixture
def counted(monkeypatch):
    """Count how many automata are compiled."""
    made = []
    compile_ = compiled.compiled
    monkeypatch.setattr(compiled, "compiled", lambda patterns: made.append(1) or compile_(patterns))
    return made


def test_what_is_kept_is_loaded_and_finds_the_same(cache, counted):
    assert len(list(cache.iterdir())) == 2
    assert kinds(cache) == ["CN_MOBILE", "EMAIL", "QQ"]
    assert not counted
    assert kinds(None) == kinds(cache)
    assert len(counted) == 2
    keep_automata(SETTINGS)
    assert len(counted) == 2


@pytest.mark.parametrize("how", ["cut", "flipped", "foreign", "gone"])
def test_a_broken_file_is_compiled_anew(cache, counted, how):
    for path in cache.iterdir():
        data = path.read_bytes()
        if how == "gone":
            path.unlink()
        elif how == "foreign":  # whole, but not a database of this machine
            path.write_bytes(compiled.sha256(b"no database").encode() + b"no database")
        else:
            path.write_bytes(data[:-9] if how == "cut" else data[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:])
    assert kinds(cache) == ["CN_MOBILE", "EMAIL", "QQ"]
    assert len(counted) == 2


def test_a_term_is_in_no_file(cache):
    before = {path: path.read_bytes() for path in cache.iterdir()}
    assert kinds(cache, terms=["玄鸟平台"])[-1] == "TERM"
    assert {path: path.read_bytes() for path in cache.iterdir()} == before


def test_an_account_without_a_place_for_it_compiles_each_time(tmp_path, monkeypatch, counted):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert keep_automata(SETTINGS) is None
    assert kinds(None) == ["CN_MOBILE", "EMAIL", "QQ"]
