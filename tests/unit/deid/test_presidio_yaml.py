"""Presidio's YAML here: its patterns find what they find there, and also beside Chinese characters; what could run for ever is refused."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.errors import PresidioUnreadable
from ringfence.core.records import Record
from ringfence.deid.compat import cost
from ringfence.deid.compat.yaml import kinds_of, read, repaired
from ringfence.deid.engine import Engine
from ringfence.deid.job import run
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import SEPARATOR
from ringfence.deid.scanner import has_vectorscan
from ringfence.deid.settings import dictionary_digest
from tests.growth import assert_linear
from tests.unit.deid.test_deid_job import CONTENT
from tests.unit.deid.test_shards import FEW, child, masked

FILE = r"""
recognizers:
  - name: Zip code Recognizer
    supported_language: de
    supported_entity: ZIP
    patterns:
      - name: zip code (weak)
        regex: "(\\b\\d{5}(?:\\-\\d{4})?\\b)"
        score: 0.01
    context: [zip, code, 邮编]
  - name: Titles recognizer
    supported_language: en
    supported_entity: TITLE
    deny_list: [Mr., Mrs., 主任医师]
  - name: Badge
    supported_languages: [en, {language: zh, context: [工牌]}]
    supported_entity: BADGE
    type: custom
    patterns: [{name: badge, regex: '\bbd-\d{6}\b', score: 0.6}]
  - {name: SpacyRecognizer, type: predefined, enabled: false}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "recognisers.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def found(parts, text):
    return sorted((text[s.start : s.end], s.kind, round(s.score, 2)) for part in parts for s in part.find(text))


def test_patterns_deny_lists_and_context(file):
    parts = read(file)
    assert kinds_of(parts) == ("BADGE", "TITLE", "ZIP")
    assert found(parts, "Mr. Smith, badge BD-123456") == [("BD-123456", "BADGE", 0.6), ("Mr.", "TITLE", 0.9)]
    assert found(parts, "in 10115 nobody asks") == []  # weak, and no context
    assert found(parts, "zip 10115-1234") == [("10115-1234", "ZIP", 0.4)]
    assert found(parts, "zipper 10115") == []  # the word is another one
    assert found(parts, "xMr. abd-123456 bd-1234567") == []


def test_edges_hold_beside_chinese_characters(file):
    parts = read(file)
    assert found(parts, "工牌bd-123456已停用，邮编10115收") == [("10115", "ZIP", 0.4), ("bd-123456", "BADGE", 0.9)]
    assert found(parts, "由主任医师签字") == [("主任医师", "TITLE", 0.9)]
    assert not re.search(r"\bbd-\d{6}\b", "工牌bd-123456已停用")  # what Presidio's own reading finds


@settings(max_examples=200)
@given(text=st.text("ab_1 -.中é\n", max_size=12))
def test_the_repair_changes_nothing_in_ascii_texts_and_only_edges_elsewhere(text):
    for expression in (r"\b\w+\b", r"\Ba", r"[\b]", r"a\b-?b*", r"\\b", r"[]\b]a?"):
        ours = [m.span() for m in re.finditer(repaired(expression), text)]
        flags = re.ASCII if r"\w" not in expression else 0
        if text.isascii() or flags:
            assert ours == [m.span() for m in re.finditer(expression, text, flags)]


@pytest.mark.parametrize(
    "expression",
    [r"(a+)+b", r"\d*\d*\d*x", r"(x|xx)+y", r"(\d)\1{3}", r"(?:[a-z]+\.)+com", r"(?x)a b", r"(.*a){12}", "(", "a{5,2}", "[z-a]"],
)
def test_expressions_that_may_not_run_are_refused_before_anything_starts(expression, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        f"recognizers: [{{name: Wang, supported_entity: X, patterns: [{{name: p, regex: '{expression}', score: 1}}]}}]", encoding="utf-8"
    )
    with pytest.raises(PresidioUnreadable) as caught:
        read(path)
    assert "1" in caught.value.facts["problem"]


