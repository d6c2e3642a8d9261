"""Records survive their line, whatever text they hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.records import Message, Record

TEXT = st.text(st.characters(), max_size=30)  # lone surrogates included: JSON can carry them


@given(texts=st.lists(TEXT, min_size=2, max_size=2), fields=st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=3))
def test_a_record_comes_back_from_its_line(texts, fields):
    record = Record("a" * 32, "b" * 32, "c" * 32, "pair", ("user", "assistant"), tuple(texts), fields)
    line = record.to_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert Record.from_line(line) == record


@given(
    texts=st.lists(TEXT, min_size=2, max_size=2), fields=st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=3), source=TEXT
)
def test_lines_and_contents_are_what_the_library_writes(texts, fields, source):
    record = Record("0" * 32, "1" * 32, source, "pair", ("user", "assistant"), tuple(texts), fields)
    row = {"id": record.id, "unit": record.unit, "source": source, "kind": "pair", "roles": record.roles, "texts": record.texts}
    row |= {"fields": fields} if fields else {}
    for written, expected in ((record.to_line(), row), (record.content() + b"\n", [record.kind, record.roles, record.texts])):
        assert written == json.dumps(expected, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def test_content_ignores_ids_and_fields():
    one = Record("a" * 32, "b" * 32, "c" * 32, "text", ("text",), ("x",), {"k": 1})
    other = Record("d" * 32, "e" * 32, "f" * 32, "text", ("text",), ("x",))
    assert one.content() == other.content()
    assert one.content() != other.with_texts(("y",)).content()


def test_with_texts_keeps_their_number():
    record = Record("a" * 32, "b" * 32, "c" * 32, "pair", ("user", "assistant"), ("q", "a"), {"k": 1})
    assert record.with_texts(("x", "y"), keep_fields=False).fields == {}
    with pytest.raises(ValueError, match="1 texts for 2"):
        record.with_texts(("x",))


def test_the_prompt_is_what_comes_before_the_last_answer():
    chat = Record("a" * 32, "b" * 32, "", "messages", ("system", "user", "assistant", "user", "assistant"), ("s", "1", "2", "3", "4"))
    assert chat.prompt() == (Message("system", "s"), Message("user", "1"), Message("assistant", "2"), Message("user", "3"))
    assert Record("a" * 32, "b" * 32, "", "text", ("text",), ("x",)).prompt() == ()
