"""What a private run's promise rests on outside of its training: which steps came before, and what leaves with its bundle. No workspace is needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import pytest

from ringfence.core.errors import PlanImpossible
from ringfence.core.statement import Step
from ringfence.evaluate.settings import EvalFigures
from ringfence.flows.release import _evidence
from ringfence.flows.scope import refuse_prepared
from ringfence.train.settings import TrainFigures


def after(step, **settings):
    """Return a workspace in which every set was made by an import and one more step."""
    chain = [SimpleNamespace(step=one, predicate=SimpleNamespace(settings=settings, parts=())) for one in ("import", step)]
    return SimpleNamespace(chain=lambda _: chain)


@pytest.mark.parametrize("step", sorted(set(get_args(Step)) - {"import", "scan", "plant", "deid", "join"}))
def test_a_step_that_is_not_known_to_look_at_each_record_alone_is_taken_for_one_that_does_not(step):
    """A row that a person readmits from quarantine, for one, was chosen among others."""
    with pytest.raises(PlanImpossible, match=rf"chose among them \({step}\)"):
        refuse_prepared(after(step, reach="record", blind=True), None)


@pytest.mark.parametrize(("is_private", "leaves"), [(True, None), (False, b"of real rows")])
def test_figures_of_real_rows_never_leave_with_a_private_bundle(is_private, leaves):
    space = SimpleNamespace(
        state=SimpleNamespace(runs={}),
        lineage=lambda _: [],
        envelope=lambda _: b"",
        ledger=SimpleNamespace(raw=lambda _: b"", prove=lambda _: ()),
    )
    audit = SimpleNamespace(run=SimpleNamespace(outcome_index=1, statement=None), figures=b"of real rows")
    (one,) = _evidence(space, None, audit, is_private=is_private)
    assert one.figures == leaves


def test_the_signed_figures_of_a_run_are_these_and_no_others():
    """How many rows were cut or had no answer is a fact about them, too."""
    assert TrainFigures.public() == {"steps", "resumed_from", "trainable", "closing", "learning_rate", "processes", "device", "dtype"}


def test_the_signed_figures_of_an_evaluation_say_where_it_was_computed_and_nothing_of_its_rows():
    assert EvalFigures.public() == {"device", "dtype"}
