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
from ringfence.train.join import places
from ringfence.train.settings import WHOLE, Cut, JoinFigures, JoinSettings
from ringfence.vault.index import read_index
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


def by_role(role: str, made: Mapping[str, Thing]) -> dict[str, Thing]:
    """Return what `join` made of the sets of a role, by the roles that a run reads them in: rows that are held out are its evaluation."""
    return dict(made) if role == "set" else {role: made["set"]}


def refuse_cut(space: Workspace, things: Sequence[Thing]) -> None:
    """Return when a private run may read the sets: which rows a cut took depends on who else is there, and the promise counts whole sets.

    Raises: BadValue.
    """
    for thing in things:
        for one in space.chain(thing):
            cut = one.predicate.settings.get("cut") if one.step == "join" else None
            if cut and not Cut.model_validate(cut).is_whole:
                problem = t(
                    "{set}@{stage} holds what a recipe took of a set (max_samples, val_size, mix_strategy); a promise counts the people of whole sets",
                    "{set}@{stage} 只含配方从某数据集取出的部分（max_samples、val_size、mix_strategy）；隐私承诺按整个数据集的人数计算",
                    set=thing.made.name,
                    stage=thing.made.stage,
                )
                raise BadValue(key="dataset", problem=problem)


def refuse_cut_again(things: Sequence[Thing], cut: Cut) -> None:
    """Return unless a set that was joined or cut already is to be cut once more: a chain has one join.

    Raises: BadValue.
    """
    for thing in things if not cut.is_whole else ():
        if thing.made.stage in ("joined", "held-out"):
            problem = t(
                "{set}@{stage} was joined or cut already; name the sets themselves, or leave max_samples, val_size and mix_strategy out",
                "{set}@{stage} 已经合并或截取过；请写出各数据集本身，或不写 max_samples、val_size 与 mix_strategy",
                set=thing.made.name,
                stage=thing.made.stage,
            )
            raise BadValue(key="dataset", problem=problem)


def rows_left(space: Workspace, things: Sequence[Thing], cut: Cut) -> tuple[int, int]:
    """Return how many rows a cut leaves to learn from, and how many it holds out."""
    slots = [space.input(thing).slot for thing in things]
    indexes = [read_index(slot, space.keys.data_key(slot.slot)) for slot in slots]
    found = places(indexes, cut)
    held_out = sum(int(one.sum()) for one in found)
    return sum(map(len, found)) - held_out, held_out


def refuse_empty(space: Workspace, things: Sequence[Thing], cut: Cut) -> None:
    """Return when something is left to learn from, and something to evaluate.

    Raises: BadValue.
    """
    if not cut.held_out:
        return
    learned, held_out = rows_left(space, things, cut)
    if not learned or not held_out:
        problem = t(
            "of {rows} rows it leaves none to learn from or none to evaluate, as all rows of a person stay together; name another share, or an eval_dataset",
            "同一人的所有行须在一起，因此 {rows} 行中无行可训练或无行可评估；请写其他比例，或写 eval_dataset",
            rows=learned + held_out,
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
        problem = t("a recipe made it of other sets; name one of those", "它是配方由其他数据集生成的；请写其中之一")
        raise BadArgument(option=f"{thing.made.name}@{thing.made.stage}", problem=problem, verb=verb)


def names_of(things: Sequence[Thing]) -> str:
    """Return the names of sets, for people."""
    return ", ".join(thing.made.name for thing in things)


def label_of(things: Sequence[Thing]) -> Label:
    """Return the strictest label of the sets."""
    return max((thing.made.label for thing in things), key=LABELS.index)
