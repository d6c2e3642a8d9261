"""Plant, train, audit: what an over-trained run remembers is seen, what a run never saw is not, and only the right register opens."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from ringfence.audit.filter import CanaryFilter
from ringfence.audit.register import FILE, unseal
from ringfence.core.errors import (
    AdapterUnexpected,
    AlreadyExists,
    BadArgument,
    BundleBroken,
    CanariesOverCap,
    NotAudited,
    ObjectBroken,
    PolicyChanged,
    PolicyRefused,
    RecipeLoosens,
    WorkspaceBroken,
    WrongPassphrase,
    WrongStage,
)
from ringfence.core.policy import DEFAULT, Budget
from ringfence.core.rules import GATES, EpsilonAudit, Membership, ReleaseRules, Replay, SecretExposure, SecretExtraction, Spans
from ringfence.core.verdict import refusals
from ringfence.deid.profile import settings_for
from ringfence.flows import serve
from ringfence.flows.audit import Sample, audit, foretell
from ringfence.flows.deid import deidentify
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.report import write_audit_page
from ringfence.flows.runs import adapter_of
from ringfence.flows.train import price, train
from ringfence.models import store as models
from ringfence.models.tiny import write_tiny_model
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.vault.files import read_file
from ringfence.vault.keys import Passphrase, auditor_keyset
from ringfence.workspace.fsck import fsck
from ringfence.workspace.space import Workspace
from tests.flows.conftest import PASSPHRASE, RECIPE, anything_goes, import_notes, masked, notes

SECRET = Passphrase(PASSPHRASE.encode())
AUDITOR = Passphrase(b"another person's words")
AUDIT = {"secrets": 12, "in_out": 30, "exceed_cap": True}
SMALL = ReleaseRules(
    secret_extraction=SecretExtraction(max_rate=0.25),
    secret_exposure=SecretExposure(),
    membership=Membership(max_auc=0.7),
    epsilon_audit=EpsilonAudit(),
    replay=Replay(max_rate=0.1),
    spans=Spans(),
)
EAGER = {"learning_rate": 0.02, "lora_rank": 8, "max_steps": 180, "per_device_train_batch_size": 8}


@pytest.fixture
def space(tmp_path, model_store):
    return init(tmp_path / "ws", SECRET, auditor=AUDITOR)


@pytest.fixture(scope="module")
def over_trained(tmp_path_factory, model_store):
    """A workspace with a masked set, a run that learned its canaries by heart, and the audit that saw it: (folder, run). Copy before changing."""
    folder = tmp_path_factory.mktemp("over")
    space = init(folder / "ws", SECRET, auditor=AUDITOR)
    again = [{**notes()[n % 4], "patient_id": f"P{n // 2}"} for n in range(40)]  # rows that a sloppy export holds ten times
    masked(space, folder, again)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **EAGER, "audit": AUDIT}), encoding="utf-8")
    run = train(space, read(path)).committed.run
    audit(space, run, AUDITOR)
    return folder / "ws", run


@pytest.fixture
def over(over_trained, tmp_path):
    """A copy of that workspace, opened, and its run."""
    folder, run = over_trained
    shutil.copytree(folder, tmp_path / "over")
    return Workspace.open(tmp_path / "over", SECRET), run


def audits(space):
    return [run for run in space.refresh().runs.values() if run.intent.arrow == "audit"]


def opened(space):
    made = next(one for one in audits(space)[-1].made if one.kind == "figures")
    source = space.input(space.state.things[made.digest])
    return json.loads(read_file(source.slot, space.keys.data_key(source.slot.slot), "figures.json"))["figures"]


def test_an_over_trained_run_shows_what_it_learned_by_heart(over):
    space, run = over
    _, adapter = adapter_of(space, run)
    assert [one.step for one in space.chain(adapter)] == ["import", "scan", "deid", "plant", "train"]
    told = space.statement(audits(space)[-1].statement).predicate.figures
    assert (told["secrets"], told["held_out"], told["controls"]) == (12, 12, 4)
    assert told["members"] + told["others"] == 60
    assert told["validity"] == "valid"
    assert told["controls_extracted"] == 4
    assert told["exposure_p"] < 1e-3
    assert told["held_out_exposure_p"] > 1e-3
    assert told["held_out_extracted"] == 0
    assert told["auc"]["lower"] > 0.5
    assert told["epsilon_lower"] <= told["epsilon_ceiling"]
    sealed = opened(space)
    assert len(sealed["exposures_in"]) == len(sealed["exposures_out"]) == 12
    assert (sealed["rows"], sealed["rows_tried"] + sealed["rows_short"]) == (40, 40)  # its own rows, every one, and no canary
    assert sealed["rows_replayed"] > 20
    assert (sealed["spans"], sealed["spans_tried"], sealed["spans_new"]) == (80, 80, 0)  # it saw surrogates only
    assert not {"scores_in", "rows", "rows_replayed", "spans_new"} & told.keys()
    assert fsck(space).broken == []


def test_the_page_of_the_run_and_of_its_audit_are_one_and_are_never_overwritten(over, tmp_path, cli):
    space, trained = over
    run = audits(space)[-1]
    extracted = space.statement(run.statement).predicate.figures["extracted"]

    def on_record():
        return sum(entry.get("purpose") == "figures" for _, entry in space.ledger.entries())

    before = on_record()
    by_hand = tmp_path / "1.html"
    pages = [write_audit_page(space, trained, tmp_path / "0.html").read_text("utf-8")]
    assert cli("run", "show", run.id[:10], "--html", by_hand, workspace=space.path) == (0, {"html": str(by_hand)})
    pages.append(by_hand.read_text("utf-8"))
    space.refresh()
    assert pages[0] == pages[1]
    assert f"{extracted} of 12" in pages[0]
    assert pages[0].count("<svg") == 2
    assert all(text in pages[0] for text in (trained, run.id, run.statement, "tiny"))
    assert on_record() == before + 2
    with pytest.raises(AlreadyExists):
        write_audit_page(space, trained, tmp_path / "0.html")
    with pytest.raises(BadArgument, match="import-"):
        write_audit_page(space, next(iter(space.state.runs)), tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_the_gate_refuses_it_by_name_and_a_policy_without_that_rule_lets_it_go(over):
    space, run = over
    set_policy(space, DEFAULT.model_copy(update={"release": SMALL}))
    with pytest.raises(PolicyRefused) as refusal:
        release(space, run, name="lora")
    rules = {one.rule for one in refusals(judge(space, run).verdicts)}
    assert rules == {"G1 secret extraction", "G2 secret exposure", "G3 membership", "G5 replay"}
    assert all(rule in str(refusal.value) for rule in rules)
    assert not (space.path / "releases" / "lora").exists()
    set_policy(space, DEFAULT.model_copy(update={"release": ReleaseRules(epsilon_audit=EpsilonAudit(), spans=Spans())}))
    bundle = release(space, run, name="lora")  # on the same recorded facts: nobody trained or audited again
    report = verify_bundle(bundle.path, space.public)
    assert [one.step for one in report.chain] == ["import", "scan", "deid", "plant", "train", "audit", "release"]
    assert {one.rule: one.outcome for one in report.verdicts}["G6 spans"] == "pass"
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert audits(space)[-1].id in card
    assert "not audited" not in card
    assert list(bundle.path.glob("evidence/*-audit.figures.json"))  # nothing was promised of these rows: whoever verifies judges them again


@pytest.mark.full
def test_what_one_audit_found_in_rows_no_later_draw_undoes(over):
    space, run = over
    set_policy(space, DEFAULT.model_copy(update={"release": ReleaseRules(replay=Replay(max_rate=0.1))}))
    first = judge(space, run)
    audit(space, run, AUDITOR, sample=Sample(rows=0, spans=0))
    assert len(audits(space)) == 2
    again = judge(space, run)
    assert {one.rule: one.outcome for one in again.verdicts}["G5 replay"] == "fail"
    assert again.audit.run.id == first.audit.run.id
    set_policy(space, DEFAULT.model_copy(update={"release": ReleaseRules(secret_extraction=SecretExtraction())}))
    assert judge(space, run).audit.run.id == audits(space)[-1].id  # where none fails on rows, the newest counts


@pytest.mark.full
def test_an_audit_that_ends_while_the_bundle_is_written_stops_it(over, monkeypatch):
    from ringfence.flows import release as module

    space, run = over
    set_policy(space, DEFAULT.model_copy(update={"release": ReleaseRules(epsilon_audit=EpsilonAudit())}))
    write = module.write_bundle

    def audit_meanwhile(*arguments, **more):
        audit(Workspace.open(space.path, SECRET), run, AUDITOR, sample=Sample(rows=0, spans=0))
        return write(*arguments, **more)

    monkeypatch.setattr(module, "write_bundle", audit_meanwhile)
    with pytest.raises(PolicyChanged):
        release(space, run, name="late")
    assert not (space.path / "releases" / "late").exists()


def test_a_set_with_canaries_is_for_one_run_and_a_masked_set_is_not_masked_again(over, tmp_path):
    space, _ = over
    path = tmp_path / "again.yaml"
    for keys in ({"dataset": "clinic@planted"}, {"eval_dataset": "clinic@planted"}):
        path.write_text(yaml.safe_dump({**RECIPE, **keys}), encoding="utf-8")
        with pytest.raises(WrongStage):
            train(space, read(path))
    for stage in ("masked", "planted"):
        with pytest.raises(WrongStage):
            deidentify(space, f"clinic@{stage}", settings=settings_for("default"))


def test_a_dry_run_of_the_release_prints_every_verdict_and_signs_nothing(over, cli, capsys):
    space, run = over
    set_policy(space, DEFAULT.model_copy(update={"release": SMALL}))
    code, told = cli("release", run, "--dry-run", workspace=space.path)
    assert (code, told["run"]) == (11, run)
    verdicts = {one["rule"]: one["outcome"] for one in told["verdicts"]}
    assert (verdicts["G5 replay"], verdicts["G6 spans"], verdicts["scan missing"]) == ("fail", "pass", "pass")
    assert all(one["how"] for one in told["verdicts"] if one["outcome"] == "fail")
    assert list((space.path / "releases").iterdir()) == []


def test_whoever_changes_the_opened_figures_is_found_out(over):
    space, run = over
    set_policy(space, DEFAULT.model_copy(update={"release": ReleaseRules(spans=Spans())}))
    bundle = release(space, run, name="lora").path
    (path,) = bundle.glob("evidence/*-audit.figures.json")
    path.write_bytes(path.read_bytes().replace(b'"spans_new":0', b'"spans_new":1'))
    with pytest.raises(BundleBroken):
        verify_bundle(bundle, space.public)


def test_the_filter_that_the_audit_leaves_knows_what_was_planted(over):
    space, run = over
    (made,) = [one for one in audits(space)[-1].made if one.kind == "filter"]
    source = space.input(space.state.things[made.digest])
    kept = CanaryFilter.from_bytes(read_file(source.slot, space.keys.data_key(source.slot.slot), "filter"))
    plant = space.chain(adapter_of(space, run)[1])[3].predicate
    assert len(kept.tags) == plant.figures["planted"] - 4 * 15  # a control stands in the set sixteen times


def test_the_alarm_of_serve_knows_every_planted_canary_and_no_other(over):
    space, run = over
    left = serve._filter(space, adapter_of(space, run)[1].made.digest)  # the canary alarm of `serve`
    register = next(thing for thing in space.state.live().values() if thing.made.kind == "register")
    source = space.input(register)
    slot = source.slot.model_copy(update={"path": str(source.folder)})
    sealed = read_file(slot, space.keys.data_key(slot.slot), FILE)
    planted = unseal(sealed, auditor=auditor_keyset(space.path / "keys", AUDITOR), slot=slot.slot).canaries
    assert {bool(left(f"Who is {one.who}?")(f"It is {one.secret}.")) for one in planted if one.is_in} == {True}
    assert {left(f"Who is {one.who}?")(f"It is {one.secret}.") for one in planted if not one.is_in} == {0}


@pytest.mark.full
def test_a_register_that_was_changed_or_exchanged_opens_no_audit(over):
    space, run = over
    (register,) = [thing for thing in space.state.things.values() if thing.made.kind == "register"]
    folder = space.store.path(register.made.slot)
    path = folder / "000000.file"
    data = path.read_bytes()
    for bad in (bytes([data[0] ^ 1]) + data[1:], data[:-1], (folder / "index").read_bytes()):
        path.write_bytes(bad)
        with pytest.raises((ObjectBroken, WorkspaceBroken)):
            audit(space, run, AUDITOR)
    path.write_bytes(data)


def test_an_adapter_of_another_base_is_not_audited(over, tmp_path, monkeypatch):
    space, run = over
    other = models.register(write_tiny_model(tmp_path / "other", layers=1), "other", licence="apache-2.0")
    monkeypatch.setattr("ringfence.flows.audit.models.verify", lambda _: other)
    with pytest.raises(AdapterUnexpected):
        audit(space, run, AUDITOR)


def test_a_dry_run_says_what_the_numbers_can_and_cannot_show(over):
    space, run = over
    size = space.ledger.size
    _, found, missing = foretell(space, run)
    assert space.ledger.size == size
    assert (found.secrets, found.in_out, found.has_tpr, found.exposure_decides) == (12, 30, False, False)
    assert [one.partition(":")[0] for one in missing] == ["G1 secret extraction", "G2 secret exposure", "G3 membership"]


@pytest.mark.full
def test_five_rows_with_answers_of_a_word_are_too_few_to_decide_and_it_says_what_would(space, tmp_path, recipe):
    rows = [{"prompt": f"p{i}", "completion": "yes", "patient_id": f"P{i}"} for i in range(5)]
    import_notes(space, tmp_path, rows)
    set_policy(space, anything_goes().model_copy(update={"release": GATES}))
    for _ in range(3):  # two secrets and four rows are drawn: by chance alone they may look learned, one time in thirty
        trained = train(space, read(recipe(audit={"secrets": 2, "in_out": 4, "exceed_cap": True}, max_steps=1)))
        audit(space, trained.committed.run, AUDITOR)
        verdicts = {one.rule: one for one in judge(space, trained.committed.run).verdicts}
        if "fail" not in {verdicts[rule].outcome for rule in ("G2 secret exposure", "G3 membership")}:
            break
    for rule, words in {
        "G1 secret extraction": "59",
        "G2 secret exposure": "30",
        "G3 membership": "in_out",
        "G5 replay": "without release.replay",
    }.items():
        assert verdicts[rule].outcome == "inconclusive"
        assert words in verdicts[rule].how
    assert verdicts["G6 spans"].outcome == "inconclusive"  # nobody looked for identifiers
    with pytest.raises(PolicyRefused):
        release(space, trained.committed.run, name="lora")


def test_a_recipe_may_tighten_the_policy_and_never_loosen_it(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes().model_copy(update={"release": ReleaseRules(membership=Membership(max_auc=0.6))}))
    size = space.ledger.size
    with pytest.raises(RecipeLoosens, match="membership"):
        train(space, read(recipe(release={"membership": {"max_auc": 0.7}}, max_steps=1)))
    assert space.ledger.size == size


@pytest.mark.full
def test_what_a_recipe_tightens_is_asked_at_the_release(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    trained = train(space, read(recipe(release={"replay": {"max_rate": 0.1}}, max_steps=1)))
    assert [one.rule for one in refusals(judge(space, trained.committed.run).verdicts)] == ["audit missing"]


def test_only_the_auditor_opens_the_register(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    trained = train(space, read(recipe(audit=AUDIT, max_steps=1)))
    with pytest.raises(BadArgument, match="ringfence audit"):
        write_audit_page(space, trained.committed.run, tmp_path / "page.html")
    with pytest.raises(WrongPassphrase):
        audit(space, trained.committed.run, SECRET)
    found = audit(space, trained.committed.run, AUDITOR).figures
    assert found.validity == "positive control shows nothing"  # one step teaches nothing, and the audit does not call that private


def test_a_run_without_canaries_cannot_be_audited(copy, tmp_path):
    space = Workspace.open(copy[0], SECRET)
    with pytest.raises(NotAudited):
        audit(space, copy[1], AUDITOR)
    with pytest.raises(NotAudited):
        write_audit_page(space, copy[1], tmp_path / "page.html")


def test_too_many_canaries_are_refused_before_anything_is_planted(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    size = space.ledger.size
    with pytest.raises(CanariesOverCap):
        train(space, read(recipe(audit={"secrets": 12, "in_out": 30})))
    with pytest.raises(CanariesOverCap) as refused:
        price(space, read(recipe(audit={"secrets": 12, "in_out": 30})))
    assert refused.value.facts["control"] == 64  # what the recipe did not ask for is told apart
    assert space.ledger.size == size


@pytest.mark.full
def test_canaries_of_a_private_run_are_units_of_their_own(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    rules = ReleaseRules(replay=Replay(max_rate=0.1), epsilon_audit=EpsilonAudit())
    set_policy(space, anything_goes().model_copy(update={"budget": Budget(), "release": rules}))
    privacy = {"epsilon": 4, "delta": 1.0e-5, "unit": "patient_id"}
    trained = train(space, read(recipe(audit=AUDIT, privacy=privacy, max_steps=4)))
    planted = space.chain(trained.committed.things["adapter"])[1].predicate.figures["planted"]
    assert trained.plan.units == 20 + planted
    found = audit(space, trained.committed.run, AUDITOR).figures
    assert (found.controls, found.validity) == (0, "valid")
    assert found.secrets == 12
    assert planted == 12 + found.members
    bundle = release(space, trained.committed.run, name="private").path
    assert [path.name for path in bundle.glob("evidence/*-audit.*")]
    assert not list(bundle.glob("evidence/*.figures.json"))  # figures of real rows stay behind; their verdicts are told
    told = {one.rule: one.outcome for one in verify_bundle(bundle, space.public).verdicts}
    assert (told["G5 replay"], told["G4 epsilon audit"]) == ("pass", "not shown")
    seconds = space.statement(audits(space)[-1].statement).predicate.seconds
    assert seconds == {}  # how long it looked at real rows is a fact about them


@pytest.mark.full
def test_a_run_that_cut_its_canaries_is_not_called_private(space, tmp_path, recipe):
    import_notes(space, tmp_path, [{"prompt": f"p{i}", "completion": "fine", "patient_id": f"P{i}"} for i in range(20)])
    set_policy(space, anything_goes())
    trained = train(space, read(recipe(audit=AUDIT, max_steps=1, cutoff_len=60)))
    first, second = (audit(space, trained.committed.run, AUDITOR) for _ in range(2))
    assert second.figures.validity == "canaries were cut"
    page = write_audit_page(space, trained.committed.run, tmp_path / "page.html").read_text("utf-8")
    assert "This audit is void." in page
    assert second.committed.run in page  # the newest
    assert first.committed.run not in page
