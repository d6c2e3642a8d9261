"""Init: two people, two secrets; one person only where the ledger says so."""

from __future__ import annotations

import json

import pytest

from ringfence.cli.main import run
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
