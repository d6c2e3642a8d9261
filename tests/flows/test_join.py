"""Several sets in one recipe: joined once, charged to the people of each, judged and released by what was done to every one."""

from __future__ import annotations

import secrets
import shutil

import pytest

from ringfence.core.errors import (
    AccountFrozen,
    BadArgument,
    BadValue,
    BudgetExceeded,
    Interrupted,
    PlanImpossible,
    PolicyRefused,
    UnitMismatch,
    UnknownName,
    WrongStage,
)
from ringfence.core.policy import Budget, Policy, Require, ScanRule, TrainRules
from ringfence.deid.profile import settings_for
from ringfence.flows import release as releasing
from ringfence.flows import train as training
from ringfence.flows.audit import audit
from ringfence.flows.budget import accounts, find, freeze, lifetime, overview, set_budget
from ringfence.flows.data import delete, describe, foresee
from ringfence.flows.deid import deidentify
from ringfence.flows.import_ import import_file
from ringfence.flows.init import init
from ringfence.flows.join import join
from ringfence.flows.plant import plant
from ringfence.flows.plant import settings_for as canaries_of
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.rights import refuse_export
from ringfence.flows.runs import request_stop
from ringfence.flows.scan import scan
from ringfence.flows.scope import refuse_prepared
from ringfence.flows.sweep import lay_out
from ringfence.flows.train import ask, price, resume, train
from ringfence.ingest.settings import ImportSettings
from ringfence.privacy.accountant import epsilon_spent
from ringfence.recipe.read import read
from ringfence.recipe.sweep import sweep
from ringfence.release.verify import verify_bundle
from ringfence.scan.settings import ScanSettings
from ringfence.vault.index import read_index
from ringfence.vault.keys import Passphrase
from ringfence.workspace.entries import Failed, Intent, Leased, Made, Outcome, Released, Reserve
from ringfence.workspace.fsck import fsck
from tests.flows.conftest import FEW_CANARIES, PASSPHRASE, import_notes, masked, notes, reopen, write_rows
from tests.flows.test_private import PRIVACY, open_policy

ROWS = notes(40)
BLOCK = {"privacy": PRIVACY, "optim": "sgd"}


def index_of(space, thing):
    slot = space.input(thing).slot
    return read_index(slot, space.keys.data_key(slot.slot))


@pytest.fixture(scope="module")
def imported(tmp_path_factory, model_store):
    """The folder of a workspace with the sets `clinic` and `ward` of 10 people each, none in both. Copy it before changing it."""
    folder = tmp_path_factory.mktemp("imported")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    import_notes(space, folder, ROWS[:20])
    import_notes(space, folder, ROWS[20:], name="ward")
    set_policy(space, open_policy())
    return folder / "ws"


@pytest.fixture
def two(imported, tmp_path):
    """A copy of that workspace, opened."""
    shutil.copytree(imported, tmp_path / "two")
    return reopen(tmp_path / "two")


def both_of(space, names="clinic ward"):
    things = [space.state.resolve(name) for name in names.split()]
    return join(space, things, check=lambda _: None, show=lambda _: None)["set"]


def on_record(space, *entries):
    with space.locked():
        for entry in entries:
            space.record(entry)


def ran(space, reserve, source, *, granted):
    """Put a private run on record that read `source` and failed after so many steps, and return its id."""
    run = f"train-{secrets.token_hex(6)}"
    intent = Intent(run=run, arrow="train", name=source.made.name, inputs={"set": source.made.digest}, settings="0" * 64, reserve=reserve)
    on_record(space, intent, Leased(run=run, steps=granted), Failed(run=run, arrow="train", code="RF-TRAIN-006", exit_code=1))
    return run


