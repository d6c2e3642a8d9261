"""Which pieces a tagger is asked about, and what becomes of its answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.records import Record
from ringfence.deid.engine import Engine
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON, REGION
from ringfence.deid.namer import Namer, Seen
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import Span
from ringfence.deid.scanner import ReScanner
from ringfence.deid.tagger import NAMED, TAUGHT


class Listed:
    """Finds the names of a list; notes what it was asked."""

    kinds = frozenset({PERSON, ORGANISATION, LOCATION})

    def __init__(self, language, names):
        self.language, self.names, self.asked = language, names, []

    def tag(self, sentences):
        self.asked += sentences
        return [
            sorted(
                Span(at, at + len(name), kind, NAMED)
                for name, kind in self.names.items()
                for at in range(len(sentence))
                if sentence.startswith(name, at)
            )
            for sentence in sentences
        ]


def spans(text, *taggers):
    return [(text[s.start : s.end], s.kind) for s in Namer(taggers).find(text)]


def test_each_piece_is_asked_about_once_and_only_in_its_language():
    zh, en = Listed("zh", {"张伟": PERSON}), Listed("en", {"John": PERSON})
    text = "张伟来了，还有很多很多很多人。John is here.\n张伟来了。\x00no names here\n12345。张伟"
    namer = Namer([zh, en])
    assert [text[s.start : s.end] for s in namer.find(text)] == ["张伟", "张伟", "张伟"]
    assert zh.asked == ["张伟来了，还有很多很多很多人。", "张伟来了。", "张伟"]
    assert en.asked == []  # the line is mostly Chinese
    assert [s.start for s in namer.find("John is here.")] == [0]
    namer.find("John is here.")
    assert en.asked == ["John is here."]


def test_a_title_alone_is_nobodys_name():
    en = Listed("en", {"Dr": PERSON, "Dr.": PERSON, "Okafor": PERSON, "Prof Kim": PERSON, "Do": PERSON})
    assert spans("Dear Dr. Okafor saw Prof Kim and Mr. Do today", en) == [("Okafor", PERSON), ("Prof Kim", PERSON), ("Do", PERSON)]


@given(st.lists(st.sampled_from(["张伟", "说", "，", "。", "\n", "\x00", "John", " ", "x" * 150, "字" * 150]), max_size=20).map("".join))
def test_offsets_are_those_of_the_text(text):
    for span in Namer([Listed("zh", {"张伟": PERSON}), Listed("en", {"John": PERSON})]).find(text):
        assert text[span.start : span.end] in ("张伟", "John")


@pytest.mark.parametrize("length", [199, 200, 201, 1_000])
def test_long_sentences_are_cut_and_nothing_is_left_out(length):
    zh = Listed("zh", {})
    list(Namer([zh]).find("字" * length))
    assert sum(map(len, zh.asked)) == length or zh.asked == ["字" * 200]  # the same piece is asked about once
    assert all(len(piece) <= 200 for piece in zh.asked)


def test_countries_and_provinces_are_regions():
    zh = Listed("zh", {"美国": LOCATION, "广东省": LOCATION, "佛山市": LOCATION})
    assert spans("美国广东省佛山市", zh) == [("美国", REGION), ("广东省", REGION), ("佛山市", LOCATION)]


def test_names_are_counted_once_and_agreement_means_the_same_words():
    """Mentions would count a doctor's name on every note as evidence, and an overlap would count two different readings as one."""
    first = Listed("zh", {"张伟": PERSON, "李娜": PERSON, "王小明": PERSON, "北京": LOCATION})
    second = Listed("zh", {"张伟": PERSON, "王小": PERSON, "北京": PERSON})
    namer = Namer([first, second])
    for text in ("张伟来了。张伟走了。李娜和王小明在北京", "张伟又来了。"):
        list(namer.find(text))
        list(namer.find(text))  # what is remembered counts like what is asked
    seen = namer.seen["zh"]
    assert seen.first == {"张伟", "李娜", "王小明"}
    assert seen.second == {"张伟", "王小", "北京"}
    taken = seen.taken()
    assert taken.first & taken.second == {"张伟"}
    assert seen == Seen()
    list(namer.find("李娜走了"))
    taken.add(seen)
    assert (len(taken.first), seen.first) == (3, {"李娜"})


