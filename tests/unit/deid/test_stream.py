"""The filter for streams: the cut decides nothing, and what is found is what the engine finds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.deid.engine import Engine
from ringfence.deid.profile import settings_for
from ringfence.deid.stream import StreamFilter

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


def test_a_key_word_counts_for_the_next_line():
    made, tool = through("住院号：\nZY20230415001\n", [4])
    assert ("ZY20230415001" in made) == (not tool.found)


@pytest.mark.parametrize("length", [399, 400, 401, 5_000])
def test_a_sentence_without_an_end_is_not_held_for_ever(length):
    tool = StreamFilter(ENGINE)
    out = tool.feed("字" * length)
    assert len(out) >= length - 401
    assert out + tool.close() == "字" * length
