"""Conversations through chat templates: where answers stand, whatever a template does to them, and tools that it knows or does not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError

from ringfence.core.records import Record
from ringfence.models.chat import chat_of, closing, render, speak, text_end
from ringfence.models.load import PLAIN_TEMPLATE, load_tokenizer
from ringfence.models.tiny import tiny_tokenizer
from ringfence.train.data import encode, read_corpus
from ringfence.train.settings import TrainSettings

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = (  # as Qwen3's: a last answer begins with a train of thought, an earlier one has lost its own
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last and '</think>' not in m.content %}<think>\n\n</think>\n\n{{ m.content }}"
    "{% elif m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1].lstrip('\n') }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOLS = (
    "{% if tools %}<tools>{{ tools | tojson }}</tools>\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "[{{ m.role }}] {{ m.content | trim }}{% if m.role == 'assistant' %}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
CALL = '[{"name": "look", "arguments": {"ward": "三"}}]'
SCHEMA = '[{"type": "function", "function": {"name": "look"}}]'
TALK = (("user", "who?"), ("assistant", "<think>\nhm\n</think>\n\nme"), ("user", "me"), ("assistant", "me"))
USED = (("tools", SCHEMA), ("user", "look"), ("call", CALL), ("tool", "empty"), ("assistant", "nobody"))


def tokenizer(template, **told):
    made = tiny_tokenizer(**told)
    made.chat_template = template
    return made


def spoken(template, turns):
    found = speak(tokenizer(template), chat_of(*zip(*turns, strict=True)))
    return found.text, [found.text[start:stop] for start, stop in found.answers]


def test_an_answer_ends_with_its_end_token():
    text, answers = spoken(CHATML, TALK)
    assert answers == ["<think>\nhm\n</think>\n\nme<|im_end|>", "me<|im_end|>"]
    assert text.endswith("me<|im_end|>\n")


def test_what_a_template_takes_out_of_earlier_answers_is_learned_nowhere_and_moves_no_other():
    text, answers = spoken(THINKING, TALK)
    assert answers == ["me<|im_end|>", "<think>\n\n</think>\n\nme<|im_end|>"]
    assert "hm" not in text
    assert text.index(answers[0]) == text.index("assistant\n") + len("assistant\n")


@pytest.mark.parametrize("template", [CHATML, THINKING, TOOLS])
@pytest.mark.parametrize("padding", ["<|endoftext|>", None])
def test_a_base_model_learns_to_close_its_answers_by_the_token_of_its_template(tmp_path, template, padding):
    saved = tokenizer(template, end="<|endoftext|>")
    saved.pad_token = padding
    saved.save_pretrained(tmp_path)
    made = load_tokenizer(tmp_path)
    found = speak(made, chat_of(*zip(*TALK[2:], strict=True)))
    assert [found.text[start:stop].rpartition("\n")[2] for start, stop in found.answers] == ["me<|im_end|>"]
    assert (made.eos_token, text_end(made), made.pad_token) == ("<|im_end|>", "<|endoftext|>", "<|endoftext|>")


@pytest.mark.parametrize(
    ("template", "token"),
    [
        (PLAIN_TEMPLATE, "<|endoftext|>"),
        (CHATML.replace("<|im_end|>", "</s>"), "<|endoftext|>"),  # no token of this tokeniser
        (CHATML.replace("<|im_end|>\n", "\n<|im_end|><|endoftext|>"), "<|endoftext|>"),  # both: the last one ends it
        (CHATML.replace("<|im_end|>", "\n <|im_end|>"), "<|im_end|>"),
        (CHATML.replace("<|im_end|>", "."), "<|endoftext|>"),
        ("{{ 1 // 0 }}", "<|endoftext|>"),
    ],
)
def test_the_token_that_closes_an_answer_is_the_one_that_follows_it(template, token):
    assert closing(tokenizer(template, end="<|endoftext|>")) == token


@given(st.lists(st.tuples(st.text(max_size=6), st.text(st.characters(exclude_characters="<"), max_size=6)), min_size=1, max_size=4))
def test_a_row_is_read_as_the_template_writes_it_and_answers_hold_what_was_said(talk):
    turns = [turn for asked, said in talk for turn in (("user", asked), ("assistant", said))]
    for template in (CHATML, THINKING, TOOLS):
        found = speak(tokenizer(template), chat_of(*zip(*turns, strict=True)))
        assert found.text == render(tokenizer(template), chat_of(*zip(*turns, strict=True)))
        answers = [found.text[start:stop] for start, stop in found.answers]
        assert [one.removesuffix("<|im_end|>").split("</think>")[-1].lstrip("\n") for one in answers] == [
            said.lstrip("\n") for _, said in talk
        ]
        assert all(one.endswith("<|im_end|>") for one in answers)


def test_a_template_that_knows_tools_writes_them_and_their_calls():
    text, answers = spoken(TOOLS, USED)
    assert text.startswith(f"<tools>{json.dumps(json.loads(SCHEMA))}")
    assert answers == ['<call>{"name": "look", "arguments": {"ward": "三"}}</call><|im_end|>', "nobody<|im_end|>"]


def test_one_that_knows_none_is_told_of_them_in_the_system_turn():
    text, answers = spoken(CHATML, USED)
    assert text.startswith("<|im_start|>system\nTools:\n" + SCHEMA)
    assert answers == [f"{CALL}<|im_end|>", "nobody<|im_end|>"]
    text, _ = spoken(CHATML, (USED[0], ("system", "Be brief."), *USED[1:]))
    assert text.startswith(f"<|im_start|>system\nBe brief.\n\nTools:\n{SCHEMA}<|im_end|>")


def test_what_is_said_before_a_call_stands_in_the_same_answer():
    _, answers = spoken(TOOLS, (("user", "look"), ("assistant", "wait"), ("call", CALL)))
    assert answers == ['wait<call>{"name": "look", "arguments": {"ward": "三"}}</call><|im_end|>']
    _, answers = spoken(CHATML, (("user", "look"), ("assistant", "wait"), ("call", CALL)))
    assert answers == [f"wait\n{CALL}<|im_end|>"]


@pytest.mark.parametrize("text", ["[NAME_1]", "{", '[{"arguments": {}}]', "[5]", '{"name": 5}'])
def test_what_is_no_call_any_more_is_what_was_said(text):
    _, answers = spoken(TOOLS, (("user", "look"), ("call", text)))
    assert answers == [f"{text}<|im_end|>"]
    assert spoken(TOOLS, (("tools", "[NAME_1"), ("user", "a"), ("assistant", "b")))[0].startswith("<|im_start|>system\n[NAME_1<|im_end|>")


def test_an_answer_that_a_template_does_not_write_is_not_learned_as_if_it_were():
    pictures = "{% for m in messages %}[{{ m.role }}]{% for part in m.content if part is mapping %}{{ part.text }}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateError, match="not written"):
        spoken(pictures, TALK)
    silent = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.content is none %}{{ m.tool_calls }}{% endif %}{% endfor %}"
    with pytest.raises(TemplateError, match="not written"):
        spoken(silent, USED)


@pytest.mark.parametrize("fault", ["{{ 1 // 0 }}", "{{ 'a'.index('b') }}", "{{ messages[99].content }}", "{{ messages | length + 'x' }}"])
def test_whatever_a_template_stumbles_on_leaves_the_row_out_without_a_word_of_it(fault):
    with pytest.raises(TemplateError) as stumbled:
        spoken(CHATML + fault, TALK)
    assert "who" not in str(stumbled.value)


def test_arguments_of_a_call_are_written_as_json_not_as_python_would():
    told = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments }}){% endfor %}{% endfor %}"
    assert '[assistant]look({"ward": "三"})[tool]' in spoken(told, USED)[0]
    strips = told.replace("c.function.arguments }}", "c.function.arguments.strip() }}")
    assert '[assistant]look({"ward": "三"})[tool]' in spoken(strips, USED)[0]


def test_a_model_with_a_template_of_its_own_for_tools_uses_it():
    made = tiny_tokenizer()
    made.chat_template = {"default": CHATML, "tool_use": TOOLS}
    found = speak(made, chat_of(*zip(*USED, strict=True)))
    assert found.text.startswith("<tools>")
    assert not speak(made, chat_of(*zip(*TALK, strict=True))).text.startswith("<tools>")


def test_roles_that_a_template_has_no_place_for_are_left_out_and_counted():
    made = tokenizer(STRICT)
    with pytest.raises(TemplateError):
        speak(made, chat_of(("system", "user", "assistant"), ("a", "b", "c")))
    rows = [
        Record("0" * 32, f"{n:032x}", "t", "messages", roles, texts)
        for n, (roles, texts) in enumerate(
            [
                (("system", "user", "assistant"), ("a", "b", "c")),
                (("user", "assistant", "user", "assistant"), (" who ", " me ", "why", "so")),
            ]
        )
    ]
    corpus = read_corpus(rows, lambda row: encode(row, made, TrainSettings()), cutoff=200)
    assert (len(corpus.examples), corpus.dropped, corpus.units) == (1, 1, 2)
    (one,) = corpus.examples
    assert made.decode(one.ids[one.learn]) == "me<|im_end|>so<|im_end|>"
