"""Western identifiers: validators against python-stdnum, and stand-ins that pass them outside every issued range."""

from __future__ import annotations

import random
import re

import pytest
from stdnum import iban, imei, isin, lei, luhn
from stdnum.gb import nhs
from stdnum.iso7064 import mod_97_10
from stdnum.us import ein, itin, rtn

from ringfence.deid.draw import DIGITS, UPPER, Draw
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, SHAPE
from ringfence.deid.recognisers import passport_other, vin

ROUNDS = 300
MRZ = "L898902C36UTO7408122F1204159ZE184226B<<<<<10"  # ICAO Doc 9303 part 4, appendix B
NAMES = f"P<CHNZHANG<<WEI{'<' * 29}"
VINS = ["1M8GDM9AXKP042788", "1HGCM82633A004352", "11111111111111111"]


def finds(name, text):
    return [text[s.start : s.end] for s in RECOGNISERS.create(name).find(text)]


def stand_ins(name, value):
    tool = RECOGNISERS.create(name)
    return [tool.surrogate(value, Draw(b"k" * 32, b"%d" % n)) for n in range(100)]


def corrupted(dice, number):
    at = dice.randrange(len(number))
    alphabet = DIGITS if number[at].isdigit() else UPPER
    return number[:at] + dice.choice(alphabet) + number[at + 1 :]


def some(dice, alphabet, length):
    return "".join(dice.choice(alphabet) for _ in range(length))


def a_routing(dice):
    body = some(dice, DIGITS, 8)
    return body + rtn.calc_check_digit(body)


def an_iban(dice):
    country, bban = dice.choice(
        [("DE", some(dice, DIGITS, 18)), ("NO", some(dice, DIGITS, 11)), ("GB", some(dice, UPPER, 4) + some(dice, DIGITS, 14))]
    )
    return country + mod_97_10.calc_check_digits(bban + country) + bban


def a_lei(dice):
    body = some(dice, DIGITS, 4) + some(dice, UPPER + DIGITS, 13) + "X"
    return body + mod_97_10.calc_check_digits(body)


def an_isin(dice):
    body = dice.choice(["US", "DE", "XS"]) + some(dice, UPPER + DIGITS, 6) + some(dice, DIGITS, 3)
    return body + isin.calc_check_digit(body)


def an_nhs(dice):
    return next(n for n in iter(lambda: "4" + some(dice, DIGITS, 9), "") if nhs.is_valid(n))


def an_npi(dice):
    body = dice.choice("12") + some(dice, DIGITS, 8)
    return body + luhn.calc_check_digit("80840" + body)


def an_imei(dice):
    body = "35" + some(dice, DIGITS, 12)
    return body + luhn.calc_check_digit(body)


ISSUED = re.compile(r"0\d|1[0-2]|2[1-9]|3[0-2]|6[1-9]|7[0-2]|80")


@pytest.mark.parametrize(
    ("name", "make", "text", "is_valid"),
    [
        ("iban.v1", an_iban, "{}", lambda n: iban.is_valid(n, check_country=False)),
        ("lei.v1", a_lei, "{}", lei.is_valid),
        ("isin.v1", an_isin, "ISIN {}", isin.is_valid),
        ("aba-routing.v1", a_routing, "ABA {}", lambda n: rtn.is_valid(n) and ISSUED.match(n)),
        ("us-npi.v1", an_npi, "NPI as registered {}", lambda n: luhn.is_valid("80840" + n) and n[0] in "12"),
        ("uk-nhs.v1", an_nhs, "NHS {}", lambda n: nhs.is_valid(n) and not n.startswith("999")),
        ("imei.v1", an_imei, "IMEI {}", imei.is_valid),
    ],
)
def test_a_number_is_found_exactly_when_the_oracle_accepts_it(name, make, text, is_valid):
    dice = random.Random(7)
    numbers = [make(dice) for _ in range(ROUNDS)]
    for number in [*numbers, *(corrupted(dice, n) for n in numbers)]:
        assert (finds(name, text.format(number)) == [number]) == bool(is_valid(number)), number


def test_groups_and_prefixes_of_the_tax_service():
    dice = random.Random(7)
    for number in (f"9{n % 100:02d}-{n // 10:02d}-{some(dice, DIGITS, 4)}" for n in range(1000)):
        wanted = itin.is_valid(number) or number[4:6] in {f"{g}" for g in range(50, 66)}  # the oracle is older than these groups
        assert bool(finds("us-itin.v1", number)) == wanted
    for prefix in range(100):
        number = f"{prefix:02d}-{some(dice, DIGITS, 7)}"
        assert bool(finds("us-ein.v1", f"EIN {number}")) == ein.is_valid(number)


