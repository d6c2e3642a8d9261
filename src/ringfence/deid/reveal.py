"""The child half of `ringfence deid reveal`: which original stands behind what stands in a masked set.

Many originals may share a stand-in: `<API_KEY>`, a generic word, masked digits, a shifted date. One question about it would open them all, so it is
answered with their number alone. Spellings of one original are one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Annotated

from pydantic import Field, model_validator

from ringfence.core.order import Child
from ringfence.core.settings import Settings
from ringfence.deid import terms
from ringfence.deid.fold import fold
from ringfence.deid.named import STAND_INS
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.settings import RevealFigures, RevealSettings
from ringfence.deid.table import table_lines

MOST = 1  # different originals that one question may open
_SPELLINGS, _CHARACTERS = 20, 20_000  # of an answer at the most; it must fit into a frame


class Original(Settings):
    """A value that was replaced, and how often by what was asked about."""

    kind: str
    original: str
    occurrences: int


class Answer(Settings):
    """What is said of a stand-in. With more than `MOST` different originals behind it none is named.

    left_out: spellings that were too many or too long to be named, too.
    """

    originals: Annotated[tuple[Original, ...], Field(max_length=_SPELLINGS)] = ()
    different: Annotated[int, Field(ge=0)] = 0
    left_out: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _opens_one(self) -> Answer:
        if self.originals and self.different != MOST:
            raise ValueError("originals of several")
        return self


def run(child: Child[RevealSettings]) -> RevealFigures:
    """Answer until nothing more is asked, and return how much was. Each answer is the JSON of an `Answer`, the most frequent spelling first.

    Raises: ObjectBroken.
    """
    slot = child.order.inputs["spans"]
    originals: dict[str, Counter[tuple[str, str]]] = {}
    for line in table_lines(slot, child.keys.data[slot.slot]):
        for span in json.loads(line)["spans"]:
            originals.setdefault(span["instead"], Counter())[span["kind"], span["original"]] += 1
    normal = _normal()
    asked = revealed = ambiguous = 0
    while (stand_in := child.channel.hear()) is not None:
        answer = answered(originals.get(stand_in, Counter()), normal)
        child.channel.say(answer.model_dump_json())
        asked, revealed, ambiguous = asked + 1, revealed + bool(answer.originals), ambiguous + (answer.different > MOST)
    return RevealFigures(asked=asked, revealed=revealed, ambiguous=ambiguous)


def answered(found: Counter[tuple[str, str]], normal: Callable[[str, str], str]) -> Answer:
    """Return what is said of a stand-in behind which these (kind, original) stand so often each."""
    different = len({normal(kind, original) for kind, original in found})
    if different > MOST:
        return Answer(different=different)
    shown: list[Original] = []
    room = _CHARACTERS
    for (kind, original), count in found.most_common():
        if len(shown) < _SPELLINGS and len(original) <= room:
            shown.append(Original(kind=kind, original=original, occurrences=count))
            room -= len(original)
    return Answer(originals=tuple(shown), different=different, left_out=len(found) - len(shown))


def _normal() -> Callable[[str, str], str]:
    """Return what says the form in which two spellings of one original are equal, by kind and original."""
    parts = [RECOGNISERS.create(name) for name in RECOGNISERS.names()]
    by_kind: dict[str, Callable[[str], str]] = {kind: part.normalise for part in parts for kind in part.kinds}
    by_kind |= {kind: one.normalise for kind, one in STAND_INS.items()}
    by_kind[terms.KIND] = terms.normal

    def normal(kind: str, original: str) -> str:
        value = fold(original).text
        return by_kind[kind](value) if kind in by_kind else " ".join(value.lower().split())  # a kind of the tenant's own

    return normal
