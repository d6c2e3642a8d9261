"""Records become ids and masks; rows become batches."""

from __future__ import annotations

import copy
from itertools import groupby
from operator import itemgetter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from ringfence.core.records import Record
from ringfence.models.tiny import tiny_tokenizer
from ringfence.train.data import Example, Tokens, collate, encode, encode_judged, encode_pair, encode_whole_pair, read_corpus, split
from ringfence.train.settings import TrainSettings

TOKENIZER = tiny_tokenizer()
CALLING = tiny_tokenizer()  # of a model that knows tools
CALLING.chat_template = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CALL = '[{"name": "look", "arguments": {"ward": "3"}}]'
CHAT = Record(
    "0" * 32,
    "0" * 32,
    "t",
    "messages",
    ("system", "user", "assistant", "user", "assistant"),
    ("Be brief.", "How many?", "412", "你好?", "再见"),
)


def learned(record, **change):
    made = encode(record, TOKENIZER, TrainSettings(**change))
    return TOKENIZER.decode(made.ids[made.learn])


def record(kind, roles, texts):
    return Record("0" * 32, "0" * 32, "t", kind, roles, texts)


def test_the_ids_are_those_of_the_whole_conversation_less_the_last_line_break():
    made = encode(CHAT, TOKENIZER, TrainSettings())
    turns = [{"role": role, "content": text} for role, text in zip(CHAT.roles, CHAT.texts, strict=True)]
    whole = TOKENIZER.apply_chat_template(turns, tokenize=False)
    assert TOKENIZER.decode(made.ids) == whole.removesuffix("\n")
    assert list(made.ids) == TOKENIZER(whole.removesuffix("\n")).input_ids


def test_answers_and_their_end_are_learned_and_nothing_else():
    assert learned(CHAT) == "412<|im_end|>再见<|im_end|>"
    assert learned(CHAT, mask_history=True) == "再见<|im_end|>"
    assert learned(record("pair", ("user", "assistant"), ("q", "7"))) == "7<|im_end|>"
    assert learned(record("preference", ("user", "chosen", "rejected"), ("q", "good", "bad"))) == "good<|im_end|>"


def test_with_the_prompt_everything_but_the_first_token_is_learned():
    made = encode(CHAT, TOKENIZER, TrainSettings(train_on_prompt=True))
    assert list(np.flatnonzero(~made.learn)) == [0]


def test_plain_text_is_learned_to_its_end():
    made = encode(record("text", ("text",), ("abc",)), TOKENIZER, TrainSettings())
    assert TOKENIZER.decode(made.ids) == "abc<|im_end|>"
    assert list(made.learn) == [False, True, True, True]


def test_a_text_begins_as_its_tokeniser_begins_one_and_a_conversation_as_its_template_does():
    begins = copy.deepcopy(TOKENIZER)
    begins.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begins.bos_token} $A", special_tokens=[(begins.bos_token, begins.bos_token_id)]
    )
    text, chat = record("text", ("text",), ("abc",)), record("pair", ("user", "assistant"), ("q", "7"))
    made = encode(text, begins, TrainSettings(objective="pt.v1"))
    assert made.ids.tolist() == [*begins("abc").input_ids, begins.eos_token_id]
    assert made.ids[0] == begins.bos_token_id
    assert made.learn.tolist() == [False, True, True, True, True]
    assert encode(chat, begins, TrainSettings()).ids.tolist() == encode(chat, TOKENIZER, TrainSettings()).ids.tolist()


def test_the_prompt_is_tokenised_as_it_will_be_when_the_model_answers():
    pair = record("pair", ("user", "assistant"), ("q ", " a"))
    made = encode(pair, TOKENIZER, TrainSettings())
    prompt = TOKENIZER.apply_chat_template([{"role": "user", "content": "q "}], tokenize=False, add_generation_prompt=True)
    ids = TOKENIZER(prompt).input_ids
    assert list(made.ids[: len(ids)]) == ids
    assert not made.learn[: len(ids)].any()


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=20))
def test_any_text_has_tokens_lone_surrogates_too(question, answer):
    made = encode(record("pair", ("user", "assistant"), (question, answer)), TOKENIZER, TrainSettings())
    assert made.weight >= 1