def test_check_digit_of_vehicles():
    values = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "12345678123457923456789"), strict=True)) | {d: int(d) for d in DIGITS}
    dice = random.Random(7)
    for number in [*VINS, *(some(dice, "ABCDEFGHJKLMNPRSTUVWXYZ0123456789", 17) for _ in range(ROUNDS))]:
        weights = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2]
        rest = sum(values[c] * w for c, w in zip(number, weights, strict=True)) % 11
        assert vin.check_digit(number) == ("X" if rest == 10 else str(rest))
    assert all(vin.check_digit(number) == number[8] for number in VINS)


def test_check_digits_of_the_machine_readable_zone():
    assert passport_other.has_right_digits(MRZ)
    assert passport_other.has_right_digits("AA12345674CHN9001018M3001019<<<<<<<<<<<<<<<4") is False
    for at in range(44):
        other = "1" if MRZ[at] == "0" else "0"
        changed = MRZ[:at] + other + MRZ[at + 1 :]
        if MRZ[at].isdigit() or (MRZ[at] == "<" and at == 42):
            assert not passport_other.has_right_digits(changed), at


@pytest.mark.parametrize("empty", ["<", "0"])
def test_an_empty_optional_field_may_have_either_check_digit(empty):
    number, birth, expiry, optional = "L898902C36", "7408122", "1204159", "<" * 14 + empty
    last = passport_other.check_digit(number + birth + expiry + optional)
    assert passport_other.has_right_digits(f"{number}UTO{birth}F{expiry}{optional}{last}")


WORDS = {
    "aba-routing.v1": ("021000021", "routing|ABA|rtn|Transit no|transit num|transit number|路由号码|路由號|路线号|路線號"),
    "swift-bic.v1": (
        "DEUTDEFF500",
        "SWIFT|bic|Bank Identifier code|银行代码|银行识别码|银行国际代码|国际汇款代码|銀行代碼|銀行識別碼|銀行國際代碼|國際匯款代碼",
    ),
    "isin.v1": ("NO0010063308", "ISIN|security|securities|证券|證券|债券|債券|股票"),
    "us-itin.v1": (
        "912703456",
        "ITIN|tin|Taxpayer ID|tax id|taxpayer identification|纳税人识别号|納稅人識別號|个人税号|個人稅號|报税号|報稅號",
    ),
    "us-ein.v1": (
        "91-1144442",
        (
            "EIN|fein|employer id|Employer Identification|federal_tax_id|federal tax identification|tax id|Tax Identification Number"
            "|雇主识别|雇主識別|雇主身份号码|雇主税号|雇主稅號|联邦税号|聯邦稅號"
        ),
    ),
    "us-npi.v1": ("1234567893", "NPI|provider id|National Provider|服务提供者|服務提供者|提供者标识|提供者識別"),
    "us-mbi.v1": ("1eg4te5mk73", "MBI|Medicare|beneficiary|联邦医保|聯邦醫保|医疗保险|醫療保險"),
    "us-driver-licence.v1": (
        "D1234567",
        (
            "driver's license|drivers' licence|driver’s licence|drivers’ license|Driver Lic|driverlicense|driver_license|Driving Licence"
            "|driving-license|drivinglicence|DLN|dl no|DL num|dl_number|DL #|DL:|DL：|驾照|駕照|驾驶证|駕駛證|駕駛執照"
        ),
    ),
    "uk-nhs.v1": ("4505577104", "NHS|chi no|CHI num|CHI number|National Health Service|国民保健|國民保健|国民医疗|國民醫療"),
    "uk-nino.v1": ("ab123456c", "NINO|NI no|ni num|NI number|National Insurance|国民保险|國民保險"),
    "vin.v1": (
        "WVWZZZ1JZXW000001",
        (
            "VIN|chassis|frame no|Frame num|frame number|vehicle id|vehicle identification"
            "|车架号|車架號|识别代号|識別代號|识别码|識別碼|车身号|車身號|底盘号|底盤號"
        ),
    ),
    "imei.v1": ("490154203237518", "IMEI|imei|串号|串號|串码|串碼|设备识别码|設備識別碼|设备标识|設備標識"),
    "passport-other.v1": ("K12345678", "passport|Travel Document|护照|護照|旅行证|旅行證"),
}
WHOLE = re.compile(
    r"(?i)(routing|aba|rtn|transit (no|num)|swift|bic|isin|i?tin|f?ein|npi|mbi|dln|nhs|chi (no|num)|nino|ni (no|num(ber)?)|vin|chassis"
    r"|frame (no|num(ber)?)|imei)"
)


