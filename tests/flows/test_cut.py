"""`max_samples` and `val_size`: what is taken of sets is a set of its own, made before training, and the bundle says so."""

from __future__ import annotations

import pytest

from ringfence.core.errors import BadArgument, BadValue, CanariesOverCap
from ringfence.flows.audit import audit
from ringfence.flows.data import describe
from ringfence.flows.join import refuse_joined
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.sweep import lay_out
from ringfence.flows.train import price, train
from ringfence.recipe.read import read
from ringfence.recipe.sweep import sweep
from ringfence.release.verify import verify_bundle
from ringfence.train.settings import WHOLE
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, anything_goes, import_notes, masked, notes, rows_of, ungated
from tests.flows.test_private import PRIVACY, open_policy


def test_rows_that_are_held_out_are_evaluated_and_not_learned(space, recipe, tmp_path):
    masked(space, tmp_path)
    set_policy(space, ungated())
    whole = rows_of(space, "clinic")
    trained = train(space, read(recipe(val_size=0.2, max_samples=len(whole) - 2)))
    learned, evaluated = (rows_of(space, f"clinic@{stage}") for stage in ("joined", "held-out"))
    assert {one.id for one in (*learned, *evaluated)} == {one.id for one in whole[:-2]}
    assert len(learned) + len(evaluated) == len(whole) - 2
    assert not {one.unit for one in learned} & {one.unit for one in evaluated}
    figures = trained.figures
    assert (figures.rows, figures.eval_rows) == (len(learned), len(evaluated))
    assert figures.eval_before != figures.eval_after
    made = release(space, trained.committed.run, name="lora")
    told = verify_bundle(made.path, space.public).chain
    assert [one.step for one in told] == ["import", "scan", "deid", "join", "train", "release"]
    steps = [one["step"] for one in describe(space, "clinic@joined")["chain"]]
    assert steps == ["join", "deid", "scan", "import"]
    with pytest.raises(BadArgument, match="held-out"):
        refuse_joined(space.state.resolve("clinic@held-out"), verb="scan")


@pytest.mark.full
def test_the_same_recipe_finds_its_cut_again_and_another_seed_does_not(space, recipe, tmp_path):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    plan = read(recipe(val_size=4))
    first = train(space, plan)
    laid = lay_out(space, sweep(recipe(val_size=4), "learning_rate", [("1e-3", 1e-3), ("2e-3", 2e-3)]))
    assert [trial.run is not None for trial in laid.trials] == [True, False]
    size = len([run for run in space.state.runs.values() if run.intent.arrow == "join"])
    assert size == 1
    second = train(space, plan)
    assert second.figures.losses == first.figures.losses
    assert second.figures.eval_before == first.figures.eval_before
    train(space, read(recipe(val_size=4, seed=7)))
    assert len([run for run in space.state.runs.values() if run.intent.arrow == "join"]) == 2


@pytest.mark.full
def test_a_cut_is_priced_before_it_is_made(space, recipe, tmp_path):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    found = price(space, read(recipe(max_samples=6)))
    assert found.figures.rows == 6
    assert [run for run in space.state.runs.values() if run.intent.arrow == "join"] == []
    held_out = price(space, read(recipe(max_samples=6, val_size=0.5)))
    assert held_out.figures.rows == 4  # three patients with two rows each: one is held out, two would be more than half


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"val_size": 1.5}, "val_size"),
        ({"val_size": -1}, "val_size"),
        ({"max_samples": 0.5}, "max_samples"),
        ({"max_samples": -3}, "max_samples"),
        ({"val_size": 0.5, "eval_dataset": "clinic"}, "val_size"),
        ({"max_samples": 5, "privacy": {"epsilon": 8, "delta": 1e-5}}, "max_samples"),
        ({"val_size": 0.1, "privacy": {"epsilon": 8, "delta": 1e-5}}, "val_size"),
    ],
)
def test_what_is_no_number_of_rows_or_cannot_be_promised_is_refused(recipe, keys, named):
    with pytest.raises(BadValue, match=named):
        read(recipe(**keys))


def test_what_leaves_nothing_is_refused(space, recipe, tmp_path):
    import_notes(space, tmp_path, notes(4))
    set_policy(space, anything_goes())
    size = space.ledger.size
    for keys in ({"val_size": 1000}, {"max_samples": 1, "val_size": 0.5}):
        with pytest.raises(BadValue, match="val_size"):
            train(space, read(recipe(**keys)))
    assert space.ledger.size == size


@pytest.mark.full
@pytest.mark.parametrize("stage", ["joined", "held-out"])
def test_no_private_run_reads_what_a_recipe_took_of_a_set(space, recipe, tmp_path, stage):
    """Who is taken depends on who else is there: a promise about one of them would not be true."""
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    train(space, read(recipe(val_size=0.5)))
    size = space.ledger.size
    for scope in ("prepared", "record"):
        with pytest.raises(BadValue, match="whole sets"):
            train(space, read(recipe(dataset=f"clinic@{stage}", optim="sgd", privacy={**PRIVACY, "scope": scope})))
    for keys in ({"max_samples": 3}, {"val_size": 0.2}):
        with pytest.raises(BadValue, match="joined or cut already"):
            train(space, read(recipe(dataset=f"clinic@{stage}", **keys)))
    assert space.ledger.size == size


@pytest.mark.full
def test_a_dry_run_judges_what_is_left_of_the_sets(space, recipe, tmp_path):
    import_notes(space, tmp_path, notes(900))
    set_policy(space, anything_goes())
    canaries = {"secrets": 2, "in_out": 10}
    assert price(space, read(recipe(audit=canaries))).figures.rows
    with pytest.raises(CanariesOverCap):
        price(space, read(recipe(audit=canaries, max_samples=20)))


def test_rows_of_one_person_alone_cannot_be_held_out(space, recipe, tmp_path):
    import_notes(space, tmp_path, [{**row, "patient_id": "P0" if at < 6 else f"P{at}"} for at, row in enumerate(notes(12))])
    set_policy(space, anything_goes())
    with pytest.raises(BadValue, match="val_size"):
        train(space, read(recipe(max_samples=6, val_size=0.3)))


@pytest.mark.full
def test_seeds_draw_nothing_where_nothing_is_held_out(space, recipe, tmp_path):
    import_notes(space, tmp_path, notes(8))
    import_notes(space, tmp_path, notes(16)[8:], name="other")
    import_notes(space, tmp_path, notes(20)[16:], name="ward")
    set_policy(space, anything_goes())
    found = sweep(recipe(eval_dataset="ward"), "seed", [("1", 1), ("2", 2)])
    assert [one.recipe.cut for one in found.variants] == [WHOLE, WHOLE]
    for seed in (1, 2):
        train(space, read(recipe(dataset="clinic,other", seed=seed)))
    assert len([run for run in space.state.runs.values() if run.intent.arrow == "join"]) == 1


def test_a_sweep_compares_no_losses_of_different_rows(recipe):
    with pytest.raises(BadValue, match="hold out"):
        sweep(recipe(val_size=0.1), "seed", [("1", 1), ("2", 2)])


@pytest.mark.full
def test_canaries_are_planted_in_what_is_learned_from(space, recipe, tmp_path):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    trained = train(space, read(recipe(val_size=0.2, audit={"secrets": 8, "in_out": 40, "exceed_cap": True})))
    assert trained.figures.rows > trained.figures.eval_rows
    figures = audit(space, trained.committed.run, Passphrase(PASSPHRASE.encode())).figures
    assert (figures.secrets, figures.members + figures.others) == (8, 80)  # 40 in, 40 out
