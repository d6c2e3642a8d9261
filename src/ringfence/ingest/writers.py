"""Records as rows of a file that `ringfence import` reads back as the same records: JSON Lines, or Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ringfence.core.records import Record
from ringfence.ingest.parquet import Say, write_parquet
from ringfence.ingest.settings import Layout

_NAMES = {"call": "function_call"}  # roles that are read back by another name

Row = dict[str, Any]  # by column; None where the record has nothing for it


def columns(record: Record, layout: Layout) -> Row:
    """Return a record as a row of the layout that its set was imported in; an absent column is None.

    Raises: ValueError for a record that this layout never makes.
    """
    if record.kind not in _KINDS[layout]:
        raise ValueError("a record of another layout")
    return _ROWS[layout](record)


def _messages(record: Record) -> Row:
    return _with_tools("messages", record.roles, record.texts)


def _alpaca(record: Record) -> Row:
    system, texts = _system(record)
    *history, question, answer = texts
    rounds = [[history[n], history[n + 1]] for n in range(0, len(history), 2)]
    return {"instruction": question, "output": answer, "history": rounds or None, "system": system}


def _pair(record: Record) -> Row:
    system, (question, answer) = _system(record)
    return {"prompt": question, "completion": answer, "system": system}


def _system(record: Record) -> tuple[str | None, tuple[str, ...]]:
    return (record.texts[0], record.texts[1:]) if record.roles[0] == "system" else (None, record.texts)


def _text(record: Record) -> Row:
    return {"text": record.texts[0]}


def _preference(record: Record) -> Row:
    *asked, chosen, rejected = record.texts
    row = {"prompt": asked[0]} if len(asked) == 1 else _with_tools("prompt", record.roles[:-2], asked)
    return {**row, "chosen": chosen, "rejected": rejected}


def _with_tools(column: str, roles: Sequence[str], texts: Sequence[str]) -> Row:
    """Return turns as a column of messages, and what may be called in them as one of its own."""
    first = int(roles[0] == "tools")
    return {column: _turns(roles[first:], texts[first:]), "tools": texts[0] if first else None}


def _turns(roles: Iterable[str], texts: Iterable[str]) -> list[dict[str, str]]:
    return [{"role": _NAMES.get(role, role), "content": text} for role, text in zip(roles, texts, strict=True)]


def _feedback(record: Record) -> Row:
    *asked, answer = record.texts
    prompt = asked[0] if len(asked) == 1 else _turns(record.roles[:-1], asked)
    return {"prompt": prompt, "completion": answer, "label": record.roles[-1] == "liked"}


def _feedback_messages(record: Record) -> Row:
    return {**_with_tools("messages", (*record.roles[:-1], "assistant"), record.texts), "label": record.roles[-1] == "liked"}


_ROWS: Mapping[Layout, Callable[[Record], Row]] = {
    "messages": _messages,
    "alpaca": _alpaca,
    "pair": _pair,
    "text": _text,
    "preference": _preference,
    "feedback": _feedback,
    "feedback-messages": _feedback_messages,
}
_KINDS: Mapping[Layout, tuple[str, ...]] = {
    "messages": ("messages",),
    "alpaca": ("pair", "messages"),
    "pair": ("pair",),
    "text": ("text",),
    "preference": ("preference",),
    "feedback": ("feedback",),
    "feedback-messages": ("feedback",),
}


def _write_jsonl(rows: Iterable[Row], layout: Layout, say: Say, *, unit: bool) -> None:  # noqa: ARG001  each row says what it has
    for row in rows:
        filled = {name: value for name, value in row.items() if value is not None}
        say(json.dumps(filled, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def _write_parquet(rows: Iterable[Row], layout: Layout, say: Say, *, unit: bool) -> None:
    """Write rows whose every column has one type: what a single question is in JSON Lines is a list of turns here."""
    typed = ({**row, "prompt": _turns(["user"], [row["prompt"]])} if isinstance(row["prompt"], str) else row for row in rows)
    write_parquet(typed if layout in ("preference", "feedback") else rows, layout, say, unit=unit)


WRITERS: Mapping[str, Callable[..., None]] = {"jsonl": _write_jsonl, "parquet": _write_parquet}
