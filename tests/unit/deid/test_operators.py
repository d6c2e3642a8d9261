"""Operators: known outcomes, totality, and what the key decides."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ringfence.deid.operator import OPERATORS, Occurrence, Use, Uses, When

KEY = b"k" * 32


class Tools:
    """Real digests; stand-ins that say what they stand for."""

    def __init__(self, key=KEY):
        self.key = key

    def surrogate(self, kind, value):
        return f"[{kind} {len(value)}]"

    def normal(self, _kind, value):
        return value.replace("-", "").upper()

    def digest(self, purpose, data):
        return hmac.digest(self.key, purpose.encode() + b"\x00" + data, "sha256")


def apply(name, kind, value, *, subject=b"s", key=KEY, **params):
    return OPERATORS.create(name, **params).apply(Occurrence(kind, value, subject), Tools(key))


@pytest.mark.parametrize(
    ("name", "params", "kind", "value", "made"),
    [
        ("redact.v1", {}, "EMAIL", "a@b.c", "<EMAIL>"),
        ("keep.v1", {}, "AGE", "54", "54"),
        ("drop.v1", {}, "AGE", "54", None),
        ("surrogate.v1", {}, "EMAIL", "a@b.c", "[EMAIL 5]"),
        ("mask.v1", {}, "PHONE", "138-0013", "***-****"),
        ("mask.v1", {"keep_last": 4, "keep_first": 1}, "BANK_CARD", "4111 1111 1111 1234", "4*** **** **** 1234"),
        ("mask.v1", {"keep_last": 4}, "PIN", "1234", "****"),
        ("mask.v1", {"keep_first": 1, "character": "某"}, "PERSON", "张小明", "张某某"),
        ("generalise.v1", {"to": "band"}, "AGE", "54", "50-59"),
        ("generalise.v1", {"to": "band"}, "AGE", "三十二", "30-39"),
        ("generalise.v1", {"to": "band"}, "AGE", "90", "90+"),
        ("generalise.v1", {"to": "band", "width": 25}, "AGE", "89", "75-89"),
        ("generalise.v1", {"to": "year"}, "DATE", "1985年3月12日", "1985年"),
        ("generalise.v1", {"to": "month"}, "DATE", "1985年3月12日", "1985年3月"),
        ("generalise.v1", {"to": "month"}, "DATE", "2023-04-15", "2023-04"),
        ("generalise.v1", {"to": "month"}, "DATE", "April 15, 2023", "April 2023"),
        ("generalise.v1", {"to": "month"}, "DATE", "15 April 2023", "April 2023"),
        ("generalise.v1", {"to": "year"}, "DATE", "15/04/2023", "2023"),
        ("generalise.v1", {"to": "year"}, "DATE", "3月12日", "<DATE>"),
        ("generalise.v1", {"to": "province"}, "CN_ADDRESS", "广东省深圳市南山区", "广东省"),
        ("generalise.v1", {"to": "province"}, "CN_ADDRESS", "深圳市南山区", "<CN_ADDRESS>"),
        ("generalise.v1", {"to": "prefix"}, "POSTCODE", "20500", "205"),
        ("generalise.v1", {"to": "prefix"}, "POSTCODE", "03601", "000"),
        ("generalise.v1", {"to": "prefix"}, "POSTCODE", "SW1A 2AA", "<POSTCODE>"),
        ("generalise.v1", {"to": "prefix"}, "POSTCODE", "205", "<POSTCODE>"),
        ("generalise.v1", {"to": "prefix", "digits": 6}, "POSTCODE", "100080", "<POSTCODE>"),
        ("generalise.v1", {"to": "cell"}, "GPS", "39.9042, 116.4074", "39.9, 116.4"),
        ("generalise.v1", {"to": "cell"}, "GPS", "39.904211°N", "39.9°N"),
        ("generalise.v1", {"to": "cell"}, "GPS", "39°54'15.2\"N", "<GPS>"),  # seconds and minutes are finer than a cell
        ("generalise.v1", {"to": "cell"}, "GPS", "39°54.2534′N 116°24.4440′E", "<GPS>"),
        ("generalise.v1", {"to": "cell"}, "GPS", "39度54.25分", "<GPS>"),
        ("generalise.v1", {"to": "network"}, "IP_ADDRESS", "10.23.4.17", "10.23.0.0"),
        ("generalise.v1", {"to": "network"}, "IP_ADDRESS", "2001:db8::1", "<IP_ADDRESS>"),
        ("date-shift.v1", {}, "DATE", "some day", "[DATE 8]"),
    ],
)
def test_known_outcomes(name, params, kind, value, made):
    assert apply(name, kind, value, **params) == made


def test_the_intervals_of_a_subject_stay_and_those_between_subjects_do_not():
    from datetime import date

    def shifts(subject, **params):
        made = [date.fromisoformat(apply("date-shift.v1", "DATE", day, subject=subject, **params)) for day in ("2020-01-01", "2023-06-30")]
        assert (made[1] - made[0]).days == (date(2023, 6, 30) - date(2020, 1, 1)).days
        return (made[0] - date(2020, 1, 1)).days

    found = {shifts(bytes([n])) for n in range(40)}
    assert len(found) > 30
    assert all(0 < abs(days) <= 365 for days in found)
    assert min(found) < 0 < max(found)
    assert all(shifts(bytes([n]), weekdays=True) % 7 == 0 for n in range(20))
    assert shifts(b"a") == shifts(b"a")


@pytest.mark.parametrize("name", ["token.v1", "hash.v1", "ff1.v1", "date-shift.v1"])
def test_the_key_decides(name):
    value = "2021-03-04" if name == "date-shift.v1" else "138-0013-8000"
    kind = "DATE" if name == "date-shift.v1" else "PHONE"
    made = {apply(name, kind, value, key=bytes([n]) * 32) for n in range(8)}
    assert len(made) > 4
    assert value not in made
    assert apply(name, kind, value) == apply(name, kind, value)


def test_labels_and_digests_join_two_spellings_and_part_two_kinds():
    for name in ("token.v1", "hash.v1"):
        assert apply(name, "PHONE", "138-0013-8000") == apply(name, "PHONE", "13800138000")
        assert apply(name, "PHONE", "13800138000") != apply(name, "QQ", "13800138000")
    assert apply("token.v1", "PERSON", "张伟", digits=4)[:8] == "⟦PERSON_"
    assert len(apply("hash.v1", "PERSON", "张伟", digits=64)) == 64


@given(st.lists(st.from_regex(r"[0-9]{6,12}", fullmatch=True), min_size=2, max_size=20, unique=True))
def test_ff1_is_one_to_one_and_keeps_the_form(values):
    made = [apply("ff1.v1", "POLICY_NUMBER", value) for value in values]
    assert len(set(made)) == len(values)
    assert [len(value) for value in made] == [len(value) for value in values]
    assert apply("ff1.v1", "POLICY_NUMBER", f"PA-{values[0]}/X") == f"PA-{made[0]}/X"


@pytest.mark.parametrize(
    ("key", "tweak", "plain", "cipher"),
    [  # Source: NIST, FF1 samples 1, 2 and 7 of SP 800-38G
        ("2b7e151628aed2a6abf7158809cf4f3c", "", "0123456789", "2433477484"),
        ("2b7e151628aed2a6abf7158809cf4f3c", "39383736353433323130", "0123456789", "6124200773"),
        ("2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94", "", "0123456789", "6657667009"),
    ],
)
def test_ff1_reproduces_the_vectors_of_the_standard(key, tweak, plain, cipher):
    from fastfpe import ff1

    assert ff1.encrypt(key, tweak, "0123456789", plain) == cipher


ALL = [("generalise.v1", {"to": to}) for to in ("band", "year", "month", "province", "prefix", "cell", "network")]
ALL += [(name, {}) for name in OPERATORS.names() if name != "generalise.v1"]


@pytest.mark.parametrize(("name", "params"), ALL)
@given(value=st.text(min_size=1, max_size=30))
def test_every_string_has_a_replacement(name, params, value):
    made = apply(name, "X", value, **params)
    assert made is None or isinstance(made, str)


def test_the_first_use_whose_condition_holds():
    uses = TypeAdapter(Uses).validate_python([{"use": "redact.v1", "when": {"at_least": 90}}, "keep.v1"])
    assert [use.use for use in uses] == ["redact.v1", "keep.v1"]
    assert TypeAdapter(Uses).validate_python("mask.v1")[0].use == "mask.v1"
    assert When(at_least=90).holds("91", 0.5)
    assert not When(at_least=90).holds("89", 1.0)
    assert not When(at_most=10).holds("no number", 1.0)
    assert When(at_most=10).holds("十", 0.1)
    assert not When(min_score=0.7).holds("x", 0.6)


@pytest.mark.parametrize(
    "wrong", [{"use": "mask.v1", "params": {"keep_lost": 4}}, {"use": "generalise.v1"}, {"use": "mask.v1", "params": {"keep_last": -1}}]
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        Use.model_validate(wrong)


def test_what_an_operator_cannot_change_gets_a_stand_in_or_its_kind():
    assert apply("ff1.v1", "PERSON", "张伟") != "张伟"
    months = [apply("date-shift.v1", "DATE", "2024年3月", subject=bytes([n]), days=7) for n in range(60)]
    assert "2024年3月" not in months
    assert apply("mask.v1", "PERSON", "——") == "<PERSON>"
    assert apply("mask.v1", "QQ", "****x", character="x") == "<QQ>"
