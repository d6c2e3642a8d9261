"""With --lang zh, results are Chinese; JSON is the same in both languages."""

from __future__ import annotations

import json
import re

import pytest

from ringfence.cli.main import run
from ringfence.cli.words import _CHINESE
from ringfence.flows.init import init
from ringfence.vault.keys import Passphrase
from ringfence.workspace.entries import Intent
from ringfence.workspace.space import Workspace
from tests.flows.conftest import PASSPHRASE, import_notes, notes


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace with a set, and a run whose process is gone: its intent is in the ledger, and nobody holds its lock."""
    folder = tmp_path_factory.mktemp("language")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    import_notes(space, folder, notes(4))
    with space.locked():
        space.record(Intent(run="train-000000000000", arrow="train", name="clinic", settings="0" * 64))
    (space.path / "runs" / "train-000000000000").mkdir()
    (folder / "word").write_text(PASSPHRASE)
    return folder


@pytest.fixture
def call(workspace, capsys):
    def call(*arguments):
        capsys.readouterr()
        code = run(["--passphrase-file", str(workspace / "word"), "-w", str(workspace / "ws"), *arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return call


RESULTS = [
    "run list",
    "run show import",
    "run watch import",
    "run watch train",
    "data list",
    "data list --all",
    "data show clinic",
    "keys status",
]
IDENTIFIERS = {"import", "train"}  # names that people type


@pytest.mark.parametrize("command", RESULTS)
def test_no_name_of_a_result_is_english(call, command):
    code, shown = call("--lang", "zh", *command.split())
    assert code == 0
    assert re.search("[\u4e00-\u9fff]", shown)
    assert set(re.findall(r"(?<![\w@-])[a-z_]+(?![\w@-])", shown)) & _CHINESE.keys() - IDENTIFIERS == set()


@pytest.mark.parametrize("command", RESULTS)
def test_json_is_the_same_in_both_languages(call, command):
    said = [json.loads(call("--json", "--lang", language, *command.split())[1]) for language in ("en", "zh")]
    assert said[0] == said[1]
    assert not re.search("[\u4e00-\u9fff]", str(said[0]))


def test_the_policy_is_shown_as_a_file_that_can_be_signed(call, tmp_path, workspace):
    from ringfence.flows.policy import read_policy

    for language in ("en", "zh"):
        _, shown = call("--lang", language, "policy", "show")
        path = tmp_path / "policy.yaml"
        path.write_text(shown)
        assert read_policy(path) == Workspace.open(workspace / "ws").policy()
        assert bool(re.search("[\u4e00-\u9fff]", shown)) == (language == "zh")


def test_a_run_that_was_cut_off_is_called_so_and_sends_its_user_to_fsck(call):
    runs = json.loads(call("--json", "run", "list")[1])["runs"]
    assert [one["state"] for one in runs] == ["done", "cut off"]
    assert json.loads(call("--json", "run", "watch", "train")[1])["state"] == "cut off"
    for language, state in (("en", "cut off"), ("zh", "意外中断")):
        code, said = call("--json", "--lang", language, "run", "stop", "train")
        assert code == 2
        assert state in json.loads(said)["error"]["message"]
        code, said = call("--json", "--lang", language, "run", "resume", "train")
        assert code == 2
        assert "ringfence fsck" in json.loads(said)["error"]["remedy"]


@pytest.mark.parametrize(("target", "state"), [("import", "import 步骤的运行"), ("train", "意外中断")])
def test_chat_says_why_a_run_has_no_adapter(call, target, state):
    code, said = call("--json", "--lang", "zh", "chat", target, "--ask", "x")
    error = json.loads(said)["error"]
    assert (code, error["code"]) == (2, "RF-RELEASE-004")
    assert state in error["message"]


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ("train: {ordinary: maybe}", "请从"),
        ("train: 5", "映射"),
        ("a: &x {b: *x}", "YAML"),
        ("a: 2024-13-44", "YAML"),
        ('a: !!int ""', "YAML"),
    ],
)
def test_a_bad_policy_is_refused_in_chinese(call, tmp_path, policy, problem):
    path = tmp_path / "policy.yaml"
    path.write_text(policy)
    code, said = call("--json", "--lang", "zh", "policy", "set", str(path))
    error = json.loads(said)["error"]
    assert (code, error["code"]) == (2, "RF-POLICY-002")
    assert problem in error["message"]


@pytest.mark.parametrize("words", [[], ["deid"], ["deid", "mask"], ["deid", "review"], ["serve"], ["demo"]])
def test_chinese_help_is_whole_on_a_narrow_terminal(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["--lang", "zh", *words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown.replace("'text': …", "").replace("…平台", "")
    assert "选项" in shown
    assert run(["--lang", "en", *words, "--help"]) == 0
    assert "Options" in capsys.readouterr().out


@pytest.mark.parametrize(("language", "said"), [("en", "Set to de-identify."), ("zh", "要脱敏的数据集。")])
def test_help_says_what_an_argument_is(capsys, language, said):
    assert run(["--lang", language, "deid", "mask", "--help"]) == 0
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "english", "chinese"),
    [
        ("scan --help", "Show this message and exit.", "显示此帮助并退出。"),
        ("chat --help", "[default:", "[默认："),
        ("scan --help", "[required]", "[必填]"),
        ("scan --help", "Usage:", "用法:"),
        ("scan a b", "Got unexpected extra argument (b)", "多余的参数（b）"),
        ("--quiet=3 run list", "Option '--quiet' does not take a value", "选项 '--quiet' 不带值"),
        ("import a --label", "Option '--label' requires an argument", "选项 '--label' 需要一个值"),
        ("budget simulate --noise 1 --rate 2 --steps 1", "2.0 is not in the range 1e-06<=x<=1", "2.0 不在范围 1e-06<=x<=1 内"),
        ("budget simulate --noise x --rate 1 --steps 1", "'x' is not a valid float", "'x' 不是有效的 float"),
    ],
)
def test_the_sentences_of_the_library_are_said_in_the_readers_language(capsys, words, english, chinese):
    for language, said, other in (("zh", chinese, english), ("en", english, chinese)):
        run(["--lang", language, *words.split()])
        shown = capsys.readouterr()
        assert said in shown.out + shown.err
        assert other not in shown.out + shown.err
