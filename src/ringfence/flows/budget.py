"""Budgets: what private runs spent of the privacy of a set's units, what is left, and whether one more run may begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence import __version__
from ringfence.core.bounds import BOUNDS, LEAST_DELTA, Bound, epsilon_told, exact, rounded_up
from ringfence.core.durable import write_atomic
from ringfence.core.errors import AlreadyExists, BadArgument, BudgetExceeded, BudgetMissing, BudgetRaised, PlanImpossible
from ringfence.core.interrupts import uninterrupted
from ringfence.core.policy import Budget
from ringfence.core.text import t
from ringfence.flows.guard import promises
from ringfence.flows.runs import state_of
from ringfence.flows.units import decisive, finer, imported, unit_told
from ringfence.privacy.accountant import epsilon_after_each, epsilon_of_group, epsilon_spent
from ringfence.privacy.plan import DPPlan, Mechanism
from ringfence.report.spending import Limit, Spender, Spending, spending_page
from ringfence.workspace.accounts import charges
from ringfence.workspace.entries import BudgetFrozen, BudgetSet, Reserve, now
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run

_GROUPS = (1, 2, 4, 8, 16)  # units of one person


@dataclass(frozen=True)
class Account:
    """The privacy of the units of one set, or of several whose units overlap."""

    group: frozenset[str]  # digests of account objects
    sets: tuple[str, ...]  # names, as they were imported
    units: tuple[str | None, ...]  # what a unit is, per set: a column; None = one record
    limits: tuple[Budget, ...]  # each must hold; none: no private run may start
    spenders: tuple[Run, ...]  # private runs that were granted a step, however they ended, in the order in which they began
    spent: tuple[Mechanism, ...]  # by each of them
    held: tuple[Mechanism, ...]  # reserved by runs that may still go on
    voided_by: tuple[str, ...]  # released bundles of ordinary runs on these units, or with a guard: no lifetime bound holds any more
    frozen: str | None  # since when nothing more may be spent; nothing is held then, either
    unfinished: tuple[str, ...]  # runs that a freeze stops, or stopped
    finer: tuple[str, ...] = ()  # runs that promised per record or another unit than people are known by: what they cost these is not known
    guarded: tuple[str, ...] = ()  # of `voided_by`, those of private runs: what their replay guard refuses tells of rows beyond every ε

    def epsilon(self, more: Iterable[Mechanism] = (), *, delta: float) -> float:
        """Return the ε of everything that is spent, and of `more`, at `delta`."""
        return epsilon_spent([*self.spent, *more], delta=delta)


def accounts(space: Workspace) -> list[Account]:
    """Return every account, in the order of the first import."""
    return [_account(space, group) for group in space.state.accounts.groups()]


def account_at(space: Workspace, account: str) -> Account:
    """Return the account that one of its objects belongs to."""
    return _account(space, space.state.accounts.group(account))


def find(space: Workspace, name: str) -> Account:
    """Return the account of a set.

    Raises: UnknownName, AmbiguousName, BadArgument.
    """
    return account_at(space, _account_of(space, name))


def _account_of(space: Workspace, name: str) -> str:
    """Return the one account of a set.

    Raises: UnknownName, AmbiguousName; BadArgument for a set that was joined from sets with accounts of their own.
    """
    account, *others = space.state.accounts.roots(space.state.accounts.of(space.state.resolve(name).origin))
    if others:
        problem = t(
            "its people have several accounts; name one of the sets that it was joined from", "其中的人有多个账户；请写合并前的某个数据集"
        )
        raise BadArgument(option=name, problem=problem, verb="budget")
    return account


def refuse_unaffordable(space: Workspace, reserve: Reserve, *, name: str, is_held: bool = False) -> None:
    """Return when everything that is spent and held, and this run, stay within every limit of each account that it charges.

    name: of the set, for the error. is_held: the run is on record already, so its reserve is among what is held.

    Raises: AccountFrozen, BudgetMissing, BudgetExceeded.
    """
    refuse_unaffordable_together(space, [] if is_held else [reserve], [reserve] if is_held else [], name=name)


def watch(space: Workspace, reserve: Reserve, *, name: str) -> Callable[[], None]:
    """Return what a run that works asks before each grant: do its accounts still fit their limits, where these have changed or accounts have joined?

    Raises: BudgetMissing, BudgetExceeded.
    """

    def bounds() -> list[tuple[frozenset[str], tuple[Budget, ...]]]:
        groups = [space.state.accounts.group(account) for account in space.state.accounts.roots(reserve.accounts)]
        return [(group, _limits(space, group)) for group in groups]

    known = bounds()

    def check() -> None:
        nonlocal known
        if (now_known := bounds()) != known:
            refuse_unaffordable(space, reserve, name=name, is_held=True)
            known = now_known

    return check


def refuse_unaffordable_together(space: Workspace, new: Iterable[Reserve], held: Iterable[Reserve], *, name: str) -> None:
    """Return when everything that is spent and held, and all of these runs, stay within every limit of the accounts that they charge.

    held: of those runs that are on record already. name: of the set, for the error.

    Raises: AccountFrozen, BudgetMissing, BudgetExceeded.
    """
    roots = space.state.accounts.roots
    wanted: dict[str, list[Mechanism]] = {account: [] for reserve in held for account in roots(reserve.accounts)}
    for reserve in new:
        for account in roots(reserve.accounts):
            wanted.setdefault(account, []).append(_mechanism(reserve))
    for account, more in wanted.items():
        found = account_at(space, account)
        told = name if len(wanted) == 1 else ", ".join(found.sets)
        space.state.accounts.refuse_frozen(account, name=told)
        _refuse(found, more, name=told)


def _refuse(account: Account, more: Sequence[Mechanism], *, name: str) -> None:
    if not account.limits:
        raise BudgetMissing(set=name)
    runs = t("this run", "本次运行") if len(more) <= 1 else t("these {n} runs", "这 {n} 次运行", n=len(more))
    for limit in account.limits:
        total = account.epsilon([*account.held, *more], delta=limit.delta)
        if total > limit.epsilon:
            raise BudgetExceeded(
                set=name,
                runs=runs,
                limit=exact(limit.epsilon),
                delta=exact(limit.delta),
                total=_shown(total),
                spent=_shown(account.epsilon(delta=limit.delta)),
                held=_shown(account.epsilon(account.held, delta=limit.delta)),
            )


def refuse_large_delta(space: Workspace, accounts: Iterable[str], *, units: int, name: str) -> None:
    """Return when each account has a limit that says something: at a delta of one in all units, giving one of them away would cost nothing.

    units: that are sampled from. name: of the set, for the error.

    Raises: PlanImpossible.
    """
    for account in space.state.accounts.roots(accounts):
        limits = account_at(space, account).limits
        if limits and (least := min(one.delta for one in limits)) >= 1 / units:
            problem = t(
                "the budget's delta, {delta:g}, is not below one in {units} units, so that its epsilon bounds nobody; lower it: "
                "ringfence budget set {set} --epsilon {epsilon:g} --delta {lower:g}",
                "预算的 delta {delta:g} 不小于 {units} 个单位之一，其 epsilon 对谁都不构成上限；请调低："
                "ringfence budget set {set} --epsilon {epsilon:g} --delta {lower:g}",
                delta=least,
                units=units,
                set=name,
                epsilon=min(one.epsilon for one in limits),
                lower=max(LEAST_DELTA, float(f"{0.1 / units:.0e}")),
            )
            raise PlanImpossible(problem=problem)


def set_budget(space: Workspace, name: str, *, epsilon: float, delta: float | None = None) -> Budget:
    """Lower the budget of a set, on record, and return the new limit. What is spent stays spent.

    Raises: UnknownName, BadArgument, BudgetMissing, BudgetRaised.
    """
    account = _account_of(space, name)
    with space.locked(), uninterrupted(final=True):
        limits = account_at(space, account).limits
        if not limits:
            raise BudgetMissing(set=name)
        least = Budget(epsilon=min(one.epsilon for one in limits), delta=min(one.delta for one in limits))
        wanted = Budget(epsilon=epsilon, delta=least.delta if delta is None else delta)
        if wanted.epsilon > least.epsilon or wanted.delta > least.delta:
            raise BudgetRaised(set=name, epsilon=exact(least.epsilon), delta=exact(least.delta))
        space.record(BudgetSet(account=account, epsilon=wanted.epsilon, delta=wanted.delta))
    return wanted


def freeze(space: Workspace, name: str) -> Account:
    """Freeze the account of a set, on record and for good, and return it: no private run may spend on its units any more, nor an ordinary one be released.

    One that is frozen already stays as it is.

    Raises: UnknownName, AmbiguousName.
    """
    account = _account_of(space, name)
    with space.locked() as state, uninterrupted(final=True):
        if state.accounts.frozen_since(state.accounts.group(account)) is None:
            space.record(BudgetFrozen(account=account))
    return account_at(space, account)


def overview(account: Account, *, more: DPPlan | None = None) -> dict[str, Any]:
    """Return an account as a row of a table. ε at the limit that is nearest; without a limit at the smallest usual delta.

    more: a run that is only planned; the row then says what would be spent and held with it.
    """
    limit, spent, total = _nearest(account)
    return {
        "sets": list(account.sets),
        "units": [unit_told(unit) for unit in account.units],
        "epsilon": limit.epsilon if account.limits else None,
        "delta": limit.delta,
        "spent": _told(spent),
        "reserved": 0.0 if math.isinf(spent) else _told(total - spent),
        "left": round(max(0.0, limit.epsilon - total), 4) if account.limits and account.frozen is None else 0.0,
        "bound": _bound(account),
        "voided_by": list(account.voided_by),
        "guarded_releases": list(account.guarded),
        "finer_runs": list(account.finer),
        "frozen": account.frozen,
        **({"with_this_run": _told(account.epsilon([*account.held, more.event()], delta=limit.delta))} if more else {}),
    }


def history(space: Workspace, account: Account, *, delta: float) -> list[Spender]:
    """Return what each private run spent, in the order in which they began, and the ε of all until then at `delta`."""
    return [
        Spender(
            run=run.id,
            started=run.intent.time,
            set=run.intent.name,
            state=state_of(space, run),
            granted=run.granted,
            planned=run.reserve.steps if run.reserve else 0,
            noise=mechanism.noise_multiplier,
            rate=mechanism.sampling_rate,
            epsilon=_told(epsilon),
        )
        for run, mechanism, epsilon in zip(account.spenders, account.spent, epsilon_after_each(account.spent, delta=delta), strict=True)
    ]


def write_page(space: Workspace, name: str, path: Path) -> Path:
    """Write the account of a set as a page in the chosen language, and return its path.

    Raises: UnknownName, AmbiguousName, AlreadyExists, StorageFull.
    """
    account = find(space, name)
    if path.exists():
        raise AlreadyExists(path=str(path))
    told = overview(account)
    limits = sorted(account.limits, key=lambda one: ((one.epsilon, one.delta) != (told["epsilon"], told["delta"]), one.epsilon))
    shown = Spending(
        sets=account.sets,
        units=tuple(told["units"]),
        limits=tuple(Limit(one.epsilon, one.delta, _told(account.epsilon(delta=one.delta))) for one in limits),
        delta=told["delta"],
        spent=told["spent"],
        reserved=told["reserved"],
        left=told["left"],
        spenders=tuple(history(space, account, delta=told["delta"])),
        bound=told["bound"],
        finer=account.finer,
        guarded=account.guarded,
        releases=tuple((bundle, space.state.releases[bundle][1].time) for bundle in account.voided_by),
        frozen=account.frozen,
        now=now(),
        version=__version__,
    )
    write_atomic(path, spending_page(shown).encode())
    return path


def _nearest(account: Account) -> tuple[Budget, float, float]:
    """Return the limit that is nearest, and at its delta the ε that is spent, and that of what is held, too; without a limit, at the usual delta."""
    limits = account.limits or (Budget(),)
    rows = [(limit, account.epsilon(delta=limit.delta), account.epsilon(account.held, delta=limit.delta)) for limit in limits]
    return max(rows, key=lambda row: (row[2] / row[0].epsilon, -row[0].epsilon))


def overviews_with(space: Workspace, new: Sequence[Reserve], *, accounts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the account of each of `accounts` as a row of a table, once; `with_sweep` is what will be spent and held when the new runs are made."""
    roots = space.state.accounts.roots
    for account in roots(accounts):
        found = account_at(space, account)
        row, more = overview(found), [_mechanism(one) for one in new if account in roots(one.accounts)]
        yield row | {"with_sweep": _told(found.epsilon([*found.held, *more], delta=row["delta"]))}


