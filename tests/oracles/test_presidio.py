"""Presidio 2.2.366 against our reading of its YAML, and each inside the other."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

import ringfence

RECOGNIZERS = [
    {"name": "badge", "supported_entity": "BADGE", "patterns": [{"name": "b", "regex": r"\bbd-\d{4,6}\b", "score": 0.6}]},
    {"name": "zip", "supported_entity": "ZIP", "patterns": [{"name": "z", "regex": r"(\b\d{5}(?:\-\d{4})?\b)", "score": 0.5}]},
    {
        "name": "mail",
        "supported_entity": "MAIL",
        "patterns": [{"name": "m", "regex": r"[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}\b", "score": 0.9}],
    },
    {"name": "line", "supported_entity": "LINE", "patterns": [{"name": "l", "regex": r"^no\.\s*\d+$", "score": 1.0}]},
    {"name": "titles", "supported_entity": "TITLE", "deny_list": ["Mr", "Mrs", "Dr"]},
]
PIECES = [
    "bd-1234",
    "BD-123456",
    "bd-1234567",
    "10115",
    "10115-1234",
    "a.b@corp.internal",
    "Mr",
    "mrs",
    "Dr",
    "no. 12",
    "x",
    "_",
    "7",
    " ",
    ", ",
    "\n",
    "-",
    ".",
]


@pytest.mark.full
def test_presidio(other_side, tmp_path):
    draw = random.Random(5)
    texts = ["".join(draw.choices(PIECES, k=draw.randrange(1, 12))) for _ in range(600)]
    glued = ["工牌bd-123456已停用", "邮编10115收", "写信到a.b@corp.internal吧"]
    file, answer = tmp_path / "recognisers.yaml", tmp_path / "answer.json"
    file.write_text(yaml.safe_dump({"recognizers": RECOGNIZERS}), encoding="utf-8")
    source = Path(ringfence.__file__).parents[1]
    other_side(
        "presidio-venv", "presidio_side.py", source=source, yaml=file, recognizers=RECOGNIZERS, texts=[*texts, *glued], answer=answer
    )
    said = json.loads(answer.read_text())

    assert said["ours"][: len(texts)] == said["theirs"][: len(texts)]
    assert sum(map(len, said["ours"][: len(texts)])) > 400
    assert [len(found) for found in said["theirs"][len(texts) :]] == [0, 0, 0]  # no word edge beside a Chinese character
    assert [len(found) for found in said["ours"][len(texts) :]] == [1, 1, 1]

    assert [kind for kind, _ in said["found"]] == ["BADGE", "BADGE", "CN_MOBILE", "CREDIT_CARD"]
    assert not any(original in text for text in said["masked"] for original in ("13800138000", "bd-123456", "4111"))

    assert said["is_one"]
    assert said["analyzed"] == [["BADGE", 14, 23], ["CN_MOBILE", 2, 13]]
    assert said["asked_for_one"] == ["EMAIL"]