@pytest.mark.parametrize(("name", "value", "word"), [(n, v, w) for n, (v, words) in WORDS.items() for w in words.split("|")])
def test_every_key_word_counts_and_only_as_a_whole(name, value, word):
    assert finds(name, f"{word} {value}") == [value]
    assert finds(name, value) == []
    if WHOLE.fullmatch(word):
        assert finds(name, f"x{word} {value}") == []
        assert finds(name, f"{word}x {value}") == []


LINKS = (
    " number |number: | no. |#|: |：| is | id |:(|（| code |-card-| num |号码为|號碼為|编号是|編號：|号：|號|码|碼|代码|代碼|）|_number_|='"
)


@pytest.mark.parametrize("link", LINKS.split("|"))
def test_what_may_stand_between_key_word_and_value(link):
    assert finds("us-ein.v1", f"EIN{link}91-1144442") == ["91-1144442"]


PHONES = "tel|Phone|telephone|mobile|cell|fax|call|desk|office|电话|電話|传真|傳真|手机|手機"


@pytest.mark.parametrize("word", PHONES.split("|"))
def test_a_telephone_number_is_no_patient_number(word):
    assert finds("uk-nhs.v1", f"{word}: 450 557 7104") == []
    for other in (f"x{word}", f"{word}x"):
        assert finds("uk-nhs.v1", f"{other} 450 557 7104") == (["450 557 7104"] if word.isascii() else [])


@pytest.mark.parametrize("prefix", ["BG", "GB", "KN", "NK", "NT", "TN", "ZZ", "DA", "AD", "FA", "IA", "QA", "UA", "VA", "AO"])
def test_no_national_insurance_number_has_this_prefix(prefix):
    assert finds("uk-nino.v1", f"{prefix}123456A") == []


@pytest.mark.parametrize(
    ("name", "text", "score"),
    [
        ("us-itin.v1", "912-70-3456", SHAPE),
        ("us-itin.v1", "ITIN 912703456", KEYWORDED),
        ("us-mbi.v1", "1EG4TE5MK73", SHAPE),
        ("us-mbi.v1", "MBI 1EG4TE5MK73", KEYWORDED),
        ("uk-nino.v1", "AB123456C", SHAPE),
        ("uk-nino.v1", "NINO AB123456C", KEYWORDED),
        ("vin.v1", "VIN 1M8GDM9AXKP042788", CHECKED),
        ("vin.v1", "VIN WVWZZZ1JZXW000001", KEYWORDED),
        ("passport-other.v1", NAMES, SHAPE),
        ("passport-other.v1", f"{NAMES} {MRZ}", CHECKED),
        ("passport-other.v1", f"{NAMES} {MRZ[:-1]}1", SHAPE),
    ],
)
def test_how_sure_a_span_is(name, text, score):
    assert [s.score for s in RECOGNISERS.create(name).find(text)] == [score]


