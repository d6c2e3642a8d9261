"""The dictionary of decisions, the spellings it holds for, and what a reviewer is shown."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import ObjectBroken
from ringfence.core.records import Record
from ringfence.deid import candidates, discover
from ringfence.deid.candidates import EvenSample, blanked, with_contexts
from ringfence.deid.decisions import KINDS, Dictionary, Entry, is_linked
from ringfence.deid.engine import Engine
from ringfence.deid.english import is_english
from ringfence.deid.profile import settings_for
from ringfence.deid.terms import folded_terms, normal, spellings
from ringfence.deid.terms_settings import TermKind


def record(n, *texts):
    return Record(f"{n:032x}", f"{n:032x}", "s", "text", ("text",) * len(texts), texts, {"column": "x"})


@pytest.mark.parametrize(
    ("term", "some"),
    [
        ("ORC-219", {"ORC-219", "ORC 219", "ORC219", "ORC_219"}),
        ("BlueHeron", {"BlueHeron", "Blue Heron", "Blue-Heron", "Blue_Heron"}),
        ("璇玑平台", {"璇玑平台"}),
        ("x9", {"x9"}),
        ("Ｎｉｍｂｏ网关", {"Nimbo网关", "Nimbo 网关"}),
    ],
)
def test_spellings(term, some):
    assert spellings(term) == some


def test_gaps_of_latin_and_of_chinese_are_written_apart():
    found = spellings("ORC-219平台")
    assert {"ORC-219 平台", "ORC219平台", "orc 219 平台".upper()} <= found
    assert len(found) == 8


@given(st.text("AbC1 -_璇玑.", min_size=1, max_size=12))
def test_every_spelling_has_one_normal_form_and_the_written_one_is_among_them(term):
    found = spellings(term)
    assert {normal(form) for form in found} == {normal(term)}
    if len(normal(term)) >= 2:
        assert normal(term) in {normal(form) for form in folded_terms([term])}


def test_a_dictionary_comes_back_and_is_the_same_in_any_order():
    entries = [
        Entry(term="ORC-219", decision="accept"),
        Entry(term="璇玑", decision="generalise", kind="place"),
        Entry(term="the", decision="keep"),
    ]
    data = Dictionary(entries).to_bytes()
    assert data == Dictionary(reversed(entries)).to_bytes()
    again = Dictionary.from_bytes(data)
    assert sorted(again, key=lambda e: e.term) == sorted(entries, key=lambda e: e.term)
    assert again.replaced() == ("ORC-219", "璇玑")
    assert again.generic() == {"璇玑": "内部地点"}
    for bad in (b"{}x", b'{"entries":[{"term":"secret"}]}'):
        with pytest.raises(ObjectBroken) as caught:
            Dictionary.from_bytes(bad)
        assert caught.value.__cause__ is None


def test_a_decision_holds_for_all_spellings_and_can_be_taken_back():
    known = Dictionary()
    assert known.set("ORC-219", "accept")
    assert not known.set("orc 219", "accept")
    assert known.set("ORC_219", "generalise", "code")
    assert [(e.term, e.decision, e.word) for e in known] == [("ORC-219", "generalise", "internal code")]
    assert known.of("ＯＲＣ２１９") is not None
    assert known.set("Orc219", "forget")
    assert not known.set("Orc219", "forget")
    assert len(known) == 0


def test_kinds_of_settings_and_of_the_dictionary_are_the_same():
    assert set(KINDS) == set(TermKind.__args__)


@pytest.mark.parametrize(
    ("term", "other", "is_one"),
    [
        ("璇玑", "璇玑平台", True),
        ("璇台", "璇玑平台", True),
        ("BH", "Blue Heron", True),
        ("BH", "BlueHeron", True),
        ("LoanWise", "LoanWise 2", True),
        ("Quellara", "Quelara", True),
        ("璇玑平台", "璇玑平台", False),
        ("orc 219", "ORC-219", False),
        ("BX", "Blue Heron", False),
        ("平玑", "璇玑平台", False),
        ("北斗", "璇玑平台", False),
        ("ab", "cab", False),
        ("Quellara", "Quedara", False),
    ],
)
def test_links(term, other, is_one):
    assert is_linked(term, other) is is_one


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(50, 200))
def test_a_sample_is_bounded_and_even(sizes, most):
    sample = EvenSample(most=most)
    sample.take(record(n, "x" * size) for n, size in enumerate(sizes))
    assert (sample.records, sample.characters) == (len(sizes), sum(sizes))
    held = [int(one.id, 16) for one in sample.held]
    assert sum(sizes[n] for n in held) <= most
    steps = {b - a for a, b in pairwise(held)}
    assert len(steps) <= 1
    assert held == list(range(0, len(sizes), next(iter(steps), 1)))[: len(held)] if held else not sizes
    assert held == list(range(len(sizes))) or sum(sizes) > most
    assert all(not one.fields for one in sample.held)


def test_what_is_masked_somewhere_is_blanked_everywhere_and_lengths_stay():
    engine = Engine.build(settings_for("default"), bytes(32), terms=["璇玑平台"])
    texts = ["护照E12345678在璇玑平台", "又见 E12345678 一次", "nothing"]
    clear = blanked(engine, [record(n, text) for n, text in enumerate(texts)])
    assert list(map(len, clear)) == list(map(len, texts))
    assert clear[0] == "护照" + "\0" * 9 + "在" + "\0" * 4
    assert "E12345678" not in clear[1]
    assert clear[2] == "nothing"


def test_contexts_are_of_different_texts_and_whole_words():
    texts = ["FORCE-7 alone", "FORCE-7 and\n\nORCE-7 here", *["\0\0\0 sees ORCE-7 \ud800 now"] * 5, "x" * 50 + " ORCE-7 " + "y" * 50]
    (row,) = with_contexts([discover.Candidate("ORCE-7", 7, 2.0)], texts)
    assert row.contexts == ("FORCE-7 and ORCE-7 here", "▇ sees ORCE-7 \ufffd now", "…" + "x" * 29 + " ORCE-7 " + "y" * 29 + "…")
    assert candidates.from_bytes(candidates.to_bytes([row])) == (row,)


@pytest.mark.parametrize("word", "tumors favorite analyzed anesthesia follow-up colors Emily traveled mapping non-toxic".split())
def test_english_in_any_spelling(word):
    assert is_english(word)


@pytest.mark.parametrize("word", "quorvex zelvek hbmkt".split())
def test_not_english(word):
    assert not is_english(word)
