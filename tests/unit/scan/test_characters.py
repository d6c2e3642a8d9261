"""Suspicious characters, beside innocent text of many scripts that must stay unsuspicious."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.scan.characters import find
from ringfence.scan.detector import DETECTORS
from ringfence.scan.homoglyphs import has_mixed_word
from tests.unit.scan.scan_tools import pair

SUSPICIOUS = [
    ("tag", "hello\U000e0041\U000e0042"),
    ("tag", "\U0001f3f4\U000e0061\U000e007f"),  # a flag of nowhere
    ("bidi", "user\u202e gnirts"),
    ("bidi", "a\u2066b\u2069"),
    ("bidi", "שלום \u202e abc"),  # an override, even in Hebrew
    ("hidden", "Bad\u200bMagic"),
    ("hidden", "Bad\u00adMagic"),
    ("hidden", "Bad\u2060Magic"),
    ("hidden", "Bad\ufeffMagic"),
    ("hidden", "Bad\u200dMagic"),
    ("hidden", "Bad\u200cMagic"),
    ("hidden", "Bad\u200eMagic"),
    ("hidden", "Bad\u3164Magic"),
    ("hidden", "患者\u200b姓名"),
    ("hidden", "end \u200b\u200c\u200b\u200b"),  # bits in a run, even beside a space
    ("selector", "a\ufe0f"),
    ("selector", "❤\ufe0f\ufe0f"),
    ("selector", "😀\U000e0105"),
    ("selector", "x \ufe01"),
    ("private", "icon \ue123"),
    ("private", "\U000f1234"),
    ("unassigned", "\U000e0fff"),
    ("unassigned", "\uffff"),
    ("control", "a\x07b"),
    ("control", "é\x00"),
    ("control", "\x1b[31m"),
    ("mixed", "p\u0430ypal"),  # Cyrillic а
    ("mixed", "раypal"),
    ("mixed", "Сбер\u0062\u0061нk оpen"),
    ("mixed", "\u0391dmin"),  # Greek Α
]


@pytest.mark.parametrize(("kind", "text"), SUSPICIOUS)
def test_suspicious_characters_are_found_for_what_they_are(kind, text):
    assert kind in list(find(text))
    detector = DETECTORS.create("unicode.v1")
    assert detector.score([pair(text, "a")])[0] >= detector.threshold
    assert detector.score([pair("q", text)])[0] >= detector.threshold


INNOCENT = [
    "plain text\twith tabs\r\nand lines\f",
    "患者，男，４５岁。血压：１２０／８０ｍｍＨｇ（正常）。　诊断：“高血压”……",
    "葛\U000e0100城市",  # a registered ideographic variant
    "テスト：ﾊﾝｶｸ 片仮名、㍻、①②③",
    "한국어 문장입니다.",
    "❤️ ☎︎ 1️⃣ #️⃣ ©️ ➡️ ‼️",
    "👩‍⚕️ 👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🧑🏽‍💻 ❤️‍🔥",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # Scotland
    "می‌خواهم بروم",  # Persian needs the non-joiner
    "क्‍ष र्‍य ശ്രീ‌ ක්‍ෂ",
    "ภาษา\u200bไทย ខ្មែរ\u200bភាសា",
    "שלום \u200fabc\u200e עולם",
    "العربية \u202bنص\u202c",
    "\ufefftext with a byte order mark",
    "Привет, мир! USB-порт, 3D-принтер, SMSка",
    "TNFα, IFN-γ, β-lactam, μm, kΩ, ΔG, λmax, π, Ωm, p < 0.05, 5\u2009mg, 10\u00a0%",
    "Ελληνικά κείμενα",
    "naïve café Ærøskøbing Łódź đ ŋ",
    "∩︀ ≨︀",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_of_many_scripts_has_no_finding(text):
    assert list(find(text)) == []


STRAYS = [
    "\u200bThey said",
    "one \u200b two",
    "line\n\u200b\nline",
    "pro-\u00adgovernment",
    "W \ufeff / \ufeff 39",
    "Ocean â\x80\x94 in",
    "word\u200b",
]


@pytest.mark.parametrize("text", STRAYS)
def test_what_exports_leave_behind_is_noted_but_flags_nothing(text):
    assert set(find(text)) == {"stray"}
    detector = DETECTORS.create("unicode.v1")
    assert 0 < detector.score([pair(text, "a")])[0] < detector.threshold


def test_a_worse_finding_ranks_higher():
    texts = ["plain", "one \u200b two", "icon \ue123", "Bad\u200bMagic", "a\u202eb", "x\U000e0041"]
    scores = DETECTORS.create("unicode.v1").score([pair(text, "a") for text in texts]).tolist()
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


@pytest.mark.parametrize("word", ["порт", "USB", "SMSка", "α", "Ελλάδα", "mΩ", ""])
def test_words_of_one_script_are_not_mixed(word):
    assert not has_mixed_word(word)


@given(st.text())
def test_any_text_has_an_answer_and_ascii_letters_never_have_a_finding(text):
    list(find(text))
    assert not list(find("".join(char for char in text if char.isascii() and char.isprintable())))


@given(st.text("abcdefghij ", min_size=3), st.sampled_from("\u200b\u2060\u00ad\u200d"), st.data())
def test_a_hidden_character_inside_a_word_is_found_anywhere(text, hidden, data):
    word = "trigger"
    cut = data.draw(st.integers(1, len(word) - 1))
    assert "hidden" in list(find(f"{text} {word[:cut]}{hidden}{word[cut:]} {text}"))
