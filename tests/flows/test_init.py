"""Init: two people, two secrets; one person only where the ledger says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ringfence.cli.main import run
from ringfence.core.digest import parse_canonical
from ringfence.core.errors import AlreadyExists, Busy
from ringfence.flows.init import init
from ringfence.vault.keys import Argon2Cost, Passphrase
from ringfence.workspace.fsck import fsck
from ringfence.workspace.locks import held
from ringfence.workspace.space import Workspace
from tests.flows.kill_points import KILLED, NEEDS_STRACE, counting, killing, points_of

WORDS = {"mine": "correct horse battery staple", "auditors": "four other words here"}


@pytest.fixture
def files(tmp_path):
    for name, word in WORDS.items():
        (tmp_path / name).write_text(word + "\n")
    (tmp_path / "key").write_bytes(bytes(range(64)))
    return tmp_path


def call(capsys, *arguments):
    code = run(["--json", *map(str, arguments)])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("own", [("--passphrase-file", "mine"), ("--key-file", "key")])
def test_the_workspace_secret_never_stands_in_for_the_auditors(files, capsys, own):
    code, answer = call(capsys, own[0], files / own[1], "init", files / "ws")
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    assert "--auditor-passphrase-file" in answer["error"]["message"]
    assert not (files / "ws").exists()


def test_one_secret_for_both_is_refused_unless_it_is_said(files, capsys):
    same = ("--passphrase-file", files / "mine", "init", files / "ws")
    code, answer = call(capsys, *same, "--auditor-passphrase-file", files / "mine")
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    assert not (files / "ws").exists()
    assert call(capsys, *same, "--solo")[0] == 0
    assert Workspace.open(files / "ws").state.genesis.solo is True


def test_one_file_as_key_and_as_passphrase_is_one_secret(files, capsys):
    (files / "both").write_text("0123456789abcdef0123456789abcdef\n")
    code, answer = call(capsys, "--key-file", files / "both", "init", files / "ws", "--auditor-passphrase-file", files / "both")
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")


def test_two_secrets_make_two_parts(files, capsys):
    code, _ = call(capsys, "--key-file", files / "key", "init", files / "ws", "--auditor-passphrase-file", files / "auditors")
    assert code == 0
    assert Workspace.open(files / "ws").state.genesis.solo is False


def test_solo_excludes_an_auditor(files, capsys):
    code, answer = call(
        capsys, "--passphrase-file", files / "mine", "init", files / "ws", "--solo", "--auditor-passphrase-file", files / "auditors"
    )
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")


# ── crashes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def started(files, target, trace):
    command = [*trace, sys.executable, "-m", "ringfence", "--passphrase-file", files / "mine", "init", target, "--solo"]
    return subprocess.run(list(map(str, command)), env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, check=False)


@NEEDS_STRACE
@pytest.mark.parametrize("every", [40, pytest.param(1, marks=pytest.mark.full)])
def test_an_init_that_was_killed_anywhere_can_be_made_again(files, every):
    assert started(files, files / "whole", counting(files / "log")).returncode == 0
    costs = [parse_canonical((files / "whole" / "keys" / name).read_bytes())["header"]["cost"] for name in ("root", "auditor")]
    assert costs == [Argon2Cost().model_dump()] * 2  # not the cheap one of these tests
    points = points_of(files / "log")[::every]
    secret = Passphrase(WORDS["mine"].encode())
    for call, count in points:
        target = files / f"{call}{count}"
        assert started(files, target, killing(call, count)).returncode in KILLED
        if not (target / "ringfence.toml").exists():
            init(target, secret)
        space = Workspace.open(target, secret)
        assert fsck(space).broken == []
        assert space.ledger.size == 2
    print(f"\n  init: killed at {len(points)} points, 0 failed")


def test_only_what_a_killed_init_left_is_cleared_away(tmp_path):
    secret = Passphrase(WORDS["mine"].encode())
    (tmp_path / "keys").mkdir()
    with pytest.raises(AlreadyExists):
        init(tmp_path, secret)
    assert (tmp_path / "keys").is_dir()
    mark = tmp_path / ".ringfence-init"
    mark.touch()
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(AlreadyExists):
        init(tmp_path, secret)
    assert (tmp_path / "thesis.txt").exists()
    (tmp_path / "thesis.txt").unlink()
    with held(mark, what="-"), pytest.raises(Busy):
        init(tmp_path, secret)
    init(tmp_path, secret)
    assert not mark.exists()
    with pytest.raises(AlreadyExists):
        init(tmp_path, secret)
