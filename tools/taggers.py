"""Train the taggers that ship with ringfence: python tools/taggers.py zh|en TARGET [--rows N] [--seed N].

Generated text only, and text under permissive licences that is named on the command line and is not part of this repository:
  --text FILE     Chinese or English text without labels, a line each; its clauses are what stands between the generated ones
  --foreign FILE  Chinese spellings of foreign names, a line each (the words tagged `nrt` in jieba's dictionary, MIT)
  --conll FILE    labelled English sentences (WikiGold, CC BY 4.0)
Needs `faker` for English names of more origins than the product's own list. data/taggers.md says what the shipped ones were trained on.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pycrfsuite

from ringfence.deid import features
from ringfence.deid.sentences import Chinese, English, Labelled

LOCALES = "en_US en_GB en_IN de_DE fr_FR es_ES it_IT nl_NL pl_PL pt_BR sv_SE tr_TR no_NO fi_FI cs_CZ ga_IE en_NG yo_NG zu_ZA vi_VN id_ID ro_RO hu_HU da_DK hr_HR".split()


def tagged_zh(parts: Labelled) -> tuple[list[list[str]], list[str]]:
    """Return features and tags of a sentence, character by character."""
    text = "".join(piece for piece, _ in parts)
    tags = [f"{'I' if n else 'B'}{kind}" if kind else "O" for piece, kind in parts for n in range(len(piece))]
    return features.characters(text), tags


def tagged_en(parts: Labelled) -> tuple[list[list[str]], list[str]]:
    """Return features and tags of a sentence, word by word."""
    text, kinds, first = "", [], []
    for piece, kind in parts:
        kinds += [kind] * len(piece)
        first += [n == 0 for n in range(len(piece))]
        text += piece
    ranges = features.tokens(text)
    tags = [(("B" if any(first[a:b]) else "I") + kinds[a]) if kinds[a] else "O" for a, b in ranges]
    return features.words([text[a:b] for a, b in ranges]), tags


def conll(path: Path) -> Iterator[tuple[list[list[str]], list[str]]]:
    """Yield features and tags of the sentences of a labelled file: a word and its tag a line, empty lines between sentences."""
    names = {"PER": "P", "ORG": "O", "LOC": "L"}
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        rows = [line.split(" ") for line in block.splitlines() if line.count(" ") == 1]
        parts: list[str] = []
        tags: list[str] = []
        before = ""
        for word, tag in rows:
            kind = names.get(tag.rpartition("-")[2], "")
            for n, (a, b) in enumerate(features.tokens(word)):
                parts.append(word[a:b])
                tags.append(f"{'I' if n or before == kind else 'B'}{kind}" if kind else "O")
            before = kind
        if parts:
            yield features.words(parts), tags


def western() -> tuple[list[str], list[str]]:
    """Return given names and surnames of many origins."""
    first: dict[str, None] = {}
    last: dict[str, None] = {}
    for locale in LOCALES:
        person: Any = import_module(f"faker.providers.person.{locale}").Provider
        for listed, fields in ((first, ("first_names", "first_names_female", "first_names_male")), (last, ("last_names",))):
            for field in fields:
                listed |= dict.fromkeys(  # noqa: PLW2901  in place
                    str(name) for name in getattr(person, field, ()) if str(name).isascii() and len(str(name)) > 1
                )
    return list(first), list(last)


def clauses(path: Path, language: str) -> list[str]:
    """Return the clauses of a text, without those that a name could stand in unlabelled."""
    text = path.read_text(encoding="utf-8")
    pieces = re.split(r"[。！？；，,\n\"]" if language == "zh" else r"[.;\n\"]", text)
    if language == "zh":
        return [p for p in map(str.strip, pieces) if 3 <= len(p) <= 30]
    return [p for p in map(str.strip, pieces) if 10 <= len(p) <= 120 and not re.search(r"(?<!^)\b[A-Z][a-z]", p)]


def main() -> None:
    """Train one tagger."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("language", choices=("zh", "en"))
    parser.add_argument("target", type=Path)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--foreign", type=Path)
    parser.add_argument("--conll", type=Path)
    parser.add_argument("--least", type=float, default=2)
    parser.add_argument("--iterations", type=int, default=60)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    text = clauses(given.text, given.language) if given.text else []
    trainer = pycrfsuite.Trainer(verbose=True)
    trainer.set_params(
        {"c1": 0.1, "c2": 0.01, "max_iterations": given.iterations, "feature.minfreq": given.least, "feature.possible_transitions": True}
    )
    if given.language == "zh":
        writer: Chinese | English = Chinese(
            draw, foreign=given.foreign.read_text(encoding="utf-8").split() if given.foreign else [], text=text
        )
    else:
        writer = English(draw, text=text, names=western())
    tagged = tagged_zh if given.language == "zh" else tagged_en
    for _ in range(given.rows):
        trainer.append(*tagged(writer.sentence()))
    if given.conll:
        for row in conll(given.conll):
            trainer.append(*row)
    trainer.train(str(given.target))


if __name__ == "__main__":
    main()
