"""The filter for streams: the cut decides nothing, and what is found is what the engine finds."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.deid.engine import Engine
from ringfence.deid.operator import Use
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import Span
from ringfence.deid.stream import StreamFilter
from tests.growth import assert_linear

ENGINE = Engine.build(settings_for("default").model_copy(update={"taggers": ()}), b"k" * 32)
TEXT = "您好。请拨打13800138000，或写信到bob@corp.internal。The account of Dr. Smith\nis 4111111111111111. Thank you!\n住院号：ZY20230415001；谢谢"
PIECES = st.lists(
    st.sampled_from([*TEXT, "13800138000", "\n", "。", ". ", "bob@corp.internal", "手机", "电话：", "x" * 90]), max_size=40
).map("".join)


def through(text, cuts):
    tool = StreamFilter(ENGINE)
    at, out = 0, []
    for cut in [*sorted(cuts), len(text)]:
        out.append(tool.feed(text[at:cut]))
        at = cut
    return "".join([*out, tool.close()]), tool


@settings(max_examples=100, deadline=None)
@given(PIECES, st.data())
def test_how_the_text_is_cut_decides_nothing(text, data):
    whole, _ = through(text, [])
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    assert through(text, cuts)[0] == through(text, range(len(text)))[0] == whole


def test_identifiers_are_replaced_as_the_engine_replaces_them():
    made, tool = through(TEXT, range(0, len(TEXT), 3))
    assert made == ENGINE.replace(TEXT, ENGINE.find(TEXT))
    assert tool.found == {"CN_MOBILE": 1, "EMAIL": 1, "BANK_CARD": 1, "MEDICAL_RECORD": 1}


def test_text_comes_out_a_sentence_behind():
    tool = StreamFilter(ENGINE)
    assert tool.feed("第一句。第二") == "第一句。"
    assert tool.feed("句") == ""
    assert tool.close() == "第二句"


def test_a_key_word_counts_for_the_next_line_and_not_for_ever():
    line = "Passport number:\n"
    assert len(ENGINE.find(f"{line}E12345678\n")) == 1
    made, tool = through(f"{line}E12345678\n", [4])
    assert "E12345678" not in made
    assert tool.found == {"PASSPORT": 1}
    between = ("word " * 40).strip() + "\n"
    assert through(f"{line}{between}E12345678\n", [4])[1].found == {}


def test_what_came_before_is_looked_at_and_never_told_again():
    made, tool = through("Passport number: E12345678\nPassport number: G87654321\n", range(50))
    assert made.count("Passport number: ") == 2
    assert tool.found == {"PASSPORT": 2}


def test_marks_that_go_on_end_one_sentence():
    tool = StreamFilter(ENGINE)
    assert [tool.feed(text) for text in ("好。", "！", "再", "见？\n", "。", "x")] == ["", "", "好。！", "", "", "再见？\n。"]
    assert tool.close() == "x"


# ── sentences without an end ──────────────────────────────────────────────────────────────────────────────────────────

PLANTED = (
    "13800138000",
    "4111 1111 1111 1111",
    "bob.smith@corp.internal",
    "GB82 WEST 1234 5698 7654 32",
    "11010519491231002X",
    "https://bob:hunter2!x@db.corp.internal/a?b=c",
    "住院号：ZY20230415001",
    "+44 20 7946 0958",
    "192.168.10.77",
)
FILLER = st.sampled_from(["字", "word ", "，", "and then ", "那么我们继续说下去", "x" * 37 + " ", "…"])
LONG = st.lists(st.one_of(FILLER, FILLER, FILLER, st.sampled_from(PLANTED)), min_size=60, max_size=220).map("".join)


@settings(max_examples=60, deadline=None)
@given(LONG, st.data())
def test_a_forced_cut_parts_no_identifier_however_the_text_comes(text, data):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    made, _ = through(text, cuts)
    assert made == through(text, [])[0]
    for span in ENGINE.find(text):
        value = text[span.start : span.end]
        assert made.count(value) <= text.count(value) - sum(text[s.start : s.end] == value for s in ENGINE.find(text))


@pytest.mark.parametrize("value", PLANTED)
@pytest.mark.parametrize("filler", ["字", "a b "])
def test_an_identifier_is_found_whole_wherever_it_stands_in_a_long_sentence(value, filler):
    whole = ENGINE.replace(f"。{value} ", ENGINE.find(f"。{value} "))[1:-1]
    for at in range(360, 440):
        text = (filler * at)[:at] + " " + value + " " + filler * 300
        made, tool = through(text, range(0, len(text), 7))
        assert made == (filler * at)[:at] + " " + whole + " " + filler * 300, at
        assert sum(tool.found.values()) == 1


def test_no_cut_is_made_where_an_identifier_ends():
    tool = StreamFilter(BOUNDLESS)
    assert tool.feed(("字" * 395 + "tok_a" + "字" * 300)[:601]) == "字" * 395
    assert tool.close() == "<API_KEY>" + "字" * 201


def test_a_long_sentence_is_cut_behind_a_space_if_that_is_not_too_early():
    tool = StreamFilter(ENGINE)
    assert tool.feed(("我们继续讨论这个问题，" * 60)[:601]) == "我们继续讨论这个问题，" * 36  # of the 400 that have 200 behind them
    tool = StreamFilter(ENGINE)
    assert tool.feed("好，" + "字" * 599) == "好，" + "字" * 398


def test_after_a_stretch_that_nothing_could_part_a_sentence_waits_no_longer_than_before():
    tool = StreamFilter(BOUNDLESS)
    out = tool.feed(f"tok_{'a' * 2_000} end\n" + "字" * 601)
    assert out == "<API_KEY> end\n" + "字" * 400


def test_two_identifiers_side_by_side_are_not_parted():
    numbers = ", ".join(f"138{n:08}" for n in range(12345600, 12345900))
    made, tool = through(numbers, range(len(numbers)))
    assert made == ENGINE.replace(numbers, ENGINE.find(numbers))
    assert tool.found == {"CN_MOBILE": 300}


def test_the_marks_of_a_sentence_inside_an_address_end_nothing():
    text = "see https://bob:hunter2!x@db.corp.internal/a?b=c now! 好吗?好。"
    made, tool = through(text, range(len(text)))
    assert made == ENGINE.replace(text, ENGINE.find(text))
    assert "hunter2" not in made
    assert sum(tool.found.values()) == 1


class Token:
    """Finds tokens of any length, as a recogniser of the tenant's own may."""

    kinds = frozenset({"API_KEY"})

    def find(self, text):
        return [Span(*match.span(), "API_KEY", 1.0) for match in re.finditer(r"tok_[a-z/]+", text)]


