"""What is on record of audited runs: the rate that a run learned at, whoever chose it."""

from __future__ import annotations

from types import SimpleNamespace as Some

import pytest

from ringfence.flows.memory import audited_runs
from ringfence.privacy.plan import DPPlan
from ringfence.train.settings import TrainOrder, TrainSettings

PLAN = DPPlan(
    epsilon=8, delta=1e-5, unit="patient_id", units=40, clip_norm=1, sampling_rate=0.25, max_batch=40, steps=24, noise_multiplier=0.9
)


def space_of(order, **figures):
    """A workspace in which one run was planted for, trained and audited."""
    said = {
        "planted": Some(predicate=Some(figures={"rows": 70})),
        "trained": Some(predicate=Some(settings={"order": order.model_dump(mode="json")}, figures={"steps": 24, **figures})),
        "audited": Some(
            predicate=Some(inputs={"register": "R"}, figures={"validity": "valid", "secrets": 30, "exposure_mean": 1.5}),
        ),
    }
    runs = {
        "1": Some(intent=Some(arrow="plant"), made=[Some(digest="R")], statement="planted"),
        "2": Some(intent=Some(arrow="train"), made=[Some(digest="A")], statement="trained"),
        "3": Some(intent=Some(arrow="audit", inputs={"adapter": "A"}), made=[], statement="audited"),
    }
    return Some(state=Some(runs=runs), statement=said.__getitem__)


def test_a_run_that_found_its_rate_itself_counts_with_that_rate():
    order = TrainOrder(train=TrainSettings(optim="sgd", momentum=0.9, learning_rate=None), plan=PLAN)
    (seen,) = audited_runs(space_of(order, learning_rate=0.131), like=TrainSettings())
    assert (seen.rate, seen.rows, seen.epsilon, seen.exposure) == (0.131, 70, 8, 1.5)
    assert seen.passes == pytest.approx(6)


def test_a_run_of_before_the_rate_was_told_counts_with_that_of_its_recipe():
    order = TrainOrder(train=TrainSettings(learning_rate=3e-3))
    (seen,) = audited_runs(space_of(order), like=TrainSettings())
    assert (seen.rate, seen.epsilon) == (3e-3, None)


def test_a_run_that_compared_answers_foretells_nothing_of_others():
    order = TrainOrder(train=TrainSettings(objective="dpo.v1"))
    assert audited_runs(space_of(order), like=TrainSettings()) == []
    assert len(audited_runs(space_of(order), like=TrainSettings(objective="dpo.v1"))) == 1