def test_a_joined_set_is_made_once_and_is_named_by_no_other_arrow(two):
    made = both_of(two)
    assert (made.made.name, made.made.stage, made.made.label) == ("clinic-ward", "joined", "sensitive")
    assert [one.step for one in two.chain(made)] == ["import", "import", "join"]
    assert two.statement(made.statement).predicate.figures == {"rows": 40, "held_out": 0}
    shown = describe(two, "clinic-ward@joined")["chain"]
    assert [(one["step"], one["set"]) for one in shown] == [("join", "clinic-ward"), ("import", "ward"), ("import", "clinic")]
    size = two.ledger.size
    assert (both_of(two), two.ledger.size) == (made, size)
    assert both_of(two, "ward clinic") != made
    with pytest.raises(UnknownName, match="clinic, ward"):
        two.state.resolve("clinic-ward")
    for command in (
        lambda: scan(two, "clinic-ward@joined", settings=ScanSettings()),
        lambda: deidentify(two, "clinic-ward@joined", settings=settings_for("default")),
        lambda: find(two, "clinic-ward@joined"),
        lambda: refuse_export(two, made),
    ):
        with pytest.raises(BadArgument, match="joined"):
            command()
    assert made in foresee(two, [two.state.resolve("clinic@sealed")], with_derived=False).staying
    delete(two, [made])
    assert both_of(two).made.digest != made.made.digest
    assert fsck(two).broken == []


def test_a_run_on_joined_sets_is_charged_to_the_people_of_both(two, tmp_path):
    made = both_of(two)
    account, also = two.state.accounts.of(made.made.digest)
    reserve = Reserve(account=account, also=(also,), noise_multiplier=2.0, sampling_rate=0.25, steps=10)
    run = ran(two, reserve, made, granted=3)
    alone = ran(two, reserve.model_copy(update={"also": ()}), two.state.resolve("clinic"), granted=2)
    assert [{one.id for one in find(two, name).spenders} for name in ("clinic", "ward")] == [{run, alone}, {run}]
    one, other = (overview(find(two, name)) for name in ("clinic", "ward"))
    assert one["spent"] > other["spent"] > 0
    told = lifetime(two, *reserve.accounts)
    assert (told["private_runs"], told["epsilon"], told["bound"]) == (2, one["spent"], "holds")  # nobody in either lost more
    set_budget(two, "ward", epsilon=8, delta=1e-7)
    tighter = lifetime(two, *reserve.accounts)
    assert (tighter["delta"], tighter["epsilon"] > told["epsilon"]) == (1e-7, True)
    assert reopen(two.path).state.accounts.of(made.made.digest) == reserve.accounts

    ordinary = {"run": "train-0123456789ab", "arrow": "train"}
    adapter = Made(
        role="adapter", digest="a" * 64, manifest="0" * 64, slot="0" * 32, kind="adapter", stage="adapter", name="x", label="internal",
        origin=made.origin,
    )  # fmt: skip
    inputs = {"set": made.made.digest}
    on_record(two, Intent(name="x", inputs=inputs, settings="0" * 64, **ordinary), Outcome(made=(adapter,), statement="0" * 64, **ordinary))
    assert releasing._voids(two, two.state.things["a" * 64])
    gone = "release-0123456789ab"
    released = Released(run=gone, adapter="a" * 64, name="out", manifest="0" * 64, statement="0" * 64)
    on_record(two, Intent(run=gone, arrow="release", name="out", inputs={"adapter": "a" * 64}, settings="0" * 64), released)
    assert [find(two, name).voided_by for name in ("clinic", "ward")] == [("out",), ("out",)]
    voided = lifetime(two, *reserve.accounts[::-1])
    assert (voided["bound"], voided["ordinary_releases"], voided["epsilon"]) == ("void", 1, tighter["epsilon"])
    assert not releasing._voids(two, two.state.things["a" * 64])
    freeze(two, "ward")
    with pytest.raises(AccountFrozen):
        releasing._refuse_frozen(two, two.state.things["a" * 64])

    import_notes(two, tmp_path, [ROWS[0], ROWS[30]], name="bridge")  # somebody from each: from here on it is one account
    assert [len(account.spenders) for account in accounts(two)] == [2]


