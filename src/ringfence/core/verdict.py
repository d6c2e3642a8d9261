"""Verdicts: what one rule says of one chain, and what to do where it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from ringfence.core.settings import Settings
from ringfence.core.text import Text

# "nothing shown", "not shown" and "not tested" say that a rule has no evidence against a run, and none for it: printed, never refused.
Outcome = Literal["pass", "fail", "inconclusive", "nothing shown", "not shown", "not tested"]
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
    "audit missing",
    "audit unrelated",
    "G1 secret extraction",
    "G2 secret exposure",
    "G3 membership",
    "G4 epsilon audit",
    "G5 replay",
    "G6 spans",
    "G7 validity",
    "backdoor",
]
ON_ROWS: tuple[RuleId, ...] = ("G5 replay", "G6 spans")  # judged on real rows: their figures stay behind where a run is private

OUTCOMES: Mapping[Outcome, Text] = {
    "pass": Text("pass", "通过"),
    "fail": Text("fail", "不通过"),
    "inconclusive": Text("inconclusive", "无定论"),
    "nothing shown": Text("nothing shown", "未显现"),
    "not shown": Text("not shown", "无法显示"),
    "not tested": Text("not tested", "未测试"),
}


class Verdict(Settings):
    """What one rule says about one chain of statements."""

    rule: RuleId
    outcome: Outcome
    detail: str = ""
    how: str = ""


SET = "{set}"  # stands in a remedy for the name of the set, which no statement tells
_SAMPLE = Text("train again with more canaries: {want}", "用更多金丝雀重新训练：{want}")
_LEARNED = Text(
    "the run remembers its rows: train fewer epochs, at a lower learning rate, on rows without duplicates, or with a privacy: block",
    "该运行记住了它的数据：减少轮数、降低学习率、去除重复行，或使用 privacy: 块重新训练",
)
_HOW: Mapping[RuleId, Text] = {
    "scan missing": Text("run ringfence scan {set} first", "先运行 ringfence scan {set}"),
    "deid missing": Text("run ringfence deid {set} first", "先运行 ringfence deid {set}"),
    "deid profile": Text(
        "run ringfence deid {set} --profile {want}, or have whoever answers for the policy look at {used} and add it to train.require.deid.profiles",
        "运行 ringfence deid {set} --profile {want}；或由策略负责人审看 {used} 后，将其加入 train.require.deid.profiles",
    ),
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
    "audit missing": Text(
        "run ringfence audit RUN; a run without canaries needs an audit: block in its recipe and a new training",
        "运行 ringfence audit RUN；没有金丝雀的运行需在配方中加入 audit: 块并重新训练",
    ),
    "audit unrelated": Text("run ringfence audit RUN again", "重新运行 ringfence audit RUN"),
    "G1 secret extraction": _LEARNED,
    "G2 secret exposure": _LEARNED,
    "G3 membership": _LEARNED,
    "G4 epsilon audit": Text(
        "the guarantee that the run states is not true; do not release it, and report it", "该运行声明的保证不成立；请勿放行，并上报"
    ),
    "G5 replay": _LEARNED,
    "G6 spans": Text(
        "identifiers that were masked can be extracted: de-identify with a stricter profile or a dictionary, and train again",
        "已脱敏的标识符可被提取：请用更严格的方案或词典重新脱敏并训练",
    ),
    "G7 validity": Text("the audit proves nothing as it stands: train again, then audit", "该审计目前不能证明任何事：请重新训练后再审计"),
    "backdoor": Text(
        "no test stands behind this rule yet: set backdoor.required to false", "此规则尚无测试支持：请将 backdoor.required 设为 false"
    ),
}
_INCONCLUSIVE: Mapping[RuleId, Text] = {
    "G1 secret extraction": _SAMPLE,
    "G2 secret exposure": _SAMPLE,
    "G3 membership": _SAMPLE,
    "G5 replay": Text("audit a larger sample of rows: {want}", "审计更大的行样本：{want}"),
    "G6 spans": Text("audit again: {want}", "重新审计：{want}"),
}
assert _HOW.keys() == set(get_args(RuleId))  # noqa: S101  a rule without a remedy is a mistake of ours, seen at import


def verdict(rule: RuleId, problem: str = "", **facts: str) -> Verdict:
    """Return that a rule passes, or that it fails for `problem`. facts: what its remedy says."""
    if not problem:
        return Verdict(rule=rule, outcome="pass")
    return Verdict(rule=rule, outcome="fail", detail=problem, how=how(rule, "fail", **facts))


def how(rule: RuleId, outcome: Outcome, **facts: str) -> str:
    """Return what to do about a rule that refuses; nothing where it does not."""
    if outcome not in ("fail", "inconclusive"):
        return ""
    text = _INCONCLUSIVE.get(rule, _HOW[rule]) if outcome == "inconclusive" else _HOW[rule]
    return text.show(None, set=SET, **facts)


def refusals(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts that refuse."""
    return [one for one in verdicts if one.outcome in ("fail", "inconclusive")]
