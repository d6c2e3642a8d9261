"""What a dry run says of the privacy that a run promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ringfence.cli import sweeping, training
from ringfence.cli.commands.train import train
from ringfence.core import text
from ringfence.flows import budget
from ringfence.flows.budget import Account
from ringfence.privacy.plan import DPPlan
from ringfence.train.settings import PriceFigures, TrainFigures

PLAN = DPPlan(
    epsilon=2, delta=1e-5, unit=None, units=10_000, clip_norm=1, sampling_rate=0.01, max_batch=200, steps=1_000, noise_multiplier=1
)


def account():
    return Account(frozenset({"a"}), ("clinic",), (None,), (), (), (), (), (), None, ())


def promised(plan, *accounts):
    """What a dry run tells of a private run's promise, of the shape of its figures."""
    counts = dict.fromkeys(("peak_memory", "steps", "rows", "dropped", "tokens", "longest"), 1)
    numbers = dict.fromkeys(("seconds", "seconds_load", "seconds_per_step", "seconds_evaluation", "learning_rate"), 1.0)
    figures = PriceFigures(**counts, **numbers, device="cpu", dtype="float32")
    return training._promised(SimpleNamespace(plan=plan, accounts=accounts, figures=figures))


def test_a_dry_run_marks_what_it_tells_of_private_rows_as_the_run_itself_does():
    marked = set(promised(PLAN, account())["not_private"])
    assert {"rows", "dropped", "longest", "tokens", "seconds", "peak_memory"} <= marked
    of_run = TrainFigures.model_fields.keys() - TrainFigures.public()
    assert marked & TrainFigures.model_fields.keys() == of_run & PriceFigures.model_fields.keys()
    assert "no ε covers them" in list(training._promise(SimpleNamespace(plan=PLAN), promised(PLAN, account())))[-1]


def test_what_many_rows_of_one_person_mean_is_told_where_each_row_is_a_unit():
    found = promised(PLAN, account())
    assert [one["units"] for one in found["groups"]] == [1, 2, 4, 8, 16]
    assert [one["epsilon"] for one in found["groups"]] == pytest.approx([1.83, 3.98, 8.90, 20.9, 52.7], rel=0.005)
    lines = list(training._promise(SimpleNamespace(plan=PLAN), found))
    assert "16: 52.8" in lines[1]
    assert "ε of somebody with so many rows" in lines[1]
    text.choose("zh")
    assert "拥有若干行的人的 ε" in list(training._promise(SimpleNamespace(plan=PLAN), found))[1]


def test_where_a_column_is_the_unit_no_such_table_is_told():
    named = PLAN.model_copy(update={"unit": "patient_id"})
    found = promised(named, account())
    assert "groups" not in found
    assert len(list(training._promise(SimpleNamespace(plan=named), found))) == 3
    assert training._promised(SimpleNamespace(plan=None, accounts=())) == {}
    assert list(training._promise(SimpleNamespace(plan=None), {})) == []


def test_each_account_of_joined_sets_has_a_line_with_its_names():
    both = (account(), replace(account(), sets=("ward", "icu")))
    found = promised(PLAN.model_copy(update={"unit": "patient_id"}), *both)
    assert [one["sets"] for one in found["budgets"]] == [["clinic"], ["ward", "icu"]]
    one, other = list(training._promise(SimpleNamespace(plan=PLAN), found))[1:-1]
    assert one.endswith("(clinic)")
    assert other.endswith("(ward, icu)")


def test_beyond_a_thousand_nothing_is_computed_any_more(monkeypatch):
    asked = []

    def beyond(_, *, units, delta):
        asked.append((units, delta))
        return 900.0 if units == 1 else float("inf")

    monkeypatch.setattr(budget, "epsilon_of_group", beyond)
    assert budget.groups(PLAN) == [{"units": n, "epsilon": 900.0 if n == 1 else None} for n in (1, 2, 4, 8, 16)]
    assert asked == [(1, 1e-5), (2, 1e-5)]


def test_a_detached_run_is_shared_by_as_many_processes(tmp_path, monkeypatch):
    (tmp_path / "r.yaml").write_text("model_name_or_path: smollm2\ndataset: notes\n")
    asked = []
    monkeypatch.setattr(training, "launch", asked.append)
    monkeypatch.chdir(tmp_path)
    train(Path("r.yaml"), ["max_steps=1"], detach=True, processes=3)
    train(Path("r.yaml"), ["max_steps=1"], detach=True)
    common = ["train", str(tmp_path / "r.yaml"), "max_steps=1"]
    train(Path("r.yaml"), ["max_steps=1"], detach=True, processes=2, shard=True)
    assert asked == [[*common, "--processes", "3"], common, [*common, "--processes", "2", "--shard"]]


def test_a_shared_run_says_how_many_devices_it_had():
    assert training._devices(SimpleNamespace(device="cuda", processes=1)) == "cuda"
    assert training._devices(SimpleNamespace(device="cuda", processes=8)) == "8 × cuda"


def test_a_detached_sweep_is_shared_as_it_was_asked_for(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("model_name_or_path: smollm2\ndataset: notes\neval_dataset: heldout\n")
    common = {"html": None, "audits": False, "auditor": None}
    found = sweeping.asked(path, {}, ["learning_rate=1e-4,1e-3"], **common, processes=2, shard=True)
    assert found.arguments() == ["--sweep", "learning_rate=1e-4,1e-3", "--processes", "2", "--shard"]
    assert {(one.recipe.order.hints.processes, one.recipe.order.hints.shard) for one in found.sweep.variants} == {(2, True)}
    assert sweeping.asked(path, {}, ["learning_rate=1e-4,1e-3"], **common).arguments() == ["--sweep", "learning_rate=1e-4,1e-3"]