def engine(*taggers, **changes):
    settings = settings_for("default").model_copy(update={"engine": "re", "parts": ("email.v1", "person.v1"), "taggers": (), **changes})
    from ringfence.deid.recogniser import RECOGNISERS

    parts = [RECOGNISERS.create(name) for name in settings.parts]
    return Engine(parts, scanner=ReScanner([p.pattern for p in parts], ()), terms=(), settings=settings, key=b"k" * 32, taggers=taggers)


def record(number, *texts, **fields):
    return Record(
        f"{number:032x}",
        f"{number:032x}",
        "file",
        "pair" if len(texts) == 2 else "text",
        ("user", "assistant")[: len(texts)],
        texts,
        fields,
    )


def rewritten(tool, *records):
    tool.learn(records)
    return [done.record.texts for done in tool.rewrite(records)]


def test_who_is_named_in_a_record_is_found_in_it_in_other_words_too():
    tool = engine(Listed("zh", {"张伟明": PERSON}))
    (text, other), (elsewhere,) = rewritten(
        tool,
        record(1, "患者张伟明入院。", "张先生诉头痛，伟明之妻陪同，Zhang Weiming签字，联系zhang.weiming@corp.cn"),
        record(2, "张先生是另一位，伟明另有其人"),
    )
    for original in ("张伟明", "张先生", "伟明", "Zhang Weiming", "zhang.weiming"):
        assert original not in text + other
    assert elsewhere == "张先生是另一位，伟明另有其人"
    new = text.removeprefix("患者").removesuffix("入院。")
    assert other.startswith(f"{new[0]}先生诉头痛，{new[1:]}之妻陪同，")


def test_a_person_of_a_field_is_found_in_the_texts():
    (text,), (far,) = rewritten(engine(), record(1, "今日高明来诊", 患者姓名="高明"), record(2, "医术高明"))
    assert "高明" not in text
    assert "高明" not in far  # a column for names counts in the whole set


def test_a_short_name_counts_in_its_record_alone():
    (near, again), (far,) = rewritten(
        engine(Listed("zh", {"高明来": PERSON, "高明，": PERSON, "高明": PERSON})), record(1, "高明昨天", "见高明"), record(2, "x")
    )
    assert "高明" not in near + again
    tool = engine(Listed("zh", {"高明昨": PERSON}))
    (near,), (far,) = rewritten(tool, record(1, "高明昨天"), record(2, "医术高明"))
    assert far == "医术高明"


def test_organisations_are_replaced_and_nothing_survives():
    tool = engine(Listed("en", {"Acme Holdings Ltd": ORGANISATION}))
    rows = [record(1, "She works at Acme Holdings Ltd since May."), record(2, "acme: Acme Holdings Ltd called Bob")]
    tool.learn(rows)
    done = list(tool.rewrite(rows))
    assert not any("Acme Holdings" in text for item in done for text in item.record.texts)
    assert sum(item.survivors for item in done) == 0


class _Says:
    kinds, language, model = frozenset({"WARD", "LOCATION"}), "zh", None

    def __init__(self, *spans):
        self._spans = list(spans)

    def tag(self, sentences):
        return [self._spans for _ in sentences]


def test_a_tenants_own_kind_counts_and_what_reaches_beyond_it_stays():
    inside, across, elsewhere = (Span(a, b, "LOCATION", NAMED) for a, b in ((2, 4), (3, 7), (8, 9)))
    own = Span(2, 5, "WARD", TAUGHT)
    assert set(Namer([_Says(inside, across, elsewhere), _Says(own)]).find("住在东院区的南边的人")) == {own, across, elsewhere}


def test_a_tagger_of_ones_own_shields_nothing_by_a_kind_that_the_profile_keeps():
    class Own(Listed):
        kinds = frozenset({"NATIONALITY"})

        def tag(self, sentences):
            return [[Span(0, len(sentence), "NATIONALITY", TAUGHT)] for sentence in sentences]

    settings = settings_for("default").model_copy(update={"taggers": ()})
    general = Listed("en", {"Anna Smithfield": PERSON})
    engine = Engine.build(settings, b"k" * 32, taught=[general, Own("en", {})])
    assert [span.kind for span in engine.find("We saw Anna Smithfield today")] == [PERSON]
    own = settings.model_copy(update={"operators": {**settings.operators, "DRUG": settings.operators["NATIONALITY"]}})

    class Drugs(Own):
        def tag(self, sentences):
            return [[Span(0, len(sentence), "DRUG", TAUGHT)] for sentence in sentences]

    engine = Engine.build(own, b"k" * 32, taught=[general, Drugs("en", {})])
    assert [span.kind for span in engine.find("We saw Anna Smithfield today")] == ["DRUG"]
