"""The account of a set, on runs that are only on record: what is frozen stays frozen, what is spent is told."""

from __future__ import annotations

import contextlib
import io
import secrets
import sys

import pytest

from ringfence.cli.main import run as main
from ringfence.cli.words import lifetime_told
from ringfence.core.digest import settings_digest, sha256
from ringfence.core.errors import AccountFrozen, BudgetExceeded
from ringfence.core.policy import Budget, Policy, Require, TrainRules
from ringfence.core.statement import PAYLOAD_TYPE, Predicate, Statement, Subject
from ringfence.flows import release as releasing
from ringfence.flows import train as training
from ringfence.flows.budget import find, freeze, history, lifetime, overview, refuse_unaffordable, set_budget, write_page
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.runs import close
from ringfence.flows.train import price, resume, train
from ringfence.ledger.dsse import sign
from ringfence.privacy.accountant import epsilon_spent
from ringfence.privacy.plan import Mechanism
from ringfence.recipe.read import read
from ringfence.workspace.entries import Failed, Intent, Interrupted, Leased, Made, Outcome, Released, Reserve, now
from tests.flows.conftest import import_notes, notes, reopen

POLICY = Policy(train=TrainRules(require=Require()), budget=Budget(epsilon=16, delta=1e-5))


@pytest.fixture
def clinic(space, tmp_path):
    """Return a workspace with a set of 20 units and a budget."""
    import_notes(space, tmp_path)
    set_policy(space, POLICY)
    return space


def reserve_of(space, *, steps=10, noise=2.0, name="clinic"):
    account = space.state.accounts.of_set[space.state.resolve(name).origin]
    return Reserve(account=account, noise_multiplier=noise, sampling_rate=0.25, steps=steps)


def ran(space, *, granted, end=None, time="2026-03-01T10:00:00Z", **more):
    """Put a private run on record that was granted so many steps, in leases of at most 4, and return its id. end: "failed", "interrupted"; None: it is open."""
    run, reserve = f"train-{secrets.token_hex(6)}", reserve_of(space, **more)
    entries = [Intent(run=run, arrow="train", name="clinic", settings="0" * 64, reserve=reserve, time=time)]
    entries += [Leased(run=run, steps=min(4, granted - at), time=time) for at in range(0, granted, 4)]
    if end == "failed":
        entries.append(Failed(run=run, arrow="train", code="RF-TRAIN-006", exit_code=1))
    elif end == "interrupted":
        entries.append(Interrupted(run=run, code="RF-CORE-005"))
    with space.locked():
        for entry in entries:
            space.record(entry)
    return run


def test_a_refusal_tells_an_epsilon_that_is_beyond_every_use(clinic):
    with pytest.raises(BudgetExceeded, match="over 1000"):
        refuse_unaffordable(clinic, reserve_of(clinic, steps=100_000, noise=0.3), name="clinic")


# ── no run is free ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failed_and_an_abandoned_run_cost_what_they_were_granted(clinic):
    """What statements tell from then on counts both, with every granted step; a run that was granted nothing cost nothing."""
    account = reserve_of(clinic).account
    nothing = lifetime(clinic, account)
    assert nothing == {
        "bound": "holds",
        "limit": {"epsilon": 16, "delta": 1e-5},
        "ordinary_releases": 0,
        "guarded_releases": 0,
        "private_runs": 0,
        "epsilon": 0.0,
        "delta": 1e-5,
    }
    ran(clinic, granted=0, end="failed")
    assert lifetime(clinic, account) == nothing
    ran(clinic, granted=7, end="failed")
    close(clinic, ran(clinic, granted=3, noise=1.5, end="interrupted"))
    told = lifetime(clinic, account)
    spent = [Mechanism(noise_multiplier=noise, sampling_rate=0.25, steps=steps) for noise, steps in ((2.0, 7), (1.5, 3))]
    assert told == nothing | {"private_runs": 2, "epsilon": pytest.approx(epsilon_spent(spent, delta=1e-5), abs=1e-3)}
    ran(clinic, granted=1)  # of ten that it holds as long as it may go on
    together = [*spent, spent[0].model_copy(update={"steps": 10})]
    assert lifetime(clinic, account) == told | {
        "private_runs": 3,
        "epsilon": pytest.approx(epsilon_spent(together, delta=1e-5), abs=1e-3),
    }


