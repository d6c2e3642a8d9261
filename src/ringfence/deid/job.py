"""The child half of `ringfence deid`: reads a set twice, writes its masked copy and the sealed table of spans."""

from __future__ import annotations

import hmac
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ringfence.core.errors import SurvivorsLeft, TermsUnreadable
from ringfence.core.order import Child, Progress
from ringfence.core.records import Record
from ringfence.deid.engine import Engine, Found, Rewritten, engine_name
from ringfence.deid.named import STAND_INS
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.residual import Crowd, Sample, planted, recall
from ringfence.deid.settings import DeidFigures, DeidSettings, dictionary_digest, model_role, taught_role
from ringfence.deid.tagger import Tagger
from ringfence.deid.taught import unsealed
from ringfence.deid.terms import read_terms
from ringfence.vault.files import write_files
from ringfence.vault.sets import SetReader, SetWriter

_SAMPLE = 500  # records, in whose texts identifiers are hidden to see whether they are found
_SAY_EVERY = 1_000  # records between two messages to the host


class _Run:
    """One pass over the set and what it counts on the way."""

    def __init__(self, child: Child[DeidSettings]) -> None:
        self.child = child
        slot = child.order.inputs["set"]
        self.reader = SetReader(slot, child.keys.data[slot.slot])
        settings, files = child.order.settings, child.order.files
        models = {tagger: Path(files[model_role(tagger)]) for tagger in settings.models}
        self.engine = Engine.build(settings, child.keys.purpose["surrogate"], terms=_terms(child), models=models, taught=_taught(child))
        self.spans: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.sample = Sample(_SAMPLE)
        self.crowd = Crowd(has_units=self.reader.index.units() < len(self.reader))
        self.records = self.survivors = self.dropped = self.characters = self.changed = 0

    def source(self, phase: Literal["read", "work"]) -> Iterator[Record]:
        for number, record in enumerate(self.reader):
            if number % _SAY_EVERY == 0:
                self.child.channel.progress(Progress(done=number, total=len(self.reader), phase=phase))
            yield record

    def learn(self) -> None:
        self.engine.learn(self._counted())
        self.seen = dict(self.engine.seen)  # before the same texts are read again

    def _counted(self) -> Iterator[Record]:
        for record in self.source("read"):
            self.records += 1
            self.characters += sum(map(len, record.texts))
            self.sample.see(record)
            yield record

    def rewrite(self, writer: SetWriter) -> Iterator[bytes]:
        """Write every masked record and yield its lines of the span table."""
        for done in self.engine.rewrite(self.source("work")):
            if done.record is None:
                self.dropped += 1
                continue
            writer.write(done.record)
            self.kept.update(item.kind for item in done.kept)
            self.survivors += done.survivors
            self.crowd.see(done.record, ((item.kind, item.instead) for item in sorted((*done.found, *done.kept), key=_place)))
            for item in done.found:
                self.spans[item.kind] += 1
                self.changed += item.end - item.start
            if done.found:
                yield _line(done.record, done)

    def figures(self) -> DeidFigures:
        found, hidden = self._recall()
        return DeidFigures(
            records=self.records,
            spans=dict(sorted(self.spans.items())),
            kept=dict(sorted(self.kept.items())),
            dropped=self.dropped,
            survivors=self.survivors,
            characters=self.characters,
            characters_changed=self.changed,
            engine=engine_name(self.child.order.settings),
            hidden=dict(sorted(hidden.items())),
            hidden_found=dict(sorted(found.items())),
            people=self.crowd.people(),
            people_few=self.crowd.small(),
            few_without=dict(self.crowd.helps()),
            seen_first={language: seen.first for language, seen in self.seen.items()},
            seen_second={language: seen.second for language, seen in self.seen.items()},
            seen_both={language: seen.both for language, seen in self.seen.items()},
        )

    def _recall(self) -> tuple[Counter[str], Counter[str]]:
        """Return how many identifiers were found that were hidden in copies of the set's texts, and how many were hidden, by kind.

        Each text is searched for itself, those of patterns without taggers: what else the engine knows of the set could only help.
        """
        settings, texts = self.child.order.settings, [text for text in self.sample.texts() if text.strip()]
        if not texts or not settings.plant:
            return Counter(), Counter()
        draw = random.Random(hmac.digest(self.child.keys.purpose["surrogate"], b"planted", "sha256"))  # noqa: S311  nothing depends on its being secret
        parts = [RECOGNISERS.create(name) for name in sorted(settings.parts)]
        hidden = planted(texts, parts, draw, each=settings.plant)
        by_tagger = [item for item in hidden if item.kind in STAND_INS]
        by_pattern = [item for item in hidden if item.kind not in STAND_INS]
        found, tried = recall(by_pattern, lambda some: self.engine.find_many(some, taggers=False))
        more, also = recall(by_tagger, self.engine.find_many)
        found.update(more)
        tried.update(also)
        return found, tried


def run(child: Child[DeidSettings]) -> DeidFigures:
    """Return what was found and replaced; `set` then holds the masked copy and `spans` the originals with their places.

    Raises: SurvivorsLeft, TermsUnreadable.
    """
    work = _Run(child)
    work.learn()
    has_units = work.reader.index.unit_table is not None  # the unit of the budget stays what import fixed
    masked, spans = child.order.outputs["set"], child.order.outputs["spans"]
    with SetWriter(masked, child.keys.data[masked.slot], child.keys.purpose.get("content"), unit_table=has_units) as writer:
        write_files(spans, child.keys.data[spans.slot], {"spans.jsonl": work.rewrite(writer)})
    if work.survivors:
        raise SurvivorsLeft(survivors=work.survivors)
    return work.figures()


def _terms(child: Child[DeidSettings]) -> tuple[str, ...]:
    """Return the dictionary, if the order holds one and it is the one that the settings were digested with."""
    path, wanted = child.order.files.get("terms"), child.order.settings.terms_digest
    if path is None and wanted is None:
        return ()
    if path is None or dictionary_digest(Path(path).read_bytes(), child.keys.purpose["content"]) != wanted:
        raise TermsUnreadable(problem="it is not the file that was announced")
    return read_terms(Path(path))


def _place(item: Found) -> tuple[int, int]:
    return item.text, item.start


def _taught(child: Child[DeidSettings]) -> list[Tagger]:
    """Return the taggers of the tenant's own.

    Raises: ObjectBroken.
    """
    slots = [child.order.inputs[taught_role(number)] for number in range(len(child.order.settings.taught))]
    return [tagger for slot in slots for tagger in unsealed(slot, child.keys.data[slot.slot])]


def _line(record: Record, done: Rewritten) -> bytes:
    spans = [
        {"text": f.text, "start": f.start, "end": f.end, "kind": f.kind, "original": f.original, "instead": f.instead} for f in done.found
    ]
    return json.dumps({"id": record.id, "spans": spans}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
