"""Whether a Latin word is English: as it stands in the list, in American spelling, inflected, or put together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ringfence.deid import people
from ringfence.deid.features import words_en

_ENDINGS = (  # and what a word has without them
    ("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"), ("er", ""), ("er", "e"), ("ers", ""), ("ly", ""),
    ("ally", ""), ("ity", ""), ("ness", ""), ("less", ""), ("ful", ""), ("able", ""), ("al", ""), ("ment", ""), ("ization", "ise"), ("ation", "ate"),
)  # fmt: skip
_AMERICAN = (  # and how the list, which is British, writes them
    ("or", "our"), ("er", "re"), ("iz", "is"), ("yz", "ys"), ("l", "ll"), ("e", "ae"), ("e", "oe"), ("og", "ogue"), ("ense", "ence"), ("ill", "il"),
)  # fmt: skip
_BEGINNINGS = tuple(
    "anti auto bio cardio co counter cyber de dis down electro extra geo hyper hypo immuno in inter intra macro mega micro mid mini mis mono multi nano neuro"
    " non out over para peri photo poly post pre pro pseudo psycho radio re self semi sub super tele thermo trans tri ultra un under up".split()
)
# Written as a name is, and none of a thing: the calendar
_ALWAYS_CAPITAL = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november december"
    " christmas easter english chinese american british french german".split()
)
_SHORTEST = 3  # letters of what is left of a word


@cache
def is_english(word: str) -> bool:
    """Return whether a word of letters, hyphens and apostrophes is English, or a given name, in any case."""
    low = word.lower()
    if "-" in low:
        return all(part.isdigit() or part in _BEGINNINGS or is_english(part) for part in low.split("-") if part)
    return any(_is_listed(form) for form in _forms(low))


def is_calendar(word: str) -> bool:
    """Return whether English always writes a word with a capital although it names no thing."""
    return word.lower().removesuffix("s") in _ALWAYS_CAPITAL or word.lower() in _ALWAYS_CAPITAL


def is_given_name(word: str) -> bool:
    """Return whether a word is a given name."""
    return word.lower() in people.names().group_of


def _is_listed(word: str) -> bool:
    return len(word) == 1 or word in words_en() or word in people.names().group_of


def _forms(word: str) -> Iterator[str]:
    """Yield the word and what it could be an inflection, an American spelling or a composition of."""
    for stem in _stems(word):
        yield stem
        for american, british in _AMERICAN:
            at = stem.find(american)
            while at >= 0:
                yield stem[:at] + british + stem[at + len(american) :]
                at = stem.find(american, at + 1)
    for beginning in _BEGINNINGS:
        if word.startswith(beginning) and len(word) - len(beginning) >= _SHORTEST + 1:
            yield from _stems(word[len(beginning) :])


def _stems(word: str) -> Iterator[str]:
    yield word
    for ending, instead in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= _SHORTEST:
            yield stem + instead
            if stem[-1] == stem[-2] and not instead:
                yield stem[:-1]  # travelled, mapping