def test_what_is_told_is_told_at_the_delta_of_the_tightest_limit(clinic):
    ran(clinic, granted=5, end="failed")
    account = reserve_of(clinic).account
    before = lifetime(clinic, account)
    set_budget(clinic, "clinic", epsilon=8, delta=1e-7)
    after = lifetime(clinic, account)
    assert (before["delta"], after["delta"]) == (1e-5, 1e-7)
    assert after["epsilon"] > before["epsilon"]
    assert (before["limit"], after["limit"]) == ({"epsilon": 16, "delta": 1e-5}, {"epsilon": 8, "delta": 1e-7})


def test_without_a_budget_in_force_no_bound_is_said_to_hold(clinic, tmp_path, cli):
    ran(clinic, granted=5, end="failed")
    set_policy(clinic, POLICY.model_copy(update={"budget": None}))
    told = lifetime(clinic, reserve_of(clinic).account)
    assert (told["bound"], told["limit"], told["private_runs"]) == ("none", None, 1)
    (account,) = cli("budget", "show", workspace=clinic.path)[1]["accounts"]
    assert (account["bound"], account["epsilon"]) == ("none", None)
    assert "none: no budget is in force" in write_page(clinic, "clinic", tmp_path / "account.html").read_text("utf-8")


def test_a_private_release_whose_guard_tells_members_from_others_ends_every_bound(clinic, tmp_path):
    """The statement of the release says of its answers that they pass a guard; the run's own promise covers the weights alone."""
    for name, guard in (("plain", False), ("guarded", True)):
        run = ran(clinic, granted=4)
        kinds = {"kind": "adapter", "stage": "adapter", "name": "clinic", "label": "sensitive", "slot": "0" * 32, "manifest": "0" * 64}
        made = Made(role="adapter", digest=secrets.token_hex(32), origin=clinic.state.resolve("clinic").origin, **kinds)
        settings = releasing.ReleaseSettings(name=name, guard=guard)
        gone = f"release-{secrets.token_hex(6)}"
        facts = {
            "settings": settings.model_dump(mode="json"),
            "settings_digest": settings_digest(settings),
            "started": now(),
            "ended": now(),
        }
        statement = Statement(
            step="release",
            subjects=(Subject(name="adapter", sha256=made.digest),),
            predicate=Predicate(run=gone, tenant=clinic.settings.tenant, **facts),
        )
        envelope = sign(statement.payload(), PAYLOAD_TYPE, clinic.keys.evidence_key())
        (clinic.path / "evidence" / f"{sha256(envelope)}.json").write_bytes(envelope)
        with clinic.locked():
            clinic.record(Outcome(run=run, arrow="train", made=(made,), statement="0" * 64))
            clinic.record(Intent(run=gone, arrow="release", name=name, inputs={"adapter": made.digest}, settings="0" * 64))
            clinic.record(Released(run=gone, adapter=made.digest, name=name, manifest="0" * 64, statement=sha256(envelope)))
        told = lifetime(clinic, reserve_of(clinic).account)
        assert (told["bound"], told["ordinary_releases"], told["guarded_releases"]) == ("void" if guard else "holds", 0, int(guard))
        thing = clinic.state.things[made.digest]
        assert [releasing._voids(clinic, thing, guard=asked) for asked in (False, True)] == [
            False,
            not guard,
        ]  # nothing holds any more that could end
    row = overview(find(clinic, "clinic"))
    assert (row["voided_by"], row["guarded_releases"], lifetime_told(row)) == (["guarded"], ["guarded"], "void: guarded (replay guard)")
    page = write_page(clinic, "clinic", tmp_path / "account.html").read_text("utf-8")
    assert "private run released with a replay guard as guarded" in page
    freeze(clinic, "clinic")
    releasing._refuse_frozen(clinic, thing)
    with pytest.raises(AccountFrozen):
        releasing._refuse_frozen(clinic, thing, guard=True)


