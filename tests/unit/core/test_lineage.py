"""Branches and what they have in common; what does not join is told by the numbers of the statements."""

from __future__ import annotations

import pytest

from ringfence.core.lineage import flaw, last, lines, numbered, roles, ways
from ringfence.core.statement import Predicate, Statement, Subject
from tests.unit.core.test_policy import TIME


def statement(step, *, made, reads):
    """A statement whose digests begin with a mark."""
    predicate = Predicate(
        run=f"{step}-0123456789ab",
        tenant="0" * 32,
        inputs={role: mark.ljust(64, "7") for role, mark in reads.items()},
        settings_digest="f" * 64,
        started=TIME,
        ended=TIME,
    )
    subjects = tuple(Subject(name=role, sha256=mark.ljust(64, "7")) for role, mark in made.items())
    return Statement(step=step, subjects=subjects, predicate=predicate)


def grown(mark, *steps):
    """A branch whose sets are named by `mark` and their place."""
    links = [statement("import", made={"set": f"{mark}0"}, reads={})]
    for n, step in enumerate(steps, 1):
        links.append(statement(step, made={"set": f"{mark}{n}", "quarantine": f"{mark}9"}, reads={"set": f"{mark}{n - 1}"}))
    return links


def tree(*, reads=None, after=()):
    """Three branches of one, two and three steps, the join of their sets, and a set with canaries."""
    branches = [grown("a"), grown("b", "scan"), grown("c", "scan", "deid")]
    join = statement("join", made={"set": "d"}, reads=reads or {"set": "a0", "set2": "b1", "set3": "c2"})
    return [*(one for branch in branches for one in branch), join, *(after or [statement("plant", made={"set": "e"}, reads={"set": "d"})])]


def test_branches_stand_one_after_the_other_and_share_what_follows():
    assert lines(tree()) == ((range(1), range(1, 3), range(3, 6)), range(6, 8))
    assert [[one.step for one in way] for way in ways(tree())] == [
        ["import", "join", "plant"],
        ["import", "scan", "join", "plant"],
        ["import", "scan", "deid", "join", "plant"],
    ]
    one = grown("a", "scan", "deid")
    assert (ways(one), lines(one).trunk, flaw(one)) == ([one], range(3, 3), "")
    assert (ways([]), flaw([])) == ([[]], "the chain does not begin at an import")
    assert flaw(tree()) == ""
    assert last(tree(), "scan") == tree()[4]
    assert last(tree(), "train") is None


def test_roles_are_numbered_from_the_second_on():
    assert [numbered("set", n) for n in range(3)] == ["set", "set2", "set3"]
    many = {numbered("set", n): "" for n in range(12)}
    assert roles("set", dict(sorted(many.items()))) == list(many)  # a ledger sorts set10 before set2
    assert roles("spans", many) == []


@pytest.mark.parametrize(
    ("reads", "told"),
    [
        ({"set": "b1", "set2": "a0", "set3": "c2"}, "statement 7 (join) did not read what statement 1 (import) made"),
        ({"set": "a0", "set2": "b0", "set3": "c2"}, "statement 7 (join) did not read what statement 3 (scan) made"),
        ({"set": "a0", "set2": "b1", "set3": "c9"}, "statement 7 (join) did not read what statement 6 (deid) made"),
        ({"set": "a0", "set2": "b1"}, "statement 7 (join) did not read what statement 6 (deid) made"),
        ({"set": "a0", "set2": "b1", "set3": "c2", "set4": "f"}, "the join read a set whose steps are not here"),
        ({"set": "a0", "set2": "b1", "set3": "c2", "more": "f"}, "the join read a set whose steps are not here"),
    ],
)
def test_a_join_reads_the_ends_of_all_branches_in_order_and_no_more(reads, told):
    assert flaw(tree(reads=reads)) == told


def test_a_statement_left_out_or_added_is_noticed_wherever_it_stands():
    whole = tree()
    for at in range(len(whole) - 1):
        assert flaw([*whole[:at], *whole[at + 1 :]]), at
    for at in range(len(whole)):
        for more in (grown("f")[0], grown("f", "scan")[1]):
            assert flaw([*whole[:at], more, *whole[at:]]), at
    assert flaw([*whole[1:3], whole[0], *whole[3:]])  # branches that changed places


def test_a_second_join_would_bring_in_what_nobody_sees():
    again = statement("join", made={"set": "e"}, reads={"set": "d", "set2": "f"})
    assert flaw(tree(after=[again])) == "what was joined was joined again"
