"""Answers are found in what real chat templates make of a conversation: those that TRL carries, of some forty families."""

from __future__ import annotations

import pytest
from jinja2 import TemplateError

from ringfence.models.chat import chat_of, render, speak
from ringfence.models.tiny import tiny_tokenizer

TALKS = {
    "two rounds": (("user", "Alpha?"), ("assistant", "Bravo."), ("user", "Charlie?"), ("assistant", "Delta.")),
    "system": (("system", "Echo."), ("user", "Alpha?"), ("assistant", "Bravo."), ("user", "Bravo."), ("assistant", "Bravo.")),
    "thought": (("user", "Alpha?"), ("assistant", "<think>\nhm\n</think>\n\nBravo."), ("user", "Charlie?"), ("assistant", "Delta.")),
    "tools": (
        (
            "tools",
            '[{"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object", "properties": {}}}}]',
        ),
        ("user", "Alpha?"),
        ("call", '[{"name": "look", "arguments": {"ward": "3"}}]'),
        ("tool", "Golf."),
        ("assistant", "Delta."),
    ),
}


@pytest.mark.full
def test_answers_stand_where_real_templates_put_them(trl_templates, say):
    judged = refused = 0
    for path in trl_templates:
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = path.read_text(encoding="utf-8")
        for name, turns in TALKS.items():
            chat = chat_of(*zip(*turns, strict=True))
            try:
                text = render(tokenizer, chat)
                found = speak(tokenizer, chat)
            except TemplateError:
                refused += 1
                continue
            judged += 1
            answers = [found.text[start:stop] for start, stop in found.answers]
            said = [said for role, said in turns if role in ("assistant", "call")]
            assert found.text == text, (path.name, name)
            assert len(answers) == len(said), (path.name, name)
            for one, wanted in zip(answers, said, strict=True):
                word = "look" if wanted.startswith("[") else wanted.rpartition("\n")[2]
                assert word in one, (path.name, name, one)
                assert not any(other in one for other in ("Alpha?", "Charlie?", "Echo.", "Golf.")), (path.name, name, one)
    say(f"{judged} conversations, {refused} refused by their templates")
    assert judged > 200
    assert refused < judged / 4
