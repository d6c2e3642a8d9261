"""Whose privacy an account is kept in: the unit that was chosen at import, and what a finer one leaves unknown. Light: no accountant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ringfence.core.errors import UnitMismatch
from ringfence.core.text import t
from ringfence.train.settings import chosen_in
from ringfence.workspace.accounts import charges
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Run, Thing


def units_of(space: Workspace, thing: Thing) -> Iterator[str | None]:
    """Yield, of each imported set that the rows come from, the column that was chosen as the unit then; None for one record."""
    for origin in space.state.accounts.sealed(thing.origin):
        run = space.state.runs[space.state.things[origin].run]
        chosen = space.statement(run.statement or "").predicate.settings.get("unit")
        yield None if chosen is None else str(chosen)


def decisive(space: Workspace, adapter: Thing) -> list[Thing]:
    """Return whose rows decide what an adapter is: its own set's, and an evaluated set's where the best step or the end of the run was chosen by them."""
    run = space.state.runs[adapter.run]
    evaluated = run.intent.inputs.get("evaluation")
    if evaluated is None or not chosen_in(space.statement(run.statement or "").predicate.settings["order"]["train"]):
        return [adapter]
    return [adapter, space.state.things[evaluated]]


def unit_told(unit: str | None) -> str:
    """Return a unit in words."""
    return t("record", "记录") if unit is None else unit


def imported(space: Workspace, group: frozenset[str]) -> list[tuple[str, str | None]]:
    """Return name and unit of every set that was imported into a group of joined accounts, in order."""
    accounts, things = space.state.accounts, space.state.things
    return [(things[one].made.name, next(units_of(space, things[one]))) for one, account in accounts.of_set.items() if account in group]


def sharing(space: Workspace, thing: Thing) -> list[tuple[str, str | None]]:
    """Return name and unit of the other sets whose account an imported set shares: somebody, or a row, is in both."""
    accounts = space.state.accounts
    mine = accounts.of_set[thing.origin]
    return list(dict.fromkeys(imported(space, accounts.group(mine) - {mine})))


def hindrance(space: Workspace, thing: Thing) -> str:
    """Return why no private run may protect the unit that a set was imported with, and what to do; nothing where it may."""
    try:
        refuse_other_units(space, [thing], wanted=next(units_of(space, thing)))
    except UnitMismatch as found:
        return found.sentences()[1]
    return ""


def finer(space: Workspace, group: frozenset[str], runs: Sequence[Run]) -> tuple[str, ...]:
    """Return those runs of a group that promised per record or by a column, where some of its people are known by another column: what they cost these is not known.

    Somebody with many records, or a doctor with many patients, lost more than such a run says, and how much follows from nothing that is on record.
    """
    known = {unit for _, unit in imported(space, group)} - {None}
    things = space.state.things
    read = [(run.id, things[run.intent.inputs["set"]]) for run in runs if run.intent.inputs.get("set") in things]
    return tuple(dict.fromkeys(run for run, thing in read if any(known - {unit} for unit in units_of(space, thing))))


def refuse_other_units(space: Workspace, things: Sequence[Thing], *, wanted: str | None) -> None:
    """Return when every set was imported with the unit that a recipe protects, and nobody in them is known by a coarser one. wanted: a column; None: one record.

    Raises: UnitMismatch.
    """
    found = [(thing.made.name, unit) for thing in things for unit in units_of(space, thing)]
    for name, unit in found:
        if unit != wanted:
            raise UnitMismatch(wanted=unit_told(wanted), set=name, unit=unit_told(unit), how=_way_out(found, unit=unit, wanted=wanted))
    accounts = space.state.accounts
    for account in accounts.roots(one for thing in things for one in accounts.of(thing.origin)):
        group = accounts.group(account)
        for name, unit in imported(space, group):
            if unit not in (None, wanted):
                how = t(
                    "its people or rows are in {set}, too, which counts them by {unit}: train on that set with privacy.unit: {unit}",
                    "其中的人或行也在 {set} 中，后者以 {unit} 计：请在该数据集上以 privacy.unit: {unit} 训练",
                    set=name,
                    unit=unit,
                )
                raise UnitMismatch(wanted=unit_told(wanted), set=name, unit=unit_told(unit), how=how)
        spent, held = charges(space.state.runs.values(), group)
        if wanted is not None and (before := finer(space, group, [one.run for one in (*spent, *held)])):
            how = t(
                "private runs on the same rows promised per record ({runs}): what they cost one {wanted} is not known, so nothing can be promised to one",
                "同样的行上已有按记录承诺的隐私运行（{runs}）：每个 {wanted} 付出多少无从得知，因而无法再作承诺",
                runs=", ".join(before),
                wanted=wanted,
            )
            raise UnitMismatch(wanted=wanted, set=things[0].made.name, unit=unit_told(None), how=how)


def _way_out(found: Sequence[tuple[str, str | None]], *, unit: str | None, wanted: str | None) -> str:
    if any(other != unit for _, other in found):
        return t(
            "sets that are read together need one unit: import again with the same --unit, or train on each alone",
            "一同读取的数据集须用同一单位：请以相同的 --unit 重新导入，或分别训练",
        )
    if unit is None:
        return t(
            "import the file again with --unit {wanted}, or leave privacy.unit out",
            "用 --unit {wanted} 重新导入，或去掉 privacy.unit",
            wanted=wanted,
        )
    return t("write privacy.unit: {unit}", "请写 privacy.unit: {unit}", unit=unit)