def test_rows_are_cut_at_the_limit_and_dropped_without_an_answer():
    rows = [record("pair", ("user", "assistant"), ("q" * n, "answer")) for n in (1, 30, 200)]
    corpus = read_corpus(rows, lambda row: encode(row, TOKENIZER, TrainSettings()), cutoff=64)
    assert (len(corpus.examples), corpus.dropped, corpus.truncated) == (2, 1, 1)
    assert corpus.tokens_cut == len(encode(rows[-1], TOKENIZER, TrainSettings()).ids) - 64 > 0
    assert all(len(example.ids) <= 64 for example in corpus.examples)


CHOICE = record(
    "preference", ("system", "user", "assistant", "user", "chosen", "rejected"), ("Be brief.", "hi", "yes?", "bye", "good", "bad!")
)


def test_of_two_compared_answers_both_are_predicted_after_the_same_question_and_nothing_else():
    made = encode_pair(CHOICE, TOKENIZER)
    first, second = made.sequences
    assert [TOKENIZER.decode(one.ids[one.learn]) for one in (first, second)] == ["good<|im_end|>", "bad!<|im_end|>"]
    assert [TOKENIZER.decode(one.ids[~one.learn]) for one in (first, second)] == [TOKENIZER.decode(first.ids[~first.learn])] * 2
    assert "yes?" in TOKENIZER.decode(first.ids)
    assert list(first.ids) == list(encode(CHOICE, TOKENIZER, TrainSettings()).ids)
    assert (made.tokens, made.longest) == (len(first.ids) + len(second.ids), max(len(first.ids), len(second.ids)))
    assert made.weight == sum(len(TOKENIZER(text).input_ids) for text in ("good<|im_end|>", "bad!<|im_end|>"))
    assert encode_pair(CHAT, TOKENIZER) is None


def test_an_answer_of_words_and_a_call_is_learned_whole_and_once():
    turns = (("user", "look"), ("assistant", "wait"), ("call", CALL), ("tool", "empty"), ("assistant", "nobody"))
    row = record("messages", *zip(*turns, strict=True))
    assert [TOKENIZER.decode(ids) for ids in runs(encode(row, CALLING, TrainSettings()))] == [
        f"wait<call>{CALL[1:-1]}</call><|im_end|>",
        "nobody<|im_end|>",
    ]
    assert [TOKENIZER.decode(ids) for ids in runs(encode(row, CALLING, TrainSettings(mask_history=True)))] == ["nobody<|im_end|>"]


@pytest.mark.parametrize("read", [encode_pair, encode_whole_pair])
def test_a_compared_answer_may_be_a_call(read):
    row = record("preference", ("user", "chosen", "rejected"), ("look", CALL, "no"))
    written = [TOKENIZER.decode(one.ids) for one in read(row, CALLING).sequences]
    assert [text.partition("assistant\n")[2].strip() for text in written] == [f"<call>{CALL[1:-1]}</call><|im_end|>", "no<|im_end|>"]


def test_a_judged_answer_may_be_a_call_after_words():
    row = record("feedback", ("user", "assistant", "liked"), ("look", "wait", CALL))
    assert [TOKENIZER.decode(ids) for ids in runs(encode_judged(row, CALLING))] == [f"wait<call>{CALL[1:-1]}</call><|im_end|>"]


@pytest.mark.parametrize("said", ["[]", "{}", '[{"name": "Ada", "age": 3}]', '[{"name": 3, "arguments": {}}]', f"{CALL} it is", CALL[1:-1]])
def test_json_that_is_no_list_of_calls_is_what_was_said(said):
    row = record("preference", ("user", "chosen", "rejected"), ("look", said, "no"))
    made = encode_pair(row, CALLING)
    assert TOKENIZER.decode(made.ids[made.learn]) == f"{said}<|im_end|>"