@pytest.mark.parametrize(
    "choice",
    [{"load_best_model_at_end": True}, *(pytest.param(one, marks=pytest.mark.full) for one in ({"early_stopping_steps": 1}, None))],
)
def test_people_whose_rows_choose_the_weights_of_an_ordinary_run_are_told_of_in_its_release(space, tmp_path, recipe, choice):
    import_notes(space, tmp_path, label="internal")
    import_notes(space, tmp_path, notes(140)[100:], name="ward")
    set_policy(
        space, POLICY.model_copy(update={"budget": None})
    )  # or the bound of "clinic" would end, too, that no private run has promised
    ran(space, granted=1, name="ward", end="failed")
    path = recipe(eval_dataset="ward", eval_strategy="steps", eval_steps=1, max_steps=2, **(choice or {}))
    trained = train(space, read(path)).committed
    assert trained.things["adapter"].made.label == ("sensitive" if choice else "internal")
    assert judge(space, trained.run).voids is bool(choice)
    assert release(space, trained.run, name="out").voids is bool(choice)
    assert [find(space, name).voided_by for name in ("clinic", "ward")] == [("out",), ("out",) if choice else ()]
    freeze(space, "ward")
    with pytest.raises(AccountFrozen, match="ward") if choice else contextlib.nullcontext():
        judge(space, trained.run)


# ── history ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_history_has_every_run_with_what_all_until_then_spent(clinic):
    failed = ran(clinic, granted=7, end="failed", time="2026-03-01T10:00:00Z")
    ran(clinic, granted=0, end="failed")
    abandoned = ran(clinic, granted=3, noise=1.5, end="interrupted", time="2026-03-02T10:00:00Z")
    cut_off = ran(clinic, granted=1, time="2026-03-03T10:00:00Z")
    close(clinic, abandoned)
    account = find(clinic, "clinic")
    rows = history(clinic, account, delta=1e-5)
    assert [(one.run, one.started, one.state, one.granted, one.planned, one.noise, one.rate) for one in rows] == [
        (failed, "2026-03-01T10:00:00Z", "failed", 7, 10, 2.0, 0.25),
        (abandoned, "2026-03-02T10:00:00Z", "failed", 3, 10, 1.5, 0.25),
        (cut_off, "2026-03-03T10:00:00Z", "cut off", 1, 10, 2.0, 0.25),
    ]
    for count, one in enumerate(rows, 1):
        assert one.epsilon == pytest.approx(epsilon_spent(account.spent[:count], delta=1e-5), abs=2e-3)
    assert rows[-1].epsilon == pytest.approx(overview(account)["spent"], abs=2e-3)


def test_the_command_shows_the_history_of_one_set_and_writes_its_page(clinic, cli, tmp_path, capsys):
    run = ran(clinic, granted=7, end="failed")
    code, shown = cli("budget", "show", "clinic", workspace=clinic.path)
    assert (code, [one["run"] for one in shown["history"]]) == (0, [run])
    assert shown["history"][0]["epsilon"] == shown["accounts"][0]["spent"]
    assert "history" not in cli("budget", "show", workspace=clinic.path)[1]
    assert main(["-w", str(clinic.path), "budget", "show", "clinic"]) == 0
    assert "7 / 10" in capsys.readouterr().out
    path = tmp_path / "account.html"
    assert cli("budget", "show", "clinic", "--html", path, workspace=clinic.path) == (0, {"html": str(path)})
    assert run in path.read_text()
    assert cli("budget", "show", "clinic", "--html", path, workspace=clinic.path)[1]["error"]["code"] == "RF-WORKSPACE-002"
    assert cli("budget", "show", "--html", tmp_path / "all.html", workspace=clinic.path)[1]["error"]["code"] == "RF-CORE-004"


@pytest.mark.full
def test_the_page_tells_of_the_freeze_and_of_ordinary_releases(copy, tmp_path):
    space = reopen(copy[0])
    since = freeze(space, "clinic").frozen
    document = write_page(space, "clinic", tmp_path / "account.html").read_text()
    assert f"nothing more is spent from here on</td><td>{since}" in document
    assert f"ordinary run released as lora</td><td>{space.state.releases['lora'][1].time}" in document
    assert "No bound holds any more" in document


