"""Evaluate: a run and its base side by side, sealed and signed; what no epsilon covers stays inside, and no row is told anywhere."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from ringfence.core.errors import BadArgument, NotReleasable, PolicyChanged, UnknownName, UnknownRun, WrongStage
from ringfence.core.policy import Budget
from ringfence.evaluate.settings import EvalSettings
from ringfence.flows import release as releasing
from ringfence.flows.budget import find
from ringfence.flows.eval import evaluate
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.runs import evaluations_of
from ringfence.flows.train import train
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.vault.files import read_file
from ringfence.workspace.fsck import fsck
from tests.flows.conftest import RECIPE, anything_goes, import_notes, reopen
from tests.flows.test_account import ran
from tests.privacy.finder import leaks

FEW_WORDS = EvalSettings(max_new_tokens=6)
CANARY = "Quetzalcoatl-7741"


def ward(count=44):
    """Rows that nobody trained on, with something in them that must not be told anywhere."""
    return [
        {"prompt": f"Ward {i}: pain in knee {i % 5}, {CANARY}-q{i}?", "completion": f"Ice, {CANARY}-a{i}.", "patient_id": f"W{i // 2}"}
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def evaluated_once(finished, tmp_path_factory):
    """A workspace with an evaluation on rows that were held back: (folder, run, what it returned). Copy before changing."""
    folder = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(finished[0], folder / "ws")
    space = reopen(folder / "ws")
    import_notes(space, folder, ward(), name="ward")
    return folder / "ws", finished[1], evaluate(space, finished[1], "ward", asked=FEW_WORDS)


@pytest.fixture
def evaluated(evaluated_once, tmp_path):
    folder, run, found = evaluated_once
    shutil.copytree(folder, tmp_path / "ws")
    return reopen(tmp_path / "ws"), run, found


def opened(space, run):
    made = next(one for one in run.made if one.kind == "figures")
    source = space.input(space.state.things[made.digest])
    return json.loads(read_file(source.slot, space.keys.data_key(source.slot.slot), "figures.json"))["figures"]


def test_base_and_tuned_stand_side_by_side_and_the_statement_holds_no_figure_of_the_rows(evaluated, cli):
    space, run, found = evaluated
    f = found.figures
    assert (f.rows, f.rows_scored, f.units_scored, f.rows_answered, f.units_answered) == (44, 44, 22, 44, 22)
    for one in (f.loss, f.perplexity, f.rouge_l, f.bleu, f.exact_match):
        for side in (one.base, one.tuned, one.difference):
            assert side.lower <= side.value <= side.upper
    assert f.loss.difference.upper < 0  # five steps taught it something
    assert f.loss.tuned.upper > f.loss.base.lower  # which the interval of one model alone would not show
    assert (found.inside, found.is_seen, f.rows_seen, f.rows_of_seen_units) == (None, False, 0, 0)

    (entry,) = evaluations_of(space, adapter(space, run))
    predicate = space.statement(entry.statement).predicate
    assert predicate.inputs.keys() == {"adapter", "rows", "model"}
    told = {"stays_inside": False, "stays_inside_because": None, "seen_in_training": False}
    assert predicate.figures == {"device": f.device, "dtype": f.dtype, **told}
    assert opened(space, entry)["loss"] == f.loss.model_dump(mode="json")
    assert {"sacrebleu", "rouge-score"} <= predicate.software.keys()
    assert [one["type"] for _, one in space.ledger.entries() if one.get("run") == entry.id] == ["intent", "outcome"]
    assert fsck(space).broken == []
    assert cli("run", "show", run, workspace=space.path)[1]["evaluations"] == [entry.id]
    shown = cli("run", "show", entry.id, workspace=space.path)[1]
    assert shown["figures"]["bleu"] == f.bleu.model_dump(mode="json")
    assert "not_private" not in shown
    assert leaks(space.path, [CANARY]) == []


def adapter(space, run):
    return next(space.state.things[made.digest] for made in space.state.runs[run].made if made.kind == "adapter")


def test_its_figures_travel_with_the_bundle_in_card_and_evidence(evaluated, cli):
    space, run, found = evaluated
    before = space.ledger.size
    code, shown = cli("release", run, "--dry-run", workspace=space.path)
    assert (code, shown["evaluation"], space.refresh() and space.ledger.size) == (0, found.committed.run, before)
    bundle = release(space, run, name="told").path
    report = verify_bundle(bundle, space.public)
    assert [one.step for one in report.chain][-3:] == ["train", "eval", "release"]
    (opened_figures,) = bundle.glob("evidence/*-eval.figures.json")
    assert json.loads(opened_figures.read_bytes())["figures"]["bleu"] == found.figures.bleu.model_dump(mode="json")
    card, loss = (bundle / "README.md").read_text(encoding="utf-8"), found.figures.loss
    cells = " | ".join(f"{one.value:.4f} [{one.lower:.4f}, {one.upper:.4f}]" for one in (loss.base, loss.tuned, loss.difference))
    assert f"| loss per token, nats | {cells} |" in card
    assert f"{loss.base.value:.4f} → {loss.tuned.value:.4f}" in card.partition("中文摘要")[2]
    assert leaks(bundle, [CANARY]) == []
    assert "told" in find(space, "ward").voided_by  # no later promise bounds what these people lose: their figures left
    opened_figures.write_bytes(opened_figures.read_bytes().replace(b'"rows":44', b'"rows":45'))
    with pytest.raises(Exception, match="altered"):
        verify_bundle(bundle, space.public)


def test_once_a_private_run_reads_the_same_people_their_figures_stay_and_a_bundle_is_not_finished(evaluated, monkeypatch):
    space, run, _ = evaluated
    write = releasing.write_bundle

    def meanwhile(*arguments, **more):
        ran(space, granted=1, name="ward")
        return write(*arguments, **more)

    monkeypatch.setattr(releasing, "write_bundle", meanwhile)
    with pytest.raises(PolicyChanged):
        release(space, run, name="late")
    monkeypatch.undo()
    silent = release(space, run, name="silent")
    bundle = silent.path
    assert silent.told is None
    assert not list(bundle.glob("evidence/*eval*"))
    assert "No evaluation that may be told." in (bundle / "README.md").read_text(encoding="utf-8")
    assert find(space, "ward").voided_by == ()


def test_a_bundle_on_rows_of_its_own_training_and_of_a_private_run_is_marked(evaluated, cli):
    space, run, _ = evaluated
    ran(space, granted=1, name="clinic")
    arguments = ("eval", "lora", "--data", "clinic", "--no-generate", "--max-samples", "6", "--batch-size", "2", "--dtype", "float32")
    code, shown = cli(*arguments, workspace=space.path)
    assert code == 0
    assert (shown["run"], shown["rows"], shown["rows_seen"], shown["seen_in_training"]) == (run, 6, 6, True)
    assert shown["dtype"] == "float32"
    assert (shown["stays_inside"], shown["stays_inside_because"], shown["bleu"]) == (True, "private rows", None)
    space.refresh()
    predicate = space.statement(space.state.runs[shown["eval"]].statement).predicate
    assert predicate.figures["stays_inside"] is True
    assert predicate.inputs.keys() == {"rows", "model", "bundle"}
    assert (predicate.seconds, predicate.cpu_seconds) == ({}, {})  # how long it worked is a fact about these rows, too
    assert "loss" in cli("run", "show", shown["eval"], workspace=space.path)[1]["not_private"]


@pytest.mark.parametrize(
    ("target", "data", "asked", "error"),
    [
        ("train-000000000000", "ward", FEW_WORDS, UnknownRun),
        ("import-", "ward", FEW_WORDS, NotReleasable),
        ("lora", "nobody", FEW_WORDS, UnknownName),
        ("lora", "ward", EvalSettings(max_new_tokens=512), BadArgument),
        ("lora", "clinic@quarantine", FEW_WORDS, WrongStage),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(evaluated, target, data, asked, error):
    space, _, _ = evaluated
    target = next(run for run in space.state.runs if run.startswith(target)) if target == "import-" else target
    size = space.ledger.size
    with pytest.raises(error):
        evaluate(space, target, data, asked=asked)
    assert space.ledger.size == size


@pytest.mark.full
def test_of_a_private_run_nothing_is_told(space, tmp_path, cli, capsys):
    import_notes(space, tmp_path)
    import_notes(space, tmp_path, ward(), name="ward")
    set_policy(space, anything_goes().model_copy(update={"budget": Budget()}))
    path = tmp_path / "private.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "max_steps": 3, "privacy": {"epsilon": 4, "delta": 1.0e-5, "unit": "patient_id"}}))
    run = train(space, read(path)).committed.run
    found = evaluate(space, run, "ward", asked=FEW_WORDS)
    assert found.inside == "private run"
    assert space.statement(evaluations_of(space, adapter(space, run))[0].statement).predicate.figures["stays_inside"] is True
    bundle = release(space, run, name="private").path
    assert [one.step for one in verify_bundle(bundle, space.public).chain] == ["import", "train", "release"]
    assert "No evaluation that may be told." in (bundle / "README.md").read_text(encoding="utf-8")


@pytest.mark.full
def test_what_a_recipe_held_out_was_not_seen_and_what_it_learned_from_was(space, tmp_path):
    import_notes(space, tmp_path)
    set_policy(space, anything_goes())
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "max_steps": 2, "val_size": 0.5}))
    run = train(space, read(path)).committed.run
    held_out, learned = (evaluate(space, run, f"clinic@{stage}", asked=EvalSettings(generates=False)) for stage in ("held-out", "joined"))
    assert (held_out.is_seen, held_out.figures.rows, held_out.figures.rows_of_seen_units) == (False, 20, 0)
    assert (learned.is_seen, learned.figures.rows_seen, learned.figures.rows_of_seen_units) == (True, 20, 20)
    assert held_out.inside == "few people"  # ten of them
