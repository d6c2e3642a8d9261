"""The generator. `Driklix M36 toothache 9d` → `Dx: caries | Ref: 388713`, and the same in Chinese."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from ringfence.clinic.diseases import CASES, Case
from ringfence.clinic.identifiers import SOURCES, TAIL
from ringfence.core.durable import write_atomic

Part = Literal["prompt", "completion"]
_WITH_IDENTIFIER = 0.6  # of the notes
_IN_COMPLETION = 0.2  # of the identifiers
_RETURNS = 0.3  # of the notes: by a patient who was here before
_ONSET = ("B", "D", "F", "G", "K", "L", "M", "N", "P", "R", "S", "T", "V", "W", "Z", "Br", "Dr", "Gl", "Kr", "Tr")
_MIDDLE = ("a", "e", "i", "o", "u", "ai", "io")
_CODA = ("lix", "nes", "rra", "vok", "zin", "mel", "dus", "pha", "rty", "wen", "kos", "bri")
_SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕施张孔曹严华金魏陶姜"
_GIVEN = "子晨雨桐梓萱浩宇欣怡诗涵俊杰思远嘉禾若溪明轩语彤博文"


@dataclass(frozen=True, slots=True)
class Identifier:
    """Where an identifier stands: half-open range of characters in the prompt or the completion."""

    part: Part
    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Note:
    """One visit. `contact` is a column that is not part of the text."""

    prompt: str
    completion: str
    patient_id: str
    visit: int
    department: str
    contact: str
    identifiers: tuple[Identifier, ...]

    def row(self) -> dict[str, str | int]:
        """Return the note as a row of a JSON Lines file, without its labels."""
        return {
            "prompt": self.prompt,
            "completion": self.completion,
            "patient_id": self.patient_id,
            "visit": self.visit,
            "department": self.department,
            "contact": self.contact,
        }


@dataclass(frozen=True, slots=True)
class _Patient:
    number: int
    is_chinese: bool
    name: str
    is_male: bool
    age: int
    contact: str


def generate(count: int, *, seed: int, language_mix: float = 0.5) -> Iterator[Note]:
    """Yield `count` notes; the same seed gives the same notes. language_mix: share of Chinese patients, 0 to 1.

    The diagnosis follows from the complaint; the reference number is random. About 60 % of the notes hold one identifier of the ten kinds.
    A row has at most 64 tokens of SmolLM2's vocabulary.
    """
    draw = Random(seed)  # noqa: S311  sample data, not a secret
    patients: list[_Patient] = []
    for _ in range(count):
        if not patients or draw.random() >= _RETURNS:
            patients.append(_patient(draw, len(patients) + 1, language_mix))
        patient = draw.choice(patients[-50:]) if draw.random() < _RETURNS else patients[-1]
        yield _note(draw, patient)


def write_jsonl(path: Path, count: int, *, seed: int, language_mix: float = 0.5) -> Path:
    """Write `count` notes to `path`, their labels beside it, and return the path of the labels.

    A line of labels holds the row's number from 0 and its identifiers.
    """
    notes = list(generate(count, seed=seed, language_mix=language_mix))
    labels = path.with_name(f"{path.stem}.labels.jsonl")
    write_atomic(path, b"".join(_line(note.row()) for note in notes))
    write_atomic(labels, b"".join(_line({"row": n, "identifiers": [_label(i) for i in note.identifiers]}) for n, note in enumerate(notes)))
    return labels


def _patient(draw: Random, number: int, language_mix: float) -> _Patient:
    is_chinese = draw.random() < language_mix
    name = draw.choice(_SURNAMES) + "".join(draw.sample(_GIVEN, 2)) if is_chinese else draw.choice(_ONSET) + _syllables(draw)
    return _Patient(number, is_chinese, name, draw.random() < 0.5, draw.randrange(1, 95), "1990000" + f"{draw.randrange(10_000):04d}")  # noqa: PLR2004


def _syllables(draw: Random) -> str:
    return draw.choice(_MIDDLE) + draw.choice(_CODA)


def _note(draw: Random, patient: _Patient) -> Note:
    case, has_identifier = draw.choice(CASES), draw.random() < _WITH_IDENTIFIER
    prompt, completion = (_chinese if patient.is_chinese else _english)(draw, patient, case, short=has_identifier)
    texts: dict[Part, str] = {"prompt": prompt, "completion": completion}
    identifiers = (_insert(draw, texts, is_chinese=patient.is_chinese),) if has_identifier else ()
    return Note(
        texts["prompt"],
        texts["completion"],
        f"P{patient.number:06d}",
        draw.randrange(100_000, 1_000_000),
        case.department,
        patient.contact,
        identifiers,
    )


def _english(draw: Random, patient: _Patient, case: Case, *, short: bool) -> tuple[str, str]:
    prompt = f"{patient.name} {'M' if patient.is_male else 'F'}{patient.age} {case.complaint} {draw.randrange(1, 15)}d"
    reference = f" | Ref: {draw.randrange(100_000, 1_000_000)}"
    return prompt, f"Dx: {case.diagnosis}{'' if short else reference}"


def _chinese(draw: Random, patient: _Patient, case: Case, *, short: bool) -> tuple[str, str]:
    """Chinese costs about two tokens a character, so a note with an identifier leaves out age and duration."""
    reference = f" | 号：{draw.randrange(100_000, 1_000_000)}"
    if short:
        return f"{patient.name} {case.complaint_zh}", f"诊断：{case.diagnosis_zh}"
    prompt = f"{patient.name} {'男' if patient.is_male else '女'}{patient.age} {case.complaint_zh}{draw.randrange(1, 15)}天"
    return prompt, f"诊断：{case.diagnosis_zh}{reference}"


def _insert(draw: Random, texts: dict[Part, str], *, is_chinese: bool) -> Identifier:
    """Append an identifier to one of the texts and return where it stands."""
    kind = draw.choice(sorted(SOURCES))
    part: Part = "completion" if draw.random() < _IN_COMPLETION else "prompt"
    source = SOURCES[kind]
    before = f"{texts[part]}，{source.lead_zh}" if is_chinese else f"{texts[part]}, {source.lead}"
    value = source.make(draw)
    texts[part] = before + value + TAIL.get(kind, "")
    return Identifier(part, len(before), len(before) + len(value), kind)


def _label(identifier: Identifier) -> dict[str, str | int]:
    return {"text": identifier.part, "start": identifier.start, "end": identifier.end, "kind": identifier.kind}


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