# ── frozen ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frozen_account_admits_no_private_run_and_frees_what_was_held(clinic, recipe, monkeypatch):
    ran(clinic, granted=10, end="failed")
    unfinished = ran(clinic, granted=4, end="interrupted")
    all_granted = ran(clinic, granted=10, end="interrupted")  # it holds nothing, and may not resume all the same
    before = overview(find(clinic, "clinic"))
    assert (before["frozen"], before["reserved"] > 0, before["left"] > 0) == (None, True, True)
    refuse_unaffordable(clinic, reserve_of(clinic), name="clinic")
    frozen = freeze(clinic, "clinic")
    assert set(frozen.unfinished) == {unfinished, all_granted}
    after = overview(frozen)
    assert after["frozen"] == frozen.frozen is not None
    assert (after["spent"], after["reserved"], after["left"]) == (before["spent"], 0, 0)
    for is_held in (False, True):
        with pytest.raises(AccountFrozen):
            refuse_unaffordable(clinic, reserve_of(clinic), name="clinic", is_held=is_held)
    plan = read(recipe(privacy={"epsilon": 4, "delta": 1.0e-5, "unit": "patient_id"}))
    size = clinic.ledger.size
    monkeypatch.setattr(training, "read_index", pytest.fail)
    for verb in (price, train):
        with pytest.raises(AccountFrozen, match="clinic"):
            verb(clinic, plan)
    assert clinic.refresh() is clinic.state
    assert clinic.ledger.size == size  # refused before the intent, and before anything of the set was opened
    assert freeze(clinic, "clinic").frozen == frozen.frozen
    assert clinic.ledger.size == size  # once is for good
    close(clinic, unfinished)
    assert find(reopen(clinic.path), "clinic").frozen == frozen.frozen


def test_the_same_people_imported_again_are_frozen_and_others_are_not(clinic, tmp_path):
    freeze(clinic, "clinic")
    import_notes(clinic, tmp_path, [{**row, "prompt": "other words " + row["prompt"]} for row in notes()[-3:]], name="again")
    import_notes(clinic, tmp_path, notes(60)[50:], name="others")
    with pytest.raises(AccountFrozen, match="again"):
        refuse_unaffordable(clinic, reserve_of(clinic, name="again"), name="again")
    refuse_unaffordable(clinic, reserve_of(clinic, name="others"), name="others")
    assert overview(find(clinic, "others"))["frozen"] is None


def test_no_ordinary_run_on_frozen_people_is_released_and_the_refusal_is_on_record(copy):
    space = reopen(copy[0])
    assert judge(space, copy[1]).voids is False
    freeze(space, "clinic")
    with pytest.raises(AccountFrozen):
        judge(space, copy[1])
    with pytest.raises(AccountFrozen):
        release(space, copy[1], name="second")
    assert not (space.path / "releases" / "second").exists()
    assert [run.code for run in space.state.runs.values() if run.intent.arrow == "release"][-1] == "RF-DP-009"


def test_an_ordinary_run_ends_the_bound_that_a_policy_has_in_force_before_any_private_run(clinic):
    kinds = {"kind": "adapter", "stage": "adapter", "name": "clinic", "label": "internal", "origin": clinic.state.resolve("clinic").origin}
    made = Made(role="adapter", digest="a" * 64, manifest="0" * 64, slot="0" * 32, **kinds)
    ordinary = {"run": "train-0123456789ab", "arrow": "train"}
    with clinic.locked():
        clinic.record(Intent(name="clinic", inputs={"set": clinic.state.resolve("clinic").made.digest}, settings="0" * 64, **ordinary))
        clinic.record(Outcome(made=(made,), statement="0" * 64, **ordinary))
    thing = clinic.state.things["a" * 64]
    assert releasing._voids(clinic, thing)
    set_policy(clinic, POLICY.model_copy(update={"budget": None}))
    assert not releasing._voids(clinic, thing)  # neither a limit nor a private run: nobody was promised anything


