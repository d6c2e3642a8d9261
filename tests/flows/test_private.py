"""Private runs through the whole chain: what is promised, what is granted, what the budget of a set's units has left."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import yaml

from ringfence.core.errors import BudgetExceeded, Interrupted, NotClosable, PolicyRefused, RowsMeet
from ringfence.core.policy import Budget, Policy, Require, TrainRules
from ringfence.flows.budget import accounts, find, overview, refuse_unaffordable, set_budget
from ringfence.flows.data import delete
from ringfence.flows.import_ import import_file
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.runs import close, details, request_stop
from ringfence.flows.sweep import lay_out
from ringfence.flows.train import price, resume, train
from ringfence.ingest.settings import ImportSettings
from ringfence.models.tiny import write_tiny_model
from ringfence.privacy.accountant import epsilon_spent
from ringfence.privacy.plan import DPPlan
from ringfence.recipe.read import read
from ringfence.recipe.sweep import Sweep, Variant
from ringfence.train.settings import TrainFigures
from ringfence.vault.keys import Passphrase
from ringfence.workspace.control import Control
from ringfence.workspace.fsck import fsck
from ringfence.workspace.space import Workspace
from tests.flows.conftest import PASSPHRASE, RECIPE, import_notes, masked, notes, reopen, ungated, write_rows

PRIVACY = {"epsilon": 4, "delta": 1.0e-5, "unit": "patient_id"}


def open_policy(**changes):
    """A policy that asks for no arrow between import and training."""
    return Policy(train=TrainRules(require=Require(), **changes), budget=Budget())


@pytest.fixture
def private(recipe):
    """Return a function that writes a private recipe; its arguments change the privacy block."""

    def write(*, top=None, **changes):
        return read(recipe(privacy={**PRIVACY, **changes}, optim="sgd", **(top or {})))

    return write


def test_a_mixture_of_experts_is_refused_before_data_is_opened(space, tmp_path, private, monkeypatch):
    folder = write_tiny_model(tmp_path / "routed")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_local_experts": 8}))
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "models"))
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    routed = private(top={"model_name_or_path": str(folder)})
    before = len(entries(space))
    for command in (train, price):
        with pytest.raises(RowsMeet, match="num_local_experts"):
            command(space, routed)
    both = Sweep("privacy.epsilon", (Variant("none", None, replace(routed, privacy=None)), Variant("4", 4.0, routed)))
    with pytest.raises(RowsMeet, match="num_local_experts"):
        lay_out(space, both)  # and not after the ordinary run was trained
    assert len(entries(space)) == before


def entries(space):
    return [entry for _, entry in space.ledger.entries(0)]


def test_a_private_run_is_promised_granted_released_and_said(space, tmp_path, private, monkeypatch):
    answers = []
    monkeypatch.setattr(Control, "update", lambda _, **facts: answers.append(facts))
    masked(space, tmp_path)
    set_policy(space, Policy(train=TrainRules(ordinary="refuse", max_epsilon=4), budget=Budget()))
    with pytest.raises(PolicyRefused, match="ordinary"):
        train(space, read(tmp_path / "recipe.yaml" if (tmp_path / "recipe.yaml").exists() else _ordinary(tmp_path)))
    with pytest.raises(PolicyRefused, match="max epsilon"):
        train(space, private(epsilon=4.01))
    seen = []
    trained = train(space, private(), show=lambda progress: seen.append(progress.loss))
    plan = trained.plan
    assert any(loss is not None for loss in seen)  # on the terminal of whoever holds the passphrase
    assert [one["loss"] for one in answers if "loss" in one] == [None] * len(seen)  # and told to nobody else who asks
    figures = trained.committed.statement.predicate.figures
    assert DPPlan.model_validate(figures["plan"]) == plan
    assert (plan.units, plan.sampling_rate, plan.steps, plan.unit) == (20, 4 / 20, 5, "patient_id")
    assert epsilon_spent([plan.event()], delta=1e-5) <= 4
    assert trained.figures.steps == trained.granted == figures["granted"] == plan.steps
    spent = pytest.approx(epsilon_spent([plan.event()], delta=1e-5), abs=1e-3)
    told = {"bound": "holds", "limit": {"epsilon": 16, "delta": 1e-5}, "ordinary_releases": 0, "guarded_releases": 0}
    assert figures["lifetime"] == told | {"private_runs": 1, "epsilon": spent, "delta": 1e-5}
    for sealed in ("losses", "loss_first", "loss_last", "seconds_clip", "seconds_load", "rows", "tokens", "peak_memory"):
        assert sealed not in figures
    predicate = trained.committed.statement.predicate
    assert (dict(predicate.seconds), dict(predicate.cpu_seconds)) == ({}, {})  # how long it worked depends on its rows
    shown = details(space, trained.committed.run)
    assert shown["figures"]["seconds_of_controls"]["job"] > 0
    assert {"losses", "loss_first", "eval_after", "tokens"} <= set(shown["not_private"])
    assert not {"plan", "granted", "learning_rate"} & set(shown["not_private"])
    leases = [entry for entry in entries(space) if entry["type"] == "lease"]
    assert sum(lease["steps"] for lease in leases) == plan.steps
    shown = overview(find(space, "clinic"))
    assert shown["spent"] == pytest.approx(epsilon_spent([plan.event()], delta=1e-5), abs=1e-3)
    assert shown["reserved"] == 0
    made = release(space, trained.committed.run, name="private")
    assert {verdict.rule for verdict in made.verdicts if verdict.outcome != "pass"} == set()
    card = (made.path / "README.md").read_text()
    assert plan.statement("en") in card
    assert plan.statement("zh") in card
    assert "lifetime bound on the people in the data, ε = 16 at δ = 1e-05, held" in card
    assert "5 of the plan's 5 steps were spent. 1 private run used these people's data so far" in card
    assert overview(find(space, "clinic"))["voided_by"] == []
    guarded = release(space, trained.committed.run, name="guarded", guard=True)
    assert (made.voids, guarded.voids) == (False, True)
    assert (
        "lifetime bound is void: a private run on the same people was released with a replay guard"
        in (guarded.path / "README.md").read_text()
    )
    assert overview(find(space, "clinic"))["guarded_releases"] == ["guarded"]
    assert fsck(space).broken == []


def _ordinary(folder):
    path = folder / "ordinary.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.mark.full
def test_two_runs_that_fit_singly_but_not_together(space, tmp_path, private):
    import_notes(space, tmp_path)
    set_policy(space, open_policy().model_copy(update={"budget": Budget(epsilon=5, delta=1e-5)}))
    train(space, private())
    size = space.ledger.size
    with pytest.raises(BudgetExceeded) as refused:
        train(space, private())
    assert refused.value.exit_code == 10
    space.refresh()
    assert space.ledger.size == size  # refused before the intent: no data was opened, nothing is reserved
    assert overview(find(space, "clinic"))["reserved"] == 0
    with pytest.raises(BudgetExceeded):
        price(space, private())  # the dry run says beforehand what the run would say
    found = price(space, private(epsilon=0.5))
    told = overview(found.accounts[0], more=found.plan)
    assert told["spent"] < told["with_this_run"] < 5
    train(space, private(epsilon=0.5))
    assert overview(find(space, "clinic"))["spent"] == pytest.approx(told["with_this_run"], abs=1e-3)


@pytest.mark.full
def test_an_interrupted_run_holds_its_plan_until_it_ends_or_is_given_up(space, tmp_path, private):
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    names = []

    def stop_after(count):
        return lambda progress: progress.phase == "work" and progress.done == count and request_stop(space, names[-1])

    def interrupted():
        with pytest.raises(Interrupted):
            train(space, private(top={"max_steps": 40}), show=stop_after(2), started=names.append)
        return space.refresh().runs[names[-1]]

    run = interrupted()
    assert 2 <= run.granted < 40
    plan = DPPlan.model_validate(json.loads((space.path / "runs" / run.id / "order.json").read_bytes())["order"]["plan"])
    whole = epsilon_spent([plan.event()], delta=1e-5)
    shown = overview(find(space, "clinic"))
    assert shown["spent"] + shown["reserved"] == pytest.approx(whole, abs=2e-3)
    assert 0 < shown["spent"] < whole
    done = resume(space, run)
    assert done.figures.resumed_from == run.step
    assert done.granted == 40
    assert done.figures.steps == run.step + 40 - run.granted
    assert overview(find(space, "clinic"))["reserved"] == 0

    given_up = interrupted()
    held = overview(find(space, "clinic"))
    assert held["reserved"] > 0
    set_budget(space, "clinic", epsilon=held["spent"] + held["reserved"] + 0.1)
    small = given_up.reserve.model_copy(update={"steps": 1})
    with pytest.raises(BudgetExceeded):
        refuse_unaffordable(space, given_up.reserve, name="clinic")
    refuse_unaffordable(space, given_up.reserve, name="clinic", is_held=True)
    set_budget(space, "clinic", epsilon=held["spent"] + 0.2)
    with pytest.raises(BudgetExceeded):
        resume(space, given_up)
    close(space, given_up.id)
    refuse_unaffordable(space, small, name="clinic")
    with pytest.raises(NotClosable):
        close(space, given_up.id)
    after = overview(find(space, "clinic"))
    assert after["reserved"] == 0
    assert after["spent"] > whole
    assert fsck(space).broken == []
    assert not (space.path / "runs" / given_up.id).exists()


@pytest.mark.full
def test_sets_with_common_units_share_one_account_which_outlives_them(space, tmp_path, private):
    set_policy(space, open_policy())
    rows = notes(24)
    import_notes(space, tmp_path, rows[:12])
    import_notes(space, tmp_path, rows[12:], name="others")
    assert [one.sets for one in accounts(space)] == [("clinic",), ("others",)]
    train(space, private())
    spent = overview(find(space, "clinic"))["spent"]
    assert (spent > 0, overview(find(space, "others"))["spent"]) == (True, 0)
    sealed = space.state.resolve("clinic")
    delete(space, [sealed])
    import_notes(space, tmp_path, [{**row, "prompt": "other words " + row["prompt"]} for row in rows[10:14]], name="again")
    assert [set(one.sets) for one in accounts(space)] == [{"clinic", "others", "again"}]
    assert overview(find(space, "again"))["spent"] == spent
    assert [one.group for one in accounts(reopen(space.path))] == [one.group for one in accounts(space)]


def test_the_same_rows_under_another_unit_are_the_same_people(space, tmp_path):
    path = write_rows(tmp_path / "clinic.jsonl", notes(12))
    for name, unit in (("people", "patient_id"), ("rows", None), ("cases", "prompt")):
        import_file(space, path, name=name, settings=ImportSettings(source=path.name, unit=unit))
    assert [set(one.sets) for one in accounts(space)] == [{"people", "rows", "cases"}]


@pytest.mark.full
def test_releasing_an_ordinary_run_voids_the_lifetime_bound_and_later_statements_say_so(copy, private):
    space = reopen(copy[0])
    assert overview(find(space, "clinic"))["voided_by"] == ["lora"]
    trained = train(space, private())
    told = trained.committed.statement.predicate.figures["lifetime"]
    assert (told["bound"], told["ordinary_releases"], told["private_runs"]) == ("void", 1, 1)
    made = release(space, trained.committed.run, name="private")
    assert "lifetime bound is void" in (made.path / "README.md").read_text()


@pytest.mark.full
def test_a_private_bundle_tells_what_holds_at_its_release_not_at_its_training(space, tmp_path, private, recipe):
    masked(space, tmp_path)
    set_policy(space, ungated())
    trained = train(space, private())
    assert trained.committed.statement.predicate.figures["lifetime"]["bound"] == "holds"
    assert not judge(space, trained.committed.run).voids
    ordinary = train(space, read(recipe(max_steps=1))).committed.run
    assert judge(space, ordinary).voids
    assert release(space, ordinary, name="ordinary").voids
    assert not judge(space, ordinary).voids  # nothing holds any more that could end
    made = release(space, trained.committed.run, name="private")
    assert "lifetime bound is void" in (made.path / "README.md").read_text()
    run = space.refresh().runs[made.run]
    assert space.statement(run.statement).predicate.figures["lifetime"]["bound"] == "void"


@pytest.mark.full
def test_a_killed_run_can_be_given_up_at_once(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    path = recipe(privacy=PRIVACY, max_steps=400)
    command = [sys.executable, "-m", "ringfence", "--quiet", "--passphrase-file", str(word), "-w", str(space.path), "train", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(run.granted for run in space.refresh().runs.values()):
        pass
    process.kill()
    process.wait()
    (run,) = [run for run in space.refresh().runs.values() if run.reserve]
    assert overview(find(space, "clinic"))["reserved"] > 0
    close(space, run.id)
    after = overview(find(space, "clinic"))
    assert (after["reserved"], after["spent"] > 0) == (0, True)
    assert fsck(space).broken == []
    assert fsck(space).mended == []


BAD = [
    ({"epsilon": 0}, {}, "RF-RECIPE-002", 2, "0.01 or more"),
    ({"epsilon": -1}, {}, "RF-RECIPE-002", 2, "0.01 or more"),
    ({"delta": 0}, {}, "RF-RECIPE-002", 2, "1e-08 or more"),
    ({"delta": 0.05}, {}, "RF-DP-001", 2, "policy's budget, 1e-05"),
    ({"unit": None}, {}, "RF-DP-005", 2, "write privacy.unit: patient_id"),
    ({"unit": "doctor"}, {}, "RF-DP-005", 2, "write privacy.unit: patient_id"),
    ({"sampling_rate": 1.5}, {}, "RF-RECIPE-002", 2, "1 or less"),
    ({"seed": 7}, {}, "RF-RECIPE-002", 2, "unknown"),
    ({"epsilon": True}, {}, "RF-RECIPE-002", 2, "write a number"),
    ({"sampling_rate": 1.0e-9}, {}, "RF-RECIPE-002", 2, "1e-06 or more"),
    ({"momentum": 0.5}, {}, "RF-RECIPE-002", 2, "optim: sgd"),
    ({}, {"lora_dropout": 0.1}, "RF-RECIPE-002", 2, "leave it out"),
    ({"delta": 1.1e-5}, {}, "RF-DP-001", 2, "policy's budget, 1e-05"),
    ({}, {"max_steps": 10_000_000}, "RF-DP-001", 2, "at most 1000000 steps"),
    ({}, {"max_grad_norm": 1.0}, "RF-RECIPE-002", 2, "privacy.clip_norm"),
    ({"epsilon": 100}, {}, "RF-DP-002", 10, "epsilon 16 at delta 1e-05"),
    ({"max_rows": 1}, {}, "RF-DP-001", 2, "write max_rows: 2 or more"),
    ({"clipping": "loud"}, {}, "RF-RECIPE-002", 2, "'flat'"),
    ({"accountant": "gdp"}, {}, "RF-RECIPE-002", 2, "write pld"),
    ({}, {"per_device_train_batch_size": 21}, "RF-DP-001", 2, "must be 20 at most"),
    ({"noise_multiplier": 1.0}, {}, "RF-RECIPE-002", 2, "not both"),
    ({"epsilon": None, "noise_multiplier": 0.1}, {}, "RF-RECIPE-002", 2, "0.3 or more"),
    (
        {"epsilon": None, "noise_multiplier": 0.3, "sampling_rate": 1.0},
        {"max_steps": 1_000},
        "RF-DP-001",
        2,
        "write a larger noise_multiplier",
    ),
    ({"max_batch": 1}, {}, "RF-DP-001", 2, "write max_batch 17 or more"),
]


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory, model_store):
    """A workspace with a set of patients, to be refused in."""
    folder = tmp_path_factory.mktemp("unchanged")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    import_notes(space, folder)
    set_policy(space, open_policy())
    return space


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case[0] or case[1]}")
def test_a_privacy_block_that_cannot_stand_is_refused_before_anything_starts(unchanged, recipe, cli, case):
    block, top, code, exit_code, works = case
    space, size = unchanged, unchanged.ledger.size
    path = recipe(privacy={**PRIVACY, **block}, **top)
    got, answer = cli("train", path, workspace=space.path)
    assert (got, answer["error"]["code"]) == (exit_code, code)
    assert works in answer["error"]["message"] + answer["error"]["remedy"]
    assert Workspace.open(space.path).ledger.size == size


def test_a_delta_of_one_unit_is_refused_with_one_that_protects(space, tmp_path, recipe, cli):
    import_notes(space, tmp_path)
    set_policy(space, open_policy().model_copy(update={"budget": Budget(epsilon=16, delta=0.5)}))
    set_budget(space, "clinic", epsilon=16, delta=0.01)
    size = space.ledger.size
    code, answer = cli("train", recipe(privacy={**PRIVACY, "delta": 0.05}), workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-DP-001")
    assert "Write 0.01 or less" in answer["error"]["message"]
    assert Workspace.open(space.path).ledger.size == size


@pytest.mark.full
def test_a_run_may_name_its_noise_and_promises_what_that_spends(space, tmp_path, recipe, cli):
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    path = recipe(privacy={"noise_multiplier": 2.0, "delta": 1.0e-5, "unit": "patient_id"}, max_steps=3)
    told = cli("train", path, "--dry-run", workspace=space.path)[1]["privacy"]
    code, answer = cli("train", path, workspace=space.path)
    assert (code, answer["plan"]["noise_multiplier"]) == (0, 2.0)
    assert set(answer["not_private"]) - {"seconds_of_controls"} == set(answer) - {
        "run",
        "adapter",
        "plan",
        "granted",
        "not_private",
        *TrainFigures.public(),
    }
    assert answer["plan"]["epsilon"] == told["epsilon"]
    (account,) = cli("budget", "show", "clinic", workspace=space.path)[1]["accounts"]
    assert account["spent"] == pytest.approx(answer["plan"]["epsilon"], abs=1e-4)


def test_without_a_budget_nothing_may_be_spent(space, tmp_path, recipe, cli):
    import_notes(space, tmp_path)
    set_policy(space, Policy(train=TrainRules(require=Require())))
    path = recipe(privacy=PRIVACY)
    for command in (["train", path], ["train", path, "--dry-run"], ["budget", "set", "clinic", "--epsilon", "1"]):
        code, answer = cli(*command, workspace=space.path)
        assert (code, answer["error"]["code"]) == (10, "RF-DP-003")
    assert cli("budget", "show", workspace=space.path)[1]["accounts"][0]["left"] == 0


@pytest.mark.full
def test_a_set_without_a_unit_protects_one_record(space, tmp_path, recipe, cli):
    path = tmp_path / "plain.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{i}", "completion": f"c{i % 5}"}) + "\n" for i in range(12)))
    assert cli("import", path, "--name", "clinic", workspace=space.path)[0] == 0
    set_policy(space, open_policy())
    code, answer = cli("train", recipe(privacy=PRIVACY), workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-DP-005")
    without = {key: value for key, value in PRIVACY.items() if key != "unit"}
    path = recipe(privacy=without, max_steps=2, learning_rate=None)
    told = cli("train", path, "--dry-run", workspace=space.path)[1]
    code, answer = cli("train", path, workspace=space.path)
    assert (code, answer["plan"]["unit"], answer["plan"]["units"]) == (0, None, 12)
    shown = cli("run", "show", answer["run"], workspace=space.path)[1]
    assert shown["figures"]["learning_rate"] == told["plan"]["learning_rate"] > 1e-3  # nothing in the recipe, so the run found one


@pytest.mark.full
def test_the_budget_commands(space, tmp_path, recipe, cli):
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    assert cli("budget", "set", "clinic", "--epsilon", "17", workspace=space.path)[1]["error"]["code"] == "RF-DP-004"
    assert cli("budget", "set", "clinic", "--epsilon", "3", workspace=space.path)[0] == 0
    assert cli("budget", "set", "clinic", "--epsilon", "3.5", workspace=space.path)[0] == 11
    (account,) = cli("budget", "show", "clinic", workspace=space.path)[1]["accounts"]
    assert (account["epsilon"], account["left"], account["units"]) == (3, 3, ["patient_id"])
    assert cli("train", recipe(privacy=PRIVACY), workspace=space.path)[0] == 10
    assert cli("train", recipe(privacy=PRIVACY), "--dry-run", workspace=space.path)[0] == 10
    code, plan = cli("train", recipe(privacy={**PRIVACY, "epsilon": 1}), "--dry-run", workspace=space.path)
    assert (code, plan["privacy"]["epsilon"], plan["budgets"][0]["left"]) == (0, 1, 3)
    assert (plan["learns"], plan["plan"]["learning_rate"]) == ({"optim": "adamw_torch", "momentum": 0}, 1e-3)
    assert plan["budgets"][0]["with_this_run"] == pytest.approx(1, abs=0.02)
    code, answer = cli("budget", "simulate", "--noise", "1", "--rate", "0.01", "--steps", "1000", "--delta", "1e-5")
    assert (code, answer["epsilon"]) == (0, pytest.approx(1.8282, abs=1e-3))
    for wrong in (["--noise", "nan"], ["--noise", "1", "--delta", "nan"]):
        assert cli("budget", "simulate", "--rate", "0.25", "--steps", "24", *wrong)[0] == 2
    beyond = cli("budget", "simulate", "--noise", "0.3", "--rate", "1", "--steps", "1000")[1]
    assert beyond["epsilon"] is None
    code, answer = cli("budget", "simulate", "--epsilon", "8", "--rate", "0.25", "--steps", "24", "--delta", "1e-4")
    assert answer["epsilon"] <= 8
    assert cli("budget", "simulate", "--rate", "0.25", "--steps", "24")[0] == 2


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
def test_killed_at_random_moments_a_run_never_makes_a_step_that_was_not_granted(space, tmp_path, recipe, times):
    """Executed ≤ granted = charged ≤ plan, whatever is killed when; and a resumed run ends when the plan is spent."""
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    path = recipe(privacy=PRIVACY, optim="sgd", max_steps=400, save_steps=20)
    front = [sys.executable, "-m", "ringfence", "--quiet", "--passphrase-file", str(word), "-w", str(space.path)]
    command, run = ["train", str(path)], None
    for _ in range(times):
        before, first = (run.granted, run.step) if run else (0, 0)
        process = subprocess.Popen([*front, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        watched, known = Workspace.open(space.path), run.id if run else None
        while process.poll() is None and not any(
            one.granted > (before if one.id == known else 0) for one in watched.refresh().runs.values() if one.state == "open"
        ):
            pass
        time.sleep(random.uniform(0, 0.5))
        seen = _executed(space)
        process.kill()
        process.wait()
        opened = reopen(space.path)
        assert fsck(opened).broken == []
        run = [one for one in opened.state.runs.values() if one.intent.arrow == "train"][-1]
        assert seen - first <= run.granted - before
        assert before <= run.granted <= 400
        assert run.granted == sum(entry["steps"] for entry in entries(opened) if entry["type"] == "lease" and entry["run"] == run.id)
        if run.state == "interrupted":
            command = ["run", "resume", run.id]
        else:
            command, run = ["train", str(path)], None
    if run:
        last = resume(opened, run)
        assert last.granted == 400
        assert last.figures.steps == run.step + 400 - run.granted < 400
    spent = find(opened, "clinic")
    assert sum(one.steps for one in spent.spent) == sum(run.granted for run in opened.refresh().runs.values())
    assert fsck(opened).broken == []


def _executed(space):
    """Return the updates that the running run says it has made."""
    from ringfence.flows.runs import status

    opened = Workspace.open(space.path)
    answers = [status(opened, run.id) for run in opened.state.runs.values() if run.state == "open"]
    return max((answer.get("done", 0) for answer in answers if answer), default=0)
