"""The child halves of `ringfence deid terms`: find candidates, show them, take decisions. They run in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ringfence.core.errors import NumberUnknown, TermsFileRefused
from ringfence.core.order import Child, Progress
from ringfence.core.records import Record
from ringfence.deid import candidates, compiled, decisions
from ringfence.deid import discover as ranking
from ringfence.deid.candidates import EvenSample, Row, blanked, with_contexts
from ringfence.deid.decisions import KINDS, Dictionary, Kind, Verb
from ringfence.deid.engine import Engine
from ringfence.deid.settings import dictionary_digest, model_role
from ringfence.deid.terms_settings import DiscoverFigures, DiscoverSettings, ListFigures, ListSettings, TermsFigures, TermsSettings
from ringfence.vault.files import read_file, write_files
from ringfence.vault.sets import SetReader

_SAY_EVERY = 1_000  # records between two messages to the host
_LETTERS: Mapping[str, Verb] = {"a": "accept", "k": "keep", "g": "generalise"}


def discover(child: Child[DiscoverSettings]) -> DiscoverFigures:
    """Rank what could be an internal term, write the candidates with contexts, and return how many there are.

    What the dictionary replaces is masked as names are; what it keeps is no candidate.
    """
    settings, slot = child.order.settings, child.order.inputs["set"]
    known = _dictionary(child)
    models = {tagger: Path(child.order.files[model_role(tagger)]) for tagger in settings.find.models}
    # finds only: the key makes no stand-in
    engine = Engine.build(settings.find, bytes(32), terms=known.replaced(), models=models, automata=compiled.handed(child.order))
    reader = SetReader(slot, child.keys.data[slot.slot])
    sample = EvenSample(most=settings.characters)
    sample.take(_told(child, reader))
    child.channel.progress(Progress(done=0, total=1, phase="work"))
    texts = blanked(engine, sample.held)
    ranked = ranking.candidates(texts, least=settings.least, most=settings.most + len(known))
    found = [one for one in ranked if known.of(one.term) is None][: settings.most]
    rows = list(with_contexts(found, texts))
    output = child.order.outputs["candidates"]
    write_files(output, child.keys.data[output.slot], {candidates.FILE: candidates.to_bytes(rows)})
    return DiscoverFigures(
        records=sample.records,
        records_read=len(sample.held),
        characters=sample.characters,
        candidates=len(rows),
        strong=sum(row.is_strong for row in rows),
    )


def show(child: Child[ListSettings]) -> ListFigures:
    """Tell the person the first candidates, one JSON object each, with what was decided on them; without candidates, the dictionary."""
    known = _dictionary(child)
    if "candidates" in child.order.inputs:
        shown = [_told_row(number, row, known) for number, row in enumerate(_rows(child, "candidates"), 1)]
    else:
        entries = sorted(known, key=lambda entry: (entry.decision, entry.term))
        shown = [{"term": entry.term, "decision": entry.decision, "as": entry.kind} for entry in entries]
    shown = shown[: child.order.settings.most]
    for row in shown:
        child.channel.say(json.dumps(row))
    return ListFigures(shown=len(shown))


def decide(child: Child[TermsSettings]) -> TermsFigures:
    """Decide on the candidates of the numbers, write the dictionary, and return what it holds.

    Raises: NumberUnknown.
    """
    settings = child.order.settings
    known, rows = _dictionary(child), _rows(child, "candidates")
    changed = 0
    for first, last in settings.numbers:
        if last > len(rows):
            raise NumberUnknown(number=last, count=len(rows))
        changed += sum(known.set(row.term, settings.verb or "accept", settings.kind) for row in rows[first - 1 : last])
    return _written(child, known, changed)


def take(child: Child[TermsSettings]) -> TermsFigures:
    """Merge the decisions of a file into the dictionary, and return what it holds.

    Raises: TermsFileRefused, which the host half has raised before unless the file was changed meanwhile.
    """
    data = Path(child.order.files["source"]).read_bytes()  # once: what is parsed is what was digested
    if dictionary_digest(data, child.keys.purpose["content"]) != child.order.settings.source_digest:
        raise TermsFileRefused(problem="it is not the file that was announced")
    known = _dictionary(child)
    changed = sum([known.set(term, verb, kind) for term, verb, kind in decisions.decisions_of(data)])
    return _written(child, known, changed)


def review(child: Child[TermsSettings]) -> TermsFigures:
    """Ask about one undecided candidate after another until the person ends it, write the dictionary, and return what it holds.

    Answers: a accept, k keep, g generalise (`g project` says as what), s skip, u undo, q quit; any other one is asked for again.
    """
    known = _dictionary(child)
    before = {entry.term: entry for entry in known}
    queue = [(number, row) for number, row in enumerate(_rows(child, "candidates"), 1) if known.of(row.term) is None]
    at, done = 0, list[int]()  # places in the queue that were decided or skipped
    is_again = False
    while at < len(queue):
        number, row = queue[at]
        child.channel.say(json.dumps(_told_row(number, row, known) | {"left": len(queue) - at, "again": is_again}))
        answer = child.channel.hear()
        letter, _, kind = (answer if answer is not None else "q").strip().lower().partition(" ")
        is_again = False
        if letter == "q":
            break
        if letter == "u":
            at = done.pop() if done else 0
            known.set(queue[at][1].term, "forget")
        elif letter == "s" or (letter in _LETTERS and _is_kind(letter, kind)):
            if letter != "s":
                known.set(row.term, _LETTERS[letter], _kind(kind))
            done.append(at)
            at += 1
        else:
            is_again = True
    after = {entry.term: entry for entry in known}
    return _written(child, known, sum(before.get(term) != entry for term, entry in after.items()))


def _is_kind(letter: str, kind: str) -> bool:
    return not kind or (letter == "g" and _kind(kind) is not None)


def _kind(text: str) -> Kind | None:
    return next((kind for kind in KINDS if kind == text.strip()), None)


def _told(child: Child[DiscoverSettings], reader: SetReader) -> Iterator[Record]:
    for number, record in enumerate(reader):
        if number % _SAY_EVERY == 0:
            child.channel.progress(Progress(done=number, total=len(reader), phase="read"))
        yield record


def _told_row(number: int, row: Row, known: Dictionary) -> dict[str, Any]:
    entry = known.of(row.term)
    return {
        "number": number,
        "term": row.term,
        "count": row.count,
        "score": row.score,
        "strong": row.is_strong,
        "contexts": list(row.contexts),
        "decision": entry.decision if entry else None,
        "as": entry.kind if entry else None,
        "linked": known.linked(row.term),
    }


def _rows(child: Child[Any], role: str) -> tuple[Row, ...]:
    slot = child.order.inputs[role]
    return candidates.from_bytes(read_file(slot, child.keys.data[slot.slot], candidates.FILE))


def _dictionary(child: Child[Any]) -> Dictionary:
    slot = child.order.inputs.get("dictionary")
    return Dictionary() if slot is None else Dictionary.from_bytes(read_file(slot, child.keys.data[slot.slot], decisions.FILE))


def _written(child: Child[TermsSettings], known: Dictionary, changed: int) -> TermsFigures:
    output = child.order.outputs["dictionary"]
    write_files(output, child.keys.data[output.slot], {decisions.FILE: known.to_bytes()})
    counts = known.counts()
    left = {
        role: sum(row.is_strong and known.of(row.term) is None for row in _rows(child, role))
        for role, slot in child.order.inputs.items()
        if slot.kind == "candidates"
    }
    return TermsFigures(
        terms=len(known),
        accepted=counts["accept"],
        kept=counts["keep"],
        generalised=counts["generalise"],
        changed=changed,
        strong_left=left,
    )
