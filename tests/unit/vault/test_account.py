"""The account's own secrets: drawn once, for its eyes only, and never taken from somebody else."""

from __future__ import annotations

import os
import stat

import pytest

from ringfence.vault.account import account_key, is_ours


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "ringfence"


def test_a_key_is_drawn_once_and_only_its_owner_can_read_it(folder):
    key = account_key("one")
    assert len(key) == 32
    assert account_key("one") == key
    assert account_key("other") != key
    assert stat.S_IMODE((folder / "one.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_have_read_is_drawn_anew(folder, mode):
    key = account_key("one")
    (folder / "one.key").chmod(mode)
    assert account_key("one") != key
    assert stat.S_IMODE((folder / "one.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("data", [b"", b"x" * 31, b"x" * 33])
def test_a_key_of_another_length_is_drawn_anew(folder, data):
    account_key("one")
    (folder / "one.key").write_bytes(data)
    assert account_key("one") not in (data, data[:32])


def test_a_link_is_not_followed(folder, tmp_path):
    (tmp_path / "planted").write_bytes(b"p" * 32)
    (tmp_path / "planted").chmod(0o600)
    folder.mkdir()
    (folder / "one.key").symlink_to(tmp_path / "planted")
    assert account_key("one") != b"p" * 32
    assert (tmp_path / "planted").read_bytes() == b"p" * 32


def test_a_key_of_another_account_is_not_taken(folder, monkeypatch):
    key = account_key("one")
    owner = os.stat(folder).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert account_key("one") is None
    assert (folder / "one.key").read_bytes() == key


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_there_is_no_key_in_a_folder_that_others_may_write_to(folder, mode):
    folder.mkdir()
    folder.chmod(mode)
    assert not is_ours(folder)
    assert account_key("one") is None
    assert not list(folder.iterdir())


def test_an_account_without_a_home_has_none(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("ringfence.vault.account.account_folder", lambda: None)
    assert account_key("one") is None
