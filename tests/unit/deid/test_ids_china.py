"""Numbers of China, Hong Kong, Macau and Taiwan: check digits against another way to reckon them, stand-ins that nobody holds."""

from __future__ import annotations

import random
import re

import pytest
from stdnum.cn import uscc

from ringfence.deid.draw import DIGITS, UPPER, Draw
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, SHAPE
from ringfence.deid.recognisers import cn_org_code, cn_uscc

KEY = b"k" * 32
USCC_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
TAIWAN = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        map(int, "10 11 12 13 14 15 16 17 34 18 19 20 21 22 35 23 24 25 26 27 28 29 32 30 31 33".split()),
        strict=True,
    )
)


def rng():
    return random.Random(20261128)


def found(name, text):
    return [text[s.start : s.end] for s in RECOGNISERS.create(name).find(text)]


def org_is_right(code):
    total = 0
    for character, weight in zip(code, (3, 7, 9, 10, 5, 8, 4, 2), strict=False):
        total += (ord(character) - ord("0") if character.isdigit() else ord(character) - ord("A") + 10) * weight
    return {10: "X", 11: "0"}.get(11 - total % 11, str(11 - total % 11)) == code[8]


def hk_is_right(number):
    values = [36 if c == " " else UPPER.index(c) + 10 if c in UPPER else int(c) for c in number.rjust(9)]
    return sum(v * w for v, w in zip(values, (9, 8, 7, 6, 5, 4, 3, 2, 1), strict=True)) % 11 == 0


def tw_is_right(number):
    second = str(TAIWAN[number[1]] % 10) if number[1] in UPPER else number[1]
    digits = str(TAIWAN[number[0]]) + second + number[2:]
    return sum(int(d) * w for d, w in zip(digits, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True)) % 10 == 0


def test_social_credit_codes_agree_with_stdnum():
    dice = rng()
    for _ in range(500):
        first17 = (
            dice.choice("123456789") + dice.choice("1239") + "".join(dice.choices(DIGITS, k=6)) + "".join(dice.choices(USCC_LETTERS, k=9))
        )
        assert cn_uscc.check_character(first17) == uscc.calc_check_digit(first17)
        organisation = first17[8:16] + cn_org_code.check_character(first17[8:16])
        assert org_is_right(organisation)
        code = first17[:8] + organisation
        code += uscc.calc_check_digit(code)
        assert found("cn-uscc.v1", f"代码{code}号") == [uscc.validate(code)]
        at = dice.randrange(18)
        wrong = code[:at] + dice.choice([c for c in (DIGITS if at < 8 else USCC_LETTERS) if c != code[at]]) + code[at + 1 :]
        assert not uscc.is_valid(wrong)
        assert not found("cn-uscc.v1", f"代码{wrong}号")


def test_organisation_codes_agree_with_the_standard_reckoned_otherwise():
    dice = rng()
    for _ in range(500):
        code = "".join(dice.choices(DIGITS + UPPER, k=8)) + dice.choice("0123456789X")
        assert bool(found("cn-org-code.v1", f"组织机构代码{code}")) == org_is_right(code)


@pytest.mark.parametrize("number", ["A1234563", "C6686689", "P1032651", "AB9876543", "G123456A"])
def test_published_hong_kong_numbers(number):
    assert hk_is_right(number)
    assert found("hk-id.v1", f"身份證{number}") == [number]


def test_hong_kong_numbers_agree_with_the_sum_that_must_divide_by_11():
    dice = rng()
    for _ in range(500):
        number = "".join(dice.choices(UPPER, k=dice.choice((1, 2)))) + "".join(dice.choices(DIGITS, k=6))
        check = dice.choice("0123456789A")
        assert bool(found("hk-id.v1", f"{number}({check})")) == hk_is_right(number + check)


def test_taiwanese_numbers_agree_with_the_sum_that_must_divide_by_10():
    dice = rng()
    for _ in range(500):
        number = dice.choice(UPPER) + dice.choice("1289ABCD") + "".join(dice.choices(DIGITS, k=8))
        assert bool(found("tw-id.v1", f"身分證{number}")) == tw_is_right(number)


def test_area_codes():
    found_codes = [code for code in [*map(str, range(10, 30)), *map(str, range(300, 1000))] if found("cn-landline.v1", f"0{code}-62345678")]
    counts = {first: sum(code[0] == first for code in found_codes) for first in "123456789"}
    assert counts == {"1": 1, "2": 9, "3": 40, "4": 50, "5": 60, "6": 11, "7": 64, "8": 52, "9": 52}
    assert {"10", "21", "335", "411", "755", "898", "991"} <= set(found_codes)
    assert not {"26", "300", "402", "547", "611", "721", "805", "921"} & set(found_codes)


