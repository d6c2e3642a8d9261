"""What reviewers decide, and what it comes to."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.records import Record
from ringfence.deid.label_studio import Labelled, from_tasks, to_tasks
from ringfence.deid.recogniser import Span
from ringfence.deid.review.bound import most_bad
from ringfence.deid.review.marks import Action, At, Review, actions_of, by_number, corrections
from ringfence.deid.review.queue import Queue
from ringfence.deid.review.sample import Moved, Place, Row, before, drawn, originals_of, read_sample
from ringfence.deid.review.settings import OTHER, ItemShown, NoteShown, PiecesShown, RowShown, TextShown, vocabulary
from tests.growth import assert_linear

KINDS = ("CN_MOBILE", "EMAIL", "PERSON", OTHER)


def row(number, *parts):
    """Return a row and its originals. parts: text as it is, or (kind, original, instead, value)."""
    text, places, originals = "", [], []
    for part in parts:
        if isinstance(part, str):
            text += part
        else:
            kind, original, instead, value = part
            places.append(Place(0, len(text), len(text) + len(instead), kind, value))
            originals.append(original)
            text += instead
    return Row(number, f"{number:032x}", ("text",), (text,), tuple(places)), tuple(originals)


def clinic():
    made = [
        row(0, "患者", ("PERSON", "张三丰", "李四平", 0), "电话", ("CN_MOBILE", "13800138000", "10012345678", 1), "，微信老王"),
        row(1, "家属", ("PERSON", "张三丰", "李四平", 0), "与老王同住 老王"),
        row(2, "nothing here 😀 老王x"),
        row(3, ("EMAIL", "a@b.cn", "", 2), " 与 ", ("PERSON", "王五", "赵六", 3)),
    ]
    return Review([one for one, _ in made]), [originals for _, originals in made]


class Screen:
    """Collects what the queue shows."""

    def __init__(self, review, originals=None):
        self.messages = []
        self.queue = Queue(review, kinds=KINDS, show=self.messages.append, originals=originals)

    def enter(self, *lines):
        for line in lines:
            self.messages.clear()
            self.queue.show()
            goes_on = self.queue.hear(line)
        return goes_on

    def notes(self):
        return [(m.note, m.count) for m in self.messages if isinstance(m, NoteShown)]


# ── the sample ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 80), st.integers(1, 100), st.integers(0, 2**63 - 1))
def test_a_sample_is_without_repeats_and_a_longer_one_goes_on(total, count, seed):
    found = drawn(total, count, seed)
    assert len(found) == len(set(found)) == min(total, count)
    assert all(0 <= number < total for number in found)
    assert drawn(total, count + 7, seed)[: len(found)] == found


def test_every_row_is_drawn_equally_often():
    hits = [0] * 10
    for seed in range(4_000):
        for number in drawn(10, 3, seed):
            hits[number] += 1
    assert all(abs(one - 1_200) < 5 * (4_000 * 0.3 * 0.7) ** 0.5 for one in hits)


class OneRow:
    """A masked set of one row, as `read_sample` reads it."""

    def __init__(self, text):
        self.record = Record("0" * 32, "1" * 32, "s", "text", ("text",), (text,))
        self.index = self
        self.record_ids = np.zeros((1, 16), np.uint8)

    def rows(self, start, stop):
        return [self.record][start:stop]


@given(st.lists(st.tuples(st.text("ab😀", max_size=3), st.text("cd", min_size=1, max_size=4), st.text("xyz", max_size=5)), max_size=4))
def test_places_are_found_where_replacements_are_longer_or_shorter(parts):
    before_it, after, spans = "", "", []
    for plain, original, instead in parts:
        start = len(before_it) + len(plain)
        span = {"text": 0, "start": start, "end": start + len(original), "kind": "PERSON", "original": original, "instead": instead}
        before_it, after, spans = before_it + plain + original, after + plain + instead, [span, *spans]
    line = json.dumps({"id": "0" * 32, "spans": spans}, separators=(",", ":")).encode()
    (one,) = read_sample(OneRow(after), iter([line]), [0])
    assert [after[p.start : p.end] for p in one.places] == [instead for _, _, instead in parts]
    assert before(one, 0, originals_of([one], iter([line]))[0]) == before_it


# ── decisions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_session_from_the_first_line_to_the_last():
    review, _ = clinic()
    screen = Screen(review)
    screen.enter("l PERSON 老王")
    assert screen.notes() == [("marked", 1)]
    screen.enter("o")
    assert (screen.queue.at, review.done) == (1, {0})
    screen.enter("o", "o")
    assert screen.enter("q") is False
    figures = review.figures(1_000)
    assert (figures.reviewed, figures.counted, figures.leaking, figures.leaks, figures.sample) == (3, 3, 1, 1, 4)
    assert figures.bound_rows == most_bad(1_000, 3, 1)
    assert figures.leaks_by_kind == {"PERSON": 1}
    again = Screen(review)
    assert again.queue.at == 3  # the next session goes on there
    again.enter("o")
    assert again.queue.is_over
    for line in ("o", "l PERSON 老王", "r 1"):
        assert again.enter(line) is True
        assert (again.notes(), len(review.actions)) == ([("through", 0)], 5)
    assert again.enter("") is False
    again.enter("u")
    assert (again.queue.at, review.done) == (3, {0, 1, 2})


def test_a_capital_letter_decides_for_every_row_with_the_same_value():
    review, _ = clinic()
    screen = Screen(review)
    screen.enter("R 1")
    assert review.rejected == {At(0, 0, 2, 5), At(1, 0, 2, 5)}
    screen.enter("T 1 other")
    assert review.retyped == {At(0, 0, 2, 5): OTHER, At(1, 0, 2, 5): OTHER}
    assert review.rejected == set()
    screen.enter("L PERSON 老王")
    assert sorted(review.leaks) == [At(0, 0, 21, 23), At(1, 0, 6, 8), At(1, 0, 11, 13), At(2, 0, 15, 17)]
    screen.enter("R 3")  # the leak by its number
    assert review.leaks == {}
    screen.enter("u")
    assert len(review.leaks) == 4
    screen.enter("T 3 EMAIL")
    assert set(review.leaks.values()) == {"EMAIL"}


def test_a_small_letter_decides_for_one_place():
    review, _ = clinic()
    screen = Screen(review)
    screen.enter("r 1", "t 2 PERSON")
    assert (review.rejected, review.retyped) == ({At(0, 0, 2, 5)}, {At(0, 0, 7, 18): "PERSON"})
    figures = review.figures(4)
    assert (figures.rejected, figures.retyped, figures.bound_rows) == (0, 0, None)  # nothing is finished
    screen.enter("o")
    figures = review.figures(4)
    assert (figures.rejected, figures.retyped, figures.leaking) == (1, 1, 0)


def test_a_range_of_characters_is_a_leak_even_inside_a_replaced_place():
    review, originals = clinic()
    screen = Screen(review)
    screen.enter("l PERSON @1:2-3")
    assert review.leaks == {At(0, 0, 2, 3): "PERSON"}
    assert [(s.start, s.end) for s in review.original_spans(0, 0, originals[0])] == [(2, 5), (7, 18)]  # found before; no second span
    for line in ("l PERSON @1:2-3", "l PERSON @2:0-1", "l PERSON @1:5-99", "l PERSON @1:3-3"):
        screen.enter(line)
        assert screen.notes() == [("not_found", 0)]


def test_words_inside_others_count_where_there_are_no_whole_ones():
    review = Review([row(0, "Al met Albert")[0], row(1, "Albert")[0]])
    screen = Screen(review)
    screen.enter("L PERSON Al")
    assert list(review.leaks) == [At(0, 0, 0, 2)]
    screen.enter("l PERSON bert")
    assert At(0, 0, 9, 13) in review.leaks


def test_what_is_not_shown_need_not_be_typed():
    review = Review([row(0, "x 张\u200b三\n丰 y")[0]])
    Screen(review).enter("l PERSON 张三丰")
    assert list(review.leaks) == [At(0, 0, 2, 7)]


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("", "unknown_command"),
        ("yes", "unknown_command"),
        ("l", "unknown_kind"),
        ("l NOBODY 老王", "unknown_kind"),
        ("l PERSON", "not_found"),
        ("l PERSON 不在这里", "not_found"),
        ("r", "no_such_number"),
        ("r 9", "no_such_number"),
        ("r 0", "no_such_number"),
        ("r ²", "no_such_number"),
        ("r 99999999999999999999", "no_such_number"),
        ("t 1", "unknown_kind"),
        ("t 7 PERSON", "no_such_number"),
        ("u", "nothing_to_undo"),
    ],
)
def test_a_line_that_means_nothing_changes_nothing(line, note):
    review, _ = clinic()
    screen = Screen(review)
    assert screen.enter(line) is True
    assert screen.notes() == [(note, 0)]
    assert (review.actions, screen.queue.at) == ([], 0)


def test_skipped_rows_count_as_leaking():
    review, _ = clinic()
    Screen(review).enter("n", "n", "o")
    figures = review.figures(100)
    assert (figures.reviewed, figures.counted, figures.leaking) == (1, 3, 2)
    assert figures.bound_rows == most_bad(100, 3, 2)


LINES = st.lists(
    st.sampled_from(
        ["o", "n", "p", "u", "r 1", "R 1", "t 2 PERSON", "T 1 EMAIL", "l PERSON 老王", "L OTHER 王", "L PERSON @1:0-2", "r 3", "R 3", "?"]
    ),
    max_size=25,
)


@given(LINES)
def test_what_is_written_down_is_the_same_review(lines):
    review, originals = clinic()
    screen = Screen(review)
    for line in lines:
        if not screen.queue.is_over:
            screen.enter(line)
    again = Review(review.rows, actions_of(list(review.to_lines())))
    assert (again.done, again.leaks, again.rejected, again.retyped) == (review.done, review.leaks, review.rejected, review.retyped)
    assert again.figures(50) == review.figures(50)
    for n in range(len(review.rows)):  # spans stay disjoint, inside their text, and in order
        for text, spans in (
            (review.rows[n].texts[0], review.masked_spans(n, 0)),
            (before(review.rows[n], 0, originals[n]), review.original_spans(n, 0, originals[n])),
        ):
            assert all(a.end <= b.start for a, b in pairwise(spans))
            assert all(0 <= s.start < s.end <= len(text) for s in spans)


@given(LINES)
def test_undoing_everything_leaves_nothing(lines):
    review, _ = clinic()
    screen = Screen(review)
    for line in lines:
        if not screen.queue.is_over:
            screen.enter(line)
    while review.actions:
        review.undo()
    assert (review.done, review.leaks, review.rejected, review.retyped) == (set(), {}, set(), {})


# ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────────


def shown_text(messages, *, original):
    """Return the text under the headings of one sort, with the numbers of its pieces."""
    found, is_in = [], False
    for message in messages:
        if isinstance(message, TextShown):
            is_in = message.is_original is original
        elif isinstance(message, PiecesShown) and is_in:
            found += message.pieces
    return "".join(text for text, _ in found), {number: text for text, number in found if number}


def test_a_row_is_shown_with_numbered_places_and_without_its_originals():
    review, originals = clinic()
    screen = Screen(review)
    screen.enter("l PERSON 老王")
    screen.messages.clear()
    screen.queue.show()
    assert screen.messages[0] == RowShown(at=1, of=4, reviewed=0, leaking=0, is_done=False)
    text, numbers = shown_text(screen.messages, original=False)
    assert text == review.rows[0].texts[0]
    assert numbers == {1: "李四平", 2: "10012345678", 3: "老王"}
    items = [(m.number, m.kind, m.state) for m in screen.messages if isinstance(m, ItemShown)]
    assert items == [(1, "PERSON", "replaced"), (2, "CN_MOBILE", "replaced"), (3, "PERSON", "leak")]
    everything = "".join(message.model_dump_json() for message in screen.messages)
    assert not any(value in everything for values in originals for value in values)
    beside = Screen(review, originals)
    beside.queue.show()
    text, numbers = shown_text(beside.messages, original=True)
    assert text == "患者张三丰电话13800138000，微信老王"
    assert numbers == {1: "张三丰", 2: "13800138000"}


def test_long_texts_and_unpaired_surrogates_come_in_messages_that_fit_a_frame():
    text = "a\ud800\x01" * 30_000
    screen = Screen(Review([row(0, text)[0]]))
    screen.queue.show()
    sent = [message.model_dump_json() for message in screen.messages]
    assert max(map(len, sent)) < 200_000
    assert shown_text(screen.messages, original=False)[0] == text.replace("\ud800", "\ufffd")


# ── lessons and corrections ───────────────────────────────────────────────────────────────────────────────────────────


def test_lessons_are_original_texts_with_corrected_spans():
    review, originals = clinic()
    Screen(review).enter("L PERSON 老王", "r 2", "t 1 OTHER", "o", "o")
    assert list(review.lessons(originals)) == [
        Labelled(
            f"{0:032x}.0", "患者张三丰电话13800138000，微信老王", (Span(2, 5, OTHER, 1.0), Span(21, 23, "PERSON", 1.0)), is_annotated=True
        ),
        Labelled(
            f"{1:032x}.0",
            "家属张三丰与老王同住 老王",
            (Span(2, 5, "PERSON", 1.0), Span(6, 8, "PERSON", 1.0), Span(11, 13, "PERSON", 1.0)),
            is_annotated=True,
        ),
    ]


@st.composite
def masked_rows(draw):
    piece = st.text("ab老 😀\n", min_size=1, max_size=4)
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        parts.append(draw(piece))
        parts.append((draw(st.sampled_from(KINDS)), draw(piece), draw(st.text("xy李", max_size=4)), draw(st.integers(0, 3))))
    return row(0, *parts, draw(st.text("ab老 ", max_size=6)))


@given(masked_rows(), st.data())
def test_corrections_lead_from_the_places_to_a_persons_spans_and_back(made, data):
    one, values = made
    text = before(one, 0, values)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = tuple(Span(a, b, data.draw(st.sampled_from(KINDS)), 1.0) for a, b in zip(cuts[::2], cuts[1::2], strict=False))
    review = Review([one])
    for action in list(corrections(review, 0, 0, spans, values)):
        review.take(action)
    found = review.original_spans(0, 0, values)
    covered, wanted = ({i for s in several for i in range(s.start, s.end)} for several in (found, spans))
    moved = Moved(one, 0, values)
    places = [set(range(*moved.place_before(n))) for n in range(len(one.places))]
    inside = set().union(*places)
    # Outside the places exactly what the person marked, white space aside; a place is kept whole, or not at all where nobody touched it.
    assert {i for i in covered - inside if not text[i].isspace()} == {i for i in wanted - inside if not text[i].isspace()}
    assert all((place & covered == place) if place & wanted else not place & covered for place in places)
    again = list(corrections(review, 0, 0, found, values))
    for action in again:
        review.take(action)
    assert review.original_spans(0, 0, values) == found  # taking its own spans over changes nothing


def test_labels_that_come_back_unchanged_change_nothing():
    review, _ = clinic()
    Screen(review).enter("L PERSON 老王", "R 1", "t 2 EMAIL", "l OTHER @1:8-10", "o")
    state = (dict(review.leaks), set(review.rejected), dict(review.retyped))
    (item,) = from_tasks(to_tasks([Labelled("a", review.rows[0].texts[0], review.masked_spans(0, 0), is_annotated=True)]))
    for action in list(corrections(review, 0, 0, item.spans, None)):
        review.take(action)
    assert (dict(review.leaks), set(review.rejected), dict(review.retyped)) == state


def test_a_place_that_vanished_cannot_be_rejected_by_who_does_not_see_it():
    review, originals = clinic()
    for action in list(corrections(review, 3, 0, (), None)):
        review.take(action)
    assert [at.start for at in review.rejected] == [3]  # 赵六; the mail was replaced by nothing
    assert [(s.start, s.end) for s in review.original_spans(3, 0, originals[3])] == [(0, 6)]


def test_every_kind_can_be_named_and_numbers_are_stable():
    assert {"PERSON", "TERM", OTHER} <= set(vocabulary())
    review, _ = clinic()
    review.take(Action("leak", (At(0, 0, 21, 23),), "PERSON"))
    assert list(by_number(review, 0)) == [1, 2, 3]


# ── taking back, and many ─────────────────────────────────────────────────────────────────────────────────────────────

PLACES = st.builds(At, st.integers(0, 2), st.integers(0, 1), st.sampled_from([0, 4]), st.just(6))
ACTIONS = st.builds(
    Action,
    st.sampled_from(["done", "leak", "reject", "retype", "clear"]),
    st.lists(PLACES, min_size=1, max_size=3).map(tuple),
    st.sampled_from(["PERSON", "EMAIL"]),
    st.booleans(),
)


def marks(review):
    return review.done, review.leaks, review.rejected, review.retyped, [review.leaks_of(n) for n in range(3)]


@given(st.lists(st.one_of(ACTIONS, st.none()), max_size=14))
def test_taking_back_leaves_what_there_would_be_without_the_decision(steps):
    review = Review(clinic()[0].rows)
    for step in steps:
        if step is None:
            last = review.actions[-1] if review.actions else None
            assert review.undo() == last
        else:
            review.take(step)
        assert marks(review) == marks(Review(review.rows, list(review.actions)))
        assert review.leaks_of(1) == sorted(at for at in review.leaks if at.row == 1)


def seconds_for(rows):
    """Return the CPU seconds that it takes to import labels of so many rows, and to take all of it back."""
    text = "电话10012345678，老王住东区"
    review = Review([Row(n, f"{n:032x}", ("text",), (text,), (Place(0, 2, 13, "CN_MOBILE", n),)) for n in range(rows)])
    spans = (Span(2, 13, "EMAIL", 1.0), Span(14, 16, "PERSON", 1.0))
    began = time.process_time()
    for n in range(rows):
        for action in list(corrections(review, n, 0, spans, None)):
            review.take(action)
        review.take(Action("done", (At(n),)))
    assert (len(review.done), len(review.leaks), len(review.retyped)) == (rows, rows, rows)
    while review.undo():
        pass
    assert not any(marks(review)[:4])
    return time.process_time() - began


def test_eight_times_as_many_rows_take_about_eight_times_as_long():
    assert_linear(seconds_for, 600)  # 64 times, if each decision looked at all others
