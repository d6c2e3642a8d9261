"""Corrected spans become sentences, and documents are parted so that no text is on both sides."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.errors import LabelsUnreadable, LessonsUnreadable, PartsOverlap, TooFewSentences
from ringfence.deid.label_studio import Labelled, to_tasks
from ringfence.deid.lessons import kind_of, lessons, read
from ringfence.deid.parting import LEAST_HELD_OUT, MOST_SHARED, part, shingles
from ringfence.deid.recogniser import Span

LEARNT, KNOWN = {"PERSON", "ORGANISATION", "LOCATION", "WARD"}, {"CN_MOBILE"}


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def row(text, *spans, **more):
    return {"text": text, "spans": [{"start": a, "end": b, "kind": kind} for a, b, kind in spans], **more}


def learnt(data):
    found = lessons(data, learnt=LEARNT, known=KNOWN)
    return {
        language: [(one.text, [(one.text[s.start : s.end], s.kind) for s in one.spans]) for _, one in rows]
        for language, rows in found.sentences.items()
    }


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_is_cut_into_the_sentences_that_the_tagger_will_see_with_their_spans():
    data = lines(
        row("张伟住东区。李娜转入南区三病房！", (0, 2, "PERSON"), (3, 5, "WARD"), (6, 8, "PER"), (10, 15, "ward")),
        row("Seen by Helen Fairweather today.\nno name here", (8, 25, "person")),
    )
    assert learnt(data) == {
        "zh": [
            ("张伟住东区。", [("张伟", "PERSON"), ("东区", "WARD")]),
            ("李娜转入南区三病房！", [("李娜", "PERSON"), ("南区三病房", "WARD")]),
        ],
        "en": [("Seen by Helen Fairweather today.", [("Helen Fairweather", "PERSON")])],
    }


def test_spans_are_those_of_the_folded_text():
    """Invisible characters go and full-width digits become ASCII, as the engine sees them."""
    text = "转\u200b入\u200b３\u200b号楼，张\u200b伟"
    found = learnt(lines(row(text, (3, len("转\u200b入\u200b３\u200b号楼"), "WARD"), (text.index("张"), len(text), "PERSON"))))
    assert found["zh"] == [("转入3号楼，张伟", [("3号楼", "WARD"), ("张伟", "PERSON")])]


@given(
    st.lists(
        st.tuples(st.text("东南西北区院。，住", min_size=1, max_size=6), st.sampled_from(("", "PERSON", "WARD"))), min_size=1, max_size=8
    )
)
def test_no_labelled_character_is_lost_where_nothing_is_folded(pieces):
    text, spans = "", []
    for piece, kind in pieces:
        if kind:
            spans.append((len(text), len(text) + len(piece), kind))
        text += piece
    found = lessons(lines(row(text, *spans)), learnt=LEARNT, known=KNOWN).sentences["zh"]
    labelled = [text[a:b] for a, b, _ in spans]
    seen = "".join(one.text[s.start : s.end] for _, one in found for s in one.spans)
    whole = "".join(one.text for _, one in found)
    if whole == text:
        assert seen == "".join(labelled)
    else:  # pieces that can hold no name are left out
        assert all(one.text in text for _, one in found)


def test_kinds_of_patterns_are_left_out_and_unknown_ones_are_counted():
    found = lessons(
        lines(row("张伟的手机是一三八", (0, 2, "PERSON"), (6, 9, "CN-MOBILE"), (3, 5, "病房"), (3, 5, "SHIP"))), learnt=LEARNT, known=KNOWN
    )
    assert (dict(found.ignored), dict(found.undeclared)) == ({"CN_MOBILE": 1}, {"病房": 1, "SHIP": 1})


@pytest.mark.parametrize(
    ("label", "kind"), [("per", "PERSON"), ("Organization", "ORGANISATION"), ("GPE", "LOCATION"), ("nursing-unit", "NURSING_UNIT")]
)
def test_labels_have_kinds(label, kind):
    assert kind_of(label) == kind


BROKEN = ['{"text": "a"}', "[]1", '{"text": "张伟", "spans": [{"start": 0, "end": 3, "kind": "X"}]}', '{"text": 5, "spans": []}', "\x00",
          '{"text": "张伟", "spans": [{"start": true, "end": 2, "kind": "X"}]}', '{"text": "张伟", "spans": [{"start": 1, "end": 1, "kind": "X"}]}', "[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("line", BROKEN)
def test_a_line_that_is_no_labelled_text_is_named_by_its_number_and_never_quoted(line):
    with pytest.raises(LessonsUnreadable) as caught:
        read(lines(row("好")) + line.encode() + b"\n")
    assert caught.value.facts == {"line": 2}
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_label_studio_is_read_and_what_nobody_annotated_is_left_out():
    tasks = json.loads(to_tasks([Labelled(f"n{n}", "张伟住东区。", (Span(0, 2, "PERSON", 1.0),)) for n in range(3)]))
    for task in tasks[:2]:
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    found = lessons(json.dumps(tasks).encode(), learnt=LEARNT, known=KNOWN)
    assert (found.documents, found.unreviewed) == (2, 1)
    assert [one.spans for _, one in found.sentences["zh"]] == [(Span(0, 2, "PERSON", 1.0),)] * 2
    with pytest.raises(LabelsUnreadable):
        lessons(b"[1]", learnt=LEARNT, known=KNOWN)


def test_rows_of_one_document_have_one_number():
    found = lessons(lines(row("张伟好", document="a"), row("李娜好", document=7), row("王芳好", document="a")), learnt=LEARNT, known=KNOWN)
    assert [number for number, _ in found.sentences["zh"]] == [0, 1, 0]


# ── parting ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def invented(draw, length=30):
    return "".join(
        draw.choice("的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后")
        for _ in range(length)
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), copies=st.integers(0, 60), share=st.sampled_from((0.1, 0.2, 0.4)))
def test_no_text_is_on_both_sides(seed, copies, share):
    draw = random.Random(seed)
    texts = [invented(draw) for _ in range(300)]
    rows = list(enumerate(texts)) + [(300 + n, draw.choice(texts)[: draw.randint(20, 30)] + "好") for n in range(copies)]
    parted = part({"zh": rows}, share=share, seed=seed)
    held = [text for number, text in rows if number in parted.held_out]
    known = [text for number, text in rows if number not in parted.held_out]
    grams = lambda some: {text[n : n + 12] for text in some for n in range(len(text) - 11)}
    assert len(grams(held) & grams(known)) / len(grams(held)) == pytest.approx(parted.shared)
    assert parted.shared <= MOST_SHARED
    assert len(held) >= LEAST_HELD_OUT
    assert len(held) + parted.moved == pytest.approx((300 + copies) * share, abs=1)


def test_copies_are_moved_to_the_side_that_is_learnt_from():
    draw = random.Random(1)
    texts = [invented(draw) for _ in range(120)]
    parted = part({"zh": [(n, text) for n, text in enumerate(texts + texts[:40])]}, share=0.4, seed=3)
    assert parted.moved > 0
    assert parted.shared == 0
    assert not any(
        (n in parted.held_out and n + 120 not in parted.held_out) or (n + 120 in parted.held_out and n not in parted.held_out)
        for n in range(40)
    )


def test_where_all_texts_say_the_same_nothing_can_be_measured():
    rows = [(n, f"患者入院后完善相关检查，予以补液、抗感染及对症支持治疗第{n}天。") for n in range(200)]
    with pytest.raises(PartsOverlap) as caught:
        part({"zh": rows}, share=0.2, seed=1)
    assert caught.value.facts["left"] < LEAST_HELD_OUT


def test_too_few_sentences_are_refused_with_the_number_that_would_do():
    with pytest.raises(TooFewSentences) as caught:
        part({"zh": [(n, invented(random.Random(n))) for n in range(99)]}, share=0.2, seed=1)
    assert caught.value.facts == {"sentences": 99, "least": 100}


def test_shingles():
    assert shingles("甲乙丙丁戊己庚辛壬癸子丑寅", "zh") == {"甲乙丙丁戊己庚辛壬癸子丑", "乙丙丁戊己庚辛壬癸子丑寅"}
    assert shingles("The cat, the dog and a bird.", "en") == {"the cat the dog and a", "cat the dog and a bird"}
    assert shingles("短", "zh") == {"短"}
