"""Bad input: nothing is raised, offsets are exact, both engines agree, and the time grows with the text."""

from __future__ import annotations

import json
import random
import time
from itertools import pairwise
from pathlib import Path

import pytest

from ringfence.core.records import Record
from ringfence.deid import shards
from ringfence.deid.engine import Engine
from ringfence.deid.fold import fold
from ringfence.deid.operator import Use
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import RECOGNISERS, SEPARATOR, search
from ringfence.deid.scanner import VectorScanner, has_vectorscan
from tests.growth import assert_linear

SETTINGS = settings_for("default").model_copy(update={"taggers": ()})
PARTS = {name: RECOGNISERS.create(name) for name in sorted(SETTINGS.parts)}
ENGINE = Engine.build(SETTINGS, b"k" * 32)
GOLDEN = {
    file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((Path(__file__).parents[2] / "golden" / "recognisers").glob("*.json"))
}
PIECES = {  # what a single line of megabytes may be made of
    "spaces": " ",
    "ones": "1",
    "a@": "a@",
    "brackets": "[({",
    "bracketed words": "x(at)",
    "one Chinese character": "号",
    "a Chinese digit": "一",
    "divisions": "区",
    "places": "北京市海淀区",
    "combining marks": "a" + "\u0301" * 50,
    "emoji": "👩\u200d👩\u200d👧",
    "right to left": "\u202eשלום123",
    "digits apart": "1 ",
    "digits with hyphens": "1-",
    "invisible": "1\u200b",
    "several for one": "Ⅲ",
    "lone surrogates": "\ud800",
    "NUL": SEPARATOR,
    "token": "token=",
    "JWT": ".eyJ",
    "backslashes": "\\",
    "escapes of JSON": "\\u4e00",
    "escapes of forms": "%E5%BC%A0",
    "escapes of HTML": "&#49;",
    "escaped escapes": "%25",
    "escapes that make escapes": "\\u005cu005c",
    "half an entity": "&amp;#",
    "PEM": "-----BEGIN PRIVATE KEY-----",
    "URL": "://a:b",
    "JSON": '{"a":"',
    "dates": "2024-01-01 ",
    "mobiles": "13800138000,",
    "mailboxes": "a.b@c.de ",
    "letters and digits": "A1",
    "streets": " Street",
}
NAMED_IN_FULL = ["digits", "binary", "spaces", "a@", "brackets", "one Chinese character", "combining marks", "emoji", "right to left"]


