"""Accounts, records, addresses of the net, wallets and secrets: checks against other implementations, stand-ins that nobody holds."""

from __future__ import annotations

import hashlib
import random
import re
from importlib.resources import files

import pytest
from stdnum import bitcoin, mac
from stdnum.exceptions import ValidationError
from tools.gitleaks import sample, translate

from ringfence.deid.draw import Draw
from ringfence.deid.keccak import keccak256
from ringfence.deid.keyworded import after_nines
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, SECRET, SHAPE
from ringfence.deid.recognisers import crypto_wallet, secret_rules, seed_phrase

KEY = b"k" * 32
HEX = "0123456789abcdef"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
OURS = """qq.v1 wechat.v1 alipay.v1 douyin.v1 medical-record.v1 policy-number.v1 case-number.v1 contract-number.v1 staff-number.v1 student-number.v1 licence-number.v1 national-id.v1
mac-address.v1 gps.v1 url.v1 uuid.v1 crypto-wallet.v1 seed-phrase.v1 secret-rules.v1""".split()


def rng():
    return random.Random(20261128)


def draws(count=40):
    return [Draw(KEY, b"%d" % n) for n in range(count)]


def is_valid(module, value, **settings):
    try:
        module.validate(value, **settings)
    except ValidationError:
        return False
    return True


STAND_INS = [  # name, value, form of every stand-in
    ("qq.v1", "123456789", r"0\d{8}"),
    ("wechat.v1", "zhang_wei88", r"-[a-z]{4}_[a-z]{3}\d\d"),
    ("wechat.v1", "wxid_abc123def45621", r"wxid__[a-z]{2}\d{3}[a-z]{3}\d{5}"),
    ("wechat.v1", "13800138000", r"1[012]\d{9}"),
    ("wechat.v1", "1234567", r"0\d{6}"),
    ("alipay.v1", "2088102146225135", r"2080\d{12}"),
    ("alipay.v1", "13800138000", r"1[012]\d{9}"),
    ("alipay.v1", "shop_x9@corp.cn", r"[a-z][a-z0-9]{5,15}@(example\.(com|org|net)|mail\.invalid)"),
    ("douyin.v1", "zhang.wei_88", r"-[a-z]{4}\.[a-z]{3}_\d\d"),
    ("douyin.v1", "95270001", r"0\d{7}"),
    ("medical-record.v1", "ZY20230415001", r"ZY9999\d{7}"),
    ("policy-number.v1", "HO-1234567", r"HO-99\d{5}"),
    ("contract-number.v1", "HT-2023-00123", r"HT-9999-\d{5}"),
    ("contract-number.v1", "京贷字2023第0012号", r"京贷字9999第\d{4}号"),
    ("staff-number.v1", "001", r"9\d\d"),
    ("national-id.v1", "12345678Z", r"9999\d{4}[A-Z]"),
    ("licence-number.v1", "110110000012345", r"9999\d{11}"),
    ("student-number.v1", "G11010519491231002X", r"G9999\d{13}[A-Z]"),
    ("case-number.v1", "（2023）京01民初123号", r"（2023）京01民初9\d{8}号"),
    ("case-number.v1", "1:23-cv-01234-ABC", r"1:23-cv-9\d{8}-ABC"),
    ("mac-address.v1", "00:1a:2b:3c:4d:5e", r"00:00:5e:00:53:[0-9a-f]{2}"),
    ("mac-address.v1", "001A.2B3C.4D5E", r"0000\.5E00\.53[0-9A-F]{2}"),
    ("gps.v1", "39.904211, 116.407395", r"0\.\d{6}, 0\.\d{6}"),
    ("gps.v1", "39°54′15″N", r"0°[0-5]\d′[0-5]\d″N"),
    ("url.v1", "https://oa.corp.cn/a/b.pdf?u=1", r"https://[a-z]{4,8}\.example\.(com|org)/[a-z]{4,8}/[a-z]{4,8}"),
    ("url.v1", "www.corp.cn/", r"www\.[a-z]{4,8}\.example\.(com|org)/"),
    ("uuid.v1", "3F2B8C1E-9D4A-4F6B-8A7C-5E1D2C3B4A59", r"00000000-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}"),
    ("crypto-wallet.v1", "0x52908400098527886E0F7030069857D2E4169EE7", r"0x0{24}[0-9A-F]{16}"),
    ("crypto-wallet.v1", "0xde709f2102306220921060314715629080e2fb77", r"0x0{24}[0-9a-f]{16}"),
    ("crypto-wallet.v1", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", r"1{13}.{12,20}"),
    ("secret-rules.v1", "glpat-x3KqP9mZ7vR2tYwB5nLd", r"glpat-[a-z0-9]{13}EXAMPLE"),
    ("secret-rules.v1", "-----BEGIN RSA PRIVATE KEY-----\nMIIE", r"\[private key [a-z0-9]{8}\]"),
]


@pytest.mark.parametrize(("name", "value", "form"), STAND_INS)
def test_a_stand_in_keeps_the_form_and_is_nobodys(name, value, form):
    tool = RECOGNISERS.create(name)
    made = {tool.surrogate(value, draw) for draw in draws()}
    assert all(re.fullmatch(form, one) for one in made), made
    assert len(made) > 8


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("value", ["", "x", "７", "\x00", "微信", "1" * 3_000, "a-b_c.d@e", "（）", "://", "0x", "\ud800"])
def test_absurd_values_have_a_stand_in(name, value):
    tool = RECOGNISERS.create(name)
    assert isinstance(tool.surrogate(value, Draw(KEY, b"")), str)
    assert isinstance(tool.normalise(value), str)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("wechat.v1", "Zhang_Wei88", "zhang_wei88"),
        ("medical-record.v1", "zy-2023 0415", "ZY20230415"),
        ("mac-address.v1", "00:1a:2b:3c:4d:5e", "001A.2B3C.4D5E"),
        ("case-number.v1", "（2023）京01民初123号", "(2023) 京01民初123号"),
        ("gps.v1", "39.9042，116.4074", "39.9042, 116.4074"),
        ("url.v1", "HTTPS://OA.corp.cn/A", "https://oa.corp.cn/A"),
        ("uuid.v1", "3F2B8C1E-9D4A-4F6B-8A7C-5E1D2C3B4A59", "3f2b8c1e9d4a4f6b8a7c5e1d2c3b4a59"),
        ("crypto-wallet.v1", "0x52908400098527886E0F7030069857D2E4169EE7", "0x52908400098527886e0f7030069857d2e4169ee7"),
        ("seed-phrase.v1", "Legal, winner\nthank", "legal winner thank"),
    ],
)
def test_two_spellings_of_a_value_are_one(name, one, other):
    tool = RECOGNISERS.create(name)
    assert tool.normalise(one) == tool.normalise(other)


