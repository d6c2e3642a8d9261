"""The policy and its rules. Pure: a policy and the recorded facts in, verdicts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.order import Tier
from ringfence.core.settings import PartName, Settings
from ringfence.core.statement import Statement, Step
from ringfence.core.text import Text, t

Ordinary = Literal["allow", "internal-only", "refuse"]
RuleId = Literal[
    "scan missing",
    "deid missing",
    "deid profile",
    "deid survivors",
    "part version",
    "label",
    "sandbox tier",
    "self-test missing",
    "ordinary",
    "max epsilon",
    "chain broken",
]


class ScanRule(Settings):
    """The set must have been scanned; `parts` names detector versions that must have run."""

    parts: tuple[PartName, ...] = ()


class DeidRule(Settings):
    """The set must have been de-identified."""

    profile: str | None = None
    survivors: Annotated[int, Field(ge=0)] | None = None  # the most originals that may survive the re-scan
    parts: tuple[PartName, ...] = ()


class Require(Settings):
    """Which arrows must lie between import and training. Absent = not asked for."""

    scan: ScanRule | None = None
    deid: DeidRule | None = None


class TrainRules(Settings):
    """What training needs and may use."""

    require: Require = Require(scan=ScanRule(), deid=DeidRule(survivors=0))
    ordinary: Ordinary = "allow"
    max_epsilon: Annotated[float, Field(gt=0)] | None = None  # the most that one private run may promise; None = only the budget limits it
    min_sandbox: Tier = "T1"


class Budget(Settings):
    """What all private runs on the units of a set may spend together, over its lifetime."""

    epsilon: Annotated[float, Field(gt=0)] = 16.0
    delta: Annotated[float, Field(ge=1e-12, lt=1)] = 1e-5  # below that no plan can be priced


class Policy(Settings):
    """The privacy officer's decision. `policy set` signs it into the ledger."""

    version: Literal[1] = 1
    train: TrainRules = TrainRules()
    budget: Budget | None = None  # None: no private run may start


class Verdict(Settings):
    """What one rule says about one chain of statements."""

    rule: RuleId
    outcome: Literal["pass", "fail"]
    detail: str = ""
    how: str = ""


SET = "{set}"  # stands in a remedy for the name of the set, which no statement tells
_HOW: dict[RuleId, Text] = {
    "scan missing": Text("run ringfence scan {set} first", "先运行 ringfence scan {set}"),
    "deid missing": Text("run ringfence deid {set} first", "先运行 ringfence deid {set}"),
    "deid profile": Text("run ringfence deid {set} --profile {want}", "运行 ringfence deid {set} --profile {want}"),
    "deid survivors": Text("run ringfence deid again with a stricter profile", "用更严格的方案重新运行 ringfence deid"),
    "part version": Text("run the arrow again with the part that the policy names", "用策略指定的部件版本重新运行该步骤"),
    "label": Text("the labels along the chain must agree; import the file again", "链上的标签必须一致；请重新导入文件"),
    "sandbox tier": Text("run the arrow again in a sandbox of tier {want}", "在 {want} 级沙箱中重新运行该步骤"),
    "self-test missing": Text("run the arrow again; its statement lacks a passed self-test", "重新运行该步骤；其声明缺少通过的自检"),
    "ordinary": Text(
        "train with a privacy: block, or ask for a change of policy; internal-only allows ringfence chat RUN, but no release",
        "请用带 privacy: 块的配方训练，或申请修改策略；internal-only 允许 ringfence chat RUN，但不允许放行",
    ),
    "max epsilon": Text("ask for less: privacy.epsilon of {want} or below", "请求更小的值：privacy.epsilon 不超过 {want}"),
    "chain broken": Text("the statements do not join; run the arrows again from import", "声明不相连；请从导入开始重新运行"),
}


DEFAULT = Policy(budget=Budget())  # of a new workspace


def evaluate(
    policy: Policy, chain: Sequence[Statement], *, moment: Literal["train", "release"], epsilon: float | None = None
) -> list[Verdict]:
    """Return the verdict of every rule that `policy` asks for.

    chain: statements from import to the newest, each the producer of the next one's input (flows walks it; here it is checked).
    epsilon: before training, what the run will promise; None for a run without differential privacy. At release the statement of the training
    says it. Editing a limit and calling again never needs new facts.
    """
    verdicts = [_joined(chain), *_required(policy.train.require, chain), *_cage(policy, chain), _label(chain)]
    if moment == "release":
        return [*verdicts, *_private(policy, _promised(chain), allowed=("allow",))]
    return [*verdicts, *_private(policy, epsilon, allowed=("allow", "internal-only"))]


