"""What is searched in a faster way, against the plain one."""

from __future__ import annotations

import re
from collections import Counter
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid.engine import Engine
from ringfence.deid.profile import settings_for
from ringfence.deid.recognisers import phone, secret_rules
from ringfence.deid.recognisers.api_key import entropy
from ringfence.deid.scanner import has_vectorscan

PLAIN = re.compile(
    r"(?<![A-Za-z<])(?:tel|tele?phone|phone|mobile|mob|cell|fax|desk|office|call(?:ed|ing)?|text|sms|dial|reach(?:ed)?|contact|whatsapp|hotline|answering)"
    r"(?![A-Za-z])|电话|電話|手机|手機|传真|傳真|致电|拨打|热线",
    re.IGNORECASE,
)
PIECES = [
    *phone._LATIN,
    *phone._OTHER,
    *map(str.upper, phone._LATIN),
    "Tel",
    "Called",
    "telphone",
    "ed",
    "x",
    "<",
    " ",
    "电",
    "ſms",
    "ſ",
    "\n",
    "İ",
    "K",
]
SECRETS = [
    "sk-",
    "gh",
    "ghp_",
    "github_pat_",
    "xoxb-",
    "eyJ",
    ".eyJ",
    "token=",
    "密码：",
    "password: ",
    "aB3x9Zk2Qp7",
    "Zz1-_",
    ".",
    "=",
    " ",
    "号",
    "AKIA",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.integers(0, 4))
def test_the_words_of_a_telephone_are_found_where_the_plain_pattern_finds_them(text, at):
    found, plain = phone._WORDS.search(text, at), PLAIN.search(text, at)
    assert (found is None) == (plain is None)
    assert found is None or found.start() == plain.start()


@given(st.text(max_size=40))
def test_entropy_is_that_of_its_formula(value):
    expected = -sum(n / len(value) * log2(n / len(value)) for n in Counter(value).values())
    assert entropy(value) == expected


@given(st.text(st.sampled_from("ab \n\x00"), max_size=12), st.text(st.sampled_from("ab\n\x00 "), max_size=500))
def test_the_line_of_a_match_ends_at_line_ends_and_separators(before, behind):
    match = re.compile("KEY").search(f"{before}KEY{behind}")
    left, own, right = secret_rules._line(match)
    assert (left, own) == (re.split(r"[\n\x00]", before)[-1], "KEY")
    assert right == re.split(r"[\n\x00]", behind[: secret_rules._LINE])[0]


@pytest.mark.skipif(not has_vectorscan(), reason="needs the wheel")
@given(st.lists(st.sampled_from(SECRETS), max_size=40).map("".join))
def test_a_secret_of_any_length_is_found_alike_by_both_engines(text):
    assert FAST.find(text) == SLOW.find(text)


SETTINGS = settings_for("default").model_copy(update={"taggers": (), "parts": ("api-key.v1",)})
FAST = Engine.build(SETTINGS, b"k" * 32)
SLOW = Engine.build(SETTINGS.model_copy(update={"engine": "re"}), b"k" * 32)
