"""LLaMA-Factory's `dataset_info.json`: its defaults and quirks, and what it may not ask for."""

from __future__ import annotations

import json

import pytest

from ringfence.core.errors import BadDatasetInfo, RowsRefused
from ringfence.ingest.dataset_info import FILE, entries, source_of
from tests.unit.ingest.ingest_tools import imported

ALPACA = {"instruction": "do", "input": "it", "output": "done", "system": "S", "history": [["a", "b"]]}
TURNS = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]
CALL = '{"name": "f", "arguments": {"x": "é"}}'
TOOLS = '[{"name": "f"}]'
OPENAI = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool"}
ASKED = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "Wait.", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"x": "é"}'}}]}
WAIT = (("assistant", "Wait."), ("call", f"[{CALL}]"))  # its turns


def records(folder, entry, rows, **more):
    (folder / "rows.json").write_text(json.dumps(rows))
    path, settings = source_of(folder, "rows", {"file_name": "rows.json", **entry}, **more)
    found, figures = imported(path.read_bytes(), **{"name": path.name, **settings.model_dump(exclude={"source"}, exclude_defaults=True)})
    return [list(zip(one.roles, one.texts, strict=True)) for one in found], figures


GOOD = {
    "without columns, neither history nor system": ({}, ALPACA, [("user", "do\nit"), ("assistant", "done")]),
    "what a columns block leaves out means nothing": (
        {"columns": {"prompt": "instruction", "response": "output"}},
        ALPACA,
        [("user", "do"), ("assistant", "done")],
    ),
    "all columns": (
        {"columns": {"prompt": "q", "query": "more", "response": "a", "system": "s", "history": "h"}},
        {"q": "do", "more": "it", "a": "done", "s": "S", "h": [["a", "b"]]},
        [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "do\nit"), ("assistant", "done")],
    ),
    "an empty instruction": ({}, {**ALPACA, "instruction": ""}, [("user", "it"), ("assistant", "done")]),
    "a column that is null or empty is not there": (
        {"columns": {"prompt": "instruction", "response": "output", "query": None, "history": "", "images": None, "kto_tag": ""}},
        ALPACA,
        [("user", "do"), ("assistant", "done")],
    ),
    "nor is a tag": (
        {"formatting": "sharegpt", "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": None}},
        {"conversations": TURNS},
        [("user", "hi"), ("assistant", "hello")],
    ),
    "text": ({"columns": {"prompt": "text"}}, {"text": "t"}, [("text", "t")]),
    "ranking": (
        {"ranking": True, "columns": {"prompt": "instruction", "query": "input", "chosen": "c", "rejected": "r"}},
        {**ALPACA, "c": "y", "r": "n"},
        [("user", "do\nit"), ("chosen", "y"), ("rejected", "n")],
    ),
    "kto": (
        {"columns": {"prompt": "instruction", "response": "output", "kto_tag": "label"}},
        {**ALPACA, "label": False},
        [("user", "do"), ("disliked", "done")],
    ),
    "sharegpt": ({"formatting": "sharegpt"}, {"conversations": TURNS, "system": "S"}, [("user", "hi"), ("assistant", "hello")]),
    "its system turn": (
        {"formatting": "sharegpt", "columns": {"messages": "m", "system": "s"}},
        {"m": [{"from": "system", "value": "own"}, *TURNS], "s": "S"},
        [("system", "own"), ("user", "hi"), ("assistant", "hello")],
    ),
    "tools and calls": (
        {"formatting": "sharegpt", "columns": {"messages": "conversations", "tools": "tools"}},
        {
            "conversations": [TURNS[0], {"from": "function_call", "value": CALL}, {"from": "observation", "value": "4"}, TURNS[1]],
            "tools": TOOLS,
        },
        [("tools", TOOLS), ("user", "hi"), ("call", f"[{CALL}]"), ("tool", "4"), ("assistant", "hello")],
    ),
    "other tags": (
        {
            "formatting": "sharegpt",
            "columns": {"messages": "talk"},
            "tags": {"role_tag": "who", "content_tag": "said", "user_tag": "Q", "assistant_tag": "A"},
        },
        {"talk": [{"who": "Q", "said": "hi"}, {"who": "A", "said": "hello"}]},
        [("user", "hi"), ("assistant", "hello")],
    ),
    "openai": (
        {
            "formatting": "openai",
            "columns": {"messages": "messages"},
            "tags": OPENAI,
        },
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}] * 2},
                {"role": "tool", "content": "4"},
                {"role": "tool", "content": "5"},
                {"role": "assistant", "content": "hello"},
            ]
        },
        [
            ("user", "hi"),
            ("call", '[{"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {"x": 1}}]'),
            ("tool", "4"),
            ("tool", "5"),
            ("assistant", "hello"),
        ],
    ),
    "openai, words and a call in one message": (
        {"formatting": "openai", "columns": {"messages": "messages"}, "tags": OPENAI},
        {"messages": [ASKED, SAID, {"role": "tool", "content": "4"}, {"role": "tool", "content": "5"}, SAID]},
        [("user", "hi"), *WAIT, ("tool", "4"), ("tool", "5"), *WAIT],
    ),
    "openai ranking after one": (
        {"formatting": "openai", "ranking": True, "columns": {"messages": "m", "chosen": "c", "rejected": "r"}, "tags": OPENAI},
        {"m": [ASKED, SAID, ASKED], "c": {"role": "assistant", "content": "y"}, "r": {"role": "assistant", "content": "n"}},
        [("user", "hi"), *WAIT, ("user", "hi"), ("chosen", "y"), ("rejected", "n")],
    ),
    "sharegpt ranking of calls": (
        {"formatting": "sharegpt", "ranking": True, "columns": {"messages": "conversations", "chosen": "c", "rejected": "r"}},
        {"conversations": TURNS[:1], "c": {"from": "function_call", "value": CALL}, "r": {"from": "gpt", "value": "n"}},
        [("user", "hi"), ("chosen", f"[{CALL}]"), ("rejected", "n")],
    ),
    "sharegpt kto of a call": (
        {"formatting": "sharegpt", "columns": {"messages": "conversations", "kto_tag": "ok"}},
        {"conversations": [TURNS[0], {"from": "function_call", "value": CALL}], "ok": False},
        [("user", "hi"), ("disliked", f"[{CALL}]")],
    ),
    "sharegpt ranking": (
        {"formatting": "sharegpt", "ranking": True, "columns": {"messages": "conversations", "chosen": "c", "rejected": "r"}},
        {"conversations": TURNS[:1], "c": TURNS[1], "r": {"from": "gpt", "value": "n"}},
        [("user", "hi"), ("chosen", "hello"), ("rejected", "n")],
    ),
    "sharegpt kto": (
        {"formatting": "sharegpt", "columns": {"messages": "conversations", "kto_tag": "ok"}},
        {"conversations": TURNS, "ok": True},
        [("user", "hi"), ("liked", "hello")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_rows_are_read_as_llama_factory_reads_them(case, tmp_path):
    entry, row, wanted = GOOD[case]
    assert records(tmp_path, entry, [row])[0] == [wanted]


def test_words_and_a_call_in_two_messages_are_two_answers(tmp_path):
    entry = {"formatting": "openai", "columns": {"messages": "messages"}, "tags": OPENAI}
    two = [ASKED, {"role": "assistant", "content": "Wait."}, {**SAID, "content": None}]
    found, figures = records(tmp_path, entry, [{"messages": two}, {"messages": [ASKED, SAID]}], skip_bad=True)
    assert (len(found), figures.reasons, figures.row_numbers) == (1, {"bad-role": 1}, {"bad-role": (1,)})


DISORDER = {  # formatting, turns
    "an answer first": ("sharegpt", [TURNS[1], TURNS[0]]),
    "two questions": ("sharegpt", [TURNS[0], *TURNS]),
    "a question last": ("sharegpt", [*TURNS, TURNS[0]]),
    "two tools": ("sharegpt", [TURNS[0], {"from": "function_call", "value": CALL}, *[{"from": "observation", "value": "4"}] * 2, TURNS[1]]),
    "an unknown role": ("sharegpt", [{"from": "user", "value": "hi"}, TURNS[1]]),
}


@pytest.mark.parametrize("case", DISORDER)
def test_rows_that_break_the_order_of_roles_are_counted_and_their_text_is_in_no_error(case, tmp_path):
    formatting, turns = DISORDER[case]
    rows = [{"conversations": TURNS}, {"conversations": turns}]
    with pytest.raises(RowsRefused) as refused:
        records(tmp_path, {"formatting": formatting}, rows)
    assert refused.value.facts["bad_role"] == 1
    assert "hi" not in str(refused.value).split()
    found, figures = records(tmp_path, {"formatting": formatting}, rows, skip_bad=True)
    assert (len(found), figures.reasons, figures.row_numbers) == (1, {"bad-role": 1}, {"bad-role": (2,)})


REFUSED = {
    "a hub": ({"hf_hub_url": "org/set"}, "hf_hub_url"),
    "another hub": ({"ms_hub_url": "org/set"}, "ms_hub_url"),
    "a third": ({"om_hub_url": "org/set"}, "om_hub_url"),
    "a script": ({"script_url": "load.py"}, "script_url"),
    "a bucket": ({"cloud_file_name": "s3://bucket/x.json"}, "cloud_file_name"),
    "an address beside a file": ({"hf_hub_url": "org/set", "file_name": "rows.json"}, "hf_hub_url"),
    "nothing": ({}, "file_name"),
    "pictures": ({"file_name": "rows.json", "columns": {"messages": "m", "images": "i"}}, "images"),
    "another format": ({"file_name": "rows.json", "formatting": "vicuna"}, "formatting"),
    "a split": ({"file_name": "rows.json", "split": "validation"}, "split"),
    "a random sample": ({"file_name": "rows.json", "num_samples": 5}, "max_samples"),
    "columns that are a list": ({"file_name": "rows.json", "columns": ["a"]}, "columns"),
    "arrow": ({"file_name": "rows.arrow"}, ".arrow"),
    "no file": ({"file_name": "gone.json"}, "gone.json"),
    "a folder of two": ({"file_name": "two"}, "2 files"),
    "ranking without answers": ({"file_name": "rows.json", "ranking": True}, "chosen"),
    "tools beside a pair": ({"file_name": "rows.json", "columns": {"prompt": "p", "response": "r", "tools": "t"}}, "tools"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_leave_the_machine_or_cannot_be_read_is_refused(case, tmp_path):
    entry, named = REFUSED[case]
    (tmp_path / "rows.json").write_text("[]")
    (tmp_path / "two").mkdir()
    for name in "ab":
        (tmp_path / "two" / f"{name}.json").write_text("[]")
    with pytest.raises(BadDatasetInfo, match=named):
        source_of(tmp_path, "rows", entry)


def test_a_folder_of_one_file_is_that_file(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "rows.jsonl").write_text(json.dumps(ALPACA))
    assert source_of(tmp_path, "rows", {"file_name": "one"}).path == tmp_path / "one" / "rows.jsonl"


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', "\xff"])
def test_a_broken_file_is_an_error_that_names_it(text, tmp_path):
    assert entries(tmp_path) == {}
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(BadDatasetInfo, match=FILE):
        entries(tmp_path)
