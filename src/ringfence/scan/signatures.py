"""Short fingerprints of texts: equal after normalisation, or nearly equal. Pure."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5  # characters
PLACES = 64  # in one signature; the standard error of an estimated similarity of 0.8 is 0.05
BANDS = 8
Hashes = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's increment and multipliers
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def normalised(text: str) -> str:
    """Return the letters and digits of `text`, compatibility forms and case folded, words one space apart; any script."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(char if char.isalnum() else " " for char in folded).split())


def fingerprint(text: str) -> int:
    """Return 64 bits that equal texts share; among a million different ones two do with probability 3e-8."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def shingles(text: str) -> Hashes:
    """Return one hash per run of SHINGLE characters of `text`, [max(1, characters - SHINGLE + 1)]; equal runs have equal hashes."""
    codes = np.frombuffer(text.ljust(SHINGLE).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    runs = len(codes) - SHINGLE + 1
    rolled = codes[:runs].copy()
    for i in range(1, SHINGLE):
        rolled *= _GOLDEN
        rolled += codes[i : i + runs]
    return _mixed(rolled)


def signature(text: str) -> Hashes:
    """Return a MinHash signature of the set of shingles, [PLACES]: the share of equal places estimates the Jaccard similarity.

    The hashes are cut into PLACES ranges and the least of each is kept; an empty range borrows from the next one that is not.
    Source: one permutation hashing, Li, Owen and Zhang 2012 (arXiv:1208.1259); densification by rotation, Shrivastava and Li 2014.
    """
    hashes = np.sort(shingles(text))
    starts = np.searchsorted(hashes, _EDGES)
    is_empty = starts == np.append(starts[1:], len(hashes))
    own = np.where(is_empty, 2 * PLACES, _PLACE)
    lender = np.minimum.accumulate(np.concatenate([own, own + PLACES])[::-1])[::-1][:PLACES]
    values: Hashes = hashes[starts[lender % PLACES]] + (lender - _PLACE).astype(np.uint64) * _GOLDEN
    return values


def bands(places: Hashes) -> Hashes:
    """Return one hash per group of places, [BANDS]; texts of similarity s share a given one with probability s ** (PLACES / BANDS)."""
    return _mixed((places.reshape(BANDS, -1) * _FACTORS).sum(axis=1, dtype=np.uint64))


def similarity(first: Hashes, second: Hashes) -> float:
    """Return the estimated Jaccard similarity of the texts behind two signatures."""
    return float(np.count_nonzero(first == second)) / PLACES


def _mixed(values: Hashes) -> Hashes:
    """Return SplitMix64's finaliser of each value. Source: Steele, Lea and Flood 2014."""
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


_PLACE = np.arange(PLACES)
_EDGES = (np.arange(PLACES, dtype=np.uint64)) << np.uint64(64 - (PLACES - 1).bit_length())
_FACTORS = _mixed(np.arange(1, PLACES // BANDS + 1, dtype=np.uint64) * _GOLDEN) | np.uint64(1)
