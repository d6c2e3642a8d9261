"""Whose privacy an account is kept in: a promise per record is no promise per person, and a limit that bounds nobody is none."""

from __future__ import annotations

import secrets

import pytest

from ringfence.cli.main import run
from ringfence.core.errors import PlanImpossible, UnitMismatch
from ringfence.core.policy import Budget, Policy, Require, TrainRules
from ringfence.flows import import_ as importing
from ringfence.flows.budget import find, lifetime, overview, set_budget, write_page
from ringfence.flows.import_ import _account as account_of
from ringfence.flows.import_ import import_file
from ringfence.flows.policy import set_policy
from ringfence.flows.train import ask
from ringfence.ingest.settings import ImportSettings
from ringfence.recipe.read import read
from ringfence.workspace.entries import Intent, Leased
from tests.flows.conftest import notes, write_rows

PRIVACY = {"epsilon": 4, "delta": 1.0e-5}


@pytest.fixture
def bring(space, tmp_path):
    """Return a function that imports the same twelve rows, of six people, under a name and a unit."""
    set_policy(space, Policy(train=TrainRules(require=Require()), budget=Budget()))
    path = write_rows(tmp_path / "clinic.jsonl", notes(12))
    return lambda name, unit: import_file(space, path, name=name, settings=ImportSettings(source=path.name, unit=unit))


def spend(space, asked):
    """Put a private run on record that was granted all its steps and ended: what the ledger says is all that an account knows of it."""
    name = f"train-{secrets.token_hex(6)}"
    read_set = asked.sources["set"][0].made.digest
    with space.locked():
        space.record(Intent(run=name, arrow="train", name="clinic", inputs={"set": read_set}, settings="0" * 64, reserve=asked.reserve))
        space.record(Leased(run=name, steps=asked.reserve.steps))
    return name


def asked(space, recipe, name, unit, **changes):
    privacy = {**PRIVACY, **({} if unit is None else {"unit": unit}), **changes}
    return ask(space, read(recipe(dataset=name, privacy=privacy, optim="sgd", max_steps=3)))


def test_a_promise_per_record_is_refused_where_the_rows_are_counted_by_people(space, bring, recipe):
    bring("rows", None)
    assert asked(space, recipe, "rows", None).order.plan.units == 12
    bring("people", "patient_id")
    assert asked(space, recipe, "people", "patient_id").order.plan.units == 6  # nobody has spent per record yet
    with pytest.raises(UnitMismatch, match=r"people was imported with the unit patient_id") as refused:
        asked(space, recipe, "rows", None)
    assert "train on that set with privacy.unit: patient_id" in str(refused.value)
    bring("cases", "prompt")  # which of two columns counts the larger units, nobody knows
    for name, unit in (("people", "patient_id"), ("cases", "prompt")):
        with pytest.raises(UnitMismatch):
            asked(space, recipe, name, unit)


def months(folder, value):
    """Return a file of other notes on the same six people, each called by `value` of a whole number."""
    rows = [{**row, "patient_id": value(number % 6 + 11)} for number, row in enumerate(notes(12))]
    for row in rows:
        row["prompt"] = f"{type(row['patient_id']).__name__}: {row['prompt']}"
    return write_rows(folder / f"{value.__name__}.jsonl", rows)


def brought(space, path):
    import_file(space, path, name=path.stem, settings=ImportSettings(source=path.name, unit="patient_id"))
    return space.state.accounts.of_set[space.state.resolve(path.stem).origin]


def test_people_who_are_whole_numbers_in_one_file_and_floats_in_another_have_one_account(space, tmp_path):
    january, february = (brought(space, months(tmp_path, value)) for value in (int, float))
    assert space.state.accounts.root(january) == space.state.accounts.root(february)


