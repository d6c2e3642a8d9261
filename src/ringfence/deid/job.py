"""The child half of `ringfence deid`: reads a set twice, writes its masked copy and the sealed table of spans."""

from __future__ import annotations

import hmac
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ringfence.core.copies import Say
from ringfence.core.errors import PresidioUnreadable, SurvivorsLeft, TermsUnreadable
from ringfence.core.order import Child, Progress
from ringfence.deid import compiled, decisions, shards
from ringfence.deid.compat import yaml as presidio
from ringfence.deid.engine import Engine, engine_name
from ringfence.deid.named import STAND_INS
from ringfence.deid.namer import Seen
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.residual import Crowd, Sample, planted, recall, true_kinds
from ringfence.deid.settings import DeidFigures, DeidSettings, dictionary_digest, model_role, taught_role, terms_digest
from ringfence.deid.tagger import TAGGERS, Tagger
from ringfence.deid.taught import unsealed
from ringfence.deid.terms import terms_of
from ringfence.deid.workers import in_order
from ringfence.vault.files import read_file, write_files
from ringfence.vault.sets import SetReader, SetWriter


class _Run:
    """One pass over the set and what it counts on the way. The workers of a pass have what this process knew when the pass began."""

    def __init__(self, child: Child[DeidSettings]) -> None:
        self.child = child
        slot = child.order.inputs["set"]
        self.reader = SetReader(slot, child.keys.data[slot.slot])
        settings, files = child.order.settings, child.order.files
        models = {tagger: Path(files[model_role(tagger)]) for tagger in settings.models}
        surrogate_key = child.keys.purpose["surrogate"]
        terms, generic = _terms(child)
        taught, own_way = _taught(child), _from_presidio(child)
        self.engine = Engine.build(
            settings,
            surrogate_key,
            terms=terms,
            generic=generic,
            models=models,
            taught=taught,
            own_way=own_way,
            automata=compiled.handed(child.order),
        )
        self.engine.load()
        self.alone = settings.reach == "record"
        self.has_units = self.reader.index.units() < len(self.reader)
        finders = [*(RECOGNISERS.create(name).kinds for name in settings.parts), *(TAGGERS.create(name).kinds for name in settings.taggers)]
        finders += [*(tagger.kinds for tagger in taught), *(part.kinds for part in own_way)]
        self.true = true_kinds(settings.operators, frozenset().union(*finders))
        self.tally = shards.Tally(Crowd(self.has_units, self.true))
        self.sample = Sample(shards.SAMPLE)
        self.seen = {language: Seen() for language in self.engine.seen}
        self.records = self.characters = 0
        self._shards = len(self.reader.index.shard_rows)

    def learn(self) -> None:
        """Read every shard and remember the originals of all."""

        def work(shard: int, say: Say) -> shards.Lesson:
            return shards.learn(self.engine, shards.records_of(self.reader, shard), say)

        for lesson in in_order(work, self._shards, workers=self.child.order.limits.workers, say=self._progress("read")):
            lesson.learned.teach(self.engine.known)
            self.engine.remembered.add(lesson.found)
            self.records += lesson.records
            self.characters += lesson.characters
            self.sample.add(lesson.sample)
            for language, seen in lesson.seen.items():
                self.seen[language].add(seen)
        self.engine.known.settle()

    def rewrite(self, writer: SetWriter) -> Iterator[bytes]:
        """Write every masked record and yield the span table, a shard at a time."""
        content_key = self.child.keys.purpose.get("content")

        def work(shard: int, say: Say) -> shards.Masked:
            records = shards.records_of(self.reader, shard)
            return shards.mask(
                self.engine, records, content_key=content_key, has_units=self.has_units, kinds=self.true, alone=self.alone, say=say
            )

        for masked in in_order(work, self._shards, workers=self.child.order.limits.workers, say=self._progress("work")):
            for row in masked.rows:
                writer.write_line(row.line, record_id=row.record_id, unit_id=row.unit_id, content_hmac=row.content_hmac)
            self.tally.add(masked.tally)
            if masked.spans:
                yield masked.spans

    def _progress(self, phase: Literal["read", "work"]) -> Say:
        done, total = 0, len(self.reader)

        def say(more: int) -> None:
            nonlocal done
            done += more
            self.child.channel.progress(Progress(done=done, total=total, phase=phase))

        say(0)
        return say

    def figures(self) -> DeidFigures:
        found, hidden = self._recall()
        return DeidFigures(
            records=self.records,
            spans=dict(sorted(self.tally.spans.items())),
            kept=dict(sorted(self.tally.kept.items())),
            dropped=self.tally.dropped,
            survivors=self.tally.survivors,
            short_left=self.tally.noted,
            characters=self.characters,
            characters_changed=self.tally.changed,
            engine=engine_name(self.child.order.settings),
            hidden=dict(sorted(hidden.items())),
            hidden_found=dict(sorted(found.items())),
            people=self.tally.crowd.people(),
            looks_said=self.tally.crowd.said(),
            people_few=self.tally.crowd.small(),
            few_without=dict(self.tally.crowd.helps()),
            seen_first={language: len(seen.first) for language, seen in self.seen.items()},
            seen_second={language: len(seen.second) for language, seen in self.seen.items()},
            seen_both={language: len(seen.first & seen.second) for language, seen in self.seen.items()},
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

    Raises: AutomatonChanged, SurvivorsLeft, TermsUnreadable, WorkerLost.
    """
    work = _Run(child)
    work.learn()
    has_units = work.reader.index.unit_table is not None  # the unit of the budget stays what import fixed
    masked, spans = child.order.outputs["set"], child.order.outputs["spans"]
    with SetWriter(masked, child.keys.data[masked.slot], child.keys.purpose.get("content"), unit_table=has_units) as writer:
        write_files(spans, child.keys.data[spans.slot], {"spans.jsonl": work.rewrite(writer)})
    if work.tally.survivors:
        raise SurvivorsLeft(survivors=work.tally.survivors)
    return work.figures()


def _terms(child: Child[DeidSettings]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the terms and generic words of the workspace's dictionary and of a file, if they are those that the settings were digested with.

    What the file names is replaced, whatever the dictionary says of it.
    """
    slot, path, wanted = child.order.inputs.get("dictionary"), child.order.files.get("terms"), child.order.settings.terms_digest
    if slot is None and path is None and wanted is None:
        return (), {}
    sealed = read_file(slot, child.keys.data[slot.slot], decisions.FILE) if slot else None
    file = Path(path).read_bytes() if path is not None else None
    if terms_digest(sealed, file, child.keys.purpose["content"]) != wanted:
        raise TermsUnreadable(problem="it is not the file that was announced")
    known = decisions.Dictionary.from_bytes(sealed) if sealed is not None else decisions.Dictionary()
    return (*known.replaced(), *(terms_of(file) if file is not None else ())), known.generic()


def _taught(child: Child[DeidSettings]) -> list[Tagger]:
    """Return the taggers of the tenant's own.

    Raises: ObjectBroken.
    """
    slots = [child.order.inputs[taught_role(number)] for number in range(len(child.order.settings.taught))]
    return [tagger for slot in slots for tagger in unsealed(slot, child.keys.data[slot.slot])]


def _from_presidio(child: Child[DeidSettings]) -> list[presidio.FromPresidio]:
    """Return the recognisers of Presidio's file, if the order holds one and it is the one that the settings were digested with."""
    path, wanted = child.order.files.get("presidio"), child.order.settings.presidio_digest
    if path is None and wanted is None:
        return []
    data = Path(path).read_bytes() if path is not None else None  # once: what is parsed is what was digested
    if data is None or dictionary_digest(data, child.keys.purpose["content"]) != wanted:
        raise PresidioUnreadable(problem="it is not the file that was announced")
    return presidio.recognisers_of(data)
