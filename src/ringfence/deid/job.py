"""The child half of `ringfence deid`: reads a set twice, writes its masked copy and the sealed table of spans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ringfence.core.errors import PresidioUnreadable, SurvivorsLeft, TermsUnreadable
from ringfence.core.order import Child, Progress
from ringfence.deid import shards
from ringfence.deid.compat import yaml as presidio
from ringfence.deid.engine import Engine, engine_name
from ringfence.deid.settings import DeidFigures, DeidSettings, dictionary_digest, model_role
from ringfence.deid.terms import read_terms
from ringfence.deid.workers import Say, in_order
from ringfence.vault.files import write_files
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
        self.engine = Engine.build(settings, surrogate_key, terms=_terms(child), models=models, own_way=_from_presidio(child))
        self.engine.load()
        self.tally = shards.Tally()
        self.records = self.characters = 0
        self._shards = len(self.reader.index.shard_rows)

    def learn(self) -> None:
        """Read every shard and remember the originals of all."""

        def work(shard: int, say: Say) -> shards.Lesson:
            return shards.learn(self.engine, shards.records_of(self.reader, shard), say)

        for lesson in in_order(work, self._shards, workers=self.child.order.limits.workers, say=self._progress("read")):
            lesson.learned.teach(self.engine.known)
            self.records += lesson.records
            self.characters += lesson.characters

    def rewrite(self, writer: SetWriter) -> Iterator[bytes]:
        """Write every masked record and yield the span table, a shard at a time."""
        content_key = self.child.keys.purpose.get("content")

        def work(shard: int, say: Say) -> shards.Masked:
            return shards.mask(self.engine, shards.records_of(self.reader, shard), content_key=content_key, say=say)

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
        return DeidFigures(
            records=self.records,
            spans=dict(sorted(self.tally.spans.items())),
            kept=dict(sorted(self.tally.kept.items())),
            dropped=self.tally.dropped,
            survivors=self.tally.survivors,
            characters=self.characters,
            characters_changed=self.tally.changed,
            engine=engine_name(self.child.order.settings),
        )


def run(child: Child[DeidSettings]) -> DeidFigures:
    """Return what was found and replaced; `set` then holds the masked copy and `spans` the originals with their places.

    Raises: SurvivorsLeft, TermsUnreadable, WorkerLost.
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


def _terms(child: Child[DeidSettings]) -> tuple[str, ...]:
    """Return the dictionary, if the order holds one and it is the one that the settings were digested with."""
    path, wanted = child.order.files.get("terms"), child.order.settings.terms_digest
    if path is None and wanted is None:
        return ()
    if path is None or dictionary_digest(Path(path).read_bytes(), child.keys.purpose["content"]) != wanted:
        raise TermsUnreadable(problem="it is not the file that was announced")
    return read_terms(Path(path))


def _from_presidio(child: Child[DeidSettings]) -> list[presidio.FromPresidio]:
    """Return the recognisers of Presidio's file, if the order holds one and it is the one that the settings were digested with."""
    path, wanted = child.order.files.get("presidio"), child.order.settings.presidio_digest
    if path is None and wanted is None:
        return []
    if path is None or dictionary_digest(Path(path).read_bytes(), child.keys.purpose["content"]) != wanted:
        raise PresidioUnreadable(problem="it is not the file that was announced")
    return presidio.read(Path(path))
