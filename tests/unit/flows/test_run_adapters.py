"""Which runs have an adapter, and what the others are called. State alone: no workspace is needed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ringfence.core.errors import NotReleasable, UnknownRun
from ringfence.flows.runs import adapter_of
from ringfence.workspace.entries import Delete, Failed, Intent, Made, Outcome
from ringfence.workspace.state import State

RUN, DIGEST = "train-000000000000", "a" * 64
MADE = Made(
    role="adapter", digest=DIGEST, manifest="b" * 64, slot="c" * 32, kind="adapter", stage="adapter", name="clinic", label="sensitive"
)
DONE = Outcome(run=RUN, arrow="train", made=(MADE,), statement="d" * 64)


def space(tmp_path, *entries, arrow="train"):
    state = State()
    for index, entry in enumerate([Intent(run=RUN, arrow=arrow, name="clinic", settings="0" * 64), *entries]):
        state.apply(index, entry)
    return SimpleNamespace(state=state, path=tmp_path)


def test_a_finished_training_run_has_its_adapter(tmp_path):
    run, thing = adapter_of(space(tmp_path, DONE), "train-0")
    assert (run.id, thing.made.digest) == (RUN, DIGEST)


@pytest.mark.parametrize(
    ("arrow", "entries", "state"),
    [
        ("import", [DONE], "a run of import"),
        ("train", [Failed(run=RUN, arrow="train", code="RF-CORE-005", exit_code=130)], "failed"),
        ("train", [DONE, Delete(objects=(DIGEST,))], "done, and its adapter was deleted"),
        ("train", [], "cut off"),
    ],
)
def test_the_others_are_refused_with_the_reason(tmp_path, arrow, entries, state):
    with pytest.raises(NotReleasable) as caught:
        adapter_of(space(tmp_path, *entries, arrow=arrow), RUN)
    assert caught.value.facts == {"run": RUN, "state": state}


def test_an_unknown_run_is_named(tmp_path):
    with pytest.raises(UnknownRun):
        adapter_of(space(tmp_path), "deid-1")
