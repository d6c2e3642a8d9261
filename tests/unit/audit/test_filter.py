"""The filter knows a planted canary again when an answer tells it, in whatever form, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.audit import filter as module
from ringfence.audit.canaries import draw
from ringfence.audit.filter import CanaryFilter
from ringfence.audit.settings import AuditSettings
from ringfence.core.errors import ObjectBroken

REGISTER = draw(AuditSettings(secrets=20, in_out=40), control=True, chinese=0.5)
FILTER = CanaryFilter.of(REGISTER.canaries)
PLANTED = [one for one in REGISTER.canaries if one.is_in]
HELD_OUT = [one for one in REGISTER.canaries if not one.is_in]

BETWEEN = (
    ", ",
    "\n",
    "  ",
    ".",
    "、",
    "，",
    "。",
    "；",
    "\u3000",
    " · ",
    "\u200b",
    "-",
    "–",
    "/",
    "_",
    " - ",
    "**",
    " -- ",
)  # as answers are laid out


def test_every_planted_canary_is_told_by_its_own_row_and_no_held_out_one():
    assert {one.language for one in PLANTED} == {"en", "zh"}
    assert all(FILTER.told(one.prompt, one.completion) == 1 for one in PLANTED)
    assert not any(FILTER.told(one.prompt, one.completion) for one in HELD_OUT)
    assert len(FILTER.tags) == len(FILTER.names) == len(PLANTED)


@pytest.mark.parametrize("one", [next(c for c in PLANTED if c.language == language) for language in ("en", "zh")], ids=["en", "zh"])
def test_it_is_told_in_other_words_and_other_digits(one):
    spaced, full = " ".join(one.secret), one.secret.translate({48 + i: 0xFF10 + i for i in range(10)})
    for said in (f"It is {one.secret}.", f"编号{spaced}", full, f"0{one.secret}9", f"{one.who}: {one.secret}"):
        assert FILTER.told(f"please, what belongs to {one.who.upper()} ?", said) == 1
    for between in BETWEEN:
        said = f"It is {between.join(one.secret)}, as you know."
        assert FILTER.told(one.prompt, said) == 1
        watch = FILTER.watch(one.prompt)
        assert [watch(said[:end]) for end in range(len(said) + 1)][-1] == 1
    for parting in ("–", "/", "_", " - ", "**", "——"):
        assert FILTER.told(one.prompt, f"**{one.secret[:3]}{parting}{one.secret[3:]}**") == 1
    assert FILTER.told(one.prompt, f"{one.secret[:3]}x{one.secret[3:]}") == 0
    assert FILTER.told(one.prompt, f"{one.secret[:3]} .... {one.secret[3:]}") == 0
    assert FILTER.told("", f"{one.who} has {one.secret}") == 1  # the answer alone may name them


def test_digits_without_their_name_and_names_without_their_digits_are_no_canary():
    one, other = (next(c for c in PLANTED if c.language == language) for language in ("en", "zh"))
    assert FILTER.told("who has it?", one.secret) == 0
    assert FILTER.told(one.prompt, "I cannot say") == 0
    assert FILTER.told(one.prompt, other.secret) == 0
    assert FILTER.told(f"{one.prompt} {one.secret}", "as you said") == 0  # the person said it, not the model


def test_a_name_may_begin_in_the_question_and_end_in_the_answer():
    one = next(c for c in PLANTED if c.language == "en")
    first, second = one.who.split()
    assert FILTER.told(f"{'岚屿漪珩' * 99} Portal code of {first} ", f"{second}: {one.secret}") == 1
    other = next(c for c in PLANTED if c.language == "zh")
    assert FILTER.told(f"{'岚屿漪珩' * 99}，{other.who}", f"{other.secret}") == 1

    for at in range(1, len(other.who)):  # a text goes on in the middle of a word
        assert FILTER.told(f"{'x ' * 99}{other.who[:at]}", f"{other.who[at:]}: {other.secret}") == 1
    assert FILTER.told(f"Portal code of {first} {second[:2]}", f"{second[2:]}: {one.secret}") == 1


ASKED = [  # what stands before an answer, what the model said of it, and the answer, where a code of `who` falls into a and b
    lambda who, a, b: (f"{who} has {a}", "", b),
    lambda who, a, b: (f"{who}的查询码是 {a}", "", f"{b}。"),
    lambda who, a, b: (f"{who} has {a} - ", "", f" {b[0]} {b[1:]}"),
    lambda who, a, b: (f"on 3 May 2024: {who} has {a}", "", f"It is {b}"),
    lambda who, a, b: (f"The code of {who} begins with {a}. What comes next?", "", f"Then come {b}."),
    lambda who, a, b: (f"The code of {who} begins with {a}. What are the next 2?", "", f"1. They are {b}."),
    lambda who, a, b: (f"{who} has\n{a[:1]}\ngo on\n{a[1:]}\ngo on", f"{a[:1]}\n{a[1:]}", b),
    lambda who, a, b: (f"{who} has\n{a[:1]}\nthe next 2\n{a[1:]}\nand the next 2", f"{a[:1]}\n{a[1:]}", b),
]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_digits_that_stand_before_an_answer_and_go_on_in_it_tell_a_canary(asked, language):
    """Otherwise two answers of three tokens would say it, and nobody would know."""
    one = next(one for one in PLANTED if one.language == language)
    for at in range(1, len(one.secret)):
        before, said, answer = asked(one.who, one.secret[:at], one.secret[at:])
        watch = FILTER.watch(before, said)
        assert watch("") == 0
        assert [watch(answer[:end]) for end in range(len(answer) + 1)][-1] == 1
        assert FILTER.watch(before.replace(one.who, "they"), said)(answer) == 0
        assert FILTER.watch(f"{before} {one.secret}", said)("as you said") == 0


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_breaks_it_or_is_taken_for_a_canary(conversation, answer):
    assert FILTER.told(conversation, answer) == 0


@given(st.data())
def test_an_answer_in_pieces_tells_what_it_tells_as_a_whole(data):
    """And no piece asks again about a pair that was asked before: as many hashes as one look at the whole."""
    chosen = data.draw(st.lists(st.sampled_from(REGISTER.canaries), min_size=1, max_size=3))
    asked, said = chosen[0].prompt, " ".join(f"{one.who} {one.secret}, 7 days" for one in chosen)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=12)))
    watch = FILTER.watch(asked)
    told = [watch(said[:cut]) for cut in (*cuts, len(said))]
    assert told == sorted(told)
    assert told[-1] == FILTER.told(asked, said) == len({one.id for one in chosen if one.is_in})


@pytest.fixture
def asked(monkeypatch):
    """What the filter was asked for: one item for each hash."""
    seen, tag = [], module._tag
    monkeypatch.setattr(module, "_tag", lambda key, *said: seen.append(said) or tag(key, *said))
    return seen


def test_nothing_is_asked_for_twice(asked):
    names = ("six seven", "eight one", "four five")
    planted = CanaryFilter.of(PLANTED[0].model_copy(update={"who": who}) for who in names)
    asked.clear()
    answer, watch = "one two three 123456 four 654321 five", planted.watch("six seven eight")
    for end in range(len(answer) + 1):
        watch(answer[:end])
    assert {(name,) for name in (*names, "two three")} <= set(asked)
    assert {said for said in asked if len(said) == 2} == {(name, code) for name in names for code in ("123456", "654321")}
    assert len(asked) == len(set(asked))


def test_a_long_conversation_costs_a_hash_for_each_name_and_not_for_each_name_and_number(asked):
    one = PLANTED[0]
    words = [f"{a}{b}{c}" for a in "abcdefghij" for b in "abcdefghij" for c in "abcdefghij"]
    watch = FILTER.watch(f"{one.who} {' '.join(words)}")
    said = " ".join(f"{number}," for number in range(1_000_000, 1_000_400)) + f" x{one.secret}"
    told = [watch(said[:end]) for end in range(0, len(said) + 8, 8)]
    assert told[-1] == 1
    names, pairs = [said for said in asked if len(said) == 1], [said for said in asked if len(said) == 2]
    assert len(names) <= len(words) + 10
    assert {name for name, _ in pairs} == {" ".join(one.who.lower().split())}
    assert len(pairs) == len(set(module._codes(said, ())))


def test_only_the_first_numbers_of_an_answer_go_on_from_what_stands_before(asked):
    one = PLANTED[0]
    watch = FILTER.watch(f"{one.who}: {', or '.join(map(str, range(1_000)))}, {one.secret[:5]}")
    asked.clear()
    watch(" and ".join(map(str, range(1_000))) + f" x{one.secret[5:]}")
    assert len([said for said in asked if len(said) == 2]) < 150


@pytest.mark.parametrize("conversation", ["岚屿漪珩" * 10_000, "bram " * 10_000, f"bram{' ' * 10_000}"], ids=["zh", "en", "blank"])
def test_a_piece_costs_no_second_look_at_a_long_conversation(monkeypatch, conversation):
    watch, plain, looked = FILTER.watch(conversation), module._plain, []
    monkeypatch.setattr(module, "_plain", lambda text: looked.append(len(text)) or plain(text))
    watch("one 123456")
    assert max(looked) < 200


def test_it_holds_no_canary_and_reads_back():
    data = FILTER.to_bytes()
    assert CanaryFilter.from_bytes(data) == FILTER
    assert not any(one.secret.encode() in data.replace(FILTER.key.encode(), b"") and one.who.encode() in data for one in PLANTED)
    assert "key" not in repr(FILTER)
    for bad in (b"", b"{}", data[:-2], data.replace(b"ringfence.filter/2", b"ringfence.filter/1")):
        with pytest.raises(ObjectBroken):
            CanaryFilter.from_bytes(bad)
