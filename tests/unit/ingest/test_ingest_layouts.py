"""What columns mean: every layout, named and detected, and every reason to refuse a row."""

import pytest

from ringfence.core.errors import UnknownLayout
from ringfence.ingest.layouts import detect
from ringfence.ingest.settings import ImportSettings
from tests.unit.ingest.ingest_tools import imported

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
SHAREGPT = [
    {"from": "human", "value": "hi"},
    {"from": "function_call", "value": "{}"},
    {"from": "observation", "value": "4"},
    {"from": "gpt", "value": "4!"},
]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, {"role": "assistant", "content": "c"}]

CALLED = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "Let me look.", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": "\\u00e9"}'}}]},
    {"role": "tool", "content": "4"},
    {"role": "assistant", "content": "4!"},
]  # fmt: skip
GOOD = [  # row, settings, layout, kind, (role, text)…, fields left over
    ({"messages": TURNS, "id": 3}, {}, "messages", "messages", [("system", "Be brief."), ("user", "hi"), ("assistant", "hello")], {"id": 3}),
    ({"conversations": SHAREGPT}, {}, "messages", "messages", [("user", "hi"), ("call", "{}"), ("tool", "4"), ("assistant", "4!")], {}),
    ({"messages": CALLED, "tools": [{"name": "f"}]}, {}, "messages", "messages", [("tools", '[{"name": "f"}]'), ("user", "hi"), ("assistant", "Let me look."), ("call", '[{"name": "f", "arguments": {"x": "é"}}]'), ("tool", "4"), ("assistant", "4!")], {}),
    ({"messages": CALLED[:2], "tools": " "}, {}, "messages", "messages", [("user", "hi"), ("assistant", "Let me look."), ("call", '[{"name": "f", "arguments": {"x": "é"}}]')], {}),
    ({"messages": TURNS, "tools": None}, {}, "messages", "messages", [("system", "Be brief."), ("user", "hi"), ("assistant", "hello")], {}),
    ({"prompt": TURNS[:2], "tools": {"name": "f"}, "chosen": "y", "rejected": "n"}, {}, "preference", "preference", [("tools", '[{"name": "f"}]'), ("system", "Be brief."), ("user", "hi"), ("chosen", "y"), ("rejected", "n")], {}),
    ({"messages": PARTS}, {}, "messages", "messages", [("user", "ab"), ("assistant", "c")], {}),
    ({"messages": TURNS[1:], "system": "S"}, {}, "messages", "messages", [("system", "S"), ("user", "hi"), ("assistant", "hello")], {}),
    ({"instruction": "do", "input": "", "output": "done"}, {}, "alpaca", "pair", [("user", "do"), ("assistant", "done")], {}),
    ({"instruction": "do", "input": "it", "output": "done"}, {}, "alpaca", "pair", [("user", "do\nit"), ("assistant", "done")], {}),
    ({"instruction": "do", "input": None, "output": "done", "x": [1]}, {}, "alpaca", "pair", [("user", "do"), ("assistant", "done")], {"x": [1]}),
    (
        {"instruction": "c", "output": "d", "history": [["a", "b"]], "system": "S"},
        {},
        "alpaca",
        "messages",
        [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
        {},
    ),
    ({"prompt": "p", "completion": "c"}, {}, "pair", "pair", [("user", "p"), ("assistant", "c")], {}),
    ({"question": "p", "answer": "c"}, {}, "pair", "pair", [("user", "p"), ("assistant", "c")], {}),
    ({"问题": "头痛", "回答": "多休息", "姓名": "张三"}, {}, "pair", "pair", [("user", "头痛"), ("assistant", "多休息")], {"姓名": "张三"}),
    ({"主诉": "头痛", "处置": "休息"}, {"mapping": {"prompt": "主诉", "completion": "处置"}}, "pair", "pair", [("user", "头痛"), ("assistant", "休息")], {}),
    ({"Q": "p", "A": "c", "text": "t"}, {"mapping": {"prompt": "Q", "completion": "A"}}, "pair", "pair", [("user", "p"), ("assistant", "c")], {"text": "t"}),
    ({"text": "t", "prompt": "p"}, {}, "text", "text", [("text", "t")], {"prompt": "p"}),
    ({"messages": TURNS, "text": "t"}, {"layout": "text"}, "text", "text", [("text", "t")], {"messages": TURNS}),
    ({"body": "t"}, {"mapping": {"text": "body"}}, "text", "text", [("text", "t")], {}),
    ({"prompt": "p", "chosen": "y", "rejected": "n"}, {}, "preference", "preference", [("user", "p"), ("chosen", "y"), ("rejected", "n")], {}),
    (
        {"conversations": SHAREGPT[:1], "chosen": {"from": "gpt", "value": "y"}, "rejected": [{"role": "assistant", "content": "n"}]},
        {},
        "preference",
        "preference",
        [("user", "hi"), ("chosen", "y"), ("rejected", "n")],
        {},
    ),
    (
        {"prompt": "p", "completion": "c", "label": True},
        {"layout": "feedback"},
        "feedback",
        "feedback",
        [("user", "p"), ("liked", "c")],
        {},
    ),
    ({"prompt": "p", "completion": "c", "label": True}, {}, "pair", "pair", [("user", "p"), ("assistant", "c")], {"label": True}),
    ({"instruction": "p", "input": "q", "output": "c", "kto_tag": "False"}, {}, "feedback", "feedback", [("user", "p\nq"), ("disliked", "c")], {}),
    (
        {"messages": TURNS, "kto_tag": True},
        {},
        "feedback-messages",
        "feedback",
        [("system", "Be brief."), ("user", "hi"), ("liked", "hello")],
        {},
    ),
    (
        {"messages": [{**TURNS[1], "weight": None}, {**TURNS[2], "weight": 1}]},
        {},
        "messages",
        "messages",
        [("user", "hi"), ("assistant", "hello")],
        {},
    ),
    ({"Q": "p", "A": "c", "good": False}, {"mapping": {"prompt": "Q", "completion": "A", "label": "good"}}, "feedback", "feedback", [("user", "p"), ("disliked", "c")], {}),
    (
        {"prompt": [*TURNS, TURNS[1]], "chosen": "y", "rejected": "n", "system": "unread"},
        {},
        "preference",
        "preference",
        [("system", "Be brief."), ("user", "hi"), ("assistant", "hello"), ("user", "hi"), ("chosen", "y"), ("rejected", "n")],
        {},
    ),
    (
        {"instruction": "do", "input": "it", "system": "S", "history": [["a", "b"]], "chosen": "y", "rejected": "n"},
        {},
        "preference",
        "preference",
        [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "do\nit"), ("chosen", "y"), ("rejected", "n")],
        {},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("row", "settings", "layout", "kind", "turns", "fields"), GOOD)
def test_layouts(row, settings, *, layout, kind, turns, fields):
    (record,), figures = imported([row], **settings)
    assert figures.layout == layout
    assert record.kind == kind
    assert list(zip(record.roles, record.texts, strict=True)) == turns
    assert record.fields == fields


BAD = [  # a good row that fixes the layout, a bad one, the reason
    ({"prompt": "p", "completion": "c"}, {"prompt": "p"}, "missing-text"),
    ({"prompt": "p", "completion": "c"}, {"prompt": "p", "completion": None}, "missing-text"),
    ({"prompt": "p", "completion": "c"}, {"prompt": "p", "completion": " \n"}, "empty"),
    ({"prompt": "p", "completion": "c"}, {"prompt": "", "completion": "c"}, "empty"),
    ({"prompt": "p", "completion": "c"}, {"prompt": "p", "completion": 5}, "wrong-type"),
    ({"prompt": "p", "completion": "c"}, {"prompt": "p", "completion": "\ud800"}, "bad-encoding"),
    ({"prompt": "p", "completion": "c"}, ["p", "c"], "not-an-object"),
    ({"instruction": "i", "output": "o"}, {"instruction": "i", "output": "o", "input": {}}, "wrong-type"),
    ({"instruction": "i", "output": "o"}, {"instruction": "i", "output": "o", "history": [["q"]]}, "wrong-type"),
    ({"instruction": "i", "output": "o"}, {"instruction": "i", "output": "o", "history": "q"}, "wrong-type"),
    ({"messages": TURNS}, {"messages": []}, "empty"),
    ({"messages": TURNS}, {"messages": "hi"}, "wrong-type"),
    ({"messages": TURNS}, {"messages": TURNS[:2]}, "bad-role"),
    ({"messages": TURNS}, {"messages": TURNS[2:]}, "bad-role"),
    ({"messages": TURNS}, {"messages": TURNS[:1]}, "bad-role"),
    ({"messages": TURNS}, {"messages": [{"role": "wizard", "content": "x"}, TURNS[2]]}, "bad-role"),
    ({"messages": TURNS}, {"messages": [TURNS[1], {"role": "assistant", "content": " "}]}, "empty"),
    ({"messages": TURNS}, {"messages": [TURNS[1], {"role": "assistant", "content": None}]}, "missing-text"),
    ({"messages": TURNS}, {"messages": [TURNS[1], {**TURNS[2], "tool_calls": [{}]}]}, "wrong-type"),
    ({"messages": TURNS}, {"messages": [TURNS[1], {**TURNS[2], "weight": 0}]}, "weighted"),
    ({"messages": TURNS}, {"messages": [{**TURNS[1], "loss_weight": 0.5}, TURNS[2]]}, "weighted"),
    ({"messages": TURNS}, {"messages": [{**TURNS[1], "tool_calls": [{"name": "f"}]}, TURNS[2]]}, "wrong-type"),
    ({"messages": TURNS}, {"messages": [TURNS[1], {**TURNS[2], "tool_calls": "f"}]}, "wrong-type"),
    ({"messages": TURNS}, {"messages": TURNS, "tools": "no JSON"}, "wrong-type"),
    ({"messages": TURNS}, {"messages": TURNS, "tools": 5}, "wrong-type"),
    ({"messages": TURNS}, {"messages": TURNS, "tools": ["look"]}, "wrong-type"),
    ({"messages": TURNS}, {"messages": [{"role": "function_call", "content": "f"}, TURNS[2]]}, "bad-role"),
    ({"messages": TURNS}, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, TURNS[2]]}, "wrong-type"),
    ({"prompt": "p", "completion": "y", "kto_tag": True}, {"prompt": "p", "completion": "y", "kto_tag": "maybe"}, "wrong-type"),
    ({"prompt": "p", "completion": "y", "kto_tag": True}, {"prompt": "p", "completion": " ", "kto_tag": True}, "empty"),
    ({"messages": TURNS, "kto_tag": True}, {"messages": [*TURNS, TURNS[1]], "kto_tag": True}, "bad-role"),
    ({"prompt": "p", "chosen": "y", "rejected": "n"}, {"prompt": TURNS[:2], "chosen": "y", "rejected": "n", "input": "i"}, "wrong-type"),
    ({"prompt": "p", "chosen": "y", "rejected": "n"}, {"prompt": TURNS[:2], "chosen": "y", "rejected": "n", "history": [["a", "b"]]}, "wrong-type"),
    ({"prompt": "p", "chosen": "y", "rejected": "n"}, {"prompt": TURNS, "chosen": "y", "rejected": "n"}, "bad-role"),
    ({"prompt": "p", "chosen": "y", "rejected": "n"}, {"prompt": [TURNS[2], TURNS[1]], "chosen": "y", "rejected": "n"}, "bad-role"),
    ({"prompt": "p", "chosen": "y", "rejected": "n"}, {"prompt": "p", "chosen": TURNS + TURNS[1:], "rejected": "n"}, "bad-role"),
    ({"prompt": "p", "chosen": "y", "rejected": "n"}, {"prompt": "p", "chosen": "y", "rejected": "n", "history": [["a"]]}, "wrong-type"),
    ({"prompt": "p", "chosen": "y", "rejected": "n"}, {"prompt": "p", "chosen": "y", "rejected": ""}, "empty"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "reason"), BAD)