def groups(plan: DPPlan) -> list[dict[str, Any]]:
    """Return what a plan would mean to somebody with 1, 2, 4, 8 or 16 units of the set, as rows of a table; an ε beyond 1,000, and what follows it, is None."""
    found: list[dict[str, Any]] = []
    for units in _GROUPS:
        is_beyond = bool(found) and found[-1]["epsilon"] is None
        epsilon = math.inf if is_beyond else epsilon_of_group(plan.event(), units=units, delta=plan.delta)
        found.append({"units": units, "epsilon": _told(epsilon)})
    return found


def _shown(epsilon: float) -> str:
    return epsilon_told(epsilon if math.isfinite(epsilon) else None)


def _told(epsilon: float) -> float | None:
    """Return ε for a table or JSON, rounded up, as it is a bound; None where it is beyond 1,000."""
    return rounded_up(epsilon, 4) if math.isfinite(epsilon) else None


def _bound(account: Account) -> Bound:
    """Return whether the limits bound what a person loses over a lifetime."""
    if account.voided_by:
        return "void"
    if account.finer:
        return "unknown"
    if not account.limits:
        return "none"
    over = any(account.epsilon(account.held, delta=limit.delta) > limit.epsilon for limit in account.limits)
    return "exceeded" if over else "holds"


