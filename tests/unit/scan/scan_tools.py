"""Records for the tests of scan."""

import random

from ringfence.core.records import Record

WORDS = [
    a + b
    for a in ("ka", "lo", "mi", "ru", "ten", "vas", "bor", "shi", "pal", "que")
    for b in ("na", "rid", "sto", "mel", "ga", "thu", "ion", "ard")
]


def pair(prompt, answer, number=0):
    return Record(f"{number:032x}", f"{number:032x}", "0" * 32, "pair", ("user", "assistant"), (prompt, answer))


def sentence(rng, words):
    return " ".join(rng.choices(WORDS, k=words))


def clean(rows, seed=1):
    """Return records with different prompts and answers."""
    rng = random.Random(seed)
    return [pair(sentence(rng, 8), sentence(rng, 30), i) for i in range(rows)]