def test_a_row_is_refused_for_its_reason(good, bad, reason):
    records, figures = imported([good, bad, {**good, "n": 2}], skip_bad=True)
    assert figures.reasons == {reason: 1}
    assert (figures.rows, figures.refused, list(figures.row_numbers.values())) == (2, 1, [(2,)])
    assert len(records) == 2


def test_the_layout_is_that_of_the_first_row_that_has_one():
    records, figures = imported([{"note": "x"}, {"text": "a"}, {"prompt": "p", "completion": "c"}], skip_bad=True)
    assert [record.texts for record in records] == [("a",)]
    assert figures.reasons == {"missing-text": 2}


@pytest.mark.parametrize("count", [1, 500])
def test_columns_that_mean_nothing_are_an_unknown_format(count):
    with pytest.raises(UnknownLayout):
        imported([{"note": "x"}] * count)


@pytest.mark.parametrize(
    "settings",
    [
        {"mapping": {"prompt": "a"}},
        {"mapping": {"prompt": "a", "completion": "b", "text": "c"}},
        {"mapping": {"text": "a"}, "layout": "pair"},
        {"mapping": {"nonsense": "a"}},
        {"rows": "5:4"},
        {"rows": "0:4"},
        {"source": ""},
    ],
)
def test_settings_that_make_no_import_are_invalid(settings):
    with pytest.raises(ValueError):
        ImportSettings(**{"source": "a", **settings})


def test_a_named_layout_is_never_replaced_by_another():
    assert detect({"text": "t"}, ImportSettings(source="a", layout="pair")) is None
