"""The commands as they are typed: what an auditor, a verifier and a careless user see, exit codes included."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from ringfence.core.public_keys import PublicKeys
from ringfence.ledger.dsse import ed25519_public
from ringfence.ledger.verify import verify_log, verify_proof
from ringfence.vault.sets import SetReader
from ringfence.workspace.fsck import fsck
from tests.flows.conftest import import_notes, masked, notes, reopen


@pytest.fixture
def elsewhere(finished, tmp_path, cli, monkeypatch):
    """The bundle and the owner's keys, in a folder where nothing else is."""
    folder, _, bundle = finished
    place = tmp_path / "elsewhere"
    place.mkdir()
    assert cli("keys", "export", place / "keys.json", workspace=folder)[0] == 0
    shutil.copytree(bundle, place / "lora")
    monkeypatch.chdir(place)
    return place


# ── verify ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_verifier_needs_only_the_bundle_and_the_keys(elsewhere, cli):
    code, report = cli("verify", "lora", "--keys", "keys.json")
    assert code == 0
    assert report["ok"] is True
    assert len(report["steps"]) == 11


def test_an_altered_bundle_is_refused_and_the_file_named(elsewhere, cli):
    path = elsewhere / "lora" / "README.md"
    path.write_bytes(path.read_bytes() + b" ")
    code, answer = cli("verify", "lora", "--keys", "keys.json")
    assert code == 12
    assert "README.md" in json.dumps(answer)


def test_a_strangers_key_is_refused(elsewhere, cli, tmp_path):
    word = tmp_path / "passphrase"
    assert cli("init", tmp_path / "other", "--solo", passphrase=word)[0] == 0
    assert cli("keys", "export", elsewhere / "other.json", workspace=tmp_path / "other")[0] == 0
    assert cli("verify", "lora", "--keys", "other.json")[0] == 12


# ── log, keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_log_commands_write_can_be_checked_without_them(finished, elsewhere, cli):
    folder, _, _ = finished
    public = PublicKeys.from_bytes((elsewhere / "keys.json").read_bytes())
    key = ed25519_public(public.ledger)
    entries = reopen(folder).ledger.size
    assert cli("log", "verify", workspace=folder) == (0, {"ok": True, "entries": entries})
    assert cli("log", "export", elsewhere / "log", workspace=folder)[0] == 0
    assert verify_log(elsewhere / "log", public.origin, key) == entries
    assert cli("log", "verify", "--folder", "log", "--keys", "keys.json") == (0, {"ok": True, "entries": entries})
    assert cli("log", "prove", 3, elsewhere / "e", workspace=folder)[0] == 0
    entry, proof = ((elsewhere / f"e.{ending}").read_bytes() for ending in ("entry.json", "proof"))
    assert verify_proof(entry, proof, origin=public.origin, public=key) == 3
    tile = next(path for path in (elsewhere / "log").rglob("*") if path.is_file() and "tile" in str(path))
    tile.write_bytes(tile.read_bytes()[:-1] + b"\x00")
    assert cli("log", "verify", "--folder", "log", "--keys", "keys.json")[0] == 12


WRITERS = [("keys", "export"), ("log", "export"), ("log", "prove", 1), ("run", "show", "train", "--html")]


