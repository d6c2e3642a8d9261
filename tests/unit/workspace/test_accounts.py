"""Accounts: units that overlap share one, for good; what is spent and held follows from the runs alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import AccountFrozen
from ringfence.workspace import accounts
from ringfence.workspace.accounts import Accounts, charges, overlap
from ringfence.workspace.entries import BudgetFrozen, BudgetSet, Made, Outcome, Reserve

UNIT = st.binary(min_size=16, max_size=16)


def table(units):
    return b"".join(sorted(units))


@given(mine=st.sets(UNIT), theirs=st.sets(UNIT), shared=st.sets(UNIT, max_size=2))
def test_overlap_is_that_of_sets(mine, theirs, shared):
    a, b = mine | shared, theirs | shared
    assert overlap(table(a), table(b)) == bool(a & b)


@given(st.sets(st.integers(0, 300), min_size=1, max_size=40), st.sets(st.integers(0, 300), min_size=1, max_size=40))
def test_overlap_looks_at_every_block_and_at_zero_bytes(mine, theirs):
    """Ids that differ in their last bytes alone, among them zeros, which numpy drops from the end of strings."""
    accounts._BLOCK, before = 32, accounts._BLOCK
    try:
        a, b = ({value.to_bytes(2, "big") + bytes(14) for value in values} for values in (mine, theirs))
        assert overlap(table(a), table(b)) == bool(mine & theirs)
        c, d = ({bytes(14) + value.to_bytes(2, "big") for value in values} for values in (mine, theirs))
        assert overlap(table(c), table(d)) == bool(mine & theirs)
    finally:
        accounts._BLOCK = before


def test_nothing_overlaps_with_nothing():
    assert not overlap(b"", bytes(16))
    assert not overlap(bytes(16), b"")


def made(role, digest):
    return Made(role=role, digest=digest * 64, manifest="0" * 64, slot="0" * 32, kind=role, stage="sealed", name="n", label="internal")


def imported(mark, *joins):
    return Outcome(
        run="import-0123456789ab",
        arrow="import",
        made=(made("set", mark), made("account", mark.swapcase() if mark.isalpha() else mark)),
        statement="0" * 64,
        joins=tuple(one * 64 for one in joins),
    )


def test_accounts_join_for_good_and_through_others():
    books = Accounts()
    for mark, joins in (("1", ()), ("2", ()), ("3", ("1",)), ("4", ()), ("5", ("3", "2"))):
        books.opened(imported(mark, *joins))
    assert books.groups() == [frozenset(one * 64 for one in "1235"), frozenset(("4" * 64,))]
    for one in "1235":
        assert books.group(one * 64) == books.groups()[0]
    assert books.of_set["3" * 64] == "3" * 64
    books.opened(Outcome(run="scan-0123456789ab", arrow="scan", made=(made("set", "9"),), statement="0" * 64))
    assert "9" * 64 not in books.of_set
    with pytest.raises(KeyError):
        books.limited(BudgetSet(account="7" * 64, epsilon=1, delta=1e-5))
    with pytest.raises(KeyError):
        books.froze(BudgetFrozen(account="7" * 64))


def test_what_is_frozen_stays_so_and_takes_along_what_joins_it():
    books = Accounts()
    for mark in "12":
        books.opened(imported(mark))
    for time in ("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"):
        books.froze(BudgetFrozen(account="2" * 64, time=time))
    with pytest.raises(AccountFrozen, match="clinic is frozen since 2026-01-01"):
        books.refuse_frozen("2" * 64, name="clinic")
    books.refuse_frozen("1" * 64, name="others")
    assert books.frozen_since(books.group("1" * 64)) is None
    books.opened(imported("3", "1"))
    books.refuse_frozen("3" * 64, name="again")
    books.opened(imported("4", "2", "3"))  # people of both: they are one account from here on
    for mark in "1234":
        assert books.frozen_since(books.group(mark * 64)) == "2026-01-01T00:00:00Z"
        with pytest.raises(AccountFrozen):
            books.refuse_frozen(mark * 64, name="any")


def test_a_joined_set_has_the_accounts_of_all_that_it_was_made_of():
    books = Accounts()
    for mark in "123":
        books.opened(imported(mark))
    books.joined("9" * 64, ["1" * 64, "3" * 64])
    assert books.of("9" * 64) == ("1" * 64, "3" * 64)
    assert books.of("2" * 64) == ("2" * 64,)
    books.joined("8" * 64, ["9" * 64, "1" * 64, "2" * 64])
    assert books.sealed("8" * 64) == ("1" * 64, "3" * 64, "2" * 64)
    with pytest.raises(KeyError):
        books.of("7" * 64)
    assert books.roots(books.of("9" * 64)) == books.of("9" * 64)
    assert books.groups() == [frozenset((mark * 64,)) for mark in "123"]  # training on both makes no one account of them
    books.froze(BudgetFrozen(account="3" * 64))
    with pytest.raises(AccountFrozen, match="both"):
        books.refuse_frozen(*books.of("9" * 64), name="both")
    books.refuse_frozen("1" * 64, "2" * 64, name="others")
    books.opened(imported("4", "1", "3"))
    assert len(books.roots(books.of("9" * 64))) == 1


def test_a_run_on_joined_sets_costs_every_account_once():
    both = reserve("1", 10).model_copy(update={"also": ("2" * 64,)})
    runs = [Spender("done", 10, both), Spender("open", 4, both), Spender("done", 5, reserve("2", 5))]
    for group, spent in (("1", [10, 4]), ("2", [10, 4, 5]), ("12", [10, 4, 5]), ("3", [])):
        got = charges(runs, frozenset(one * 64 for one in group))
        assert [[one.reserve.steps for one in side] for side in got] == [spent, [6] if spent else []]


def test_a_reserve_of_one_set_is_read_and_written_as_before():
    before = {"account": "1" * 64, "noise_multiplier": 1.0, "sampling_rate": 0.5, "steps": 3, "units": None, "max_batch": None}
    assert Reserve.model_validate(before).accounts == ("1" * 64,)
    assert Reserve.model_validate(before).model_dump() == before | {"also": ()}


@dataclass
class Spender:
    state: str
    granted: int
    reserve: Reserve | None


def reserve(account, steps):
    return Reserve(account=account * 64, noise_multiplier=1, sampling_rate=0.5, steps=steps)


@pytest.mark.parametrize(
    ("state", "granted", "spent", "held"),
    [
        ("open", 0, [], [10]),
        ("open", 4, [4], [6]),
        ("interrupted", 4, [4], [6]),
        ("done", 10, [10], []),
        ("done", 4, [4], []),
        ("failed", 4, [4], []),
        ("failed", 0, [], []),
    ],
)
def test_what_a_run_costs(state, granted, spent, held):
    runs = [Spender(state, granted, reserve("1", 10)), Spender("open", 3, reserve("2", 5)), Spender("done", 0, None)]
    got = charges(runs, frozenset(("1" * 64,)))
    assert [[one.reserve.steps for one in side] for side in got] == [spent, held]
    assert all(one.run is runs[0] for side in got for one in side)
