"""The dictionary of internal terms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import TermsUnreadable
from ringfence.deid.draw import Draw
from ringfence.deid.terms import TermSearch, folded_terms, longest, lowered, neutral_names, read_terms, stand_in

TERMS = st.lists(st.text("aB天枢.", min_size=2, max_size=4), max_size=5)


@given(TERMS, st.text("abB天枢. ", max_size=30))
def test_finds_every_occurrence_in_any_ascii_case(terms, text):
    words = folded_terms(terms)
    naive = sorted((i, i + len(w)) for w in words for i in range(len(text)) if text.lower()[i:].startswith(w))
    assert sorted(TermSearch(words).find(text)) == naive


def test_the_longest_term_counts_and_words_are_not_cut():
    text = "天枢平台 AI in MAIL, ai系统"
    words = folded_terms(["天枢", "天枢平台", "AI"])
    spans = longest(text, TermSearch(words).find(text))
    assert [text[s.start : s.end] for s in spans] == ["天枢平台", "AI", "ai"]


def test_a_file_of_terms(tmp_path):
    file = tmp_path / "terms.txt"
    file.write_bytes("\ufeff# projects\n天枢\n\n Project Tianshu \r\n天枢\n".encode())
    assert read_terms(file) == ("天枢", "Project Tianshu")


@pytest.mark.parametrize(
    ("data", "problem"), [("天枢\n天\n".encode(), "line 2"), (b"\xff\xfe", "UTF-8"), (b"# none\n\n", "no term"), (None, "read")]
)
def test_an_unusable_file_says_why_and_quotes_nothing(tmp_path, data, problem):
    file = tmp_path / "terms.txt"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(TermsUnreadable, match=problem) as caught:
        read_terms(file)
    assert "天" not in caught.value.facts["problem"]


def test_a_stand_in_has_the_script_of_the_term_and_holds_no_term():
    def made(value, terms=()):
        return stand_in(value, Draw(b"k" * 32, b"s"), names=neutral_names(terms))

    assert made("天枢平台").startswith("内部项目")
    assert made("Tianshu").startswith("Project ")
    assert made("Tianshu", ("project",)).startswith("System ")
    assert "项目" not in made("天枢", ("项目", "系统"))


@given(st.text())
def test_lowering_keeps_the_length(text):
    assert len(lowered(text)) == len(text)