def lifetime(space: Workspace, *accounts: str) -> dict[str, Any]:
    """Return what statements tell of people: whether a budget bounds what they lose over their lifetime, and what all private runs cost them.

    accounts: theirs, several where sets were joined.

    No run is free: one that failed or was given up counts with every step that it was granted. ε: of all that is spent and held, at the delta of the
    nearest limit; None beyond 1,000. Of several accounts it is the largest, at the smallest of these deltas, which nobody in any of them exceeds; the bound
    is the worst of them. limit: of a bound that holds, the largest ε and the largest δ of their nearest limits, which together are nobody's broken; else None.
    """
    found = [account_at(space, account) for account in space.state.accounts.roots(accounts)]
    nearest = [_nearest(one)[0] for one in found]
    delta = min(limit.delta for limit in nearest)
    bound = max(map(_bound, found), key=BOUNDS.index)
    guarded = {name for one in found for name in one.guarded}
    limit = {"epsilon": max(one.epsilon for one in nearest), "delta": max(one.delta for one in nearest)}
    return {
        "bound": bound,
        "limit": limit if bound == "holds" else None,
        "ordinary_releases": len({name for one in found for name in one.voided_by} - guarded),
        "guarded_releases": len(guarded),
        "private_runs": len({run.id for one in found for run in one.spenders}),
        "epsilon": _told(max(one.epsilon(one.held, delta=delta) for one in found)),
        "delta": delta,
    }