def test_a_policy_file_that_is_not_there_is_said_to_be_missing(space, cli, tmp_path):
    code, answer = cli("policy", "set", tmp_path / "none.yaml", workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-POLICY-002")
    assert "cannot be read" in answer["error"]["message"]


@pytest.mark.parametrize("command", WRITERS)
def test_what_cannot_be_written_there_is_said_beforehand(finished, cli, tmp_path, command):
    folder, _, _ = finished
    code, answer = cli(*command, tmp_path / "missing" / "x", workspace=folder)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    assert str(tmp_path / "missing") in answer["error"]["message"]


# ── mistakes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

MISTAKES = [
    (("improt", "x"), "import"),
    (("release", "x"), "--name"),
    (("train", "x", "--dry-rnu"), "--dry-run"),
    (("log", "prove", "x", "y"), "whole number"),
    (("verify", "lora"), "--keys"),
    (("log", "verify", "--folder", "."), "--folder"),
    (("chat", "lora", "--ask", "x"), "--keys"),
    (("import", "x.jsonl", "--name", "a b"), "--name"),
    (("import", "x.jsonl", "--rows", "5"), "1:300"),
    (("import", "x.jsonl", "--map", "promt=X"), "--map"),
    (("scan", "x", "--only", "bursts.v1"), "--keep"),
    (("scan", "x", "--keep", "--only", "foo.v1"), "unicode.v1"),
]


@pytest.mark.parametrize(("words", "named"), MISTAKES)
def test_a_mistake_is_answered_with_a_code_and_what_to_write(elsewhere, cli, words, named):
    code, answer = cli(*words)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    assert named in answer["error"]["message"]
    assert answer["error"]["remedy"].startswith("see ringfence ")
    assert "  " not in answer["error"]["remedy"]


def test_a_mistake_is_answered_in_the_readers_language(cli, capsys):
    from ringfence.cli.main import run

    assert run(["--lang", "zh", "data", "show"]) == 2
    assert "缺失" in capsys.readouterr().err


# ── chat ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_chat_refuses_a_bundle_that_does_not_verify(elsewhere, cli):
    path = elsewhere / "lora" / "adapter_config.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert cli("chat", "lora", "--keys", "keys.json", "--ask", "x")[0] == 12


@pytest.mark.full
def test_a_chat_with_an_unreleased_run_is_on_record(copy, cli):
    folder, run_id, _ = copy
    before = reopen(folder).ledger.size
    few = ("--max-new-tokens", 2, "--guard", "off")  # a guard would be built, and be on record, too
    code, answer = cli("chat", run_id, "--ask", "x", *few, workspace=folder)
    assert code == 0
    assert len(answer["answers"]) == 1
    space = reopen(folder)
    assert space.ledger.size == before + 1
    entry = json.loads(space.ledger.raw(before))
    assert "chat" in json.dumps(entry)


# ── deid --terms ──────────────────────────────────────────────────────────────────────────────────────────────────────


DICTIONARIES = {"gb18030": "蓝鲸项目".encode("gb18030"), "short": b"x\n", "empty": b"# only a remark\n"}


@pytest.mark.parametrize("name", DICTIONARIES)
def test_a_dictionary_that_cannot_work_is_refused_before_anything_starts(space, cli, tmp_path, name):
    import_notes(space, tmp_path, notes(4))
    path = tmp_path / name
    path.write_bytes(DICTIONARIES[name])
    before = space.ledger.size
    code, answer = cli("deid", "clinic", "--terms", path, workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-DEID-002")
    assert reopen(space.path).ledger.size == before


def test_terms_of_the_dictionary_are_replaced(space, cli, tmp_path):
    rows = [{"prompt": f"蓝鲸项目 week {i}", "completion": f"Bluewhale is fine, {i}"} for i in range(3)]
    import_notes(space, tmp_path, [{**row, "patient_id": "p"} for row in rows])
    path = tmp_path / "terms"
    path.write_text("蓝鲸项目\nbluewhale\n", encoding="utf-8")
    code, answer = cli("deid", "clinic", "--terms", path, workspace=space.path)
    assert (code, answer["spans"]["TERM"]) == (0, 6)
    space = reopen(space.path)
    source = space.input(space.state.resolve("clinic@masked"))
    texts = "".join(text for record in SetReader(source.slot, space.keys.data_key(source.slot.slot)) for text in record.texts)
    assert "week 2" in texts
    assert "蓝鲸" not in texts
    assert "whale" not in texts.lower()


def test_an_unscanned_set_is_sent_to_the_scan_first(space, tmp_path, capsys):
    from ringfence.cli.main import run

    import_notes(space, tmp_path, notes(4))
    word = tmp_path / "word"
    word.write_text("correct horse battery staple")
    front = ["--passphrase-file", str(word), "-w", str(space.path)]
    assert run([*front, "deid", "clinic"]) == 0
    assert "ringfence scan clinic && ringfence deid clinic" in capsys.readouterr().err
    assert run([*front, "scan", "clinic"]) == 0
    assert run([*front, "deid", "clinic"]) == 0
    assert "ringfence train RECIPE" in capsys.readouterr().err


def test_an_operator_for_a_kind_that_nothing_finds_is_told(space, tmp_path, capsys):
    from ringfence.cli.main import run

    import_notes(space, tmp_path, notes(4))
    word, profile = tmp_path / "word", tmp_path / "ours.json"
    word.write_text("correct horse battery staple")
    profile.write_text(
        '{"recognisers": ["email.v1"], "operators": {"PERSONS": "redact.v1", "WARD": "keep.v1", "DATE": "keep.v1", "*": "token.v1"}}'
    )
    front = ["--passphrase-file", str(word), "-w", str(space.path), "deid", "clinic", "--profile", str(profile)]
    assert run(front) == 0
    assert "check the spelling: PERSONS (PERSON?), WARD\n" in capsys.readouterr().err
    assert run([*front, "--quiet"]) == 0
    assert "spelling" not in capsys.readouterr().err


# ── data delete ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deletion_names_other_imports_of_the_name_and_the_account_that_stays(space, cli, tmp_path):
    older = import_notes(space, tmp_path, notes(4))[0].things["set"].made.digest
    newer = import_notes(space, tmp_path, notes(6))[0].things["set"].made.digest
    code, answer = cli("data", "delete", newer[:12], "--derived", "--yes", workspace=space.path)
    assert code == 0
    assert newer in answer["deleted"]
    assert answer["same_name_still_there"] == [older]
    space = reopen(space.path)
    accounts = [digest for digest, thing in space.state.live().items() if thing.made.kind == "account"]
    assert len(accounts) == 2
    assert answer["accounts_still_there"] == [one for one in accounts if space.state.things[one].run == space.state.things[newer].run]
    assert fsck(space).broken == []


def test_a_question_that_nobody_answers_deletes_nothing(space, cli, tmp_path, monkeypatch):
    import io

    import_notes(space, tmp_path, notes(4))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, answer = cli("data", "delete", "clinic@sealed", workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    assert "--yes" in answer["error"]["message"]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli("data", "delete", "clinic@sealed", workspace=space.path)[0] == 130
    assert reopen(space.path).state.resolve("clinic").deletion == "none"


# ── recipe check ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_recipe_check_says_what_becomes_of_every_key(cli, recipe):
    path = recipe(output_dir="out", report_to="none")
    code, answer = cli("recipe", "check", path)
    found = {line["key"]: line["treatment"] for line in answer["keys"]}
    assert (code, answer["ok"]) == (0, True)
    assert (found["lora_rank"], found["output_dir"], found["report_to"]) == ("used", "noted", "noted")
    code, answer = cli("recipe", "check", recipe(push_to_hub=True))
    assert (code, answer["ok"]) == (2, False)
    assert {line["key"] for line in answer["keys"] if line["treatment"] == "refused"} == {"push_to_hub"}


def test_recipe_check_prints_every_key_whatever_is_wrong(recipe, capsys):
    from ringfence.cli.main import run

    path = recipe(lora_rank="many")
    path.write_text(path.read_text() + "lora_rnak: 8\npush_to_hub: true\n")
    assert run(["recipe", "check", str(path)]) == 2
    told = capsys.readouterr().out
    assert all(key in told for key in yaml.safe_load(path.read_text()))
    assert "did you mean lora_rank" in " ".join(told.split())
    assert "3 keys are refused" in told


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lora_rnak:", ("RF-RECIPE-001", "lora_rank")),
        ("zzzzqqqq: 1", ("RF-RECIPE-001", "no key has a similar name")),
        ("privacy:", ("RF-RECIPE-002", "epsilon")),
        ("audit:", ("RF-RECIPE-002", "secrets")),
    ],
)
def test_a_key_without_a_value_is_judged_like_any_other(cli, space, recipe, line, expected):
    code, word = expected
    path = recipe()
    path.write_text(path.read_text() + line + "\n")
    status, answer = cli("train", path, workspace=space.path)
    assert (status, answer["error"]["code"]) == (2, code)
    assert word in answer["error"]["message"] + answer["error"]["remedy"]


@pytest.mark.full
def test_what_was_left_out_of_a_training_is_said(space, tmp_path, recipe, capsys):
    from ringfence.cli.main import run

    long = {"prompt": "x" * 400, "completion": "never reached", "patient_id": "p"}
    masked(space, tmp_path, [*notes(8), long])
    word = tmp_path / "word"
    word.write_text("correct horse battery staple")
    assert run(["--passphrase-file", str(word), "-w", str(space.path), "train", str(recipe(max_steps=1))]) == 0
    assert "1 rows had no answer within cutoff_len and were left out" in capsys.readouterr().out
