"""Join: the sets that a recipe names become one, so that everything after it reads one set, and the people of all are charged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

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
from ringfence.train.settings import JoinFigures, JoinSettings
from ringfence.workspace.arrow import Arrow, Facts, Plan
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

Sources = Mapping[str, tuple[Thing, ...]]  # the sets that a run reads, by role: "set" and "evaluation"
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
        if len(things) > 1 and thing.made.stage in ("joined", "quarantine"):
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


def join(space: Workspace, things: Sequence[Thing], *, check: Callable[[Policy], None], show: Callable[[Progress], None]) -> Thing:
    """Return a set with the rows of all `things`, one set after the other; of one it is that set. What was joined before is used again.

    check: the policy's question about each of them, asked before anything is read.

    Raises: PolicyRefused, SandboxError.
    """
    if found := joined(space, things):
        return found
    names = tuple(thing.made.name for thing in things)
    label, settings = label_of(things), JoinSettings(names=names)
    inputs = {numbered("set", number): thing for number, thing in enumerate(things)}
    outputs = {"set": Plan("set", "joined")}
    name = "-".join(names)[:_LONGEST]
    with Arrow(space, "join", name=name, label=label, settings=settings, inputs=inputs, outputs=outputs, check=check) as arrow:
        work = arrow.work("join.v1", purpose=("content",), tier=tier_for(space.policy(), label))
        done = start(work, JoinFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(software=software())).things["set"]


def joined(space: Workspace, things: Sequence[Thing]) -> Thing | None:
    """Return the newest set that was made by joining these in this order, or the only one of them; None where there is none yet."""
    if len(things) == 1:
        return things[0]
    wanted = {numbered("set", number): thing.made.digest for number, thing in enumerate(things)}
    found = [one for one in space.state.live().values() if one.made.stage == "joined" and space.state.runs[one.run].intent.inputs == wanted]
    return max(found, key=lambda one: one.index, default=None)


def refuse_joined(thing: Thing, *, verb: str) -> None:
    """Return unless this is a set that was made of others: records are prepared before that, and exported set by set.

    Raises: BadArgument.
    """
    if thing.made.stage == "joined":
        problem = t("it was joined from several sets; name one of them", "它由多个数据集合并而成；请写其中之一")
        raise BadArgument(option=f"{thing.made.name}@joined", problem=problem, verb=verb)


def names_of(things: Sequence[Thing]) -> str:
    """Return the names of sets, for people."""
    return ", ".join(thing.made.name for thing in things)


def label_of(things: Sequence[Thing]) -> Label:
    """Return the strictest label of the sets."""
    return max((thing.made.label for thing in things), key=LABELS.index)
