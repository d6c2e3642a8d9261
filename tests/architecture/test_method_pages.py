"""Pages of methods against code: every method has one in both languages, and its recipes, defaults, refusals and measured figures are what they are said to be."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

from ringfence.core.errors import RingfenceError
from ringfence.recipe.read import judge, recipe_of, strict_yaml
from ringfence.train.settings import TrainSettings

ROOT = Path(__file__).parents[2]
DOCS = {"en": ROOT / "docs", "zh": ROOT / "docs" / "zh"}
NAMES = sorted(path.stem for path in (DOCS["en"] / "methods").glob("*.md"))
PLAIN = "lora"  # whose row stands on every page
MEASURED_BY = ROOT / "benchmarks" / "methods.py"

each = pytest.mark.parametrize("name", NAMES)
both = pytest.mark.parametrize("language", DOCS)


def page(name, language="en"):
    return (DOCS[language] / "methods" / f"{name}.md").read_text(encoding="utf-8")


def hub(language):
    return (DOCS[language] / "methods.md").read_text(encoding="utf-8")


def measured(document):
    """Return {method: the whole line} of a page's measured rows, in order."""
    return {found[1]: found[0] for found in re.finditer(r"^\| `([^`]+)` \|.* MiB \|.*$", document, re.MULTILINE)}


def own(name, language="en"):
    """Return the methods whose rows a page is for."""
    return [method for method in measured(page(name, language)) if method != PLAIN or name == PLAIN]


def recipes(document):
    return [strict_yaml(block) for block in re.findall(r"^```yaml\n(.*?)^```", document, re.DOTALL | re.MULTILINE)]


def tables(document, last):
    """Return the rows of all tables whose last column is called one of these: lists of cells."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", document + "\n", re.MULTILINE):
        header, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
        if header[-1].strip("| ") in last:
            found += rows
    return found


def spans(cell):
    return re.findall(r"`([^`]+)`", cell)


def added(document, cell):
    """Return the first recipe of a page with the lines of a cell in it."""
    return {**recipes(document)[0], **{key: value for line in spans(cell) for key, value in strict_yaml(line).items()}}


# ── which pages there are ─────────────────────────────────────────────────────────────────────────────────────────────


@both
def test_every_method_has_a_page_that_names_its_part(language):
    for path in (ROOT / "src" / "ringfence" / "train" / "methods").glob("[!_]*.py"):
        parts = re.findall(r'@METHODS\.add\("((.+)\.v\d+)"\)', path.read_text(encoding="utf-8"))
        assert parts, path.name
        for part, name in parts:
            assert f"`{part}`" in page(name, language)
            assert f"`{part}`" in hub(language)


@both
def test_every_method_of_the_measured_table_has_one_page(language):
    assert Counter(method for name in NAMES for method in own(name, language)) == Counter(measured(hub(language)).keys())
    assert all(own(name, language) for name in NAMES)


@both
def test_the_table_of_choices_links_every_page(language):
    assert sorted(re.findall(r"^\| \[[^]]+\]\(methods/(.+?)\.md\)", hub(language), re.MULTILINE)) == NAMES


# ── what they say ─────────────────────────────────────────────────────────────────────────────────────────────────────


@both
@each
def test_a_page_has_the_figures_of_the_measured_table(name, language):
    rows, whole = measured(page(name, language)), measured(hub(language))
    assert next(iter(rows)) == PLAIN
    assert {method: whole[method] for method in rows} == rows


@each
def test_its_recipes_are_read_and_are_the_measured_methods(name):
    """The first ones are those of its rows, in order: the method's keys and the rate of the benchmark."""
    spec = importlib.util.spec_from_file_location("benchmarks_methods", MEASURED_BY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    documents = recipes(page(name))
    assert len(documents) >= len(own(name))
    for document in documents:
        assert {line.key: line.treatment for line in judge(document) if line.treatment != "used"} == {}
        assert recipe_of(document).datasets == ("clinic",)
    for method, document in zip(own(name), documents, strict=False):
        train, wanted = recipe_of(document).order.train, module.METHODS[method]
        assert {key: getattr(train, key) for key in wanted} == wanted


@both
@each
def test_its_defaults_are_those_of_the_settings(name, language):
    for key, _, told in tables(page(name, language), ("default", "默认")):
        field = TrainSettings.model_fields.get(key.strip("`"))
        if field is None:  # which method it is, and what has one value
            continue
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        said = strict_yaml(spans(told)[0]) if spans(told) else None
        assert (said or None) == (default or None), key


@each
def test_what_goes_with_it_does(name):
    rows = tables(page(name), ("what becomes of it",))
    assert rows
    for cell, _ in rows:
        assert spans(cell)
        recipe_of(added(page(name), cell))


@each
def test_what_is_refused_is_refused_by_that_code(name):
    rows = tables(page(name), ("code",))
    assert rows
    for cell, _, code in rows:
        with pytest.raises(RingfenceError) as refused:
            recipe_of(added(page(name), cell))
        assert code == f"[{refused.value.code}](../errors/en/{refused.value.code}.md)", cell


@each
def test_both_languages_have_the_same_recipes_and_lines(name):
    english, chinese = page(name), page(name, "zh")
    assert recipes(english) == recipes(chinese)
    for one, other in ((("what becomes of it",), ("结果",)), (("code",), ("代码",)), (("default",), ("默认",))):
        assert [spans(row[0]) for row in tables(english, one)] == [spans(row[0]) for row in tables(chinese, other)]
    for said in (r"`(tests/[^`]+)`", r"RF-[A-Z]+-\d+", r"arXiv:[\d.]+"):
        assert sorted(re.findall(said, english)) == sorted(re.findall(said, chinese))


@each
def test_the_tests_that_it_names_are_there(name):
    named = re.findall(r"`(tests/[^`]+)`", page(name))
    assert [path for path in named if not (ROOT / path).is_file()] == []