def test_a_value_that_cannot_be_is_named_by_its_place(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("recognizers: [{name: Wang, supported_entity: X, patterns: [{name: p, regex: a, score: 2}]}]", encoding="utf-8")
    with pytest.raises(PresidioUnreadable) as caught:
        read(path)
    assert caught.value.facts["problem"] == "recogniser 1: patterns.0.score: it must be 1 or less"


@pytest.mark.parametrize(
    "text",
    [
        "recognizers: 3",
        "[1]",
        "{",
        "recognizers: []",
        "recognizers: [CreditCardRecognizer]",
        "recognizers: [{name: A, type: predefined}]",
        "recognizers: [{name: A, supported_entity: X}]",
        "recognizers: [{name: A, supported_entity: lower, deny_list: [x]}]",
        "recognizers: [{name: A, supported_entity: X, deny_list: [x], colour: red}]",
        "recognizers: [{name: A, supported_entity: X, deny_list: [x], enabled: false}]",
        "recognizers: [{name: A, supported_entity: X, patterns: [{name: p, regex: a, score: 2}]}]",
    ],
)
def test_files_that_cannot_be_used(text, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PresidioUnreadable):
        read(path)


EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b"


def test_what_may_run_takes_linear_time(tmp_path):
    """Texts on which the expressions as written take quadratic time and more."""
    expressions = [r"a+b", EMAIL, r"https?://[^\s]+x"]
    for expression in expressions:
        cost.check(repaired(expression))

    def seconds(size):
        texts = ["a" * size, ("a@" + "a." * 20) * (size // 42), "http://" * (size // 7)]
        start = time.process_time()
        for expression, text in zip(expressions, texts, strict=True):
            list(re.finditer(repaired(expression), text))
        return time.process_time() - start

    assert_linear(seconds, 20_000)


@pytest.mark.skipif(not has_vectorscan(), reason="one engine only")
@settings(max_examples=25, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(
            ["bd-123456", "BD-1234567", "Mr.", "zip ", "10115", "邮编", "工牌", "，", " ", "13800138000", "中", "\u200b", "１０１１５"]
        ),
        max_size=12,
    )
)
def test_both_engines_find_the_same(pieces, tmp_path_factory):
    text = "".join(pieces)
    spans = [engine.find(text) for engine in engines(tmp_path_factory)]
    assert spans[0] == spans[1]


_MADE: list[Engine] = []


def engines(factory):
    if not _MADE:
        path = factory.mktemp("presidio") / "r.yaml"
        path.write_text(FILE, encoding="utf-8")
        for name in ("auto", "re"):
            _MADE.append(Engine.build(FEW.model_copy(update={"engine": name, "taggers": ()}), b"k" * 32, own_way=read(path)))
    return _MADE


def test_nothing_is_found_across_two_texts(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(r"recognizers: [{name: A, supported_entity: X, patterns: [{name: p, regex: 'a\W?b|^c', score: 1}]}]", encoding="utf-8")
    (part,) = read(path)
    assert found([part], SEPARATOR.join(["xa", "b", "a b", "c"])) == [("a b", "X", 0.9), ("c", "X", 0.9)]


def test_a_record_is_masked_and_no_original_survives(file):
    engine = Engine.build(FEW, b"k" * 32, own_way=read(file))
    texts = ("工牌bd-123456，由主任医师签字", "again BD-123456 and Mr. X")
    counts: Counter[str] = Counter()
    done = engine.mask(Record("0" * 32, "0" * 32, "s", "pair", ("user", "assistant"), texts, {}), counts)
    assert counts["BADGE"] == 2
    assert counts["TITLE"] == 2
    assert not any(original in text.lower() for text in done.texts for original in ("123456", "主任医师", "mr."))


@pytest.mark.parametrize(
    ("profile", "kind"), [("default", "AGE"), ("default", "REGION"), ("legal-zh", "DATE"), ("hipaa-safe-harbor", "AGE")]
)
def test_a_kind_that_the_profile_keeps_shields_nothing(profile, kind, tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(
        f"recognizers: [{{name: all, supported_entity: {kind}, patterns: [{{name: all, regex: '[\\s\\S]+', score: 0.9}}]}}]",
        encoding="utf-8",
    )
    settings = settings_for(profile).model_copy(update={"taggers": ()})
    texts = ["staff no. ZY-2023-0415", "look at ZY-2023-0415 again", "born 2023-04-15, 54岁"]
    records = [Record(f"{n:032}", f"{n:032}", "file", "text", ("text",), (text,)) for n, text in enumerate(texts)]
    alone, together = (Engine.build(settings, b"k" * 32, own_way=own) for own in ([], read(path)))
    for engine in (alone, together):
        engine.learn(records)
    assert [done.record for done in together.rewrite(records)] == [done.record for done in alone.rewrite(records)]


@pytest.mark.parametrize("operators", [settings_for("default").operators, {}])  # a date is moved, or gets a stand-in
def test_an_original_inside_of_what_such_a_recogniser_calls_a_date_does_not_survive(operators, tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(
        "recognizers: [{name: all, supported_entity: DATE, patterns: [{name: all, regex: '.+', score: 0.9}]}]", encoding="utf-8"
    )
    settings = settings_for("default").model_copy(update={"taggers": (), "operators": operators})
    engine = Engine.build(settings, b"k" * 32, own_way=read(path))
    engine.known.add("PERSON", "欧阳建国", normal="欧阳建国", score=0.7)
    done = next(engine.rewrite([Record("0" * 32, "1" * 32, "file", "text", ("text",), ("2023-04-15 欧阳建国来过",))]))
    assert "欧阳建国" not in done.record.texts[0]
    assert done.survivors == 0


def test_the_job_runs_the_announced_file_and_no_other(file, tmp_path):
    rows = [Record(f"{n:032x}", f"{n:032x}", "s", "text", ("text",), (f"工牌bd-12345{n}",), {}) for n in range(3)]

    def asked(folder, digest):
        folder.mkdir()
        made = child(folder, rows, workers=1, settings=FEW.model_copy(update={"presidio_digest": digest}))
        return replace(made, order=made.order.model_copy(update={"files": {"presidio": str(file)}}))

    made = asked(tmp_path / "one", dictionary_digest(file.read_bytes(), CONTENT))
    assert run(made).spans == {"BADGE": 3}
    assert not any(b"bd-12345" in line for line in masked(made)[0])
    with pytest.raises(PresidioUnreadable):
        run(asked(tmp_path / "two", "0" * 64))


def test_settings_without_a_file_are_as_before():
    assert settings_for("default").presidio_digest is None