def test_case_counts_where_it_does():
    assert RECOGNISERS.create("url.v1").normalise("https://a.cn/A") != RECOGNISERS.create("url.v1").normalise("https://a.cn/a")
    assert RECOGNISERS.create("crypto-wallet.v1").normalise("1A1z") != RECOGNISERS.create("crypto-wallet.v1").normalise("1a1z")
    assert RECOGNISERS.create("secret-rules.v1").normalise("aB-c") == "aB-c"


def test_nines_leave_enough_to_draw():
    for count in range(2, 20):
        made = after_nines("1" * count, Draw(KEY, b""))
        assert made.startswith("9")
        assert len({after_nines("1" * count, draw) for draw in draws()}) > 4


SCORES = {
    "crypto-wallet.v1": [("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", CHECKED), ("0xde709f2102306220921060314715629080e2fb77", SHAPE)],
    "gps.v1": [("39.904211, 116.407395", SHAPE), ("北纬39.9042度", KEYWORDED), ("经纬度：39.904, 116.407", KEYWORDED)],
    "mac-address.v1": [("00:1A:2B:3C:4D:5E", SHAPE), ("MAC 001A2B3C4D5E", KEYWORDED)],
    "case-number.v1": [("（2023）京01民初123号", CHECKED), ("案号：A20230415001", KEYWORDED)],
    "seed-phrase.v1": [("wallet: legal winner thank year wave sausage worth useful legal winner thank yellow", SECRET)],
}


@pytest.mark.parametrize(("name", "text", "score"), [(name, *row) for name, rows in SCORES.items() for row in rows])
def test_how_sure_a_span_is(name, text, score):
    assert [span.score for span in RECOGNISERS.create(name).find(text)] == [score]


def test_an_address_on_the_web_is_searched_for_2048_characters():
    text = "https://a.cn/" + "x" * 5_000
    assert [(s.start, s.end) for s in RECOGNISERS.create("url.v1").find(text)] == [(0, 2_048)]