def refusals(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts that refuse."""
    return [v for v in verdicts if v.outcome != "pass"]


def _verdict(rule: RuleId, problem: str = "", **facts: str) -> Verdict:
    if not problem:
        return Verdict(rule=rule, outcome="pass")
    return Verdict(rule=rule, outcome="fail", detail=problem, how=_HOW[rule].show(None, set=SET, **facts))


def _last(chain: Sequence[Statement], step: Step) -> Statement | None:
    return next((s for s in reversed(chain) if s.step == step), None)


def _joined(chain: Sequence[Statement]) -> Verdict:
    if not chain or chain[0].step != "import":
        return _verdict("chain broken", t("the chain does not begin at an import", "链不是从导入开始的"))
    for before, after in pairwise(chain):
        made = {s.sha256 for s in before.subjects if s.name == "set"}  # a quarantine or an evaluation set is no stand-in
        if after.predicate.inputs.get("set") not in made:
            problem = t(
                "{after} did not read what {before} made", "{after} 读取的不是 {before} 的产出", after=after.step, before=before.step
            )
            return _verdict("chain broken", problem)
    return _verdict("chain broken")


def _required(require: Require, chain: Sequence[Statement]) -> list[Verdict]:
    verdicts = []
    if require.scan is not None:
        scan = _last(chain, "scan")
        problem = "" if scan else t("no scan lies between import and training", "导入与训练之间没有检查")
        verdicts.append(_verdict("scan missing", problem))
        if scan:
            verdicts.append(_parts(require.scan.parts, scan))
    if require.deid is not None:
        deid = _last(chain, "deid")
        problem = "" if deid else t("no de-identification lies between import and training", "导入与训练之间没有脱敏")
        verdicts.append(_verdict("deid missing", problem))
        if deid:
            verdicts += [*_deid(require.deid, deid), _parts(require.deid.parts, deid)]
    return verdicts


def _deid(rule: DeidRule, deid: Statement) -> list[Verdict]:
    verdicts = []
    if rule.profile is not None:
        used = deid.predicate.settings.get("profile")
        problem = t("profile {used} was used, the policy names {want}", "使用了方案 {used}，策略指定 {want}", used=used, want=rule.profile)
        verdicts.append(_verdict("deid profile", "" if used == rule.profile else problem, want=rule.profile))
    if rule.survivors is not None:
        left = deid.predicate.figures.get("survivors")
        if not isinstance(left, int) or isinstance(left, bool):
            problem = t("nobody recorded how many originals survived", "没有记录残留了多少处原文")
        else:
            problem = "" if left <= rule.survivors else t("{n} originals survived", "残留 {n} 处原文", n=left)
        verdicts.append(_verdict("deid survivors", problem))
    return verdicts


def _parts(wanted: Sequence[str], statement: Statement) -> Verdict:
    absent = ", ".join(sorted(set(wanted) - set(statement.predicate.parts)))
    return _verdict(
        "part version", t("{step} ran without {parts}", "{step} 未使用 {parts}", step=statement.step, parts=absent) if absent else ""
    )


def _cage(policy: Policy, chain: Sequence[Statement]) -> list[Verdict]:
    for statement in chain:
        report = statement.predicate.sandbox
        if report is None or (policy.train.min_sandbox == "T1" and report.tier != "T1"):
            tier = report.tier if report else "-"
            problem = t("{step} ran in tier {tier}", "{step} 运行在 {tier} 级沙箱", step=statement.step, tier=tier)
            return [_verdict("sandbox tier", problem, want=policy.train.min_sandbox)]
        if report.tier == "T1" and (report.self_test is None or report.self_test.failures()):
            problem = t("{step} has no passed self-test", "{step} 没有通过的自检", step=statement.step)
            return [_verdict("sandbox tier"), _verdict("self-test missing", problem)]
    return [_verdict("sandbox tier"), _verdict("self-test missing")]


def _label(chain: Sequence[Statement]) -> Verdict:
    labels = {s.predicate.label for s in chain}
    agree = len(labels) == 1 and None not in labels
    return _verdict("label", "" if agree else t("labels along the chain differ", "链上的标签不一致"))


def _promised(chain: Sequence[Statement]) -> float | None:
    """Return the epsilon of the plan under which the training ran; None for an ordinary run."""
    train = _last(chain, "train")
    plan = train.predicate.figures.get("plan") if train else None
    return float(plan["epsilon"]) if isinstance(plan, Mapping) else None


def _private(policy: Policy, epsilon: float | None, *, allowed: tuple[Ordinary, ...]) -> list[Verdict]:
    rule, most = policy.train.ordinary, policy.train.max_epsilon
    if epsilon is None:
        problem = t("the policy says {rule} to runs without differential privacy", "策略对不使用差分隐私的运行规定为 {rule}", rule=rule)
        return [_verdict("ordinary", "" if rule in allowed else problem)]
    if most is None:
        return []
    problem = t(
        "the run promises epsilon {e:g}, the policy allows {most:g}", "该运行承诺 epsilon {e:g}，策略允许 {most:g}", e=epsilon, most=most
    )
    return [_verdict("max epsilon", "" if epsilon <= most else problem, want=f"{most:g}")]
