"""What is found once need not be found again, and never for another text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid import remembered
from ringfence.deid.recogniser import Span
from ringfence.deid.remembered import Remembered

SPANS = st.lists(
    st.builds(Span, st.integers(0, 1 << 20), st.integers(1 << 20, 1 << 21), st.sampled_from("AB"), st.sampled_from([0.5, 0.9]))
)


@given(SPANS)
def test_spans_come_back_once_as_they_were(spans):
    kept, worker = Remembered(), Remembered()
    worker.put("text", spans)
    kept.add(worker.handed_over())
    assert worker.take("text") is None
    assert kept.take("another text") is None
    assert kept.take("text") == spans
    assert kept.take("text") is None


def test_there_is_an_end_to_it_and_room_again(monkeypatch):
    monkeypatch.setattr(remembered, "_MOST", 25)
    kept = Remembered()
    for text in ("one", "two", "three"):
        kept.put(text, [Span(0, 1, "A", 0.5)])
    assert kept.take("three") is None
    assert kept.take("one")
    kept.put("three", [Span(0, 1, "A", 0.5)])
    assert kept.take("three")


def test_what_is_the_same_or_handed_over_takes_no_room(monkeypatch):
    monkeypatch.setattr(remembered, "_MOST", 25)
    kept = Remembered()
    for _ in range(3):
        kept.put("one", [Span(0, 1, "A", 0.5)])
    kept.put("two", [Span(0, 1, "A", 0.5)])
    assert kept.handed_over().keys() == {remembered._digest("one"), remembered._digest("two")}
    for text in ("three", "four"):
        kept.put(text, [Span(0, 1, "A", 0.5)])
    assert kept.take("three")
    assert kept.take("four")