# ── hardware addresses ───────────────────────────────────────────────────────────────────────────────────────────────
def test_hardware_addresses_agree_with_stdnum():
    dice, tool = rng(), RECOGNISERS.create("mac-address.v1")
    for _ in range(200):
        pairs = ["".join(dice.choices(HEX, k=2)) for _ in range(dice.choice([5, 6, 6, 6, 7]))]
        for joint in ":-":
            value = joint.join(["a0", *pairs[1:]])
            assert bool(list(tool.find(f"网卡{value}。"))) == is_valid(mac, value, validate_manufacturer=False)
    assert all(is_valid(mac, tool.surrogate("00:1A:2B:3C:4D:5E", draw)) for draw in draws())


# ── wallets ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        ("abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        ("The quick brown fox jumps over the lazy dog", "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15"),
    ],
)
def test_keccak_gives_the_published_digests(text, digest):
    assert keccak256(text.encode()).hex() == digest


def test_keccak_with_the_other_padding_is_the_sha3_of_the_standard_library():
    dice = rng()
    for length in (0, 1, 134, 135, 136, 137, 271, 272, 300):
        data = dice.randbytes(length)
        assert keccak256(data, padding=0x06) == hashlib.sha3_256(data).digest()


@pytest.mark.parametrize(  # the examples of EIP-55
    "address",
    [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_the_case_of_an_ethereum_address_is_its_check(address):
    assert crypto_wallet.with_checksum(address) == address


@pytest.mark.parametrize(  # the valid and invalid addresses of BIP-350
    ("address", "version"),
    [
        ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", 0),
        ("bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y", 1),
        ("BC1SW50QGDZ25J", 16),
        ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", 2),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", 1),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", None),
        ("BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", None),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", None),
        ("bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", None),
        ("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", None),
        ("bc1pw5dgrnzv", None),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", None),
        ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", None),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", None),
        ("bc1gmk9yu", None),
    ],
)
def test_the_addresses_of_bip_350(address, version):
    program = crypto_wallet.segwit_program(address)
    assert (program[0] if program else None) == version
    assert program is None or crypto_wallet.to_segwit(*program) == address.lower()


def test_bitcoin_addresses_agree_with_stdnum():
    dice, tool = rng(), RECOGNISERS.create("crypto-wallet.v1")
    for n in range(120):
        value = (
            crypto_wallet.to_base58check(bytes([dice.choice([0, 5])]) + dice.randbytes(20))
            if n % 2
            else crypto_wallet.to_segwit(0, dice.randbytes(dice.choice([20, 32])))
        )
        assert is_valid(bitcoin, value)
        assert [value[s.start : s.end] for s in tool.find(value)] == [value]
        at = dice.randrange(5, len(value) - 1)
        wrong = value[:at] + dice.choice((BASE58 if n % 2 else BECH32).replace(value[at], "")) + value[at + 1 :]
        assert not is_valid(bitcoin, wrong)
        assert not list(tool.find(wrong))
        made = tool.surrogate(value, Draw(KEY, b"%d" % n))
        assert made != value
        assert is_valid(bitcoin, made)


def test_stand_ins_of_wallets_pass_the_check_and_hold_a_hash_that_begins_with_zeros():
    tool = RECOGNISERS.create("crypto-wallet.v1")
    for draw in draws():
        tron = tool.surrogate("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", draw)
        payload = crypto_wallet.from_base58check(tron)
        assert tron.startswith("T9yD14Nj9j7xAB")
        assert payload[:13] == b"\x41" + bytes(12)
        taproot = tool.surrogate("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", draw)
        assert crypto_wallet.segwit_program(taproot)[1][:24] == bytes(24)
        mixed = tool.surrogate("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", draw)
        assert crypto_wallet.with_checksum(mixed) == mixed
        assert int(mixed, 16) < 1 << 64


# ── seed phrases ─────────────────────────────────────────────────────────────────────────────────────────────────────
def words(name):
    return (files("ringfence.deid") / "data" / "bip39" / f"{name}.txt").read_text(encoding="utf-8").split()


def phrase_of(entropy):
    check = len(entropy) // 4
    bits = "".join(f"{byte:08b}" for byte in entropy) + f"{hashlib.sha256(entropy).digest()[0]:08b}"[:check]
    return [int(bits[i : i + 11], 2) for i in range(0, len(bits), 11)]