SCORES = [
    ("cn-uscc.v1", "91350100M000100Y43", CHECKED),
    ("cn-org-code.v1", "组织机构代码M000100Y4", CHECKED),
    ("hk-id.v1", "A123456(3)", CHECKED),
    ("macau-id.v1", "澳門身份證1234567(8)", KEYWORDED),
    ("tw-id.v1", "A123456789", CHECKED),
    ("travel-permit.v1", "回乡证H12345678", KEYWORDED),
    ("cn-landline.v1", "010-62771234", SHAPE),
    ("cn-landline.v1", "电话075588889999", KEYWORDED),
    ("cn-landline.v1", "400-123-4567", SHAPE),
    ("asia-phone.v1", "+85223456789", SHAPE),
    ("asia-phone.v1", "電話2345 6789", KEYWORDED),
    ("cn-social-security.v1", "社保号3101234567", KEYWORDED),
    ("bank-account.v1", "账号12345678", KEYWORDED),
    ("cn-driver-licence.v1", "驾驶证330100123456", KEYWORDED),
]


@pytest.mark.parametrize(("name", "text", "score"), SCORES)
def test_scores(name, text, score):
    assert [span.score for span in RECOGNISERS.create(name).find(text)] == [score]


KINDS = [
    ("+852 2345 6789", "HK_PHONE"),
    ("+853 6612 3456", "MO_PHONE"),
    ("+886 912 345 678", "TW_PHONE"),
    ("+65 6123 4567", "SG_PHONE"),
    ("電話：2345 6789", "HK_PHONE"),
    ("香港電話：23456789", "HK_PHONE"),
    ("澳門電話：66123456", "MO_PHONE"),
    ("澳門、香港電話：9123 4567", "HK_PHONE"),
    ("新加坡电话：61234567", "SG_PHONE"),
    ("電話02-2345-6789", "TW_PHONE"),
]


@pytest.mark.parametrize(("text", "kind"), KINDS)
def test_the_place_decides_the_kind_of_a_phone_number(text, kind):
    assert [span.kind for span in RECOGNISERS.create("asia-phone.v1").find(text)] == [kind]


