"""What the pages on de-identification say is so: the example recogniser works, the profile is one, the table names kinds that exist."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from ringfence.deid.draw import Draw
from ringfence.deid.profile import Profile, names
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.residual import planted, recall
from ringfence.deid.settings import kinds
from tests.redacting import redact

DOCS = Path(__file__).parents[3] / "docs"
FOLDERS = [DOCS / "deid", DOCS / "zh" / "deid"]


def block(path, language):
    return re.search(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)[1]


def test_both_languages_show_the_same_examples():
    for path in FOLDERS[0].iterdir():
        pages = [re.sub(r"  #.*", "", (folder / path.name).read_text(encoding="utf-8")) for folder in FOLDERS]  # remarks are translated
        blocks = [re.findall(r"```(?:python|json|console)\n.*?```", page, re.DOTALL) for page in pages]
        assert blocks[0] == blocks[1], path.name
    assert {p.name for p in FOLDERS[0].iterdir()} == {p.name for p in FOLDERS[1].iterdir()}


def test_the_example_of_scan_prints_what_the_page_says(capsys):
    exec(block(FOLDERS[0] / "python.md", "python"), {})
    said = f"```\n{capsys.readouterr().out}```"
    assert all(said in (folder / "python.md").read_text(encoding="utf-8") for folder in FOLDERS)


def test_the_example_of_a_recogniser_works():
    exec(block(FOLDERS[0] / "recogniser.md", "python"), {"__name__": "example"})
    try:
        part = RECOGNISERS.create("blood-sample.v1")
        text = f"样本{part.example}已送检 BLD-10203041 xBLD-10203040"
        assert [text[s.start : s.end] for s in part.find(text)] == [part.example]
        assert redact(text, part.find(text)) == "样本<BLOOD_SAMPLE>已送检 BLD-10203041 xBLD-10203040"
        made = [part.surrogate(part.example, Draw(b"k" * 32, bytes([n]))) for n in range(50)]
        assert len(set(made)) > 40
        assert not any(list(part.find(one)) for one in made)
        assert all(re.fullmatch(part.pattern, one) for one in made)
        hidden = [item for item in planted(["患者三天前咳嗽"], [part], random.Random(1), each=60) if item.kind == "BLOOD_SAMPLE"]
        assert len({item.value for item in hidden}) == len(hidden) == 60
        assert recall(hidden, lambda texts: [list(part.find(text)) for text in texts])[0]["BLOOD_SAMPLE"] >= 57
    finally:
        RECOGNISERS._parts.pop("blood-sample.v1")


def test_the_example_of_a_profile_is_one():
    profile = Profile.model_validate(json.loads(block(FOLDERS[0] / "profiles.md", "json")))
    assert [use.use for use in profile.operators["AGE"]] == ["generalise.v1", "keep.v1"]


@pytest.mark.parametrize("folder", FOLDERS, ids=["en", "zh"])
def test_the_pages_name_every_profile_and_every_identifier_of_the_rule(folder):
    page = (folder / "profiles.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in names())
    rows = re.findall(r"^\| ([A-R]) \|[^|]*\|([^|]*)\|", (folder / "hipaa.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [letter for letter, _ in rows] == list("ABCDEFGHIJKLMNOPQR")
    for letter, found in rows:
        named = {kind.strip() for kind in found.split(",")} - {""}
        assert named <= set(kinds())
        assert named or letter in "PQ"