def test_an_account_of_an_earlier_version_that_spelt_floats_otherwise_is_joined_by_its_spelling(space, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:  # what such an account holds
        patch.setattr(importing, "_account", lambda index: account_of(index) | {"units": bytes(index.former_units), "contents": b""})
        old = brought(space, months(tmp_path, float))
    january = brought(space, months(tmp_path, int))
    assert space.state.accounts.root(january) != space.state.accounts.root(old)  # it brings no float
    again = brought(space, months(tmp_path, float).rename(tmp_path / "again.jsonl"))
    assert len({space.state.accounts.root(one) for one in (old, january, again)}) == 1


def test_what_was_spent_per_record_leaves_unknown_what_a_person_lost(space, bring, recipe, tmp_path):
    bring("rows", None)
    spender = spend(space, asked(space, recipe, "rows", None))
    account = find(space, "rows")
    assert (overview(account)["bound"], overview(account)["finer_runs"]) == ("holds", [])
    bring("people", "patient_id")
    account = find(space, "people")
    assert (overview(account)["bound"], overview(account)["finer_runs"]) == ("unknown", [spender])
    assert lifetime(space, *account.group)["bound"] == "unknown"
    with pytest.raises(UnitMismatch) as refused:
        asked(space, recipe, "people", "patient_id")
    assert spender in str(refused.value)
    assert "It is not known what one person lost" in write_page(space, "people", tmp_path / "page.html").read_text("utf-8")


def test_what_was_spent_per_patient_leaves_unknown_what_a_doctor_lost(space, bring, recipe):
    bring("people", "patient_id")
    bring("rows", None)
    spender = spend(space, asked(space, recipe, "people", "patient_id"))
    assert (overview(find(space, "people"))["bound"], find(space, "people").finer) == (
        "holds",
        (),
    )  # a row loses no more than its patient does
    bring("cases", "prompt")
    for name in ("people", "rows", "cases"):
        assert (overview(find(space, name))["bound"], find(space, name).finer) == ("unknown", (spender,))


def test_more_than_the_limit_is_not_called_a_bound_that_holds(space, bring, recipe):
    bring("people", "patient_id")
    spend(space, asked(space, recipe, "people", "patient_id"))
    account = find(space, "people")
    assert lifetime(space, *account.group)["bound"] == "holds"
    set_budget(space, "people", epsilon=1.0)
    assert lifetime(space, *account.group)["bound"] == overview(find(space, "people"))["bound"] == "exceeded"


def test_a_budget_whose_delta_gives_one_person_away_is_none(space, bring, recipe):
    bring("people", "patient_id")
    set_policy(space, Policy(train=TrainRules(require=Require()), budget=Budget(delta=0.2)))
    with pytest.raises(PlanImpossible, match="bounds nobody") as refused:
        asked(space, recipe, "people", "patient_id")
    command = str(refused.value).partition("ringfence budget set people ")[2].splitlines()[0]
    set_budget(space, "people", epsilon=16, delta=float(command.split("--delta ")[1].split()[0].rstrip(";.")))
    assert asked(space, recipe, "people", "patient_id").order.plan.units == 6


def test_the_command_says_whose_budget_an_import_shares(space, bring, cli, tmp_path, capsys):
    bring("people", "patient_id")
    path = tmp_path / "clinic.jsonl"
    code, found = cli("import", path, "--name", "rows", workspace=space.path)
    assert (code, found["shares_budget_with"]) == (0, ["people"])
    command = ["--passphrase-file", str(tmp_path / "passphrase"), "-w", str(space.path), "import", str(path), "--name", "again"]
    assert run(command) == 0
    told = capsys.readouterr().out
    assert "people (patient_id), rows (record), too: they share one privacy budget" in told
    assert "a private run on again will be refused: its people or rows are in people, too" in told


def test_a_scan_that_compares_no_rows(space, bring, cli):
    bring("people", "patient_id")
    assert cli("scan", "people", "--reach", "record", workspace=space.path)[0] == 0
    cleared = space.refresh().resolve("people@cleared")
    assert space.statement(cleared.statement).predicate.parts == ("unicode.v1",)
    assert cli("scan", "people", "--keep", "--reach", "record", workspace=space.path)[0] == 2
