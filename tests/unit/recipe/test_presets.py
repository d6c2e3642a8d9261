"""Every preset is a recipe as it stands, says what it is for in both languages, and was measured; the documentation has the figures that the command has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ringfence.cli.commands.recipe import preset_machines, preset_row
from ringfence.core import text
from ringfence.core.errors import BadValue, UnknownPart
from ringfence.recipe.presets import filled, preset, presets
from ringfence.recipe.read import judge, recipe_of, strict_yaml

ROOT = Path(__file__).parents[3]
PRESETS = presets()
each = pytest.mark.parametrize("one", PRESETS, ids=lambda one: one.name)


def test_the_folder_is_the_list():
    folder = ROOT / "src" / "ringfence" / "recipe" / "presets"
    assert [one.name for one in PRESETS] == sorted(path.stem for path in folder.glob("*.yaml"))
    assert len(PRESETS) >= 6


@each
def test_a_preset_is_a_recipe_every_key_of_which_is_used(one):
    document = strict_yaml(one.text)
    assert {line.key: line.treatment for line in judge(document) if line.treatment != "used"} == {}
    assert recipe_of(document).datasets


@each
def test_a_preset_says_what_it_is_for_in_both_languages(one):
    assert one.purpose.en.isascii()
    assert any("一" <= character <= "鿿" for character in one.purpose.zh)
    assert one.text.startswith(f"# {one.purpose.en}\n# {one.purpose.zh}\nmodel_name_or_path: ")


@each
def test_a_preset_was_measured_and_learned(one):
    found = one.figures
    assert {"ringfence", "torch", "transformers", "peft"} <= found.versions.keys()
    if found.reward is None:  # of answers to other questions in each step, too few to rise for sure
        assert found.loss[1] < found.loss[0]
        assert found.held_out
    assert found.changed.keys() >= {"max_steps"}
    assert found.steps <= found.changed["max_steps"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_documentation_has_the_measured_figures(language):
    text.choose(language)
    page = (ROOT / "docs" / ("zh" if language == "zh" else "") / "presets.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert rows == [[f"`{name}`", *cells] for name, *cells in map(preset_row, PRESETS)]
    assert all(line in page for line in preset_machines(PRESETS))


def test_the_line_of_a_machine_says_the_longest_row_of_those_measured_on_it():
    def measured(**changes):
        return replace(PRESETS[0], figures=PRESETS[0].figures.model_copy(update=changes))

    lines = preset_machines([measured(longest=57), measured(longest=71, steps=3), measured(longest=90, cpu="another")])
    assert [(line.count("71 tokens"), line.count("90 tokens")) for line in lines] == [(1, 0), (0, 1)]
    assert preset_machines([replace(PRESETS[0], figures=None)]) == []


def test_names_are_filled_in_and_everything_else_stays():
    one = preset("sft-private")
    text = filled(one, model="/models/my model", dataset="ward, clinic")
    before, after = strict_yaml(one.text), strict_yaml(text)
    assert after == before | {"model_name_or_path": "/models/my model", "dataset": "ward, clinic"}
    assert text.count("#") == one.text.count("#")
    assert filled(one) == one.text


@pytest.mark.parametrize("name", ["123456e78901", "1.5", "a: b # c", r"back\slash\1", "'", "院"])
def test_a_name_is_written_so_that_it_is_read_as_it_was_given(name):
    assert recipe_of(strict_yaml(filled(preset("sft-lora"), model=name))).model == name


def test_a_name_that_no_recipe_can_have_is_refused():
    with pytest.raises(BadValue, match="twice"):
        filled(preset("sft-lora"), dataset="clinic,clinic")


def test_an_unknown_preset_is_refused_with_the_nearest_first():
    with pytest.raises(UnknownPart) as refused:
        preset("sft_qlora")
    assert refused.value.facts["known"].startswith("sft-qlora, ")
    assert refused.value.facts["known"].count(", ") == len(PRESETS) - 1
