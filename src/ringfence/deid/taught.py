"""Taggers that a tenant taught: a sealed object with a field for each language, and the taggers that it stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import ValidationError

from ringfence.core.errors import ObjectBroken
from ringfence.core.order import Slot
from ringfence.core.settings import Settings
from ringfence.deid import crfmodel, learn
from ringfence.deid.field import ChineseField
from ringfence.deid.recogniser import Span
from ringfence.deid.tagger import CRFSUITE, TAGGERS, TAUGHT, Tagger
from ringfence.deid.taggers.crf import spans, spans_of
from ringfence.deid.teaching import CARD, FILE, Kind
from ringfence.vault.files import file_names, read_file, write_files


class _Card(Settings):
    """What a sealed tagger says of itself."""

    format: Literal["ringfence.tagger/1"] = "ringfence.tagger/1"
    kinds: tuple[Kind, ...]
    builds_on: Mapping[str, str]  # by language, the shipped tagger whose word is a feature


class Taught:
    """Finds what a tenant taught, in one language."""

    model = None
    needs = CRFSUITE

    def __init__(self, language: str, field: bytes, *, kinds: Iterable[str]) -> None:
        self._language, self._data, self._kinds = language, field, frozenset(kinds)
        self._names = {kind: kind for kind in self._kinds}
        self._shipped = TAGGERS.create(learn.SHIPPED[language])

    @property
    def kinds(self) -> frozenset[str]:
        """Which kinds its spans have."""
        return self._kinds

    @property
    def language(self) -> str:
        """Which sentences it is asked about."""
        return self._language

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each sentence."""
        shipped = self._shipped.tag(sentences)
        return self._tag_zh(sentences, shipped) if self._language == "zh" else self._tag_en(sentences, shipped)

    def _tag_zh(self, sentences: Sequence[str], shipped: Sequence[Sequence[Span]]) -> list[list[Span]]:
        said = [learn.tags(one, learn.parts_of("zh", sentence)) for one, sentence in zip(shipped, sentences, strict=True)]
        field = self._tables
        return [spans_of(numbers, field.tags, self._names, score=TAUGHT) for numbers in field.best(sentences, said)]

    def _tag_en(self, sentences: Sequence[str], shipped: Sequence[Sequence[Span]]) -> list[list[Span]]:
        found = []
        for sentence, told in zip(sentences, shipped, strict=True):
            parts = learn.parts_of("en", sentence)
            tags = self._field.tag(learn.rows("en", sentence, parts, told)) if parts else []
            found.append(spans(tags, parts, self._names, score=TAUGHT))
        return found

    @cached_property
    def _tables(self) -> ChineseField:
        return ChineseField(crfmodel.read(self._data))

    @cached_property
    def _field(self) -> Any:  # noqa: ANN401  the library is untyped
        import pycrfsuite  # noqa: PLC0415  of the extra `deid`

        field = pycrfsuite.Tagger()
        field.open_inmemory(self._data)  # which keeps no reference, so this object does
        return field


def seal(slot: Slot, key: bytes, fields: Mapping[str, bytes], *, kinds: Iterable[str]) -> None:
    """Write a tagger: `fields` by language.

    Raises: StorageFull.
    """
    card = _Card(kinds=tuple(sorted(kinds)), builds_on={language: learn.SHIPPED[language] for language in fields})
    files = {CARD: json.dumps(card.model_dump(mode="json"), sort_keys=True).encode()}
    write_files(slot, key, files | {FILE.format(language=language): field for language, field in sorted(fields.items())})


def unsealed(slot: Slot, key: bytes) -> list[Tagger]:
    """Return the taggers of a sealed object, one for each language.

    Raises: ObjectBroken.
    """
    names = file_names(slot, key)
    try:
        card = _Card.model_validate_json(read_file(slot, key, CARD))
    except ValidationError as cause:
        raise ObjectBroken(file=0) from cause
    if any(learn.SHIPPED.get(language) != shipped for language, shipped in card.builds_on.items()):
        raise ObjectBroken(file=0)
    wanted = {language: FILE.format(language=language) for language in card.builds_on}
    return [Taught(language, read_file(slot, key, name), kinds=card.kinds) for language, name in wanted.items() if name in names]
