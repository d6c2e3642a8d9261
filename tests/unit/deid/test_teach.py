"""A tagger that is learnt from a tenant's spans: what it learns, what its card says, and where it may lie."""

from __future__ import annotations

import json
import os
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import KindsUndeclared, LessonsUnreadable, ObjectBroken, TooFewSentences
from ringfence.core.order import Child, Keys, Order
from ringfence.deid import learn, taught
from ringfence.deid.draw import Draw
from ringfence.deid.engine import Engine
from ringfence.deid.lessons import Sentence
from ringfence.deid.named import Shaped
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import Span
from ringfence.deid.sentences import Chinese
from ringfence.deid.settings import dictionary_digest
from ringfence.deid.tagger import TAGGERS, TAUGHT
from ringfence.deid.taggers.crf import spans
from ringfence.deid.teach import run
from ringfence.deid.teaching import CARD, LanguageCard, Measured, TeachSettings, scores
from ringfence.vault.files import write_files
from tests.unit.deid.lessons_data import ward_rows
from tests.unit.deid.test_deid_job import CONTENT, TENANT, Host, new_key, new_slot, stored

KINDS = {kind: kind for kind in ("PERSON", "WARD")}
UNSEEN = "明早孙晓梅转到荷蓉苑九区，饮食正常。"


