"""A file outside the vault: whole or not at all, and never in another one's place."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from ringfence.core.durable import write_all, written


def no_links(*_, **__):
    raise OSError(errno.EPERM, "no links here")


@pytest.fixture(params=["links", "none"])
def _file_system(request, monkeypatch):
    if request.param == "none":
        monkeypatch.setattr(os, "link", no_links)


@pytest.mark.usefixtures("_file_system")
def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    target = tmp_path / "a"
    with written(target) as handle:
        write_all(handle, b"one")
        assert not target.exists()
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"one", 0o600)
    with pytest.raises(RuntimeError), written(target, replace=True) as handle:  # noqa: PT012  the block is what fails
        write_all(handle, b"two")
        raise RuntimeError
    assert (target.read_bytes(), os.listdir(tmp_path)) == (b"one", ["a"])
    with written(target, replace=True) as handle:
        write_all(handle, b"two")
    assert (target.read_bytes(), os.listdir(tmp_path)) == (b"two", ["a"])


@pytest.mark.usefixtures("_file_system")
def test_a_file_that_somebody_made_meanwhile_stays(tmp_path):
    target = tmp_path / "a"
    with pytest.raises(FileExistsError), written(target) as handle:  # noqa: PT012  its end is what fails
        write_all(handle, b"ours")
        target.write_bytes(b"theirs")
    assert (target.read_bytes(), os.listdir(tmp_path)) == (b"theirs", ["a"])
