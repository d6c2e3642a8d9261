"""Words that mix scripts whose letters look alike, so that a reader takes them for an ordinary word."""

from __future__ import annotations

import re

# Letters that most typefaces draw exactly like a Latin one. Greek letters of formulae (α, β, μ, Δ, Ω) are not among them.
# Source: Unicode TR39, confusables.txt, restricted to single letters of these scripts.
_CYRILLIC = frozenset("АВЕЅІЈКМНОРСТУХаеорсухѕіјһԁԛԝӏ")
_GREEK = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοϲϳ")
_LATIN_IN_CYRILLIC = frozenset("ABCEHKMOPTXaceopxyi")
_WORD = re.compile(r"[^\W\d_]+")
_OTHER = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")


def has_mixed_word(text: str) -> bool:
    """Return True when a word of Latin letters holds Greek or Cyrillic ones that pass for Latin, or the other way round."""
    return _OTHER.search(text) is not None and any(map(_is_mixed, _WORD.findall(text)))


def _is_mixed(word: str) -> bool:
    latin = set(_LATIN.findall(word))
    if not latin or not _OTHER.search(word):
        return False
    greek = {char for char in word if "\u0370" <= char <= "\u03ff"}
    cyrillic = {char for char in word if "\u0400" <= char <= "\u052f"}
    if greek and greek <= _GREEK:
        return True
    return bool(cyrillic) and (cyrillic <= _CYRILLIC or latin <= _LATIN_IN_CYRILLIC)
