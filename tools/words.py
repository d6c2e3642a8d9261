"""Write words_zh.txt.gz and words_en.txt.gz into src/ringfence/deid/data: words with how often they occur, names of persons as minus their number.

Run: python tools/words.py CHINESE ENGLISH
CHINESE: `jieba/dict.txt` of the package jieba 0.42.1 (MIT).  ENGLISH: `frequency_dictionary_en_82_765.txt` of the package symspellpy 6.10 (MIT; made
of the Google Books Ngram data, CC BY 3.0, and the word lists of SCOWL). Their notices lie beside the files.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from ringfence.deid import people

TARGET = Path(__file__).parents[1] / "src" / "ringfence" / "deid" / "data"
LEAST_ZH = 3  # occurrences in jieba's corpora
LEAST_NAME = 20  # of a name, which may well be a word that was taken for one: 休克, 子宫
LONGEST = 8  # characters
MOST_EN = 50_000  # words


def main(chinese: str, english: str) -> None:
    """Write the files."""
    rows = [line.split(" ") for line in Path(chinese).read_text(encoding="utf-8").splitlines()]
    write(
        "words_zh",
        sorted(
            (word, -int(count) if tag.startswith("nr") else int(count))
            for word, count, tag in rows
            if 2 <= len(word) <= LONGEST
            and int(count) >= (LEAST_NAME if tag.startswith("nr") else LEAST_ZH)
            and all("\u3400" <= c <= "\u9fff" for c in word)
        ),
    )
    known = people.names()
    pairs = [line.split(" ") for line in Path(english).read_text(encoding="utf-8-sig").splitlines()][:MOST_EN]
    write("words_en", sorted((word, int(count)) for word, count in pairs if word not in known.group_of or int(count) > 50_000_000))


def write(name: str, rows: list[tuple[str, int]]) -> None:
    """Write one list."""
    text = "".join(f"{word} {count}\n" for word, count in rows)
    (TARGET / f"{name}.txt.gz").write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