@pytest.mark.parametrize(  # of the vectors that BIP-39 refers to
    ("entropy", "phrase"),
    [
        ("00" * 16, "abandon " * 11 + "about"),
        ("7f" * 16, "legal winner thank year wave sausage worth useful legal winner thank yellow"),
        ("ff" * 16, "zoo " * 11 + "wrong"),
        (
            "80" * 24,
            "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid letter always",
        ),
        ("ff" * 32, "zoo " * 23 + "vote"),
    ],
)
def test_the_vectors_of_bip_39(entropy, phrase):
    listed = words("english")
    assert [listed[i] for i in phrase_of(bytes.fromhex(entropy))] == phrase.split()
    assert seed_phrase.is_phrase([listed.index(word) for word in phrase.split()])


@pytest.mark.parametrize("name", ["english", "chinese_simplified", "chinese_traditional"])
def test_phrases_are_found_and_stand_ins_are_none(name):
    dice, tool, listed = rng(), RECOGNISERS.create("seed-phrase.v1"), words(name)
    assert len(set(listed)) == 2048
    for length in (16, 20, 24, 28, 32):
        indices = phrase_of(dice.randbytes(length))
        assert seed_phrase.is_phrase(indices)
        phrase = " ".join(listed[i] for i in indices)
        text = f"助记词: {phrase}。"
        assert [text[s.start : s.end] for s in tool.find(text)] == [phrase]
        for draw in draws(20):
            made = tool.surrogate(phrase, draw)
            assert len(made.split()) == len(indices)
            assert set(made.split()) <= set(listed)
            assert not list(tool.find(f"助记词: {made}。"))


def test_the_word_lists_and_rules_have_their_licences():
    data = files("ringfence.deid") / "data"
    assert "Pavol Rusnak" in (data / "bip39" / "LICENSE").read_text(encoding="utf-8")
    assert "Zachary Rice" in (data / "gitleaks.LICENSE").read_text(encoding="utf-8")


# ── the rules of gitleaks ────────────────────────────────────────────────────────────────────────────────────────────
IN_GOLDEN_ROWS = {"curl-auth-header", "curl-auth-user", "generic-api-key", "sidekiq-sensitive-url"}  # a drawn example need not pass


@pytest.mark.parametrize("rule", [rule for rule in secret_rules._RULES if rule.id not in IN_GOLDEN_ROWS], ids=lambda rule: rule.id)
def test_an_example_of_each_rule_is_found(rule):
    dice, tool = rng(), RECOGNISERS.create("secret-rules.v1")
    for example in [sample(rule._data["regex"], dice) for _ in range(8)]:
        word = "" if any(word in example.lower() for word in rule.keywords) else rule.keywords[0]
        assert list(tool.find(f"{word} {example} 结束"))


@pytest.mark.parametrize(
    ("go", "here"),
    [
        (r"\b(p8e-(?i)[a-z0-9]{32})x", r"\b(p8e-(?i:[a-z0-9]{32}))x"),
        (r"(?i)a|b", "(?i:a)|(?i:b)"),
        (r"a(?:(?i)b|c)d", "a(?:(?i:b)|(?i:c))d"),
        (r"x[[:alnum:]_]\z", r"x[A-Za-z0-9_]\Z"),
        (r"[^]\[a]$", r"[^\]\[a]\Z"),
        (r"[\w.-]{0,50}?(?:okta)", "(?:okta)"),
        (r"^\$(?-i:A)[^|(]", r"(?<![^\x00])\$(?-i:A)[^|(]"),
    ],
)
def test_translation_of_a_rule(go, here):
    assert translate(go) == here


def test_what_ends_a_secret_in_a_sentence():
    end = re.compile("a" + translate(r"""(?:[\x60'"\s;]|\\[nr]|$)"""), re.ASCII)
    assert all(end.match(text) for text in ("a", "a b", "a，", "a泄", "a, ", "a)", "a. ", "a.", "a。", "a\\n"))
    assert not any(end.match(text) for text in ("ab", "a.b", "a-", "a_"))


def test_the_value_is_told_from_what_is_no_secret():
    tool = RECOGNISERS.create("secret-rules.v1")
    value = "q7Rz81mPx0Lw5Vt2K9"
    for lead in ("api_key=", "secret: ", "令牌 token = ", "AUTH:"):
        assert [s.score for s in tool.find(lead + value)] == [SECRET]
    for lead in ("author=", "public_key=", "csrf_token: ", "key_id="):
        assert not list(tool.find(lead + value))


def test_the_longest_of_several_secrets_counts():
    tool, value = RECOGNISERS.create("secret-rules.v1"), "glpat-x3KqP9mZ7vR2tYwB5nLdq7Rz81mPx0L.0a1b2c3d4"
    assert [value[s.start : s.end] for s in tool.find(value)] == [value]