def runs(row):
    """The stretches of a row that are learned."""
    return [
        [token for token, _ in group]
        for is_learned, group in groupby(zip(row.ids, row.learn, strict=True), key=itemgetter(1))
        if is_learned
    ]


def test_a_pair_is_cut_on_both_sides_and_dropped_where_one_answer_is_gone():
    rows = [record("preference", ("user", "chosen", "rejected"), ("q" * n, "good", "b" * m)) for n, m in ((1, 3), (30, 90), (200, 3))]
    corpus = read_corpus([*rows, CHAT], lambda row: encode_pair(row, TOKENIZER), cutoff=64)
    assert (len(corpus.examples), corpus.dropped, corpus.truncated) == (2, 2, 2)
    assert corpus.examples[1].longest == 64
    assert corpus.tokens_cut == sum(max(0, len(one.ids) - 64) for row in rows for one in encode_pair(row, TOKENIZER).sequences)
    assert corpus.examples[1].other.learn.any()
    assert corpus.units == 1


def test_the_first_answers_of_a_batch_stand_before_the_second_ones():
    pairs = [example(n)._replace(other=Tokens(*example(m)[:2]), reference=(-n, -m)) for n, m in ((2, 4), (3, 1))]
    batch = collate(pairs, padding=9, device="cpu")
    assert batch.ids.tolist() == [[0, 1, 9, 9], [0, 1, 2, 9], [0, 1, 2, 3], [0, 9, 9, 9]]
    assert batch.reference.tolist() == [-2, -3, -4, -1]
    assert collate([example(2)], padding=9, device="cpu").reference is None


@given(st.lists(st.tuples(st.integers(2, 40), st.integers(2, 40)), min_size=1, max_size=12), st.integers(1, 5))
def test_micro_batches_of_pairs_hold_each_once_and_never_more_than_was_asked_for(lengths, size):
    groups = split([example(n)._replace(other=Tokens(*example(m)[:2])) for n, m in lengths], size)
    assert sorted((len(row.ids), len(row.other.ids)) for group in groups for row in group) == sorted(lengths)
    assert all(len(group) <= size for group in groups)


def example(length):
    return Example(np.arange(length, dtype=np.int32), np.ones(length, dtype=np.bool_))


@given(st.lists(st.integers(2, 90), min_size=1, max_size=30), st.integers(1, 8))
def test_micro_batches_hold_every_row_once_with_little_padding(lengths, size):
    groups = split([example(n) for n in lengths], size)
    assert sorted(len(row.ids) for group in groups for row in group) == sorted(lengths)
    for group in groups:
        assert len(group) <= size
        cells = len(group) * max(len(row.ids) for row in group)
        assert sum(len(row.ids) for row in group) >= 0.9 * cells


def test_padding_is_at_the_right_and_never_learned():
    batch = collate([example(2), example(4)], padding=9, device="cpu")
    assert batch.ids.tolist() == [[0, 1, 9, 9], [0, 1, 2, 3]]
    assert batch.learn.tolist() == [[True, True, False, False], [True] * 4]


@pytest.mark.parametrize("kind", ["text", "pair"])
def test_an_example_holds_five_bytes_a_token(kind):
    roles, texts = (("text",), ("abc",)) if kind == "text" else (("user", "assistant"), ("a", "b"))
    made = encode(record(kind, roles, texts), TOKENIZER, TrainSettings())
    assert made.ids.itemsize + made.learn.itemsize == 5


def test_rows_are_padded_to_the_length_that_was_asked_for():
    batch = collate([example(2), example(4)], padding=9, device="cpu", length=6)
    assert batch.ids.tolist() == [[0, 1, 9, 9, 9, 9], [0, 1, 2, 3, 9, 9]]
    assert batch.learn.sum() == 6
