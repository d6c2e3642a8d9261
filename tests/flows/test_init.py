"""Init: two people, two secrets; one person only where the ledger says so."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from ringfence.cli.main import run
from ringfence.core.errors import AlreadyExists, Busy
from ringfence.flows.init import init
from ringfence.vault.keys import Passphrase
from ringfence.workspace.fsck import fsck
from ringfence.workspace.locks import held
from ringfence.workspace.space import Workspace

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

CALLS = ("fsync", "rename", "mkdir", "unlink", "write", "ftruncate")  # as in test_kill


def traced(files, target, *options):
    command = [sys.executable, "-m", "ringfence", "--passphrase-file", files / "mine", "init", target, "--solo"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([*map(str, ("strace", "-qq", *options, *command))], env=environment, capture_output=True, check=False)


def points(files):
    """Return (system call, how often it has been made) for every write-side call of an init."""
    log = files / "strace"
    assert traced(files, files / "whole", "-e", f"trace={','.join(CALLS)}", "-o", log).returncode == 0
    seen, found = Counter(), []
    for name in re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE):
        seen[name] += 1
        found.append((name, seen[name]))
    return found


@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.full)])
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_an_init_that_was_killed_anywhere_can_be_made_again(files, every):
    found = points(files)
    killed = 0
    for call, count in found[::every]:
        target = files / f"{call}{count}"
        done = traced(files, target, "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={count}")
        if done.returncode == 0:
            continue  # scheduling moved the point behind the end
        killed += 1
        if not (target / "ringfence.toml").exists():
            init(target, Passphrase(WORDS["mine"].encode()))
        space = Workspace.open(target, Passphrase(WORDS["mine"].encode()))
        assert fsck(space).broken == []
        assert space.policy() is not None
    print(f"\n  init: killed at {killed} of {len(found)} points, 0 failed")
    assert killed >= len(found) // every // 2


def test_only_what_a_killed_init_left_is_cleared_away(tmp_path):
    secret = Passphrase(WORDS["mine"].encode())
    (tmp_path / "keys").mkdir()
    with pytest.raises(AlreadyExists):
        init(tmp_path, secret)
    assert (tmp_path / "keys").is_dir()
    (tmp_path / ".begun").touch()
    with held(tmp_path / ".begun", what="-"), pytest.raises(Busy):
        init(tmp_path, secret)
    init(tmp_path, secret)
    assert not (tmp_path / ".begun").exists()
    with pytest.raises(AlreadyExists):
        init(tmp_path, secret)