def test_each_account_may_refuse_the_run_before_anything_is_written(two, recipe):
    plan = read(recipe(dataset="clinic,ward", **BLOCK))
    set_budget(two, "ward", epsilon=1)
    size = two.ledger.size
    for command in (train, price):
        with pytest.raises(BudgetExceeded, match="ward"):
            command(two, plan)
    train_alone = ask(two, read(recipe(dataset="clinic", **BLOCK)))
    assert train_alone.reserve.also == ()
    assert two.ledger.size == size
    freeze(two, "clinic")
    size = two.ledger.size
    for command in (train, price):
        with pytest.raises(AccountFrozen, match="clinic"):
            command(two, plan)
    two.refresh()
    assert two.ledger.size == size


def test_every_set_is_asked_what_the_policy_and_the_promise_ask(two, recipe):
    set_policy(two, Policy(train=TrainRules(require=Require(scan=ScanRule())), budget=Budget()))
    scan(two, "clinic", settings=ScanSettings(parts=("unicode.v1",)))
    size = two.ledger.size
    with pytest.raises(PolicyRefused, match="scan missing") as refused:
        train(two, read(recipe(dataset="clinic,ward", eval_dataset="clinic,ward")))
    assert "ringfence scan ward" in str(refused.value)
    two.refresh()
    assert two.ledger.size == size  # nothing was joined
    scan(two, "ward", settings=ScanSettings())
    plan = read(recipe(dataset="clinic,ward", optim="sgd", privacy={**PRIVACY, "scope": "record"}))
    for check in (lambda: refuse_prepared(two, both_of(two)), lambda: ask(two, plan)):
        with pytest.raises(PlanImpossible, match="the scan compared them"):
            check()
    scan(two, "ward", settings=ScanSettings(parts=("unicode.v1",)))
    refuse_prepared(two, both_of(two))
    assert ask(two, plan).order.plan.scope == "record"


def test_a_list_that_cannot_be_read_is_refused_at_its_key(two, recipe, tmp_path, monkeypatch):
    def asked(**keys):
        return ask(two, read(recipe(**keys)))

    scan(two, "clinic", settings=ScanSettings())
    digest = two.state.resolve("ward").made.digest
    for keys in (
        {"dataset": "clinic,clinic@sealed"},
        {"dataset": f"ward,{digest}"},
        {"eval_dataset": "clinic@cleared,clinic@sealed"},
        {"dataset": "ward,clinic@quarantine"},
    ):
        with pytest.raises(BadValue, match=next(iter(keys))):
            asked(**keys)
    both = both_of(two)
    import_notes(two, tmp_path, name="third")
    with pytest.raises(BadValue, match="clinic-ward@joined"):
        asked(dataset="third,clinic-ward@joined")
    assert asked(dataset="clinic-ward@joined", **BLOCK).reserve.accounts == two.state.accounts.of(both.made.digest)
    path = write_rows(tmp_path / "rows.jsonl", notes(50)[40:])
    import_file(two, path, name="rows", settings=ImportSettings(source=path.name))
    with pytest.raises(UnitMismatch, match="rows"):
        asked(dataset="ward,rows", **BLOCK)
    assert asked(dataset="ward,rows").order.plan is None  # an ordinary run protects no unit
    canaries = read(recipe(dataset="ward", audit={"secrets": 1, "in_out": 1, "exceed_cap": True}))
    plant(two, two.state.resolve("ward"), canaries_of(two, canaries, two.state.resolve("ward")), check=lambda _: None)
    with pytest.raises(WrongStage):
        asked(dataset="clinic,ward@planted")
    monkeypatch.setattr(training, "MOST_STEPS", 5 + 2)
    asked(dataset="third,ward")
    with pytest.raises(BadValue, match="3 steps led to its sets"):  # an import and a scan of the one, an import of the other
        asked(dataset="clinic,ward")


