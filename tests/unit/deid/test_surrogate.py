"""Surrogates: keyed, consistent, of the same look, in space that was never issued."""

from __future__ import annotations

import ipaddress
import re

import pytest

from ringfence.deid import surrogate
from ringfence.deid.draw import Draw, refill
from ringfence.deid.numerals import number
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.surrogate import Surrogates

KEY = b"k" * 32
PARTS = {kind: part for part in map(RECOGNISERS.create, RECOGNISERS.names()) for kind in part.kinds}


def surrogates(key=KEY, is_taken=lambda _kind, _value: False, parts=PARTS):
    return Surrogates(key, parts=parts, terms=(), taken=lambda some: [is_taken(*one) for one in some])


def luhn(number):
    total = 0
    for place, digit in enumerate(number[::-1]):
        n = int(digit) * (2 if place % 2 else 1)
        total += n // 10 + n % 10
    return total % 10 == 0


FORMS = [  # kind, value, form of every stand-in, source of "never issued"
    (
        "CN_RESIDENT_ID",
        "11010519491231002X",
        r"99\d{4}194\d(0[1-9]|1[0-2])(0[1-9]|1\d|2[0-8])\d\d[02468][\dX]",
        "GB/T 2260 has no region 99",
    ),
    ("CN_RESIDENT_ID", "110105 19491231 002X", r"99\d{4} 194\d{5} \d{3}[\dX]", "GB/T 2260"),
    ("CN_RESIDENT_ID", "130503670401001", r"99\d{4}6\d{7}1", "GB/T 2260"),
    ("CN_MOBILE", "138-0013-8000", r"1[012]\d-\d{4}-\d{4}", "numbering plan: mobile numbers begin 13 to 19"),
    ("BANK_CARD", "4111 1111 1111 1111", r"9999( \d{4}){3}", "ISO/IEC 7812: 9 + country code, 999 is none"),
    ("BANK_CARD", "6222021001116245702", r"9999\d{15}", "ISO/IEC 7812"),
    ("EMAIL", "zhang.wei@mail.corp", r"[a-z]+\.[a-z]+@(example\.(com|org|net)|mail\.invalid)", "RFC 2606"),
    ("EMAIL", "frontdesk7@mail.corp", r"[a-z][a-z0-9]{5,15}@(example\.(com|org|net)|mail\.invalid)", "RFC 2606"),
    ("IP_ADDRESS", "10.23.4.17", r"(192\.0\.2|198\.51\.100|203\.0\.113|198\.18\.\d{1,3})\.\d{1,3}", "RFC 5737, RFC 2544"),
    ("IP_ADDRESS", "fe80::1", r"2001:db8:.*", "RFC 3849"),
    ("PASSPORT", "E12345678", r"X\d{8}", "X is no series of the PRC"),
    ("PASSPORT", "512345678", r"000\d{6}", "no series begins 000"),
    ("CN_PLATE", "京A·12345", r"京I·\d{5}", "GA 36 uses no I"),
    ("CN_PLATE", "粤BD12345", r"粤I[A-K]\d{5}", "GA 36"),
    ("US_SSN", "536-22-8726", r"000-\d\d-\d{4}", "SSA: no area 000"),
    ("URL_CREDENTIALS", "deploy:s3cr3t", r"[a-z][a-z0-9]{5,}:[a-z0-9]{12}", ""),
    ("API_KEY", "AKIAIOSFODNN7EXAMPLE", r"AKIA[A-Z0-9]{9}EXAMPLE", ""),
    ("TERM", "天枢平台", r"内部项目[A-Z]\d{3}", ""),
]