def _account(space: Workspace, group: frozenset[str]) -> Account:
    state = space.state
    spent, held = charges(state.runs.values(), group)
    frozen = state.accounts.frozen_since(group)
    unfinished = [one.run.id for one in spent if one.run.state == "interrupted"] + [one.run.id for one in held]
    sets = imported(space, group)
    voided_by = _voiding(space, group)
    return Account(
        group=group,
        sets=tuple(dict.fromkeys(name for name, _ in sets)),
        units=tuple(dict.fromkeys(unit for _, unit in sets)),
        limits=_limits(space, group),
        spenders=tuple(one.run for one in spent),
        spent=tuple(_mechanism(one.reserve) for one in spent),
        held=() if frozen else tuple(_mechanism(one.reserve) for one in held),
        voided_by=tuple(voided_by),
        finer=finer(space, group, [one.run for one in (*spent, *held)]),
        frozen=frozen,
        unfinished=tuple(dict.fromkeys(unfinished)),
        guarded=tuple(name for name, is_private in voided_by.items() if is_private),
    )


def _limits(space: Workspace, group: frozenset[str]) -> tuple[Budget, ...]:
    policy = space.policy().budget
    own = [Budget(epsilon=one.epsilon, delta=one.delta) for one in space.state.accounts.limits if one.account in group]
    return (policy, *own) if policy else ()


def _voiding(space: Workspace, group: frozenset[str]) -> dict[str, bool]:
    """Return, by name, the bundles that end every bound on these units, and whether their runs are private.

    They are those of ordinary runs that these units' rows decided, those whose cards tell figures of them, and those of private runs whose answers pass a
    replay guard: it tells who is in the set, whoever asks.
    """
    found = {}
    for name, (_, entry) in space.state.releases.items():
        adapter = space.state.things[entry.adapter]
        told = [*decisive(space, adapter), *([space.state.things[entry.evaluated]] if entry.evaluated else [])]
        is_private = space.state.runs[adapter.run].reserve is not None
        is_theirs = any(not group.isdisjoint(space.state.accounts.of(one.origin)) for one in told)
        if is_theirs and (not is_private or promises(space, entry)):
            found[name] = is_private
    return found


def _mechanism(one: Reserve) -> Mechanism:
    return Mechanism(**one.model_dump(exclude={"account", "also"}))
