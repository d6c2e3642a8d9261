"""`data export`: what may leave by the policy, what the ledger says of it, and that it comes back as it went."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ringfence.core.errors import LedgerUnavailable, WrongStage
from ringfence.core.policy import DEFAULT, DeidRule, Require, TrainRules
from ringfence.deid.profile import settings_for
from ringfence.flows.deid import deidentify
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.rights import refuse_export
from ringfence.vault.keys import Passphrase
from ringfence.vault.sets import SetReader
from tests.flows.conftest import PASSPHRASE, import_notes, notes, reopen
from tests.privacy.finder import leaks

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    import_notes(space, folder, notes(30))
    deidentify(space, "clinic", settings=settings_for("default"))
    import_notes(
        space, folder, [{"prompt": f"问题{n}", "completion": f"回答{n}", "patient_id": n} for n in range(5)], name="open", label="public"
    )
    return folder / "ws"


@pytest.fixture
def ws(made, tmp_path):
    return shutil.copytree(made, tmp_path / "ws")


@pytest.fixture
def export(cli, ws):
    def call(*arguments):
        return cli("data", "export", *arguments, workspace=ws)

    return call


def entries(space, since=0):
    raw = [json.loads(space.ledger.raw(index)) for index in range(since, space.ledger.size)]
    return [one for one in raw if one["type"] in ("open", "export")]


def records(space, name):
    slot = space.input(space.state.resolve(name)).slot
    return list(SetReader(slot, space.keys.data_key(slot.slot)))


@pytest.mark.parametrize("suffix", [pytest.param("jsonl", marks=pytest.mark.full), "parquet"])
def test_a_masked_set_leaves_on_record_and_comes_back_with_its_units_and_its_budget(export, cli, ws, tmp_path, suffix):
    target = tmp_path / f"out.{suffix}"
    space = reopen(ws)
    before = space.ledger.size
    code, answer = export("clinic@masked", target)
    assert (code, answer["rows"], answer["format"], answer["has_unit"]) == (0, 30, suffix, True)
    data = target.read_bytes()
    assert answer["sha256"] == hashlib.sha256(data).hexdigest()
    assert (answer["bytes"], stat.S_IMODE(target.stat().st_mode)) == (len(data), 0o600)
    space = reopen(ws)
    masked = space.state.resolve("clinic@masked").made.digest
    opened, left = entries(space, before)
    assert (opened["type"], opened["object"], opened["purpose"]) == ("open", masked, "export")
    assert {key: left[key] for key in ("type", "object", "file", "size", "rows", "format")} == {
        "type": "export",
        "object": masked,
        "file": answer["sha256"],
        "size": len(data),
        "rows": 30,
        "format": suffix,
    }
    assert not list(tmp_path.glob(".*"))  # nothing half-made lies about
    code, again = cli("import", target, "--name", "back", "--unit", "unit", workspace=ws)
    assert (code, again["rows"], again["units"]) == (0, 30, 15)
    space = reopen(ws)
    assert [(r.kind, r.roles, r.texts, r.unit) for r in records(space, "back")] == [
        (r.kind, r.roles, r.texts, r.unit) for r in records(space, "clinic@masked")
    ]
    outcome = json.loads(space.ledger.raw(space.state.resolve("back").index))
    clinic = space.state.resolve("clinic@sealed").run
    assert outcome["joins"] == [one.digest for one in space.state.runs[clinic].made if one.kind == "account"]


@pytest.mark.full
def test_a_set_that_was_scanned_says_its_units_too(cli, tmp_path):
    space = init(tmp_path / "ws", Passphrase(PASSPHRASE.encode()))
    import_notes(space, tmp_path, notes(30))
    for command in (("scan", "clinic"), ("scan", "clinic", "--keep"), ("deid", "clinic")):
        assert cli(*command, workspace=tmp_path / "ws")[0] == 0
    code, answer = cli("data", "export", "clinic@masked", tmp_path / "out.jsonl", workspace=tmp_path / "ws")
    assert (code, answer["has_unit"]) == (0, True)
    code, again = cli("import", tmp_path / "out.jsonl", "--name", "back", "--unit", "unit", workspace=tmp_path / "ws")
    assert (code, again["units"]) == (0, 15)


def test_no_row_of_a_masked_set_tells_what_stood_there(export, ws, tmp_path):
    target = tmp_path / "out.jsonl"
    assert export("clinic", target)[0] == 0  # a bare name is the last arrow's output
    assert leaks(tmp_path, ["p1@clinic.internal", "13800138001"]) == []
    assert "cough" in target.read_text(encoding="utf-8")
    assert leaks(ws, ["cough for"]) == []


CASES = [
    ("masked", "clinic@sealed", 5),
    ("masked", "open@sealed", 0),
    ("refuse", "clinic@masked", 5),
    ("refuse", "open@sealed", 5),
    ("allow", "clinic@sealed", 2),  # not confirmed
    ("allow", "clinic@masked", 0),
]


@pytest.mark.parametrize("case", CASES)
def test_the_policy_says_what_may_leave(export, ws, tmp_path, case):
    policy, name, code = case
    space = reopen(ws)
    set_policy(space, DEFAULT.model_copy(update={"export": policy}))
    size, target = space.ledger.size, tmp_path / "out.jsonl"
    got, answer = export(name, target)
    assert got == code
    if code:
        assert answer["error"]["code"] == ("RF-DEID-041" if policy == "allow" else "RF-INGEST-015")
        assert reopen(ws).ledger.size == size
    assert target.exists() == (code == 0)


def test_a_raw_set_leaves_where_the_policy_allows_it_and_somebody_says_that_it_is_meant(export, ws, tmp_path):
    set_policy(reopen(ws), DEFAULT.model_copy(update={"export": "allow"}))
    target = tmp_path / "raw.jsonl"
    assert export("clinic@sealed", target, "--plaintext")[0] == 0
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in notes(30)]
    assert {*rows[0]} == {"prompt", "completion", "unit"}
    assert "P1" not in {row["unit"] for row in rows}


def test_a_set_that_is_masked_in_name_alone_does_not_leave_as_masked(export, ws, tmp_path):
    named = TrainRules(require=Require(deid=DeidRule(profile="medical-zh", survivors=0)))
    set_policy(reopen(ws), DEFAULT.model_copy(update={"train": named}))
    code, answer = export("clinic@masked", tmp_path / "out.jsonl")
    assert (code, answer["error"]["code"]) == (11, "RF-POLICY-001")
    assert "medical-zh" in answer["error"]["message"]
    assert not (tmp_path / "out.jsonl").exists()


def test_a_planted_set_never_leaves(ws):
    space = reopen(ws)
    set_policy(space, DEFAULT.model_copy(update={"export": "allow"}))
    masked = space.state.resolve("clinic@masked")
    refuse_export(space, masked)
    for label in ("sensitive", "public"):
        with pytest.raises(WrongStage):
            refuse_export(space, replace(masked, made=masked.made.model_copy(update={"stage": "planted", "label": label})))


def test_an_existing_file_stays_unless_it_is_forced(export, ws, tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("mine")
    target.chmod(0o644)
    code, answer = export("clinic@masked", target)
    assert (code, answer["error"]["code"], target.read_text()) == (2, "RF-WORKSPACE-002", "mine")
    assert entries(reopen(ws)) == []
    assert export("clinic@masked", target, "--force")[0] == 0
    assert len(target.read_text(encoding="utf-8").splitlines()) == 30
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_what_cannot_be_written_is_said_first(export, ws, tmp_path):
    for file, options in (("out.csv", ()), ("none/out.jsonl", ()), ("out.jsonl", ("--format", "xml")), ("ws/out.jsonl", ())):
        code, answer = export("clinic@masked", tmp_path / file, *options)
        assert (code, answer["error"]["code"]) == (2, "RF-CORE-004"), file
    assert export("nobody", tmp_path / "out.jsonl")[1]["error"]["code"] == "RF-WORKSPACE-004"
    assert entries(reopen(ws)) == []
    assert export("clinic@masked", tmp_path / "out.bin", "--format", "jsonl")[0] == 0


@pytest.mark.parametrize("when", ["job", "ledger", "policy"])
def test_a_file_that_was_begun_is_gone_when_anything_fails(export, ws, tmp_path, monkeypatch, when):
    from ringfence.flows import export as flow
    from ringfence.workspace.space import Workspace

    real, record = flow.start, Workspace.record

    def fail(work, figures, *, handlers=None):
        done = real(work, figures, handlers=handlers)
        if when == "policy":
            set_policy(reopen(ws), DEFAULT.model_copy(update={"export": "refuse"}))
        if when == "job":
            raise KeyboardInterrupt
        return done

    def refuse(self, entry):
        if when == "ledger" and entry.type == "export":
            raise LedgerUnavailable
        return record(self, entry)

    monkeypatch.setattr(flow, "start", fail)
    monkeypatch.setattr(Workspace, "record", refuse)
    code, _ = export("clinic@masked", tmp_path / "out.jsonl")
    assert code == {"job": 130, "ledger": 20, "policy": 5}[when]
    assert [path.name for path in tmp_path.iterdir() if path.is_file() and path.name != "passphrase"] == []
    assert [entry["type"] for entry in entries(reopen(ws))] == ["open"]


def test_a_child_that_says_something_else_than_parts_of_a_file_is_stopped(ws, tmp_path):
    from pydantic import ValidationError

    from ringfence.flows.export import _File

    with (tmp_path / "f").open("wb") as file:
        out = _File(file.fileno())
        for said in ('{"data": "%%%"}', '{"data": "YQ==", "more": 1}', '"a record"'):
            with pytest.raises(ValidationError):
                out.take(said)
        out.take('{"data": "YQ=="}')
    assert (tmp_path / "f").read_bytes() == b"a"


@pytest.mark.parametrize("folder", ["deid", "zh/deid"])
def test_the_examples_of_the_page_run(cli, ws, tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / folder / "export.md").read_text(encoding="utf-8")
    calls = re.findall(r"^\$ ringfence (.*)$", re.search(r"```console\n(.*?)```", page, re.DOTALL)[1], re.MULTILINE)
    assert len(calls) == 3
    assert [cli(*call.split(), workspace=ws)[0] for call in calls] == [0, 0, 0]
    assert {path.name for path in tmp_path.glob("clinic.*")} == {"clinic.jsonl", "clinic.parquet"}