@pytest.mark.parametrize(("kind", "value", "form", "source"), FORMS)
def test_the_form_is_kept_and_nothing_is_issued(kind, value, form, source):
    for n in range(50):
        made = surrogates(key=bytes([n]) * 32).surrogate(kind, value)
        assert re.fullmatch(form, made), source
        if kind == "BANK_CARD":
            assert luhn(made.replace(" ", ""))
        if kind == "CN_RESIDENT_ID" and len(made.replace(" ", "")) == 18:
            digits = [10 if c == "X" else int(c) for c in made.replace(" ", "")]
            assert sum(d * 2 ** (17 - i) for i, d in enumerate(digits)) % 11 == 1  # ISO 7064 MOD 11-2, written another way
        if kind == "IP_ADDRESS":
            ipaddress.ip_address(made)


@pytest.mark.parametrize("kind", ["CN_RESIDENT_ID", "CN_MOBILE", "BANK_CARD", "CN_PLATE", "US_SSN"])
def test_a_stand_in_is_not_taken_for_a_real_one(kind):
    values = {row[0]: row[1] for row in reversed(FORMS)}
    for n in range(50):
        made = surrogates(key=bytes([n]) * 32).surrogate(kind, values[kind])
        assert not list(PARTS[kind].find(made))


def test_the_same_value_in_other_spelling_has_the_same_digits():
    make = surrogates()
    plain, spaced = make.surrogate("BANK_CARD", "4111111111111111"), make.surrogate("BANK_CARD", "4111 1111 1111 1111")
    assert spaced.replace(" ", "") == plain
    assert make.surrogate("EMAIL", "Bob@Corp.com") == make.surrogate("EMAIL", "bob@corp.com")


def test_key_kind_and_value_each_matter():
    assert surrogates().surrogate("CN_MOBILE", "13800138000") == surrogates().surrogate("CN_MOBILE", "13800138000")
    assert surrogates().surrogate("CN_MOBILE", "13800138000") != surrogates(b"x" * 32).surrogate("CN_MOBILE", "13800138000")
    assert surrogates().surrogate("CN_MOBILE", "13800138000") != surrogates().surrogate("CN_MOBILE", "13800138001")


def test_a_taken_stand_in_is_drawn_again():
    first = surrogates().surrogate("US_SSN", "536-22-8726")
    again = surrogates(is_taken=lambda _kind, value: value == first).surrogate("US_SSN", "536-22-8726")
    assert again != first
    assert again == surrogates(is_taken=lambda _kind, value: value == first).surrogate("US_SSN", "536-22-8726")


def test_draws_are_spread_and_reproducible():
    draw = Draw(KEY, b"seed")
    counts = [0] * 10
    for _ in range(5_000):
        counts[draw.below(10)] += 1
    assert max(counts) < 620
    assert min(counts) > 390
    assert Draw(KEY, b"seed").text("0123456789", 40) == Draw(KEY, b"seed").text("0123456789", 40)
    assert Draw(KEY, b"a").text("ab", 64) != Draw(KEY, b"b").text("ab", 64)


def test_refill_keeps_separators():
    assert refill("京A-12 34", "X5678") == "京X-56 78"


def test_what_is_forgotten_to_make_room_is_made_again_together(monkeypatch):
    monkeypatch.setattr(surrogate, "_REMEMBERED", 3)
    asked = []
    made = surrogates(is_taken=lambda _kind, value: bool(asked.append(value)))
    first = [("CN_MOBILE", f"1380013800{n}") for n in range(2)]
    made.prepare(first)
    before = [made.surrogate(*at) for at in first]
    made.prepare([*first, ("CN_MOBILE", "13900139000"), ("CN_MOBILE", "13900139001")])
    count = len(asked)
    assert [made.surrogate(*at) for at in first] == before
    assert len(asked) == count


@pytest.mark.parametrize("value", ["一〇二", "一〇〇", "九十九", "102"])
def test_an_age_beyond_a_hundred_has_a_stand_in_of_the_same_five_years(value):
    for n in range(20):
        made = surrogates(key=bytes([n]) * 32).surrogate("AGE", value)
        assert number(made) // 5 == number(value) // 5
        assert made != value
