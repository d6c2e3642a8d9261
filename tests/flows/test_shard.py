"""A base shared out over the processes of a run, through the whole chain."""

from __future__ import annotations

from functools import partial

import pytest

from ringfence.core.errors import BadArgument
from ringfence.flows import train as flow
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.train import price, train
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.sandbox.devices import gpus
from tests.flows.conftest import masked, ungated


def test_one_process_is_refused_before_any_work(space, recipe, tmp_path, monkeypatch):
    plan = read(recipe())
    for count in (1, None):
        for work in (train, price):
            with pytest.raises(BadArgument, match="one process holds the whole base: write --processes 2"):
                work(space, plan.shared_by(count, shard=True))
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(flow, "gpus", partial(gpus, tmp_path))
    with pytest.raises(BadArgument, match="one process holds the whole base"):
        flow._refuse_shard_of_one(plan.shared_by(None, shard=True))
    (tmp_path / "nvidia1").touch()
    flow._refuse_shard_of_one(plan.shared_by(None, shard=True))  # one process for each GPU
    flow._refuse_shard_of_one(plan.shared_by(1))
    assert "train" not in {run.intent.arrow for run in space.state.runs.values()}


@pytest.mark.full
def test_a_shared_base_goes_through_the_whole_chain(space, tmp_path, recipe):
    """The promise and the bundle of a private run are those of any other; the evidence says how many shared it."""
    masked(space, tmp_path)
    set_policy(space, ungated())
    plan = read(recipe(privacy={"epsilon": 4, "delta": 1.0e-5, "unit": "patient_id"}, optim="sgd", max_steps=3))
    parts = plan.shared_by(2, shard=True)
    told = price(space, parts)
    assert told.plan == price(space, plan).plan  # the hint is no part of the promise
    assert told.figures.processes == 2
    done = train(space, parts)
    assert (done.figures.processes, done.figures.steps) == (2, 3)
    assert verify_bundle(release(space, done.committed.run, name="parts").path, space.public).chain
