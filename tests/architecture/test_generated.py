"""Generated files equal a fresh generation, and examples are what the product uses."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ringfence.core import text
from ringfence.flows.demo import POLICY, RECIPES
from ringfence.flows.policy import read_policy
from ringfence.recipe.read import read

ROOT = Path(__file__).parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", ["en", "zh"])
def test_reference_pages_are_what_the_code_says(language):
    for path, content in generator().pages(language).items():
        assert (ROOT / "docs" / path).read_text(encoding="utf-8") == content, f"run make docs ({path})"
    text.choose("en")


@pytest.mark.parametrize(("name", "recipe"), [("clinic", "ordinary"), ("clinic-private", "private")])
def test_the_demo_uses_the_example_recipes(name, recipe):
    assert (ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8") == RECIPES[recipe]


def test_the_demo_uses_the_example_policy():
    assert read_policy(ROOT / "examples" / "clinic-policy.yaml") == POLICY


def test_every_example_recipe_can_be_read():
    examples = sorted(path for path in (ROOT / "examples").glob("*.yaml") if "policy" not in path.name)
    assert examples
    for path in examples:
        assert read(path).dataset


def test_every_command_of_the_readmes_exists():
    known = (ROOT / "docs" / "reference-cli.md").read_text(encoding="utf-8")
    for name in ("README.md", "README.zh.md"):
        lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line.startswith("$ ringfence ")]
        assert len(lines) >= 12
        for line in lines:
            words = line.split()[2:4]
            assert f"## `ringfence {words[0]}`" in known or f"## `ringfence {' '.join(words)}`" in known, line
