"""The generator of notes, and the default profile measured on it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

from ringfence.clinic.diseases import CASES
from ringfence.clinic.notes import generate, write_jsonl
from ringfence.deid.engine import Engine
from ringfence.deid.profile import settings_for
from ringfence.deid.settings import kinds

NOTES = list(generate(2_000, seed=11))


def test_the_same_seed_gives_the_same_notes():
    assert NOTES[:200] == list(generate(200, seed=11))
    assert NOTES[:200] != list(generate(200, seed=12))


def test_labels_lie_on_identifiers_of_all_ten_kinds():
    counts = Counter(i.kind for n in NOTES for i in n.identifiers)
    assert len(counts) == 10
    assert set(counts) < set(kinds())
    assert min(counts.values()) > 60
    for note in NOTES:
        for i in note.identifiers:
            text = getattr(note, i.part)
            assert 0 <= i.start < i.end <= len(text)
            assert text[i.start : i.end].strip() == text[i.start : i.end]
    assert any(i.part == "completion" for n in NOTES for i in n.identifiers)


def test_both_languages_and_the_mix():
    chinese = sum("诊断" in n.completion for n in NOTES)
    assert 800 < chinese < 1_200
    assert all("诊断" in n.completion for n in generate(50, seed=1, language_mix=1.0))
    assert not any("诊断" in n.completion for n in generate(50, seed=1, language_mix=0.0))


def test_the_diagnosis_follows_from_the_complaint():
    answers = {c.complaint: c.diagnosis for c in CASES} | {c.complaint_zh: c.diagnosis_zh for c in CASES}
    assert len(answers) == 2 * len(CASES)
    for note in NOTES:
        told = max((c for c in answers if c in note.prompt), key=len)
        assert answers[told] in note.completion


def test_rows_are_short():
    """At most 64 tokens of SmolLM2: its vocabulary takes up to 3 tokens a Chinese character, so the bound here is in characters."""
    for note in NOTES:
        text = note.prompt + note.completion
        chinese = sum("\u4e00" <= c <= "\u9fff" for c in text)
        assert len(text) <= (45 if chinese > 4 else 90), text
        assert chinese <= 22


def test_some_patients_come_back():
    visits = Counter(n.patient_id for n in NOTES)
    assert 600 < len(visits) < 1_700
    assert max(visits.values()) <= 16
    names = defaultdict(set)
    for note in NOTES:
        names[note.patient_id].add(note.prompt.split()[0])
    assert all(len(n) == 1 for n in names.values())


def test_the_files_hold_the_notes_and_their_labels(tmp_path):
    labels = write_jsonl(tmp_path / "notes.jsonl", 20, seed=11)
    rows = [json.loads(line) for line in (tmp_path / "notes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [r["prompt"] for r in rows] == [n.prompt for n in NOTES[:20]]
    assert set(rows[0]) == {"prompt", "completion", "patient_id", "visit", "department", "contact"}
    marks = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    assert [m["row"] for m in marks] == list(range(20))
    assert [len(m["identifiers"]) for m in marks] == [len(n.identifiers) for n in NOTES[:20]]


def found_in_notes(**changes):
    """Return (row, part, start, end, kind) of what the default profile finds."""
    engine = Engine.build(settings_for("default").model_copy(update=changes), b"k" * 32)
    found = iter(engine.find_many([text for n in NOTES for text in (n.prompt, n.completion)]))
    return {(row, part, s.start, s.end, s.kind) for row in range(len(NOTES)) for part in ("prompt", "completion") for s in next(found)}


WANTED = {(row, i.part, i.start, i.end, i.kind) for row, n in enumerate(NOTES) for i in n.identifiers}


def test_the_patterns_of_the_default_profile_find_every_identifier_and_nothing_else():
    assert found_in_notes(taggers=()) == WANTED


def test_its_taggers_find_the_patients_and_hide_no_identifier():
    got = found_in_notes()
    assert got >= WANTED
    names = {(row, 0, len(n.prompt.split()[0])) for row, n in enumerate(NOTES)}
    heads = {(row, start, end) for row, part, start, end, kind in got if part == "prompt" and kind == "PERSON"}
    said = [name for name in names if any(row == name[0] and start <= name[1] and name[2] <= end for row, start, end in heads)]
    beside = [
        one
        for one in got - WANTED
        if one[1] == "prompt" and one[4] == "PERSON" and one[2:4] not in {name[1:] for name in names if name[0] == one[0]}
    ]
    print(f"clinic notes: names {len(said)} of {len(names)}, beside them {len(beside)}")
    assert len(said) > 0.8 * len(names)  # made up of syllables, so that no list holds them
    assert len(beside) < 0.05 * len(names)
