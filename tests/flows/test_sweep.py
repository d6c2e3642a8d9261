"""A sweep through the whole chain: planned as a whole, stopped and gone on with, and nothing made twice."""

from __future__ import annotations

import contextlib

import pytest

from ringfence.core.errors import BudgetExceeded, Interrupted, PolicyRefused
from ringfence.core.policy import Budget, Policy, Require, TrainRules
from ringfence.flows.budget import find, overview
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.runs import details, request_stop
from ringfence.flows.sweep import carry_out, lay_out, write_page
from ringfence.recipe.sweep import sweep
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, import_notes, notes

AUDITOR = Passphrase(b"another person's words")
PRIVACY = {"epsilon": 8, "delta": 1.0e-5, "unit": "patient_id"}


def policy(*, epsilon=16.0, **rules):
    return Policy(train=TrainRules(require=Require(), **rules), budget=Budget(epsilon=epsilon, delta=1e-5))


@pytest.mark.full
def test_a_sweep_is_planned_as_a_whole_goes_on_after_a_stop_and_is_asked_again(space, tmp_path, recipe, cli):
    import_notes(space, tmp_path, notes(24))
    import_notes(space, tmp_path, notes(40)[24:], name="heldout")
    path = recipe(privacy=PRIVACY, eval_dataset="heldout", max_steps=24, bf16=False, learning_rate=None)

    def wanted(*values):
        return sweep(path, "privacy.epsilon", [(str(value), value) for value in values])

    set_policy(space, policy(ordinary="refuse"))
    with pytest.raises(PolicyRefused, match="ordinary"):
        lay_out(space, wanted("none", 4))
    set_policy(space, policy(epsilon=5))
    size = space.ledger.size
    with pytest.raises(BudgetExceeded) as refused:
        lay_out(space, wanted(4, 3))  # each fits, both do not
    assert 5 < float(refused.value.facts["total"]) < 7
    assert space.ledger.size == size  # nothing was begun

    names, titles = [], []

    @contextlib.contextmanager
    def stopping(title):
        titles.append(title)
        yield lambda step: "none" in title and step.phase == "work" and step.done == 2 and request_stop(space, names[-1])

    with pytest.raises(Interrupted):
        carry_out(space, lay_out(space, wanted(4, "none")), bar=stopping, started=names.append)
    assert titles == ["privacy.epsilon=4 (1/2)", "privacy.epsilon=none (2/2)"]
    assert [space.refresh().runs[name].state for name in names] == ["done", "interrupted"]
    planned = lay_out(space, wanted(4, "none"))
    assert [(one.run.id, one.is_done) for one in planned.trials] == [(names[0], True), (names[1], False)]

    page = tmp_path / "frontier.html"
    swept = ("train", path, "--sweep", "privacy.epsilon=4,none")
    code, first = cli(*swept, "--html", page, workspace=space.path)
    assert (code, [one["run"] for one in first["values"]]) == (0, names)
    assert [one["steps"] for one in first["values"]] == [24, 24]
    space.refresh()
    size = space.ledger.size
    code, again = cli(*swept, workspace=space.path)
    assert (code, again["values"], again["budgets"]) == (0, first["values"], first["budgets"])
    space.refresh()
    opened = [entry["type"] for _, entry in space.ledger.entries(size)]
    assert set(opened) == {"open"}  # the sealed figures, twice; nothing was made
    spent = overview(find(space, "clinic"))
    assert (spent["spent"], spent["reserved"]) == (pytest.approx(first["budgets"][0]["with_sweep"], abs=1e-3), 0)
    private, ordinary = first["values"]
    assert set(first["not_private"]) == {"loss", "lower", "upper", "before", "rows", "units"} < private.keys()
    assert (private["epsilon"], ordinary["epsilon"], private["units"], ordinary["audit"]) == (4, None, 8, None)
    assert private["learning_rate"] == details(space, names[0])["figures"]["learning_rate"] > 0.01
    assert ordinary["learning_rate"] == 1e-3  # a default that learns, beside a private run that found its own
    assert all(one["lower"] < one["loss"] < one["upper"] and one["before"] > 0 for one in (private, ordinary))
    document = page.read_text()
    assert f"{private['loss']:.3f}" in document
    assert f"{ordinary['loss']:.3f}" in document
    assert (cli(*swept, "--html", page, workspace=space.path)[0], page.read_text()) == (2, document)


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_beside_what_each_epsilon_costs_stands_what_its_run_remembers(tmp_path, model_store, recipe):
    """Two runs on eager settings: the ordinary one learns its canaries by heart, the private one does not; the picture tells."""
    space = init(tmp_path / "ws", Passphrase(PASSPHRASE.encode()), auditor=AUDITOR)
    import_notes(space, tmp_path, notes(40))
    import_notes(space, tmp_path, notes(60)[40:], name="heldout")
    set_policy(space, policy())
    eager = {"lora_rank": 8, "max_steps": 120, "per_device_train_batch_size": 8}
    path = recipe(
        privacy=PRIVACY, audit={"secrets": 12, "in_out": 30, "exceed_cap": True}, eval_dataset="heldout", **eager, learning_rate=0.02
    )
    wanted = sweep(path, "privacy.epsilon", [("2", 2), ("none", "none")])
    private, ordinary = carry_out(space, lay_out(space, wanted), auditor=AUDITOR, bar=lambda _: contextlib.nullcontext(lambda _: None))
    assert (private.epsilon, ordinary.epsilon) == (2, None)
    assert ordinary.audit.extracted > private.audit.extracted == 0
    assert ordinary.audit.auc.value > 0.8 > private.audit.auc.value
    planned = lay_out(space, wanted)
    page = write_page(planned, carry_out(space, planned, auditor=AUDITOR, bar=None), tmp_path / "frontier.html").read_text()
    for one in (private, ordinary):
        assert f"{one.audit.auc.value:.2f}" in page
        assert f"{one.loss:.3f}" in page
    assert [run.intent.arrow for run in space.refresh().runs.values()].count("audit") == 2  # none is made twice