FORMS = [  # name, value, form of every stand-in, source of "never issued"
    ("cn-uscc.v1", "91350100M000100Y43", r"9100\d{4}PDY\d{5}[\dX][\dA-Y]", "GB/T 2260 has no region 00, GB 11714 gives PDY to nobody"),
    ("cn-uscc.v1", "n2330106mf2xyy12xn", r"N200\d{4}PDY\d{5}[\dX][\dA-Y]", "GB/T 2260, GB 11714"),
    ("cn-org-code.v1", "M000100Y-4", r"PDY\d{5}-[\dX]", "GB 11714-1997, 3"),
    ("hk-id.v1", "A123456(3)", r"[IOQU]\d{6}\([\dA]\)", "list of prefixes in use"),
    ("hk-id.v1", "AB9876543", r"[IOQU][A-Z]\d{6}[\dA]", "list of prefixes in use"),
    ("macau-id.v1", "5123456（7）", r"9\d{6}（\d）", "cards begin with 1, 5 or 7"),
    ("macau-id.v1", "5/123456/7", r"9/\d{6}/\d", "cards begin with 1, 5 or 7"),
    ("tw-id.v1", "A123456789", r"A3\d{8}", "1, 2, 8, 9 are issued"),
    ("tw-id.v1", "B223456782", r"B4\d{8}", "1, 2, 8, 9 are issued"),
    ("tw-id.v1", "F890000016", r"F5\d{8}", "1, 2, 8, 9 are issued"),
    ("tw-id.v1", "a900000016", r"A6\d{8}", "1, 2, 8, 9 are issued"),
    ("tw-id.v1", "AC01234567", r"AG\d{8}", "A to D are issued"),
    ("tw-id.v1", "HD01234566", r"HH\d{8}", "A to D are issued"),
    ("travel-permit.v1", "H1234567800", r"HI\d{9}", "MPS 2010: digits behind the letter"),
    ("travel-permit.v1", "CA1234567", r"CI\d{7}", "NIA 2018: letters but I and O"),
    ("travel-permit.v1", "t12345678", r"TI\d{7}", "digits behind the letter"),
    ("travel-permit.v1", "12345678", r"99\d{6}", "one number for life, 23 million residents"),
    ("travel-permit.v1", "0123456701（B）", r"99\d{8}（B）", "one number for life, 23 million residents"),
    ("cn-landline.v1", "(010)6277-1234转8001", r"\(010\)0\d{3}-\d{4}转\d{4}", "no local number begins with 0"),
    ("cn-landline.v1", "571 87654321 ext. 12", r"571 0\d{7} ext\. \d\d", "no local number begins with 0"),
    ("cn-landline.v1", "400-123-4567", r"499-\d{3}-\d{4}", "400 and 800 only"),
    ("cn-landline.v1", "800 810 1234", r"899 \d{3} \d{4}", "400 and 800 only"),
    ("asia-phone.v1", "2345 6789", r"0\d{3} \d{4}", "no subscriber's number begins with 0"),
    ("asia-phone.v1", "9123 4567", r"0\d{3} \d{4}", "no subscriber's number begins with 0"),
    ("asia-phone.v1", "0912-345-678", r"099\d-\d{3}-\d{3}", "mobile numbers begin 90 to 98"),
    ("asia-phone.v1", "912 345 678", r"99\d \d{3} \d{3}", "mobile numbers begin 90 to 98"),
    ("asia-phone.v1", "(02)2345-6789", r"\(00\)\d{4}-\d{4}", "no area code begins with 0"),
    ("asia-phone.v1", "037-123456", r"00\d-\d{6}", "no area code begins with 0"),
    ("cn-social-security.v1", "3101234567", r"99\d{8}", "GB/T 2260 has no region 99"),
    ("cn-social-security.v1", "a12345678x", r"[IO]99\d{6}[IO]", ""),
    ("cn-social-security.v1", "号31-0123", r"号99-\d{4}", ""),
    ("bank-account.v1", "0200 0013 0902 0123 456", r"0000( \d{4}){3} \d{3}", ""),
    ("cn-driver-licence.v1", "330100123456", r"99\d{10}", "GB/T 2260 has no region 99"),
]
VALID = {"cn-uscc.v1": uscc.is_valid, "hk-id.v1": hk_is_right, "tw-id.v1": tw_is_right, "cn-org-code.v1": org_is_right}


@pytest.mark.parametrize(("name", "value", "form", "source"), FORMS)
def test_the_form_is_kept_and_nothing_is_issued(name, value, form, source):
    tool = RECOGNISERS.create(name)
    for n in range(50):
        made = tool.surrogate(value, Draw(KEY, b"%d" % n))
        assert re.fullmatch(form, made), source
        plain = tool.normalise(made)
        if name == "cn-uscc.v1":
            assert cn_uscc.check_character(plain[:17]) == plain[17]
            assert org_is_right(plain[8:17])
        if name in VALID and not (name == "cn-uscc.v1" and plain[0] == "N"):
            assert VALID[name](plain)


@pytest.mark.parametrize("name", sorted({row[0] for row in FORMS}))
@pytest.mark.parametrize("value", ["", "1", "x", "账号", "ab12", "1" * 40, "A" * 18, "١٢٣٤٥٦٧٨", "²" * 12, "A123456٣", "ßA1234563"])
def test_a_value_of_another_form_has_a_stand_in_too(name, value):
    assert len(RECOGNISERS.create(name).surrogate(value, Draw(KEY, b"seed"))) == len(value)


SPELLINGS = [
    ("cn-uscc.v1", "91350100M000100Y43", "91350100m000100y43"),
    ("cn-org-code.v1", "M000100Y-4", "m000100y4"),
    ("hk-id.v1", "A123456(3)", "a123456（3）"),
    ("macau-id.v1", "1234567(8)", "1/234567/8"),
    ("travel-permit.v1", "0123456701(B)", "0123456701（b）"),
    ("cn-landline.v1", "010-62771234转8001", "（10）6277 1234-8001"),
    ("asia-phone.v1", "0912-345-678", "912 345678"),
    ("bank-account.v1", "0200 0013", "0200-0013"),
]


@pytest.mark.parametrize(("name", "one", "other"), SPELLINGS)
def test_two_spellings_have_one_normal_form_and_one_stand_in(name, one, other):
    tool = RECOGNISERS.create(name)
    assert tool.normalise(one) == tool.normalise(other)
    made = {tool.normalise(tool.surrogate(value, Draw(KEY, b"seed"))) for value in (one, other)}
    assert len(made) == 1
