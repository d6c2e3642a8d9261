"""Losses and answers against plain transformers, row by row; and which rows are read as what."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ringfence.core.records import Record
from ringfence.evaluate.rows import question_of, read
from ringfence.evaluate.sides import Sides
from ringfence.evaluate.statistics import compared, perplexity, summed
from ringfence.train.settings import TrainSettings
from tests.unit.audit.test_scorer import SETTINGS, loaded  # noqa: F401  a fixture


def record(number, kind="pair", *, roles=("user", "assistant"), texts=None, unit=None):
    texts = texts or (f"Patient {number}: cough for {number % 9} days?", "Rest, " * (1 + number % 4) + f"case {number}.")
    return Record(f"{number:032x}", f"{unit if unit is not None else number:032x}", "0" * 32, kind, roles, texts)


def whole_losses(model, example):
    """The mean loss of one row as transformers itself computes it, and its tokens."""
    ids = torch.tensor(example.ids, dtype=torch.int64)[None]
    labels = torch.where(torch.tensor(example.learn)[None], ids, -100)
    with torch.no_grad():
        return float(model(input_ids=ids, labels=labels).loss), int(example.learn[1:].sum())


def test_loss_and_perplexity_are_those_of_transformers(loaded):  # noqa: F811
    rows = read([record(n) for n in range(12)], loaded.tokenizer, SETTINGS)
    examples = rows.corpus.examples
    got = Sides(loaded, batch=5, head_chunk=16).losses(examples)  # [rows, 2]
    for side, adapted in enumerate((False, True)):
        with loaded.model.disable_adapter() if not adapted else torch.no_grad():
            found = [whole_losses(loaded.model, example) for example in examples]
        assert got[:, side] == pytest.approx([mean * count for mean, count in found], rel=1e-5)
        tokens = sum(count for _, count in found)
        wanted = math.exp(sum(mean * count for mean, count in found) / tokens)
        columns = np.stack([got, np.array([[example.weight] * 2 for example in examples])], axis=-1)
        sums = summed(columns, [example.unit for example in examples], resamples=1000, seed=0)
        told = compared(sums, perplexity)
        assert (told.base, told.tuned)[side].value == pytest.approx(wanted, rel=1e-5)
    assert abs(got[:, 0] - got[:, 1]).min() > 1e-2  # the adapter changes every row


def test_answers_are_what_transformers_says_to_one_question_at_a_time(loaded):  # noqa: F811
    rows = read([record(n, texts=("Why? " * (1 + n), "Rest.")) for n in range(6)], loaded.tokenizer, SETTINGS)
    base, tuned = Sides(loaded, batch=4, head_chunk=16).answers(rows.questions, most=12)
    for side, adapted in ((base, False), (tuned, True)):
        with loaded.model.disable_adapter() if not adapted else torch.no_grad():
            for text, question in zip(side.texts, rows.questions, strict=True):
                assert text == greedy(loaded, question.ids, most=12)
    assert base.texts != tuned.texts


def greedy(loaded, ids, *, most):  # noqa: F811
    """Say the likeliest token, without a cache, a batch or a mask."""
    ids, tokenizer = torch.tensor(ids, dtype=torch.int64)[None], loaded.tokenizer
    said = []
    for _ in range(most):
        with torch.no_grad():
            token = int(loaded.model(input_ids=ids).logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        said.append(token)
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return tokenizer.decode(said, skip_special_tokens=True)


def test_answers_are_greedy_whatever_the_models_own_file_says(loaded):  # noqa: F811
    rows = read([record(n) for n in range(3)], loaded.tokenizer, SETTINGS)
    before = Sides(loaded, batch=4, head_chunk=16).answers(rows.questions, most=8)
    settings = loaded.model.get_base_model().generation_config
    settings.repetition_penalty, settings.do_sample, settings.temperature = 3.0, True, 5.0
    assert Sides(loaded, batch=4, head_chunk=16).answers(rows.questions, most=8) == before


def told(loaded, one):  # noqa: F811
    found = question_of(one, loaded.tokenizer)
    return found and (loaded.tokenizer.decode(found[0]), found[1])


def test_a_question_is_everything_before_the_last_answer(loaded):  # noqa: F811
    roles = ("system", "user", "assistant", "user", "assistant")
    text, answer = told(loaded, record(1, "messages", roles=roles, texts=("Be kind.", "One?", "Yes.", "Two?", "No.")))
    assert text.endswith("user\nTwo?<|im_end|>\n<|im_start|>assistant\n")
    assert "Be kind." in text
    assert "Yes." in text
    assert answer == "No."


def test_of_two_answers_the_better_one_is_wanted_and_a_bad_one_never(loaded):  # noqa: F811
    pair = record(1, "preference", roles=("user", "chosen", "rejected"), texts=("Which?", "This.", "That."))
    text, answer = told(loaded, pair)
    assert "That." not in text
    assert answer == "This."
    assert told(loaded, record(1, "feedback", roles=("user", "liked"), texts=("Which?", "This.")))[1] == "This."
    assert told(loaded, record(1, "feedback", roles=("user", "disliked"), texts=("Which?", "That."))) is None
    later = ("user", "assistant", "user", "disliked")  # whose earlier answer nobody asked about
    assert told(loaded, record(1, "feedback", roles=later, texts=("One?", "Yes.", "Which?", "That."))) is None
    assert told(loaded, record(1, "text", roles=("text",), texts=("No question.",))) is None
    assert told(loaded, record(1, "messages", roles=("assistant",), texts=("Nobody asked.",))) is None


@pytest.mark.parametrize("objective", ["sft.v1", "pt.v1", "dpo.v1", "kto.v1"])
def test_rows_are_read_as_one_sequence_whatever_the_run_compared(loaded, objective):  # noqa: F811
    settings = TrainSettings(objective=objective, cutoff_len=60)
    pair = record(1, "preference", roles=("user", "chosen", "rejected"), texts=("Which?", "This.", "That."))
    bad = record(2, "feedback", roles=("user", "disliked"), texts=("Which?", "That."))
    long = record(3, texts=("Why?", "Because " * 40), unit=1)
    rows = read([pair, bad, long], loaded.tokenizer, settings)
    assert [len(example.sequences) for example in rows.corpus.examples] == [1, 1]
    assert (rows.total, rows.corpus.dropped, rows.corpus.truncated, rows.corpus.units) == (3, 1, 1, 2)
    assert [example.unit for example in rows.corpus.examples] == [one.unit for one in rows.questions] == [0, 0]
    learned = rows.corpus.examples[0]
    said = loaded.tokenizer.decode(learned.ids[learned.learn])
    assert ("Which?" in said) == (objective == "pt.v1")
    assert "That." not in loaded.tokenizer.decode(learned.ids)
