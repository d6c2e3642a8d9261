"""What is not installed is said with the extra that brings it, before anything starts."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys

import pytest

from ringfence.deid.tagger import TAGGERS
from ringfence.flows import extras
from tests.flows.conftest import import_notes, notes, reopen, write_rows
from tests.unit.deid.lessons_data import ward_rows


@pytest.fixture
def without(monkeypatch):
    """Return a function after which a library seems not to be installed."""
    real = extras.find_spec

    def hide(*names):
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name in names else real(name))

    return hide


CASES = [
    ("lac.v1", "onnxruntime", "deid"),
    ("e5-names.v1", "safetensors", "deid"),
    ("en-names.v1", "pycrfsuite", "deid"),
    ("spacy-en-md.v1", "spacy", "names"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_tagger_without_its_library_names_the_extra(space, cli, tmp_path, without, case):
    tagger, library, extra = case
    import_notes(space, tmp_path, notes(3))
    size = reopen(space.path).ledger.size
    without(library)
    code, answer = cli("deid", "clinic", "--with", tagger, workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-DEID-060")
    assert tagger in answer["error"]["message"]
    assert library in answer["error"]["message"]
    assert f"'.[{extra}]'" in answer["error"]["remedy"]
    assert reopen(space.path).ledger.size == size
    if tagger == "en-names.v1":
        assert cli("deid", "clinic", "--without", tagger, workspace=space.path)[0] == 0


def test_learning_and_asking_the_field_without_crfsuite_are_refused_first(space, cli, tmp_path, without):
    import_notes(space, tmp_path, notes(3))
    assert cli("deid", "clinic", "--without", "en-names.v1", workspace=space.path)[0] == 0
    path = write_rows(tmp_path / "wards.jsonl", ward_rows(3))
    size = reopen(space.path).ledger.size
    without("pycrfsuite")
    for call in (("train", path), ("review", "clinic", "--by", "uncertainty")):
        code, answer = cli("deid", *call, workspace=space.path)
        assert (code, answer["error"]["code"]) == (2, "RF-DEID-060")
    assert reopen(space.path).ledger.size == size


@pytest.mark.parametrize("name", TAGGERS.names())
def test_every_tagger_says_what_it_imports(name):
    tagger = TAGGERS.create(name)
    tree = ast.parse(inspect.getsource(importlib.import_module(type(tagger).__module__)))
    named = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named += [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
    found = {one.partition(".")[0] for one in named} - sys.stdlib_module_names - {"ringfence", "numpy"}
    told = set(tagger.needs.libraries) if tagger.needs else set()
    assert found <= told or name == "zh-names.v1"  # which shares its module with the English one
