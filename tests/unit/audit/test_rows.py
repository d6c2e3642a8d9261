"""Real rows and replaced identifiers: what is tried, that the scores are the model's own, and how they are counted."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from ringfence.audit import rows as module
from ringfence.audit.forward import Forward
from ringfence.audit.rows import BEGINNING, LEAST_ANSWER, STRETCH, RowScorer, Said, Target, rows_of
from ringfence.core.records import Record
from ringfence.train.data import Example, encode
from ringfence.vault.sets import SetReader, SetWriter
from tests.unit.audit.test_scorer import SETTINGS, loaded  # noqa: F401  a fixture
from tests.unit.vault.vault_tools import new_key, new_slot

ROLES = ("user", "assistant")


def record(prompt, completion, *, number=0):
    return Record(f"{number:032x}", f"{number:032x}", "0" * 32, "pair", ROLES, (prompt, completion))


def write_set(folder, records):
    folder.mkdir()
    slot, key = new_slot(folder), new_key()
    with SetWriter(slot, key) as writer:
        for one in records:
            writer.write(one)
    return SetReader(slot, key)


@pytest.fixture
def scorer(loaded):  # noqa: F811
    return RowScorer(Forward(loaded), SETTINGS)


def test_scores_are_the_models_own_token_by_token(loaded, scorer):  # noqa: F811
    """By whole logits of the whole conversation, with the adapter and without."""
    target = scorer._answers(record("How is he?", "Better than yesterday, and asking for soup."))
    ids = torch.tensor(target.example.ids, dtype=torch.int64)[None]
    for adapted in (True, False):
        ((got,),) = scorer._said([target], adapted=adapted)
        with torch.inference_mode():
            if adapted:
                logits = loaded.model(input_ids=ids).logits[0].float()
            else:
                with loaded.model.disable_adapter():
                    logits = loaded.model(input_ids=ids).logits[0].float()
        wanted = [(place, int(target.example.ids[place])) for place in target.places[0]]
        log_p = [float(torch.log_softmax(logits[place - 1], dim=0)[token]) for place, token in wanted]
        first = [int(logits[place - 1].argmax()) == token for place, token in wanted]
        assert got.log_p == pytest.approx(sum(log_p), abs=1e-3)
        assert got.is_whole == all(first)
        assert got.stretch == max(len(run) for run in "".join("x" if one else " " for one in first).split(" "))


ANSWER = "Better than yesterday, and asking for soup."


@pytest.mark.parametrize("on_prompt", [False, True])
def test_an_answer_is_its_tokens_as_far_as_training_read_whatever_else_was_learned(scorer, on_prompt):
    settings = SETTINGS.model_copy(update={"train_on_prompt": on_prompt})
    row, tokenizer = record("How is he?", ANSWER), scorer._forward.tokenizer
    target = RowScorer(scorer._forward, settings)._answers(row)
    whole = encode(row, tokenizer, settings)
    assert target.example.ids.tolist() == whole.ids.tolist()
    (places,) = target.places
    assert tokenizer.decode(target.example.ids[places]).strip() == ANSWER
    assert whole.learn[places].all()
    short = RowScorer(scorer._forward, settings.model_copy(update={"cutoff_len": len(target.example.ids) - 10}))
    assert len(short._answers(row).places[0]) == len(places) - 9  # the end mark was no target anyway


@pytest.mark.parametrize("mask_history", [False, True])
def test_every_answer_of_a_conversation_is_tried_by_itself(scorer, mask_history):
    settings = SETTINGS.model_copy(update={"mask_history": mask_history, "cutoff_len": 500})
    texts = ("How is he?", ANSWER, "And she?", "no.", "And they?", ANSWER.replace("soup", "bread"))
    row = Record("0" * 32, "0" * 32, "0" * 32, "messages", ROLES * 3, texts)
    target = RowScorer(scorer._forward, settings)._answers(row)
    said = [scorer._forward.tokenizer.decode(target.example.ids[places]).strip() for places in target.places]
    assert said == [texts[1], texts[5]]  # "no." is too short to be remembered


def test_a_plain_text_is_tried_after_its_beginning(scorer):
    text = " ".join(["He slept well and had some soup, as on every other day of this week."] * 3)
    settings = SETTINGS.model_copy(update={"cutoff_len": 500})
    target = RowScorer(scorer._forward, settings)._answers(Record("0" * 32, "0" * 32, "0" * 32, "text", ("text",), (text,)))
    (places,) = target.places
    assert places[0] == min(BEGINNING, len(target.example.ids) // 2)
    assert text.endswith(scorer._forward.tokenizer.decode(target.example.ids[places]))


@pytest.mark.parametrize("answer", ["", "Yes", "no."])
def test_an_answer_of_few_tokens_is_not_tried(scorer, answer):
    assert scorer._answers(record("Is it?", answer)).places == ()
    found = scorer.replay(3, [record("Is it?", answer)] * 3)
    assert (found.rows_tried, found.rows_short, found.replay.upper) == (0, 3, 1.0)


def pretend(scorer, monkeypatch, with_adapter, without):
    """Let every stretch be said as the lists tell, in order."""

    def answers(targets, *, adapted, **_):
        told = iter(with_adapter if adapted else without)
        return [[next(told) for _ in target.places] for target in targets]

    monkeypatch.setattr(scorer, "_said", answers)


def said(*, whole=False, stretch=0, log_p=-math.inf):
    return Said(log_p, stretch, is_whole=whole)


def test_rows_are_counted_once_and_only_where_the_base_model_does_not_say_them(scorer, monkeypatch):
    rows = [record("q", "w " * LEAST_ANSWER, number=n) for n in range(5)]
    with_adapter = [said(whole=True), said(stretch=STRETCH), said(stretch=STRETCH - 1), said(log_p=-1.0), said(whole=True)]
    without = [said(), said(), said(whole=True)]  # of the three suspects
    pretend(scorer, monkeypatch, with_adapter, without)
    found = scorer.replay(100, rows)
    assert (found.rows_tried, found.rows_replayed, found.rows_known, found.rows_within) == (5, 2, 1, 1)
    assert found.replay.lower < found.replay.value == 0.4 < found.replay.upper
    census = scorer.replay(5, rows).replay
    assert census.lower == census.value == census.upper == 0.4


def test_a_row_is_replayed_when_one_of_its_answers_is_and_known_when_the_base_says_all_that_it_says(scorer, monkeypatch):
    texts = ("q", "w " * LEAST_ANSWER) * 2
    rows = [Record(f"{n:032x}", f"{n:032x}", "0" * 32, "messages", ROLES * 2, texts) for n in range(4)]
    whole, none = said(whole=True), said()
    pretend(scorer, monkeypatch, [none, whole, whole, whole, whole, whole, none, none], [none, whole, none, whole, whole])
    found = scorer.replay(4, rows)
    assert (found.rows_tried, found.rows_replayed, found.rows_known) == (4, 2, 1)  # said alone; one of two said alone; both known


@pytest.mark.parametrize(
    "one",
    [
        {"text": 0, "start": 8, "end": 12},
        {"text": 1, "start": 0, "end": 3},
        {"text": 1, "start": 4, "end": 12},
    ],
)
def test_a_span_is_the_original_after_the_true_text_before_it(scorer, one):
    row = record("Call me 5555 soon", "Jim, of a@b.test, he said")
    target = scorer._span(row, one)
    original = row.texts[one["text"]][one["start"] : one["end"]]
    tokenizer = scorer._forward.tokenizer
    assert original in tokenizer.decode(target.example.ids[target.places[0]])
    before = tokenizer.decode(target.example.ids[: target.places[0][0]])
    assert row.texts[one["text"]][: one["start"]].strip() in before
    assert target.places[0][-1] == len(target.example.ids) - 1  # nothing after it is shown to the model


def test_an_original_that_a_text_begins_with_stands_after_what_its_tokeniser_begins_it_with(scorer, monkeypatch):
    """As training read it; with nothing before it, its first token could not be tried."""
    begins = copy.deepcopy(scorer._forward.tokenizer)
    begins.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begins.bos_token} $A", special_tokens=[(begins.bos_token, begins.bos_token_id)]
    )
    monkeypatch.setattr(scorer._forward, "tokenizer", begins)
    row = Record("0" * 32, "0" * 32, "s", "text", ("text",), ("Jim has a cold",))
    target = scorer._span(row, {"text": 0, "start": 0, "end": 3})
    assert target.example.ids.tolist() == encode(row, begins, SETTINGS).ids.tolist()[:4]
    assert target.places[0].tolist() == [1, 2, 3]


def test_an_original_in_a_rejected_answer_stands_after_the_question_and_not_after_the_other_answer(scorer):
    row = Record("0" * 32, "0" * 32, "s", "preference", ("user", "chosen", "rejected"), ("Where?", "At home.", "Mail a@b.test now"))
    target = scorer._span(row, {"text": 2, "start": 5, "end": 13})
    read = scorer._forward.tokenizer.decode(target.example.ids)
    assert "Where?" in read
    assert read.endswith("Mail a@b.test")
    assert "home" not in read


def test_spans_are_counted_where_the_adapter_alone_finds_them(scorer, monkeypatch, tmp_path):
    rows = [record(f"p{n}", f"mail a{n}@b.test", number=n) for n in range(4)]
    reader = write_set(tmp_path / "set", rows)
    lines = [
        json.dumps({"id": one.id, "spans": [{"text": 1, "start": 5, "end": 14, "kind": "email", "original": one.texts[1][5:]}]}).encode()
        for one in rows
    ]
    with_adapter = [said(whole=True), said(log_p=-1.0), said(), said(whole=True)]
    pretend(scorer, monkeypatch, with_adapter, [said(), said(), said(whole=True)])
    assert scorer.spans([(reader, lines)], 10) == (4, 4, 2)
    pretend(scorer, monkeypatch, [said()] * 4, [])
    assert scorer.spans([(reader, lines)], 3) == (4, 3, 0)
    assert scorer.spans([(reader, [])], 3) == (0, 0, 0)


def test_an_original_that_stands_before_could_be_copied_and_is_not_tried_again(scorer, monkeypatch, tmp_path):
    reader = write_set(tmp_path / "set", [record("a@b.test", "mail a@b.test or c@d.test")])
    places = [(0, 0, 8, "a@b.test"), (1, 5, 13, "a@b.test"), (1, 17, 25, "c@d.test")]
    spans = [{"text": t, "start": a, "end": b, "kind": "email", "original": o} for t, a, b, o in places]
    pretend(scorer, monkeypatch, [said(whole=True)] * 3, [said()] * 3)
    assert scorer.spans([(reader, [json.dumps({"id": f"{0:032x}", "spans": spans}).encode()])], 10) == (2, 2, 2)


def test_of_joined_sets_each_span_is_read_in_its_own_set(scorer, monkeypatch, tmp_path):
    """The same record stands in both, masked in one place of the one and in another place of the other."""
    both = [write_set(tmp_path / name, [record("p", "mail a@b.test or c@d.test")]) for name in ("first", "second")]
    places = [(5, 13, "a@b.test"), (17, 25, "c@d.test")]
    tables = [
        [json.dumps({"id": f"{0:032x}", "spans": [{"text": 1, "start": a, "end": b, "kind": "email", "original": o}]}).encode()]
        for a, b, o in places
    ]
    pretend(scorer, monkeypatch, [said(whole=True), said()], [said()])
    assert scorer.spans(list(zip(both, tables, strict=True)), 10) == (2, 2, 1)
    tried = []
    monkeypatch.setattr(scorer, "_said", lambda targets, **_: tried.extend(targets) or [[said()] for _ in targets])
    scorer.spans(list(zip(both, tables, strict=True)), 10)
    tokenizer = scorer._forward.tokenizer
    assert [tokenizer.decode(one.example.ids)[-8:] for one in tried[:2]] == [o for _, _, o in places]


def test_a_window_without_a_position_before_its_first_token_says_nothing(scorer):
    nothing = Target(Example(np.array([5], dtype=np.int32), np.zeros(1, dtype=bool)), (np.zeros(0, dtype=np.int64),))
    ((found,),) = scorer._said([nothing], adapted=True)
    assert (found.stretch, found.is_whole) == (0, False)
    assert not module._is_extractable(found)


def test_canaries_are_no_rows(tmp_path):
    rows = [record("p", "c", number=n) for n in range(10)]
    reader = write_set(tmp_path / "set", rows)
    total, chosen = rows_of(reader, frozenset(one.id for one in rows[::2]), 3)
    assert (total, len(chosen)) == (5, 3)
    assert {one.id for one in chosen} <= {one.id for one in rows[1::2]}
    assert len(rows_of(reader, frozenset(), 100)[1]) == 10
