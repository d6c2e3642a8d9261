"""Join: the sets that a recipe names become one, so that everything after it reads one set, and the people of all are charged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from ringfence.core.digest import settings_digest
from ringfence.core.errors import BadArgument, BadValue, WrongStage
from ringfence.core.lineage import numbered
from ringfence.core.order import Progress
from ringfence.core.policy import Policy
from ringfence.core.statement import LABELS, Label
from ringfence.core.text import t
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.jobs.start import Handlers, start
from ringfence.recipe.read import Recipe
from ringfence.train.settings import WHOLE, Cut, JoinFigures, JoinSettings
from ringfence.vault.index import read_index, units_together
from ringfence.workspace.arrow import Arrow, Facts, Plan
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

Sources = Mapping[str, tuple[Thing, ...]]  # the sets that a run reads, by role: "set" and "evaluation"
_LEAST = 2  # units: one to learn from and one to evaluate
_LONGEST = 64  # characters of a name


def sources_of(space: Workspace, recipe: Recipe) -> Sources:
    """Return the sets that a recipe names, by role.

    Raises: UnknownName, AmbiguousName, WrongStage, BadValue.
    """
    found = {"set": tuple(map(space.state.resolve, recipe.datasets))}
    if recipe.eval_datasets:
        found["evaluation"] = tuple(map(space.state.resolve, recipe.eval_datasets))
    for role, key in (("set", "dataset"), ("evaluation", "eval_dataset")):
        _refuse_unreadable(found.get(role, ()), key=key)
    return found


def _refuse_unreadable(things: Sequence[Thing], *, key: str) -> None:
    for thing in things:
        if thing.made.stage == "planted":
            why = t("it holds the canaries of another run", "它含有另一次运行的金丝雀")
            raise WrongStage(set=thing.made.name, stage="planted", why=why)
        if len(things) > 1 and thing.made.stage in ("joined", "held-out", "quarantine"):
            problem = t(
                "{set}@{stage} cannot stand in a list; name the sets themselves",
                "{set}@{stage} 不能出现在列表中；请写出各数据集本身",
                set=thing.made.name,
                stage=thing.made.stage,
            )
            raise BadValue(key=key, problem=problem)
    for one, other in combinations(things, 2):
        if one.origin == other.origin:
            named = " / ".join(f"{thing.made.name}@{thing.made.stage}" for thing in (one, other))
            raise BadValue(key=key, problem=t("{named} are the same records", "{named} 是相同的记录", named=named))


def join(
    space: Workspace, things: Sequence[Thing], *, cut: Cut = WHOLE, check: Callable[[Policy], None], show: Callable[[Progress], None]
) -> Mapping[str, Thing]:
    """Return as "set" one with the rows of all `things`, one set after the other; of one it is that set. What was joined before is used again.

    cut: what is taken of them; where it holds rows out, they are "evaluation". check: the policy's question about each of them, asked before anything
    is read.

    Raises: PolicyRefused, SandboxError.
    """
    if found := joined(space, things, cut):
        return found
    names = tuple(thing.made.name for thing in things)
    label, settings = label_of(things), JoinSettings(names=names, cut=cut)
    inputs = {numbered("set", number): thing for number, thing in enumerate(things)}
    outputs = {"set": Plan("set", "joined")} | ({"evaluation": Plan("set", "held-out")} if cut.held_out else {})
    name = "-".join(names)[:_LONGEST]
    with Arrow(space, "join", name=name, label=label, settings=settings, inputs=inputs, outputs=outputs, check=check) as arrow:
        work = arrow.work("join.v1", purpose=("content",), tier=tier_for(space.policy(), label))
        done = start(work, JoinFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(software=software())).things


def refuse_empty(space: Workspace, things: Sequence[Thing], cut: Cut) -> None:
    """Return when something is left to learn from, and something to evaluate.

    Raises: BadValue.
    """
    if not cut.held_out:
        return
    slots = [space.input(thing).slot for thing in things]
    indexes = [read_index(slot, space.keys.data_key(slot.slot)) for slot in slots]
    rows = sum(min(len(index), cut.most or len(index)) for index in indexes)
    if cut.rows_held_out(rows) >= rows or units_together(*indexes)[0] < _LEAST:
        problem = t(
            "it holds out all of {rows} rows, or they are all one person's; name a smaller share, or an eval_dataset",
            "它会留出全部 {rows} 行，或这些行同属一人；请写更小的比例，或写 eval_dataset",
            rows=rows,
        )
        raise BadValue(key="val_size", problem=problem)


def cut_of(recipe: Recipe, role: str) -> Cut:
    """Return what a recipe takes of its sets of a role."""
    return recipe.cut if role == "set" else recipe.cut.of_evaluation


def joined(space: Workspace, things: Sequence[Thing], cut: Cut = WHOLE) -> Mapping[str, Thing]:
    """Return the newest sets that were made by joining and cutting these in this order, or the only one of them; nothing where there are none yet."""
    if len(things) == 1 and cut.is_whole:
        return {"set": things[0]}
    wanted = {numbered("set", number): thing.made.digest for number, thing in enumerate(things)}
    settings = settings_digest(JoinSettings(names=tuple(thing.made.name for thing in things), cut=cut))
    live = space.state.live()
    for run in reversed(list(space.state.runs.values())):
        if run.state == "done" and run.intent.arrow == "join" and (run.intent.inputs, run.intent.settings) == (wanted, settings):
            found = {made.role: live[made.digest] for made in run.made if made.digest in live}
            if len(found) == len(run.made):
                return found
    return {}


def refuse_joined(thing: Thing, *, verb: str) -> None:
    """Return unless this is a set that was made of others: records are prepared before that, and exported set by set.

    Raises: BadArgument.
    """
    if thing.made.stage in ("joined", "held-out"):
        problem = t("it was joined from several sets; name one of them", "它由多个数据集合并而成；请写其中之一")
        raise BadArgument(option=f"{thing.made.name}@{thing.made.stage}", problem=problem, verb=verb)


def names_of(things: Sequence[Thing]) -> str:
    """Return the names of sets, for people."""
    return ", ".join(thing.made.name for thing in things)


def label_of(things: Sequence[Thing]) -> Label:
    """Return the strictest label of the sets."""
    return max((thing.made.label for thing in things), key=LABELS.index)
