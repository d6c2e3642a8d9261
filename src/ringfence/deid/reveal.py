"""The child half of `ringfence deid reveal`: which originals stand behind what stands in a masked set."""

from __future__ import annotations

import json
from collections import Counter

from pydantic import TypeAdapter

from ringfence.core.order import Child
from ringfence.core.settings import Settings
from ringfence.deid.settings import RevealFigures, RevealSettings
from ringfence.deid.table import table_lines


class Original(Settings):
    """A value that was replaced, and how often by what was asked about."""

    kind: str
    original: str
    occurrences: int


ANSWER = TypeAdapter(tuple[Original, ...])


def run(child: Child[RevealSettings]) -> RevealFigures:
    """Answer until nothing more is asked, and return how much was. Each answer is the JSON of `ANSWER`, the most frequent original first.

    Raises: ObjectBroken.
    """
    slot = child.order.inputs["spans"]
    originals: dict[str, Counter[tuple[str, str]]] = {}
    for line in table_lines(slot, child.keys.data[slot.slot]):
        for span in json.loads(line)["spans"]:
            originals.setdefault(span["instead"], Counter())[span["kind"], span["original"]] += 1
    asked = revealed = 0
    while (stand_in := child.channel.hear()) is not None:
        found = originals.get(stand_in, Counter()).most_common()
        child.channel.say(ANSWER.dump_json(tuple(Original(kind=k, original=o, occurrences=n) for (k, o), n in found)).decode())
        asked, revealed = asked + 1, revealed + bool(found)
    return RevealFigures(asked=asked, revealed=revealed)
