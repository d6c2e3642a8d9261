"""`demo --keep`: whoever keeps the workspace can open it. The demo itself is replaced by its first step; its whole way is a test of flows."""

from __future__ import annotations

import json
import shlex
import stat

import pytest

from ringfence.cli.main import run
from ringfence.core.errors import ModelUnknown
from ringfence.flows.demo import Story
from ringfence.flows.init import init
from ringfence.vault.keys import Passphrase
from ringfence.workspace.space import Workspace


@pytest.fixture(autouse=True)
def demo(monkeypatch):
    """Let the demo end after it made its workspace."""

    def tell(folder, *, secret, wheel, seed, line, bar):
        init(folder, secret or Passphrase(b"nobody learns it"))
        return Story()

    monkeypatch.setattr("ringfence.flows.demo.demo", tell)
    monkeypatch.setattr("ringfence.cli.demo.show_story", lambda *_, **__: None)  # there is none


def command_in(shown):
    line = next(line for line in shown.splitlines() if "ringfence -w" in line)
    return shlex.split(line.partition(": ")[2])[1:]


def opens(command, capsys):
    """Whether the printed command's options open the workspace."""
    assert command[-2:] == ["run", "list"]
    code = run([*command[:-2], "keys", "status"])
    return code == 0 and "fingerprint" in capsys.readouterr().out


def test_a_kept_workspace_opens_with_the_command_that_is_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["demo", "--keep", "my demo"]) == 0
    command = command_in(capsys.readouterr().out)
    assert opens(command, capsys)
    key = tmp_path / "my demo.key"
    assert command[command.index("--key-file") + 1] == str(key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not [path for path in (tmp_path / "my demo").rglob("*") if path.is_file() and path.read_bytes() == key.read_bytes()]


@pytest.mark.parametrize("option", ["--passphrase-file", "--key-file"])
def test_the_users_own_secret_opens_it(tmp_path, capsys, option):
    own = tmp_path / "own"
    own.write_text("correct horse battery staple, and some more")
    assert run(["demo", option, str(own), "--keep", str(tmp_path / "kept")]) == 0
    assert opens(command_in(capsys.readouterr().out), capsys)
    assert not (tmp_path / "kept.key").exists()


def test_scripts_learn_how_to_open_it(tmp_path, capsys):
    assert run(["--json", "demo", "--keep", str(tmp_path / "kept")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["workspace"] == str(tmp_path / "kept")
    assert said["open_with"] == ["--key-file", str(tmp_path / "kept.key")]


def test_nothing_is_kept_unless_asked_for(capsys):
    assert run(["demo"]) == 0
    assert "ringfence -w" not in capsys.readouterr().out


@pytest.mark.parametrize("taken", ["kept.key", "kept/file", "kept"])
def test_nothing_is_overwritten_and_no_key_is_left(tmp_path, capsys, taken):
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    assert run(["--json", "demo", "--keep", str(tmp_path / "kept")]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "RF-WORKSPACE-002"
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "kept").mkdir()
    assert run(["demo", "--keep", str(tmp_path / "kept")]) == 0


@pytest.mark.parametrize("own", [False, True])
def test_a_demo_that_fails_before_there_is_a_workspace_leaves_no_new_key(tmp_path, monkeypatch, own):
    def tell(*_, **__):
        raise ModelUnknown(name="smollm2", known="-")

    monkeypatch.setattr("ringfence.flows.demo.demo", tell)
    key = tmp_path / "kept.key"
    if own:
        key.write_bytes(b"k" * 32)
    assert run(["demo", *(["--key-file", str(key)] if own else []), "--keep", str(tmp_path / "kept")]) == 2
    assert key.exists() == own


def test_a_demo_that_fails_later_leaves_the_key_of_its_workspace(tmp_path, monkeypatch):
    def tell(folder, *, secret, **_):
        init(folder, secret)
        raise ModelUnknown(name="smollm2", known="-")

    monkeypatch.setattr("ringfence.flows.demo.demo", tell)
    assert run(["demo", "--keep", str(tmp_path / "kept")]) == 2
    from ringfence.vault.keys import KeyFile

    assert Workspace.open(tmp_path / "kept", KeyFile((tmp_path / "kept.key").read_bytes()))
