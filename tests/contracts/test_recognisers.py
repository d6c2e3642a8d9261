"""What every recogniser keeps, and the rows that each one must find and leave."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid.draw import Draw
from ringfence.deid.engine import Engine
from ringfence.deid.named import STAND_INS
from ringfence.deid.profile import load, settings_for
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.settings import kinds
from tests.redacting import redact

GOLDEN = {
    file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((Path(__file__).parents[1] / "golden" / "recognisers").glob("*.json"))
}
GLUED = Path(__file__).parents[3] / "shared" / "data" / "deid" / "zh-glued-ids" / "cases.jsonl"
KIND_OF = {  # what the labels of that set are called here
    "CARD": "BANK_CARD",
    "IP": "IP_ADDRESS",
    "IP6": "IP_ADDRESS",
    "MAC": "MAC_ADDRESS",
    "SSN": "US_SSN",
    "CNID": "CN_RESIDENT_ID",
    "CNID15": "CN_RESIDENT_ID",
    "MOBILE": "CN_MOBILE",
    "LANDLINE": "CN_LANDLINE",
    "USCC": "CN_USCC",
    "PLATE": "CN_PLATE",
    "PLATE-NEV": "CN_PLATE",
    "WX": "WECHAT",
    "HKID": "HK_ID",
    "TWID": "TW_ID",
    "AWSKEY": "API_KEY",
    "ETH": "CRYPTO_WALLET",
    "BTC": "CRYPTO_WALLET",
    "MRN": "MEDICAL_RECORD",
    "ADDR": "CN_ADDRESS",
}
FIND = [(name, text, values) for name, rows in GOLDEN.items() for text, values in rows["find"]]
LEAVE = [(name, text) for name, rows in GOLDEN.items() for text in rows["leave"]]


@pytest.mark.parametrize("name", RECOGNISERS.names())
@given(before=st.text(), after=st.text())
def test_every_recogniser_keeps_the_contract(name, before, after):
    tool = RECOGNISERS.create(name)
    text = f"{before} {tool.example} {after}"
    spans = list(tool.find(text))
    assert spans == sorted(spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert all(0 <= s.start < s.end <= len(text) and 0 < s.score <= 1 for s in spans)
    assert {s.kind for s in spans} <= tool.kinds
    assert tool.example not in redact(text, spans)
    assert not list(tool.find(redact(text, spans)))


@pytest.mark.parametrize("name", RECOGNISERS.names())
@given(value=st.text(min_size=1, max_size=30), seed=st.binary(max_size=8))
def test_every_string_has_a_surrogate_and_a_normal_form(name, value, seed):
    tool = RECOGNISERS.create(name)
    made = tool.surrogate(value, Draw(b"k" * 32, seed))
    assert made == tool.surrogate(value, Draw(b"k" * 32, seed))
    assert isinstance(tool.normalise(made), str)


@pytest.mark.parametrize("name", RECOGNISERS.names())
@given(
    context=st.sampled_from(["护照", "passport ", "SSN ", "身份证", "https://a.b/c?", "version ", "token: ", "-----END PRIVATE KEY-----"])
)
def test_no_recogniser_looks_across_nul(name, context):
    tool = RECOGNISERS.create(name)
    for text, _ in GOLDEN[name]["find"]:
        alone = [text[s.start : s.end] for s in tool.find(text)]
        joined = f"{context}\x00{text}\x00{context}"
        inside = [joined[s.start : s.end] for s in tool.find(joined) if s.start > len(context)]
        assert inside == alone


@pytest.mark.parametrize("name", RECOGNISERS.names())
def test_the_pattern_lies_in_the_common_subset(name):
    pattern = RECOGNISERS.create(name).pattern
    assert not re.search(r"\(\?[=!<P]|\\[bBdDwWsSAZ0-9]|\[\^|(?<!\\)\.(?![\w+\-])", re.sub(r"\[(?:\\.|[^\]])*\]", "[x]", pattern))
    assert all(ord(c) < 128 for cls in re.findall(r"\[(?:\\.|[^\]])*\]", pattern) for c in cls), (
        "a class of bytes is no class of characters"
    )


def test_every_recogniser_has_golden_rows_of_both_sorts():
    assert sorted(GOLDEN) == RECOGNISERS.names()
    assert all(len(rows["find"]) >= 6 and len(rows["leave"]) >= 6 for rows in GOLDEN.values())


@pytest.mark.parametrize(("name", "text", "values"), FIND)
def test_golden_rows_are_found(name, text, values):
    assert [text[s.start : s.end] for s in RECOGNISERS.create(name).find(text)] == values


@pytest.mark.parametrize(("name", "text"), LEAVE)
def test_negative_twins_are_left(name, text):
    assert not [text[s.start : s.end] for s in RECOGNISERS.create(name).find(text)]


def test_the_default_profile_runs_every_built_in_recogniser():
    assert list(load("default").recognisers) == RECOGNISERS.names()
    assert set(kinds()) == {"CODE", "TERM", *STAND_INS, *(k for n in RECOGNISERS.names() for k in RECOGNISERS.create(n).kinds)}


@pytest.mark.skipif(not GLUED.exists(), reason="this machine has no ../shared/data")
def test_identifiers_glued_to_chinese_characters():
    engine = Engine.build(settings_for("default").model_copy(update={"taggers": ()}), b"k" * 32)
    rows = [json.loads(line) for line in GLUED.read_text(encoding="utf-8").splitlines()]
    missed = []
    for row in rows:
        start, end, label = row["spans"][0]
        found = engine.find(row["text"])
        assert len(found) <= 1, "nothing else in those sentences is an identifier"
        if not any(s.start <= start and s.end >= end and s.kind == KIND_OF.get(label, label) for s in found):
            missed.append(label)
    print(f"zh-glued-ids: {len(rows) - len(missed)} of {len(rows)}")
    assert missed == ["NAME"], "names are the taggers' business"