def hostile(sort, size):
    """Return a text of about `size` characters."""
    draw = random.Random(1)
    if sort == "digits":
        return "".join(draw.choices("0123456789", k=size))
    if sort == "binary":
        return "".join(map(chr, draw.choices(range(256), k=size)))
    if sort == "different mobiles":
        return ",".join(str(13_000_000_000 + 7919 * n) for n in range(size // 12))
    return PIECES[sort] * (size // len(PIECES[sort]))


def seconds(text):
    """Return the CPU time of learning and rewriting a record of this text, after the result was checked."""
    row = Record("0" * 32, "1" * 32, "file", "text", ("text",), (text,))
    engine = Engine(list(PARTS.values()), scanner=ENGINE._scanner, terms=(), settings=SETTINGS, key=b"k" * 32)
    start = time.process_time()
    engine.learn([row])
    done = list(engine.rewrite([row]))
    spent = time.process_time() - start
    assert len(done) == 1
    assert all(text[f.start : f.end] == f.original for f in done[0].found)
    return spent


@pytest.mark.parametrize("sort", [*PIECES, "digits", "binary", "different mobiles"])
def test_the_time_grows_with_the_text_and_not_with_its_square(sort):
    assert_linear(lambda size: seconds(hostile(sort, size)), 6_000, floor=0.1)


def test_the_time_of_kept_terms_among_stand_ins_grows_with_the_text_and_not_with_its_square():
    settings = SETTINGS.model_copy(update={"operators": {**SETTINGS.operators, "TERM": (Use(use="keep.v1"),)}})
    built = Engine.build(settings, b"k" * 32, terms=["BlueHeron"])

    def spent(count):
        text = " ".join(f"BlueHeron {13_000_000_000 + 7919 * n}" for n in range(count))
        row = Record("0" * 32, "1" * 32, "file", "text", ("text",), (text,))
        engine = Engine(list(PARTS.values()), scanner=built._scanner, terms=["blueheron"], settings=settings, key=b"k" * 32)
        start = time.process_time()
        engine.learn([row])
        tally = shards.mask(engine, [row], content_key=None).tally
        assert (tally.kept, tally.spans, tally.survivors) == ({"TERM": count}, {"CN_MOBILE": count}, 0)
        return time.process_time() - start

    assert_linear(spent, 800)


@pytest.mark.full
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("sort", NAMED_IN_FULL)
def test_ten_megabytes_in_one_line(sort):
    single, double = (seconds(hostile(sort, size)) for size in (5_000_000, 10_000_000))
    print(f"{sort}: 10 MB in {double:.1f} s")
    assert double < 1 or double < 3 * single, f"{double:.1f} s after {single:.1f} s"


class Plain:
    """A recogniser whose own pattern is searched, and not what leaves out what its check refuses."""

    def __init__(self, tool):
        self.searched, self.check = tool.pattern, tool.check


def mutated(draw, text):
    """Return a text with a few characters dropped, doubled, swapped or replaced."""
    characters = list(text)
    for _ in range(draw.randint(0, 3)):
        if characters:
            at = draw.randrange(len(characters))
            other = draw.choice(
                [characters[at] * 2, "", draw.choice("0123456789"), draw.choice(" -.:/@()（）aZ年号\x00"), draw.choice(characters)]
            )
            characters[at] = other
    return "".join(characters)


def fuzzed(name, budget):
    """Try texts near those that a recogniser knows for `budget` seconds of CPU; return how many there were."""
    tool, draw, tried = PARTS[name], random.Random(name), 0
    rows = [tool.example, *(row[0] for row in GOLDEN[name]["find"]), *GOLDEN[name]["leave"]]
    others = [row[0] for golden in GOLDEN.values() for row in golden["find"]]
    scanner = VectorScanner([tool.trigger], ()) if has_vectorscan() else None
    until = time.process_time() + budget
    while time.process_time() < until or not tried:
        texts = []
        for _ in range(draw.randint(1, 12)):
            piece = "".join(mutated(draw, draw.choice(rows if draw.random() < 0.8 else others)) for _ in range(draw.randint(1, 4)))
            texts.append(fold(piece + "".join(draw.choices(piece, k=draw.randint(0, 30)))).text if piece else "")
        text = SEPARATOR.join(texts)
        for again in (
            2,
            1,
            0,
        ):  # a collection of garbage, or another process, takes a tenth of a second now and then, and not three times in a row
            start = time.process_time()
            spans = list(tool.find(text))
            if time.process_time() - start < 0.1 + 1e-4 * len(text):
                break
            assert again, "time for each character is bounded"
        assert all(0 <= s.start < s.end <= len(text) for s in spans)
        assert all(a.end <= b.start for a, b in pairwise(spans))
        assert {s.kind for s in spans} <= tool.kinds
        assert spans == list(search(Plain(tool), text, [(0, len(text))])), "what is left out is what the check refuses"
        if scanner:
            assert spans == list(search(tool, text, scanner.scan(text).get(0, []))), "the trigger leads to all of them"
        at, alone = 0, []
        for one in text.split(SEPARATOR):
            alone += [s._replace(start=s.start + at, end=s.end + at) for s in tool.find(one)]
            at += len(one) + 1
        assert spans == alone, "a text is searched the same in any company"
        tried += 1
    return tried


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_recogniser_stands_texts_near_its_own(name):
    assert fuzzed(name, 0.4) > 0


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_recogniser_stands_a_minute_of_texts_near_its_own(name):
    print(f"{name}: {fuzzed(name, 60)} texts")


@pytest.mark.skipif(not has_vectorscan(), reason="there is no hyperscan wheel here")
@pytest.mark.parametrize("around", ["", "。" * 200])
def test_what_is_optional_in_a_pattern_is_a_character_and_not_its_last_byte(around):
    tool = PARTS["case-number.v1"]
    text = f"{around}京仲裁字123号{around}"
    hits = VectorScanner([tool.trigger], ()).scan(text)
    assert list(search(tool, text, hits[0])) == list(tool.find(text)) != []


def test_no_postcode_is_found_behind_a_key_word_of_another_text():
    assert list(PARTS["postcode.v1"].find("zip file\x00100080")) == []
    assert list(PARTS["postcode.v1"].find("zip 100080\x00"))


def test_no_date_of_eight_digits_is_found_behind_a_key_word_of_another_text_or_value():
    find = PARTS["date.v1"].find
    assert list(find("日期202302282\x0020181028")) == []
    assert list(find("日期202302282 20181028")) == []
    assert [(span.start, span.end) for span in find("日期:20230228,20181028")] == [(3, 11)]
