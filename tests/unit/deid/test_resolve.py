"""Conflicts between spans."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid.recogniser import CHECKED, KNOWN, LUHN, SECRET, SHAPE, Span
from ringfence.deid.resolve import apart, resolve
from tests.redacting import redact

CUTS = st.lists(
    st.builds(lambda a, n, k, s: Span(a, a + n, k, s), st.integers(0, 19), st.integers(1, 6), st.sampled_from("AB"), st.floats(0.1, 1))
)


@given(CUTS, st.randoms(use_true_random=False))
def test_exactly_the_claimed_characters_are_covered_in_any_order(spans, shuffle):
    done = resolve(spans)
    assert {i for s in done for i in range(s.start, s.end)} == {i for s in spans for i in range(s.start, s.end)}
    assert all(a.end <= b.start for a, b in pairwise(done))
    mixed = list(spans)
    shuffle.shuffle(mixed)
    assert resolve(mixed) == done


@given(st.text("ab", min_size=30, max_size=30), CUTS)
def test_redact_keeps_exactly_the_characters_outside_every_span(text, spans):
    hidden = {i for s in spans for i in range(s.start, s.end)}
    kept = "".join(c for i, c in enumerate(text) if i not in hidden)
    assert redact(text, spans).replace("<A>", "").replace("<B>", "") == kept


def test_the_outer_span_gives_its_kind():
    assert resolve([Span(0, 20, "EMAIL", SHAPE), Span(5, 9, "IP", CHECKED)]) == [Span(0, 20, "EMAIL", SHAPE)]


def test_the_surest_gives_its_kind_where_none_covers_all():
    spans = [Span(0, 6, "PHONE", SHAPE), Span(4, 9, "KEY", SECRET), Span(8, 30, "CARD", LUHN)]
    assert resolve(spans) == [Span(0, 30, "KEY", SECRET)]


def test_of_equal_spans_the_surer_counts():
    assert resolve([Span(0, 18, "A_CARD", LUHN), Span(0, 18, "ID", CHECKED)]) == [Span(0, 18, "ID", CHECKED)]


def test_neighbours_stay_apart():
    assert resolve([Span(0, 2, "A", 1.0), Span(2, 4, "A", 1.0)]) == [Span(0, 2, "A", 1.0), Span(2, 4, "A", 1.0)]


SORTED = st.lists(
    st.builds(
        lambda a, n, k, s: Span(a, a + n, k, s),
        st.integers(0, 19),
        st.integers(1, 6),
        st.sampled_from("DUXY"),
        st.sampled_from([SHAPE, KNOWN, CHECKED]),
    ),
    max_size=7,
)


@given(SORTED)
def test_nothing_is_hidden_by_what_stays_but_for_a_shield(spans):
    """Dates (D) and addresses (U) stay, dates shield; against the rule applied to every pair until nothing changes."""
    kept, others = [s for s in spans if s.kind in "DU"], [s for s in spans if s.kind in "XY"]
    while True:
        strong = [o for o in others if not any(k.kind == "D" and o.score <= KNOWN and k.start <= o.start and o.end <= k.end for k in kept)]
        standing = [k for k in kept if not any(k.start < o.end and o.start < k.end for o in strong)]
        if standing == kept:
            break
        kept = standing
    done = apart(spans, is_kept=lambda span: span.kind in "DU", shields=frozenset("D"))
    assert sorted(done) == sorted([*strong, *kept])


@given(SORTED)
def test_where_nothing_stays_all_spans_do(spans):
    assert sorted(apart(spans, is_kept=lambda _: False, shields=frozenset())) == sorted(spans)
