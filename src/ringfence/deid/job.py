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
from ringfence.deid import decisions
from ringfence.deid.engine import Engine, Rewritten, engine_name
from ringfence.deid.settings import DeidFigures, DeidSettings, model_role, terms_digest
from ringfence.deid.terms import read_terms
from ringfence.vault.files import read_file, write_files
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
        terms, generic = _terms(child)
        self.engine = Engine.build(settings, child.keys.purpose["surrogate"], terms=terms, generic=generic, models=models)
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
    return (*known.replaced(), *(read_terms(Path(path)) if path is not None else ())), known.generic()


def _line(record: Record, done: Rewritten) -> bytes:
    spans = [{"text": f.text, "start": f.start, "end": f.end, "kind": f.kind, "original": f.original} for f in done.found]
    return json.dumps({"id": record.id, "spans": spans}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