def order(folder, rows, *, digest=None, **changes):
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    slot = new_slot(folder, "tagger")
    given = TeachSettings(
        **{"kinds": ("WARD",), "labels_digest": digest or dictionary_digest(path.read_bytes(), CONTENT), "copies": 2, **changes}
    )
    asked = Order(
        job="teach.v1", run="teach-" + "0" * 12, tenant=TENANT, settings=given, outputs={"tagger": slot}, files={"labels": str(path)}
    )
    return Child(asked, Keys({slot.slot: new_key()}, {"content": CONTENT}), Host())


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A finished training: its order and figures."""
    child = order(tmp_path_factory.mktemp("teach"), ward_rows(260))
    return child, run(child)


def taggers(child):
    slot = stored(child.order.outputs["tagger"])
    return taught.unsealed(slot, child.keys.data[slot.slot])


# ── tags, copies, counts ──────────────────────────────────────────────────────────────────────────────────────────────

TEXTS = st.text("张伟在东区ab ，。3", min_size=1, max_size=24)


@given(
    TEXTS,
    st.lists(st.tuples(st.integers(0, 23), st.integers(1, 6), st.sampled_from(list(KINDS))), max_size=5),
    st.sampled_from(("zh", "en")),
)
def test_tags_lead_back_to_the_spans(text, cuts, language):
    parts = learn.parts_of(language, text)
    wanted, end = [], 0
    for at, size, kind in sorted(cuts):
        if at >= end and at + size <= len(parts):
            wanted.append(Span(parts[at][0], parts[at + size - 1][1], kind, 0.6))
            end = at + size
    assert spans(learn.tags(wanted, parts), parts, KINDS) == wanted


@given(st.lists(st.tuples(TEXTS, st.sampled_from(("", "PERSON", "WARD"))), min_size=1, max_size=6), st.integers(0, 3), st.integers())
def test_copies_differ_from_their_sentence_in_spans_alone(pieces, copies, seed):
    text, labelled = "", []
    for piece, kind in pieces:
        if kind:
            labelled.append(Span(len(text), len(text) + len(piece), kind, 1.0))
        text += piece
    one = Sentence(text, tuple(labelled))
    made = list(learn.varied("zh", [one], copies=copies, seed=seed))
    assert made[0] == one
    assert len(made) == 1 + (copies if labelled else 0)

    def rest(some):
        ends = [0, *(end for s in some.spans for end in (s.start, s.end)), len(some.text)]
        return [some.text[a:b] for a, b in list(pairwise(ends))[::2]]

    for some in made:
        assert rest(some) == rest(one)
        assert [s.kind for s in some.spans] == [s.kind for s in one.spans]
        wards = {one.text[s.start : s.end] for s in one.spans if s.kind == "WARD"}
        assert {some.text[s.start : s.end] for s in some.spans if s.kind == "WARD"} <= wards


@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.lists(st.booleans(), min_size=12, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12)),
        max_size=4,
    )
)
def test_what_is_measured_is_what_counting_characters_says(rows):
    sentences, found = [], []
    for length, gold, claimed in rows:

        def runs(flags, length=length):
            return [Span(n, n + 1, "WARD", 1.0) for n in range(length) if flags[n]]

        sentences.append(Sentence("字" * length, tuple(runs(gold))))
        found.append(runs(claimed))
    told = learn.measured(sentences, found)
    both = [(g, c) for length, gold, claimed in rows for g, c in zip(gold[:length], claimed[:length], strict=True)]
    assert told.missed == sum(g and not c for g, c in both)
    assert told.over == sum(c and not g for g, c in both)
    assert told.found.get("WARD", 0) == sum(c for _, c in both)
    assert told.exact.get("WARD", 0) == told.covered.get("WARD", 0) == sum(g and c for g, c in both)


def test_a_span_of_another_kind_covers_and_is_not_exact():
    told = learn.measured(
        [Sentence("张伟住东区", (Span(0, 2, "PERSON", 1.0), Span(3, 5, "WARD", 1.0)))], [[Span(0, 3, "WARD", 0.6), Span(3, 4, "WARD", 0.6)]]
    )
    assert told == Measured(found={"WARD": 2}, exact={"PERSON": 0, "WARD": 0}, covered={"PERSON": 1, "WARD": 0}, missed=1, over=1)


def test_scores():
    found = Measured(found={"A": 4, "B": 1}, exact={"A": 3, "B": 0}, covered={"A": 4, "B": 1}, missed=2, over=5)
    card = LanguageCard(
        taught_on=1,
        measured_on=1,
        labelled={"A": 6, "B": 2},
        identifying=20,
        plain=50,
        learnt=found,
        shipped=Measured(),
        together=found,
        seconds_learning=1,
    )
    assert scores(card, found) == {"precision": 0.6, "recall": 0.375, "f1": round(6 / 13, 4), "covered": 0.625, "missed": 0.1, "over": 0.1}
    assert scores(card, found, "A") == {"precision": 0.75, "recall": 0.5, "f1": 0.6, "covered": round(4 / 6, 4)}
    assert scores(card, card.shipped)["f1"] == 0


# ── the child half ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_learns_wards_that_the_shipped_tagger_does_not_know(learnt):
    child, figures = learnt
    card = figures.zh
    assert figures.en is None
    assert (figures.documents, figures.spans) == (260, {"PERSON": 222, "WARD": 222})
    assert card.taught_on + card.measured_on == 260
    assert card.measured_on >= 40
    assert scores(card, card.learnt, "WARD")["f1"] > 0.9
    assert scores(card, card.shipped, "WARD")["f1"] == 0
    assert scores(card, card.together)["missed"] <= scores(card, card.shipped)["missed"]
    (tagger,) = taggers(child)
    assert [(UNSEEN[s.start : s.end], s.kind, s.score) for s in tagger.tag([UNSEEN])[0]] == [
        ("孙晓梅", "PERSON", TAUGHT),
        ("荷蓉苑九区", "WARD", TAUGHT),
    ]
    assert tagger.kinds == {"PERSON", "ORGANISATION", "LOCATION", "WARD"}


def test_the_card_is_that_of_the_sealed_tagger_on_what_was_held_out(learnt):
    """Learnt again from the same seed; the card's exact spans are counted here in another way."""
    child, figures = learnt
    from ringfence.deid.lessons import lessons
    from ringfence.deid.parting import part

    data = open(child.order.files["labels"], "rb").read()  # noqa: SIM115
    rows = lessons(data, learnt={"PERSON", "WARD"}, known=()).sentences["zh"]
    held = part({"zh": [(n, one.text) for n, one in rows]}, share=0.2, seed=1).held_out
    some = [one for n, one in rows if n in held]
    (tagger,) = taggers(child)
    found = tagger.tag([one.text for one in some])
    exact = sum(
        len({(s.start, s.end, s.kind) for s in a} & {(s.start, s.end, s.kind) for s in one.spans})
        for a, one in zip(found, some, strict=True)
    )
    assert exact == sum(figures.zh.learnt.exact.values())
    assert sum(map(len, found)) == sum(figures.zh.learnt.found.values())


