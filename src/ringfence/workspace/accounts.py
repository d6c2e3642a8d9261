"""Which sets share a privacy budget: those whose units overlap. Pure: entries in, groups out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ringfence.core.errors import AccountFrozen
from ringfence.workspace.entries import BudgetFrozen, BudgetSet, Outcome, Reserve

if TYPE_CHECKING:
    from ringfence.workspace.state import Run

_UNIT = np.dtype("S16")  # of a unit's HMAC; compares as bytes
_BLOCK = 1 << 20  # bytes of units that are looked up at a time


class Charge(NamedTuple):
    """Steps of one private run on an account."""

    run: Run
    reserve: Reserve  # its mechanism, with the steps that are meant


@dataclass
class Accounts:
    """Accounts by the digest of their object. An import opens one; where its units are known already, it joins theirs for good."""

    of_set: dict[str, str] = field(default_factory=dict)  # digest of a sealed set -> its account
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)  # digest of a joined set -> the sealed sets that its rows come from
    limits: list[BudgetSet] = field(default_factory=list)
    frozen: list[BudgetFrozen] = field(default_factory=list)
    _parent: dict[str, str] = field(default_factory=dict)

    def opened(self, outcome: Outcome) -> None:
        """Take the outcome of an import into account; any other changes nothing."""
        made = {one.role: one.digest for one in outcome.made}
        if "account" not in made:
            return
        self.of_set[made["set"]] = made["account"]
        self._parent[made["account"]] = made["account"]
        for other in outcome.joins:
            self._parent[self.root(other)] = self.root(made["account"])

    def joined(self, digest: str, origins: Sequence[str]) -> None:
        """Take it into account that a set was made of others. origins: the sets at the beginning of their chains."""
        self.sources[digest] = tuple(dict.fromkeys(one for origin in origins for one in self.sealed(origin)))

    def sealed(self, origin: str) -> tuple[str, ...]:
        """Return the sealed sets that rows come from. origin: the set at the beginning of their chain, sealed or joined."""
        return self.sources.get(origin, (origin,))

    def of(self, origin: str) -> tuple[str, ...]:
        """Return the accounts of the units of a set: one, or those of all sets that were joined. origin: the set at the beginning of its chain.

        Raises: KeyError for a set of which nobody opened an account.
        """
        return tuple(dict.fromkeys(self.of_set[one] for one in self.sealed(origin)))

    def limited(self, entry: BudgetSet) -> None:
        """Take a limit into account.

        Raises: KeyError for an account that nobody opened.
        """
        self.root(entry.account)
        self.limits.append(entry)

    def froze(self, entry: BudgetFrozen) -> None:
        """Take it into account that an account is frozen, and with it all that are joined to it, now or later.

        Raises: KeyError for an account that nobody opened.
        """
        self.root(entry.account)
        self.frozen.append(entry)

    def frozen_since(self, group: frozenset[str]) -> str | None:
        """Return since when nothing more may be spent on the units of a group of joined accounts; None where it may."""
        return min((one.time for one in self.frozen if one.account in group), default=None)

    def refuse_frozen(self, *accounts: str, name: str) -> None:
        """Return when something may still be spent on the units of every account. name: of the set, for the error.

        Raises: AccountFrozen, KeyError.
        """
        for account in accounts:
            if since := self.frozen_since(self.group(account)):
                raise AccountFrozen(set=name, since=since)

    def root(self, account: str) -> str:
        """Return the one account that stands for all that are joined to `account`.

        Raises: KeyError.
        """
        while (parent := self._parent[account]) != account:
            account = parent
        return account

    def roots(self, accounts: Iterable[str]) -> tuple[str, ...]:
        """Return one account for each group that `accounts` belong to."""
        return tuple(dict.fromkeys(map(self.root, accounts)))

    def group(self, account: str) -> frozenset[str]:
        """Return every account that is joined to `account`, itself included."""
        root = self.root(account)
        return frozenset(one for one in self._parent if self.root(one) == root)

    def groups(self) -> list[frozenset[str]]:
        """Return all groups of joined accounts, in the order of their first import."""
        found: dict[str, list[str]] = {}
        for account in self._parent:
            found.setdefault(self.root(account), []).append(account)
        return [frozenset(group) for group in found.values()]


def overlap(mine: bytes, theirs: bytes) -> bool:
    """Return whether two tables of units have one in common.

    mine, theirs: HMACs of 16 bytes each, sorted.
    """
    known = np.frombuffer(theirs, dtype=_UNIT)
    for at in range(0, len(mine) if theirs else 0, _BLOCK):
        some = np.frombuffer(mine[at : at + _BLOCK], dtype=_UNIT)
        if np.any(known[np.minimum(np.searchsorted(known, some), len(known) - 1)] == some):
            return True
    return False


def charges(runs: Iterable[Run], group: frozenset[str]) -> tuple[list[Charge], list[Charge]]:
    """Return (what is spent, what is only reserved) of a group of accounts, in the order in which the runs began.

    A run on sets that were joined is charged to the group of each; where two of them are one group, once.

    A run that is over has spent what was granted to it, however it ended; one that may still go on holds its whole reserve.
    """
    spent, held = [], []
    for run in runs:
        if run.reserve is None or group.isdisjoint(run.reserve.accounts):
            continue
        if run.granted:
            spent.append(Charge(run, run.reserve.model_copy(update={"steps": run.granted})))
        if run.state in ("open", "interrupted") and (left := run.reserve.steps - run.granted):
            held.append(Charge(run, run.reserve.model_copy(update={"steps": left})))
    return spent, held
