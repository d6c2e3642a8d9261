"""How statements lead from files to a set: one line of arrows, or several lines that a join makes one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

from ringfence.core.statement import Statement, Step
from ringfence.core.text import t


def numbered(word: str, number: int) -> str:
    """Return the role of one of several inputs of a kind: `set`, `set2`, `set3` for the numbers 0, 1, 2."""
    return word if number == 0 else f"{word}{number + 1}"


def roles(word: str, inputs: Collection[str]) -> list[str]:
    """Return the roles of a kind among those of all inputs, in the order of their numbers."""
    return [role for number in range(len(inputs)) if (role := numbered(word, number)) in inputs]


class Lines(NamedTuple):
    """Positions in a list of statements in which every producer stands before its reader."""

    branches: tuple[range, ...]  # each from an import to the last step before the join; without a join one, all of them
    trunk: range  # the join and everything after it; empty without a join

    @property
    def ways(self) -> list[list[int]]:
        """The whole way from each import to the last statement."""
        return [[*branch, *self.trunk] for branch in self.branches]


def lines(chain: Sequence[Statement]) -> Lines:
    """Return the branches of a chain, in the order in which a join reads their sets, and what they have in common."""
    at = next((n for n, one in enumerate(chain) if one.step == "join"), len(chain))
    is_joined = at < len(chain)
    starts = [n for n in range(1, at) if is_joined and chain[n].step == "import"]
    return Lines(tuple(range(a, b) for a, b in pairwise((0, *starts, at))), range(at, len(chain)))


def ways(chain: Sequence[Statement]) -> list[list[Statement]]:
    """Return the statements from each import to the last one, as one line each."""
    return [[chain[n] for n in way] for way in lines(chain).ways]


def last(chain: Sequence[Statement], step: Step) -> Statement | None:
    """Return the newest statement of a step."""
    return next((one for one in reversed(chain) if one.step == step), None)


def flaw(chain: Sequence[Statement]) -> str:
    """Return why the statements do not lead from imports to the last one; nothing where they do.

    Every step reads the set that the one before it made: a quarantine or an evaluation set is no stand-in. A join reads the sets in which the branches before
    it end, every one in its place and no other.
    """
    branches, trunk = lines(chain)
    if any(not branch or chain[branch[0]].step != "import" for branch in branches):
        return t("the chain does not begin at an import", "链不是从导入开始的")
    for number, branch in enumerate(branches):
        for before, after in pairwise((*branch, *trunk)):
            role = numbered("set", number) if after == trunk.start else "set"
            made = {one.sha256 for one in chain[before].subjects if one.name == "set"}
            if chain[after].predicate.inputs.get(role) not in made:
                return t(
                    "statement {n} ({after}) did not read what statement {m} ({before}) made",
                    "第 {n} 份声明（{after}）读的不是第 {m} 份（{before}）的产物",
                    n=after + 1,
                    m=before + 1,
                    after=chain[after].step,
                    before=chain[before].step,
                )
    if not trunk:
        return ""
    if chain[trunk.start].predicate.inputs.keys() != {numbered("set", number) for number in range(len(branches))}:
        return t("the join read a set whose steps are not here", "合并读取的某个数据集，其步骤不在其中")
    return t("what was joined was joined again", "已合并的数据集又被合并") if any(chain[n].step == "join" for n in trunk[1:]) else ""