def test_training_twice_gives_the_same_tagger(learnt, tmp_path):
    child, figures = learnt
    again = order(tmp_path, ward_rows(260))
    told = run(again)
    without = {"zh": {"seconds_learning"}}
    assert told.model_dump(exclude=without) == figures.model_dump(exclude=without)
    assert taggers(again)[0]._data == taggers(child)[0]._data


def test_it_leaves_no_file_but_ciphertext(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    child = order(tmp_path, ward_rows(120), least=60, held_out=0.3, iterations=5)
    before = set(os.listdir("/tmp"))
    run(child)
    assert not [new for new in set(os.listdir("/tmp")) - before if new.endswith(".crf")]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "labels.jsonl"]
    assert {path.name for path in files} == {"000000.file", "000001.file", "index"}
    assert not any("苑三区".encode() in path.read_bytes() or b"lCRF" in path.read_bytes() for path in files)


def test_what_cannot_work_is_refused(tmp_path):
    with pytest.raises(LessonsUnreadable):
        run(order(tmp_path, ward_rows(3), digest="0" * 64))
    with pytest.raises(KindsUndeclared) as caught:
        run(order(tmp_path, ward_rows(260), kinds=()))
    assert caught.value.facts == {"kinds": 1, "spans": 222}
    with pytest.raises(TooFewSentences):
        run(order(tmp_path, ward_rows(60)))


def test_another_taggers_object_is_refused(tmp_path):
    slot, key = new_slot(tmp_path, "tagger"), new_key()
    write_files(slot, key, {CARD: b'{"format":"ringfence.tagger/1","kinds":["WARD"],"builds_on":{"zh":"zh-names.v9"}}', "zh.crf": b"x"})
    with pytest.raises(ObjectBroken):
        taught.unsealed(stored(slot), key)


def test_the_tables_of_a_taught_field_say_what_crfsuite_says(learnt):
    """With the words of the shipped tagger as features, for texts like those that it learnt from and for any other."""
    child, _ = learnt
    (tagger,) = taggers(child)
    draw = random.Random(3)
    writer = Chinese(draw)
    texts = [row["text"] for row in ward_rows(200, seed=9)] + ["".join(p for p, _ in writer.sentence()) for _ in range(300)] + ["", "兰"]
    shipped = TAGGERS.create("zh-names.v1").tag(texts)
    wanted = []
    for text, told in zip(texts, shipped, strict=True):
        parts = learn.parts_of("zh", text)
        tags = tagger._field.tag(learn.rows("zh", text, parts, told)) if parts else []
        wanted.append(spans(tags, parts, {kind: kind for kind in tagger.kinds}, score=TAUGHT))
    assert tagger.tag(texts) == wanted
    assert sum(map(len, wanted)) > 600


# ── in the engine ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_engine_replaces_what_the_tagger_knows(learnt):
    child, _ = learnt
    settings = settings_for("default").model_copy(update={"taggers": ("zh-names.v1",)})
    engine = Engine.build(settings, bytes(32), taught=taggers(child))
    found = engine.find(UNSEEN)
    assert [(s.kind, UNSEEN[s.start : s.end]) for s in found] == [("PERSON", "孙晓梅"), ("WARD", "荷蓉苑九区")]
    written = engine.replace(UNSEEN, found)
    assert "荷蓉" not in written
    assert len(written) == len(UNSEEN)
    general = Engine.build(settings, bytes(32)).find(UNSEEN)
    assert "WARD" not in {s.kind for s in general}  # it claims the place for a location, and the tenant's kind wins


@given(st.text("荷3Ab -苑", min_size=1, max_size=12), st.binary(min_size=32, max_size=32))
def test_a_value_of_an_unknown_kind_keeps_its_shape_and_no_chinese_character(value, key):
    made = Shaped().surrogate(value, Draw(key, b"x"))
    assert len(made) == len(value)
    for old, new in zip(value, made, strict=True):
        assert (old.isdigit(), old.islower(), old.isupper(), old in " -") == (new.isdigit(), new.islower(), new.isupper(), new in " -")
        assert new not in "荷苑"


def test_settings_refuse_what_is_no_kind():
    with pytest.raises(ValueError, match="capitals"):
        TeachSettings(labels_digest="0" * 64, kinds=("ward",))