FORMS = [  # kind, value, form of every stand-in, validator that it passes
    ("iban.v1", "GB29 NWBK 6016 1331 9268 19", r"GB(00|01|99) [A-Z]{4}( \d{4}){3} \d\d", iban.is_valid),
    ("iban.v1", "de89370400440532013000", r"DE(00|01|99)\d{18}", iban.is_valid),
    ("iban.v1", "MT84MALT011000012345MTLCAST001S", r"MT(00|01|99)[A-Z]{4}\d{12}[A-Z]{7}\d{3}[A-Z]", iban.is_valid),
    ("lei.v1", "549300GFX6WN7JDUSN34", r"5493\d\d[A-Z]{3}\d[A-Z]{2}\d[A-Z]{5}(00|01|99)", lei.is_valid),
    ("isin.v1", "US0378331005", r"Q[M-R]\d{10}", lambda n: luhn.is_valid("".join(str(int(c, 36)) for c in n))),
    ("aba-routing.v1", "021000021", r"9\d{8}", rtn.is_valid),
    ("swift-bic.v1", "DEUTDEFF500", r"[A-Z]{4}Q[M-R][A-Z]{2}\d{3}", None),
    ("swift-bic.v1", "DEUTDEFF", r"[A-Z]{4}Q[M-R][A-Z]{2}", None),
    ("us-itin.v1", "912-70-3456", r"9\d\d-00-\d{4}", None),
    ("us-ein.v1", "91-1144442", r"00-\d{7}", None),
    ("us-npi.v1", "1234567893", r"9\d{9}", lambda n: luhn.is_valid("80840" + n)),
    ("us-mbi.v1", "1EG4-TE5-MK73", r"0[AC-HJKMNPQRT-Y]{2}\d-[AC-HJKMNPQRT-Y]{2}\d-[AC-HJKMNPQRT-Y]{2}\d\d", None),
    ("us-driver-licence.v1", "D1234567", r"[A-Z]999\d{4}", None),
    ("us-driver-licence.v1", "123 456 789", r"000 \d{3} \d{3}", None),
    ("uk-nhs.v1", "943 476 5919", r"999 \d{3} \d{4}", nhs.is_valid),
    ("uk-nino.v1", "AB 12 34 56 C", r"QQ \d\d \d\d \d\d C", None),
    ("vin.v1", "1HGCM82633A004352", r"0[A-HJ-NPR-Z]{4}\d{3}[\dX]3[A-HJ-NPR-Z]\d{6}", lambda n: vin.check_digit(n) == n[8]),
    ("imei.v1", "49-015420-323751-8", r"7\d-\d{6}-\d{6}-\d", imei.is_valid),
    ("passport-other.v1", "K12345678", r"X\d{8}", None),
    ("passport-other.v1", "MA1234567", r"X[A-Z]\d{7}", None),
    ("passport-other.v1", "512345678", r"000\d{6}", None),
    ("passport-other.v1", MRZ, r"X\d{6}[A-Z]\d{2}UTO7\d{6}F1\d{6}[A-Z]{2}\d{6}[A-Z]<{5}\d\d", passport_other.has_right_digits),
    ("passport-other.v1", NAMES, r"P<UTO[A-Z]{5}<<[A-Z]{3}<{29}", None),
    ("passport-other.v1", f"{NAMES}\n{MRZ}", r"P<UTO[A-Z]{5}<<[A-Z]{3}<{29}\nX.{43}", None),
]


@pytest.mark.parametrize(("name", "value", "form", "is_valid"), FORMS)
def test_a_stand_in_keeps_the_form_and_was_never_issued(name, value, form, is_valid):
    made = stand_ins(name, value)
    assert [m for m in made if not re.fullmatch(form, m)] == []
    assert is_valid is None or [m for m in made if not is_valid(m)] == []
    assert len(set(made)) > 90


KEYED = {"aba-routing.v1": "ABA", "us-npi.v1": "NPI", "us-itin.v1": "ITIN", "us-ein.v1": "EIN"}


@pytest.mark.parametrize(
    "name",
    ["iban.v1", "lei.v1", "isin.v1", "aba-routing.v1", "us-npi.v1", "us-itin.v1", "us-ein.v1", "us-mbi.v1", "uk-nhs.v1", "uk-nino.v1"],
)
def test_a_stand_in_is_not_taken_for_a_real_one(name):
    value = next(row[1] for row in FORMS if row[0] == name)
    for made in stand_ins(name, value):
        assert not finds(name, f"{KEYED.get(name, 'ISIN NHS medicare')} {made}")


@pytest.mark.parametrize("name", sorted({row[0] for row in FORMS}))
def test_absurd_values_have_stand_ins(name):
    tool = RECOGNISERS.create(name)
    value = next(row[1] for row in FORMS if row[0] == name).replace(" ", "")
    strange = [f"{value[:6]}{c}{value[7:]}" for c in "号²/ß"]
    for absurd in ["", "ß", "²³", "护照", "GB", "-", value + "ß", value[:-1] + "ﬃ", *strange]:
        assert isinstance(tool.surrogate(absurd, Draw(b"k" * 32, b"")), str)


def test_stand_ins_use_every_check_digit_that_is_never_issued():
    assert {made[2:4] for made in stand_ins("iban.v1", "GB29NWBK60161331926819")} == {"00", "01", "99"}


def test_dates_of_a_stand_in_exist():
    for made in stand_ins("passport-other.v1", MRZ):
        for date in (made[13:19], made[21:27]):
            assert 1 <= int(date[2:4]) <= 12
            assert 1 <= int(date[4:]) <= 28


def test_two_spellings_have_one_normal_form():
    for name, one, other in [
        ("iban.v1", "GB29 NWBK 6016 1331 9268 19", "gb29nwbk60161331926819"),
        ("us-ein.v1", "91-1144442", "911144442"),
        ("uk-nino.v1", "AB 12 34 56 C", "ab123456c"),
        ("imei.v1", "49-015420-323751-8", "49 015420 323751 8"),
        ("us-mbi.v1", "1EG4-TE5-MK73", "1eg4te5mk73"),
    ]:
        tool = RECOGNISERS.create(name)
        assert tool.normalise(one) == tool.normalise(other)