def test_what_a_private_run_had_made_before_may_still_be_released(clinic):
    run, origin = ran(clinic, granted=10), clinic.state.resolve("clinic").origin
    kinds = {"kind": "adapter", "stage": "adapter", "name": "clinic", "label": "sensitive"}
    made = Made(role="adapter", digest="a" * 64, manifest="0" * 64, slot="0" * 32, origin=origin, **kinds)
    with clinic.locked():
        clinic.record(Outcome(run=run, arrow="train", made=(made,), statement="0" * 64))
    freeze(clinic, "clinic")
    releasing._refuse_frozen(clinic, clinic.state.things["a" * 64])


def test_a_freeze_while_a_bundle_is_written_stops_it(copy, monkeypatch):
    space = reopen(copy[0])

    def meanwhile(*arguments, **more):
        freeze(reopen(copy[0]), "clinic")
        return write(*arguments, **more)

    write = releasing.write_bundle
    monkeypatch.setattr(releasing, "write_bundle", meanwhile)
    with pytest.raises(AccountFrozen):
        release(space, copy[1], name="second")
    assert not (space.path / "releases" / "second").exists()


def test_the_command_asks_first_and_says_what_it_stops(clinic, cli, monkeypatch):
    run = ran(clinic, granted=4)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert cli("budget", "freeze", "clinic", workspace=clinic.path)[0] == 130
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, answer = cli("budget", "freeze", "clinic", workspace=clinic.path)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    assert find(reopen(clinic.path), "clinic").frozen is None
    code, answer = cli("budget", "freeze", "clinic", "--yes", workspace=clinic.path)
    assert (code, answer["sets"], answer["unfinished_runs"]) == (0, ["clinic"], [run])
    assert cli("budget", "freeze", "clinic", workspace=clinic.path) == (0, answer)  # nothing is asked any more
    (account,) = cli("budget", "show", workspace=clinic.path)[1]["accounts"]
    assert account["frozen"] == answer["frozen"]


@pytest.mark.parametrize("change", ["policy", *(pytest.param(one, marks=pytest.mark.full) for one in ("limit", "people"))])
def test_a_run_that_works_ends_before_its_next_grant_when_its_account_no_longer_bears_it(clinic, recipe, tmp_path, change):
    """Whatever makes it too much: a lower limit, a lower policy, or people who turn out to be others', too."""
    names, others = [], notes(140)[100:]
    if change == "people":
        import_notes(clinic, tmp_path, others, name="ward")
        ran(clinic, granted=400, noise=1.9, steps=400, name="ward", end="failed")

    def after_three(progress):
        if progress.phase == "work" and progress.done == 3 and names:
            space = reopen(clinic.path)
            if change == "limit":
                set_budget(space, "clinic", epsilon=3)
            elif change == "policy":
                set_policy(space, POLICY.model_copy(update={"budget": Budget(epsilon=3, delta=1e-5)}))
            else:
                import_notes(space, tmp_path, [*notes(2), *others[:2]], name="both")

    plan = read(recipe(privacy={"epsilon": 4, "delta": 1.0e-5, "unit": "patient_id"}, optim="sgd", max_steps=40, save_steps=2))
    with pytest.raises(BudgetExceeded):
        train(clinic, plan, show=after_three, started=names.append)
    run = clinic.refresh().runs[names[0]]
    assert (run.state, run.code, run.step) == ("interrupted", "RF-DP-002", 2)
    assert 3 <= run.granted <= 4


def test_a_run_that_works_ends_before_its_next_step_and_never_resumes(clinic, recipe):
    names = []

    def freeze_after_three(progress):
        if progress.phase == "work" and progress.done == 3:
            freeze(reopen(clinic.path), "clinic")

    block = {"epsilon": 4, "delta": 1.0e-5, "unit": "patient_id"}
    plan = read(recipe(privacy=block, optim="sgd", max_steps=40, save_steps=2))
    with pytest.raises(AccountFrozen):
        train(clinic, plan, show=freeze_after_three, started=names.append)
    run = clinic.refresh().runs[names[0]]
    assert (run.state, run.code, run.step) == ("interrupted", "RF-DP-009", 2)
    assert 3 <= run.granted <= 4  # one may have been granted while the account was being frozen
    with pytest.raises(AccountFrozen):
        resume(clinic, run)
    assert clinic.refresh().runs[run.id].granted == run.granted
