"""What a sweep takes for the same run, and what all of its runs may spend together. No workspace is needed."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import pytest

from ringfence.cli.sweeping import plan_lines
from ringfence.core import text
from ringfence.core.errors import AccountFrozen, BudgetExceeded, BudgetMissing
from ringfence.core.policy import Budget
from ringfence.flows import budget
from ringfence.flows.budget import Account, overviews_with, refuse_unaffordable_together
from ringfence.flows.sweep import Planned, Trial, is_of
from ringfence.flows.train import Saved, order_for
from ringfence.privacy.accountant import epsilon_spent
from ringfence.privacy.plan import Mechanism
from ringfence.recipe.read import recipe_of
from ringfence.recipe.sweep import Sweep, Variant
from ringfence.workspace.entries import Reserve

MODEL = "a" * 64
KEYS = {
    "model_name_or_path": "tiny",
    "dataset": "clinic",
    "eval_dataset": "heldout",
    "max_steps": 5,
    "per_device_train_batch_size": 4,
    "privacy": {"epsilon": 4, "delta": 1e-5},
}
ORDINARY = {key: value for key, value in KEYS.items() if key != "privacy"}


@cache
def order(units=20):
    return order_for(recipe_of(KEYS), units=units)  # a second each: noise is sought


def saved(units=20):
    return Saved(model=MODEL, order=order(units))


def test_a_run_of_the_same_recipe_is_known_however_many_units_it_found():
    recipe = recipe_of(KEYS)
    assert is_of(recipe, saved(), model=MODEL)
    assert is_of(recipe, saved(units=33), model=MODEL)  # with canaries, whose number is drawn
    assert is_of(recipe_of(ORDINARY), Saved(model=MODEL, order=recipe_of(ORDINARY).order), model=MODEL)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_steps": 6},
        {"seed": 1},
        {"bf16": False},
        {"optim": "adamw_torch"},
        {"privacy": {"epsilon": 4.5, "delta": 1e-5}},
        {"privacy": {"epsilon": 4, "delta": 1e-6}},
        {"privacy": {"epsilon": 4, "delta": 1e-5, "unit": "patient_id"}},
        {"privacy": {"epsilon": 4, "delta": 1e-5, "clip_norm": 0.5}},
        {"privacy": {"epsilon": 4, "delta": 1e-5, "sampling_rate": 0.3}},
        {"release": {"membership": {"max_auc": 0.6}}},
    ],
    ids=str,
)
def test_another_recipe_is_another_run(changes):
    assert not is_of(recipe_of({**KEYS, **changes}), saved(), model=MODEL)


def test_another_model_or_no_promise_is_another_run():
    assert not is_of(recipe_of(KEYS), saved(), model="b" * 64)
    assert not is_of(recipe_of(KEYS), Saved(model=MODEL, order=recipe_of(KEYS).order), model=MODEL)
    assert not is_of(recipe_of(ORDINARY), saved(), model=MODEL)


# ── the budget of all runs together ───────────────────────────────────────────────────────────────────────────────────


def reserve(account="acc1", steps=100):
    return Reserve(account=account.ljust(64, "0"), noise_multiplier=1.0, sampling_rate=0.05, steps=steps)


def joined(first, *others):
    return reserve(first).model_copy(update={"also": tuple(reserve(one).account for one in others)})


def spent(*reserves):
    return epsilon_spent([Mechanism(**one.model_dump(exclude={"account", "also"})) for one in reserves], delta=1e-5)


@pytest.fixture
def space(monkeypatch):
    """A space whose accounts have the given limit and hold the given reserves; joined accounts begin alike."""

    def make(*limits, held=(), frozen=None):
        def account_at(_, account):
            mechanisms = tuple(Mechanism(**one.model_dump(exclude={"account", "also"})) for one in held if account in one.accounts)
            return Account(
                group=frozenset({account}),
                sets=(account.rstrip("0"),),
                units=(None,),
                limits=tuple(Budget(epsilon=one) for one in limits),
                spenders=(),
                spent=(),
                held=mechanisms,
                voided_by=(),
                frozen=None,
                unfinished=(),
            )

        def refuse_frozen(account, *, name):
            if account == frozen:
                raise AccountFrozen(set=name, since="2026-01-01")

        monkeypatch.setattr(budget, "account_at", account_at)

        def roots(accounts):
            return tuple(dict.fromkeys(account[:4].ljust(64, "0") for account in accounts))

        accounts = SimpleNamespace(roots=roots, refuse_frozen=refuse_frozen)
        return SimpleNamespace(state=SimpleNamespace(accounts=accounts))

    return make


def test_runs_that_fit_singly_and_not_together_are_refused_with_their_total(space):
    one, two = spent(reserve()), spent(reserve(), reserve())
    there = space((one + two) / 2)
    refuse_unaffordable_together(there, [reserve()], [], name="clinic")
    with pytest.raises(BudgetExceeded) as refused:
        refuse_unaffordable_together(there, [reserve(), reserve()], [], name="clinic")
    assert refused.value.exit_code == 10
    assert (refused.value.facts["total"], refused.value.facts["runs"]) == (f"{two:.3f}", "these 2 runs")
    refuse_unaffordable_together(there, [reserve("acc1"), reserve("acc2")], [], name="clinic")  # other people
    with pytest.raises(BudgetExceeded):
        refuse_unaffordable_together(there, [reserve("acc1a"), reserve("acc1b")], [], name="clinic")  # the same people
    refuse_unaffordable_together(space(two + 1e-6), [reserve(), reserve()], [], name="clinic")


def test_runs_on_joined_sets_are_charged_to_each_account_once(space):
    one, two = spent(reserve()), spent(reserve(), reserve())
    both, again = joined("acc1", "acc2"), joined("acc1a", "acc1b")
    refuse_unaffordable_together(space(one + 1e-6), [both], [], name="clinic")
    refuse_unaffordable_together(space(one + 1e-6), [again], [], name="clinic")  # the people of both sets share an account
    for alone in ("acc1", "acc2"):
        with pytest.raises(BudgetExceeded) as refused:
            refuse_unaffordable_together(space((one + two) / 2), [both, reserve(alone)], [], name="clinic")
        assert refused.value.facts["set"] == alone
    with pytest.raises(BudgetExceeded):
        refuse_unaffordable_together(space((one + two) / 2, held=[both]), [reserve("acc2")], [], name="clinic")
    with pytest.raises(BudgetExceeded):
        refuse_unaffordable_together(space(one / 2, held=[both]), [], [both], name="clinic")
    with pytest.raises(AccountFrozen):
        refuse_unaffordable_together(space(16.0, frozen=reserve("acc2").account), [both], [], name="clinic")
    rows = list(overviews_with(space(16.0), [both, reserve("acc2")], accounts=[*both.accounts, *again.accounts]))
    assert [row["with_sweep"] for row in rows] == [pytest.approx(one, abs=1e-4), pytest.approx(two, abs=1e-4)]


def test_a_sweep_on_a_frozen_account_is_refused_as_a_whole(space):
    frozen = reserve("acc2").account
    refuse_unaffordable_together(space(16.0, frozen=frozen), [reserve("acc1")], [], name="clinic")
    for new, held in (([reserve("acc1"), reserve("acc2")], []), ([reserve("acc1")], [reserve("acc2")])):
        with pytest.raises(AccountFrozen):
            refuse_unaffordable_together(space(16.0, frozen=frozen), new, held, name="clinic")


def test_a_run_that_goes_on_is_held_already_and_still_has_to_fit(space):
    one, two = spent(reserve()), spent(reserve(), reserve())
    refuse_unaffordable_together(space(one + 1e-6, held=[reserve()]), [], [reserve()], name="clinic")
    with pytest.raises(BudgetExceeded):
        refuse_unaffordable_together(space((one + two) / 2, held=[reserve()]), [reserve()], [reserve()], name="clinic")
    with pytest.raises(BudgetExceeded):
        refuse_unaffordable_together(space(one / 2, held=[reserve()]), [], [reserve()], name="clinic")  # the budget was lowered since
    with pytest.raises(BudgetMissing):
        refuse_unaffordable_together(space(), [reserve()], [], name="clinic")


def test_each_account_is_told_once_with_what_the_sweep_adds(space):
    held = [reserve(steps=50)]
    rows = list(
        overviews_with(
            space(16.0, held=held), [reserve(), reserve("acc2")], accounts=[reserve(name).account for name in ("acc1", "acc1a", "acc2")]
        )
    )
    assert [row["with_sweep"] for row in rows] == [
        pytest.approx(spent(*held, reserve()), abs=1e-4),
        pytest.approx(spent(reserve()), abs=1e-4),
    ]


# ── what is printed before anything starts ────────────────────────────────────────────────────────────────────────────


def test_the_plan_says_what_becomes_of_each_value_and_that_searching_is_charged():
    recipe = recipe_of(KEYS)
    done, on = (SimpleNamespace(id=f"train-{state}", state=state) for state in ("done", "interrupted"))
    trials = (
        Trial(Variant("4", 4.0, recipe), order().plan, reserve(), None),
        Trial(Variant("8", 8.0, recipe), order().plan, reserve(), on),
        Trial(Variant("none", None, recipe), None, None, done),
    )
    row = {"spent": 1.0, "reserved": 2.0, "with_sweep": None, "epsilon": 16.0}
    planned = Planned(Sweep("privacy.epsilon", tuple(one.variant for one in trials)), trials, (row,))
    lines = list(plan_lines(planned))
    assert lines == [
        "Sweep   privacy.epsilon on clinic: 3 runs, 1 to make, 1 to go on with, 1 finished",
        "  4     ε 4, δ 1e-05",
        "  8     ε 4, δ 1e-05: goes on, train-interrupted",
        "  none  an ordinary run: finished, train-done",
        "  budget  ε 1.000 spent and 2.000 reserved, over 1000 with the whole sweep, of 16",
        "          every private run of a sweep is charged, whichever is kept",
        "          releasing the ordinary run would void the lifetime bound of the private runs on the same people",
    ]
    cost = SimpleNamespace(figures=SimpleNamespace(steps=5, learning_rate=0.0841, seconds=61, peak_memory=3 << 29))
    priced = list(plan_lines(planned, [cost, None, None]))
    assert priced[1:5] == [
        "  4     ε 4, δ 1e-05; 5 steps, learning rate 0.0841, 0:01:01, 1.5 GiB",
        *lines[2:4],
        "  time    about 0:01:01 together",
    ]
    without = Planned(planned.sweep, trials[:2], planned.budgets)
    assert not any("void" in line for line in plan_lines(without))
    text.choose("zh")
    told = list(plan_lines(planned))
    assert len(told) == len(lines)
    assert all(any("\u3400" < letter < "\u9fff" for letter in line) for line in told[2:])
