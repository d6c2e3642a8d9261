"""Rows as questions: what a model is asked, and the answer that the row gives."""

from __future__ import annotations

from typing import Any, NamedTuple

from jinja2 import TemplateError

from ringfence.core.records import Record
from ringfence.models.chat import Chat, answer_of, render
from ringfence.train.data import conversation_of


class Asked(NamedTuple):
    """A conversation up to its last answer."""

    question: str  # as the model's template writes it, with the words by which it asks for an answer
    answer: str  # that the row gives


def asked(record: Record, tokenizer: Any) -> Asked | None:  # noqa: ANN401  transformers is untyped
    """Return a row's question and its last answer, of two that people compared the one that they preferred.

    None for plain text, a disliked answer, and what the model's template refuses.
    """
    if record.kind == "text" or "disliked" in record.roles:
        return None
    chat = conversation_of(record, "chosen")
    last = max((at for at, turn in enumerate(chat.turns) if turn["role"] == "assistant"), default=0)
    if not last:  # nobody asked
        return None
    try:
        text = render(tokenizer, Chat(chat.turns[:last], chat.tools), prompts=True)
    except TemplateError:
        return None
    return Asked(text, answer_of(tokenizer, chat.turns[last]))