BOUNDLESS = Engine.build(
    settings_for("default").model_copy(update={"taggers": (), "operators": {"API_KEY": (Use(use="redact.v1"),)}}),
    b"k" * 32,
    own_way=[Token()],
)


@pytest.mark.parametrize("length", [300, 610, 1_150, 2_300, 4_500])
@pytest.mark.parametrize("before", ["", "字", "word " * 70])
def test_an_identifier_of_thousands_of_characters_is_found_whole(length, before):
    text = f"{before}tok_{'a' * length} end"
    tool = StreamFilter(BOUNDLESS)
    made = "".join(tool.feed(text[n : n + 11]) for n in range(0, len(text), 11)) + tool.close()
    assert made == f"{before}<API_KEY> end"
    assert sum(tool.found.values()) == 1


def test_of_an_identifier_without_an_end_nothing_comes_out_and_little_is_held():
    tool = StreamFilter(BOUNDLESS)
    out = tool.feed("see tok_")
    for _ in range(100):
        out += tool.feed("secretpath/" * 100)
        assert len(tool._held) <= 4_801
    out += tool.feed("s and\nthen tok_a") + tool.close()
    assert out == "see <API_KEY> and\nthen <API_KEY>"
    assert tool.feed("next") + tool.close() == "next"


@pytest.mark.parametrize("length", [599, 600, 601, 5_000])
def test_a_sentence_without_an_end_is_not_held_for_ever(length):
    tool = StreamFilter(ENGINE)
    out = tool.feed("字" * length)
    assert len(out) >= length - 601
    assert out + tool.close() == "字" * length


def test_a_run_without_a_space_is_held_to_a_bound_and_comes_out():
    tool = StreamFilter(ENGINE)
    out = ""
    for _ in range(2_000):
        out += tool.feed("z" * 10)
        assert len(tool._held) <= 4_801
    assert out + tool.close() == "z" * 20_000


def test_the_work_grows_with_the_text_and_not_with_its_square():
    def seconds(size):
        text = "那么我们继续说下去，" * (size // 10)
        begun = time.process_time()
        StreamFilter(ENGINE).feed(text)
        return time.process_time() - begun

    seconds(10_000)
    assert_linear(seconds, 100_000)


def test_a_key_over_many_lines_is_one_identifier():
    lines = "".join(f"{n:02}Ab3/" * 10 + "4567\n" for n in range(50))
    text = f"Here it is:\n-----BEGIN RSA PRIVATE KEY-----\n{lines}-----END RSA PRIVATE KEY-----\nKeep it. 好。\n"
    made, tool = through(text, range(0, len(text), 5))
    assert made == ENGINE.replace(text, ENGINE.find(text)) == through(text, [])[0]
    assert "Ab3" not in made
    assert tool.found == {"API_KEY": 1}


def test_the_first_line_of_a_key_alone_does_not_hold_the_rest_for_ever():
    text = "-----BEGIN RSA PRIVATE KEY-----\n" + "and then nothing came of it\n" * 400
    tool = StreamFilter(ENGINE)
    out = ""
    for character in text:
        out += tool.feed(character)
        assert len(tool._held) <= 4_801
    assert (out + tool.close()).partition("\n")[2] == text.partition("\n")[2]


def test_a_name_is_not_parted_in_a_long_sentence():
    engine = Engine.build(settings_for("default"), b"k" * 32)
    for at in range(380, 420, 3):
        text = "我们继续讨论这个问题，" * (at // 11) + "字" * (at % 11) + "，患者王建国表示感谢，" + "我们继续讨论这个问题，" * 40
        tool = StreamFilter(engine)
        assert "王建国" in text
        assert "王建国" not in "".join(map(tool.feed, text)) + tool.close(), at