@pytest.mark.full
def test_an_interrupted_run_on_two_sets_goes_on_and_both_accounts_hold_what_it_was_promised(two, recipe):
    names = []

    def stop(progress):
        if progress.phase == "work" and progress.done == 2:
            request_stop(two, names[-1])

    with pytest.raises(Interrupted):
        train(two, read(recipe(dataset="clinic,ward", max_steps=30, learning_rate=None, **BLOCK)), show=stop, started=names.append)
    run = two.refresh().runs[names[-1]]
    assert 2 <= run.granted < 30
    for name in ("clinic", "ward"):
        held = overview(find(two, name))
        assert held["spent"] > 0
        assert held["reserved"] > 0
    done = resume(two, run)
    assert (done.figures.resumed_from, done.granted) == (run.step, 30)
    for name in ("clinic", "ward"):
        after = overview(find(two, name))
        assert (after["reserved"], after["spent"]) == (0, pytest.approx(epsilon_spent([done.plan.event()], delta=1e-5), abs=1e-3))


@pytest.mark.full
def test_two_sets_with_a_common_patient_go_the_whole_way(space, tmp_path, recipe, cli):
    """Scan, deid, a private run with canaries on both, audit, gate, bundle; a sweep takes the run for its own."""
    shared = {**ROWS[25], "patient_id": "P0"}
    masked(space, tmp_path, ROWS[:20])
    masked(space, tmp_path, [*ROWS[20:25], shared, *ROWS[26:]], name="ward")
    set_policy(space, Policy.model_validate(FEW_CANARIES))
    assert [set(one.sets) for one in accounts(space)] == [{"clinic", "ward"}]  # the common patient
    canaries = {"secrets": 12, "in_out": 40, "exceed_cap": True}
    path = recipe(dataset="clinic, ward", eval_dataset="clinic, ward", audit=canaries, max_steps=2, **BLOCK)
    size = space.ledger.size
    found = price(space, read(path))
    assert (found.figures.rows, found.plan.units, [set(one.sets) for one in found.accounts]) == (92, 72, [{"clinic", "ward"}])
    assert space.ledger.size == size  # rows of both were read, and nothing was written
    trained = train(space, read(path))
    run, adapter = trained.committed.run, trained.committed.things["adapter"]
    chain = space.chain(adapter)
    assert [one.step for one in chain] == ["import", "scan", "deid", "import", "scan", "deid", "join", "plant", "train"]
    assert trained.plan.units == 20 + chain[-2].predicate.figures["planted"]  # 10 people and 11, one of them in both
    both = space.state.things[chain[-2].predicate.inputs["set"]]
    parts = [index_of(space, space.state.resolve(name)) for name in ("clinic", "ward")]
    assert index_of(space, both).record_ids.tolist() == [row for part in parts for row in part.record_ids.tolist()]
    assert index_of(space, both).units() == 20
    assert space.state.runs[run].reserve.accounts == tuple(space.state.accounts.of(both.made.digest))
    for name in ("clinic", "ward"):
        code, shown = cli("budget", "show", name, workspace=space.path)
        assert (code, [one["run"] for one in shown["history"]]) == (0, [run])
        assert shown["accounts"][0]["spent"] == pytest.approx(epsilon_spent([trained.plan.event()], delta=1e-5), abs=1e-3)
    found = audit(space, run, Passphrase(PASSPHRASE.encode())).figures
    assert (found.spans, found.spans_tried, found.spans_state) == (80, 80, "tried")  # of both sets: a mail address and a number in each row
    verdicts = {one.rule: one.outcome for one in judge(space, run).verdicts}
    assert (verdicts["audit unrelated"], verdicts["G6 spans"], verdicts["chain broken"]) == ("pass", "pass", "pass")
    bundle = release(space, run, name="both").path
    report = verify_bundle(bundle, space.public)
    assert [one.step for one in report.chain] == [*(one.step for one in chain), "audit", "release"]
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "`clinic`: profile `default`; 0 originals survived the re-scan; `ward`: profile" in card
    assert "1 private run used these people's data" in card
    assert fsck(space).broken == []
    (trial,) = lay_out(space, sweep(path, "privacy.epsilon", [("4", 4)])).trials
    assert (trial.run.id, trial.is_done, trial.name) == (run, True, "clinic, ward")
