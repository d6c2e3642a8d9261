"""The child half of `ringfence deid`: reads a set twice, writes its masked copy and the sealed table of spans."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ringfence.core.errors import SurvivorsLeft, TermsUnreadable
from ringfence.core.order import Child, Progress
from ringfence.core.records import Record
from ringfence.deid.engine import Engine, Rewritten, engine_name
from ringfence.deid.settings import DeidFigures, DeidSettings, dictionary_digest, model_role, taught_role
from ringfence.deid.tagger import Tagger
from ringfence.deid.taught import unsealed
from ringfence.deid.terms import read_terms
from ringfence.vault.files import write_files
from ringfence.vault.sets import SetReader, SetWriter

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
        self.records = self.survivors = self.dropped = self.characters = self.changed = 0

    def source(self, phase: Literal["read", "work"]) -> Iterator[Record]:
        for number, record in enumerate(self.reader):
            if number % _SAY_EVERY == 0:
                self.child.channel.progress(Progress(done=number, total=len(self.reader), phase=phase))
            yield record

    def learn(self) -> None:
        self.engine.learn(self._counted())

    def _counted(self) -> Iterator[Record]:
        for record in self.source("read"):
            self.records += 1
            self.characters += sum(map(len, record.texts))
            yield record

    def rewrite(self, writer: SetWriter) -> Iterator[bytes]:
        """Write every masked record and yield its lines of the span table."""
        for done in self.engine.rewrite(self.source("work")):
            if done.record is None:
                self.dropped += 1
                continue
            writer.write(done.record)
            self.kept.update(done.kept)
            self.survivors += done.survivors
            for item in done.found:
                self.spans[item.kind] += 1
                self.changed += item.end - item.start
            if done.found:
                yield _line(done.record, done)

    def figures(self) -> DeidFigures:
        return DeidFigures(
            records=self.records,
            spans=dict(sorted(self.spans.items())),
            kept=dict(sorted(self.kept.items())),
            dropped=self.dropped,
            survivors=self.survivors,
            characters=self.characters,
            characters_changed=self.changed,
            engine=engine_name(self.child.order.settings),
        )


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


def _taught(child: Child[DeidSettings]) -> list[Tagger]:
    """Return the taggers of the tenant's own.

    Raises: ObjectBroken.
    """
    slots = [child.order.inputs[taught_role(number)] for number in range(len(child.order.settings.taught))]
    return [tagger for slot in slots for tagger in unsealed(slot, child.keys.data[slot.slot])]


def _line(record: Record, done: Rewritten) -> bytes:
    spans = [{"text": f.text, "start": f.start, "end": f.end, "kind": f.kind, "original": f.original} for f in done.found]
    return json.dumps({"id": record.id, "spans": spans}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
