"""The policy and its rules. Pure: a policy and the recorded facts in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from ringfence.core.bounds import exact
from ringfence.core.gates import Audited, judge
from ringfence.core.lineage import flaw, last, lines, ways
from ringfence.core.order import Tier
from ringfence.core.rules import GATES, STRICTER, ReleaseRules, tightened
from ringfence.core.settings import OWN_DIGITS, PartName, Settings
from ringfence.core.statement import LABELS, Statement
from ringfence.core.text import t
from ringfence.core.verdict import Verdict, refusals, verdict

Reveal = Literal["allow", "refuse"]
Export = Literal["masked", "allow", "refuse"]
Ordinary = Literal["allow", "internal-only", "refuse"]


class ScanRule(Settings):
    """The set must have been scanned; `parts` names detector versions that must have run."""

    parts: tuple[PartName, ...] = ()


SHIPPED = ("default", "finance-zh", "hipaa-safe-harbor", "legal-zh", "medical-zh", "strict")  # profiles of de-identification
_OWN = rf"[\w.-]{{1,40}}-[0-9a-f]{{{OWN_DIGITS}}}"  # a file's name and the first digits of its content's digest
ProfileName = Annotated[str, Field(pattern=rf"^(?:{'|'.join(SHIPPED)}|{_OWN})$")]


class DeidRule(Settings):
    """The set must have been de-identified.

    `survivors` alone asks nothing of the profile, and where nothing is looked for nothing survives: so `profiles` names those that will do, the
    shipped ones by name, a tenant's own by a name that ends in its content's digest. Without it any profile will.
    """

    profile: str | None = None  # the only one that will do, as policies said before there was `profiles`
    profiles: Annotated[tuple[ProfileName, ...], Field(min_length=1)] | None = None
    survivors: Annotated[int, Field(ge=0)] | None = None  # the most originals that may survive the re-scan
    parts: tuple[PartName, ...] = ()

    @property
    def admitted(self) -> tuple[str, ...] | None:
        """The profiles that will do; None for any."""
        return self.profiles if self.profile is None else (self.profile,)

    @model_validator(mode="after")
    def _names_them_once(self) -> Self:
        if self.profile is not None and self.profiles is not None:
            raise ValueError("give profile or profiles, not both")
        return self


class Require(Settings):
    """Which arrows must lie between import and training. Absent = not asked for."""

    scan: ScanRule | None = None
    deid: DeidRule | None = None


class TrainRules(Settings):
    """What training needs and may use."""

    require: Require = Require(scan=ScanRule(), deid=DeidRule(profiles=SHIPPED, survivors=0))
    ordinary: Ordinary = "allow"
    max_epsilon: Annotated[float, Field(gt=0)] | None = None  # the most that one private run may promise; None = only the budget limits it
    min_sandbox: Tier = "T1"


class Budget(Settings):
    """What all private runs on the units of a set may spend together, over its lifetime."""

    epsilon: Annotated[float, Field(gt=0)] = 16.0
    delta: Annotated[float, Field(ge=1e-12, lt=1)] = 1e-5  # at 1e-10 and below every ε is infinite


class Policy(Settings):
    """The privacy officer's decision. `policy set` signs it into the ledger."""

    version: Literal[1] = 1
    train: TrainRules = TrainRules()
    budget: Budget | None = None  # None: no private run may start
    release: ReleaseRules = ReleaseRules()
    reveal: Reveal = "refuse"  # the originals behind stand-ins: a right of its own
    export: Export = "masked"  # record text that leaves as a file: of masked sets and public ones, of any set, of none


DEFAULT = Policy(budget=Budget(), release=GATES)  # of a new workspace


def evaluate(
    policy: Policy,
    chain: Sequence[Statement],
    *,
    moment: Literal["train", "release"],
    epsilon: float | None = None,
    audit: Audited | None = None,
) -> list[Verdict]:
    """Return the verdict of every rule that `policy` asks for.

    chain: statements from import to the newest, each the producer of the next one's input (flows walks it; here it is checked). Where sets were
    joined, the branch of each stands before the join, and every branch must have what a rule asks for.
    epsilon: before training, what the run will promise; None for a run without differential privacy. At release the statement of the training
    says it. audit: of the run, at release. Editing a limit and calling again never needs new facts.
    """
    judged = [*chain, audit.statement] if audit else chain
    required = _of_all([_required(policy.train.require, way) for way in ways(chain)])
    verdicts = [_joined(chain), *required, *_cage(policy, judged), _label(judged)]
    if moment == "release":
        claim = _promised(chain)
        rules = tightened(policy.release, _asked(chain))
        return [*verdicts, *_private(policy, claim, allowed=("allow",)), *judge(rules, audit, chain, claim=claim)]
    return [*verdicts, *_private(policy, epsilon, allowed=("allow", "internal-only"))]


def masking(policy: Policy, chain: Sequence[Statement]) -> list[Verdict]:
    """Return the verdicts on how a masked set was de-identified: what may not be trained on as masked does not leave as masked, either."""
    return [_joined(chain), *_of_all([_masked(policy.train.require.deid, way) for way in ways(chain)])]


def _masked(rule: DeidRule | None, way: Sequence[Statement]) -> list[Verdict]:
    deid = last(way, "deid")
    return [] if rule is None or deid is None else [*_deid(rule, deid), _parts(rule.parts, deid)]


def _joined(chain: Sequence[Statement]) -> Verdict:
    return verdict("chain broken", flaw(chain))


def _of_all(found: Sequence[list[Verdict]]) -> list[Verdict]:
    """Return the verdicts on several branches as one list: a rule that refuses one of them refuses."""
    if len(found) == 1:
        return found[0]
    every = [one for verdicts in found for one in verdicts]
    told = {one.rule: one for one in reversed([*refusals(every), *every])}  # the first that refuses, else the first
    return [told[rule] for rule in dict.fromkeys(one.rule for one in every)]


def _required(require: Require, chain: Sequence[Statement]) -> list[Verdict]:
    verdicts = []
    if require.scan is not None:
        scan = last(chain, "scan")
        problem = "" if scan else t("no scan lies between import and training", "导入与训练之间没有检查")
        verdicts.append(verdict("scan missing", problem))
        if scan:
            verdicts.append(_parts(require.scan.parts, scan))
    if require.deid is not None:
        deid = last(chain, "deid")
        problem = "" if deid else t("no de-identification lies between import and training", "导入与训练之间没有脱敏")
        verdicts.append(verdict("deid missing", problem))
        if deid:
            verdicts += [*_deid(require.deid, deid), _parts(require.deid.parts, deid)]
    return verdicts


def _deid(rule: DeidRule, deid: Statement) -> list[Verdict]:
    verdicts = []
    if rule.admitted is not None:
        verdicts.append(masked_with(rule, str(deid.predicate.settings.get("profile"))))
    if rule.survivors is not None:
        left = deid.predicate.figures.get("survivors")
        if not isinstance(left, int) or isinstance(left, bool):
            problem = t("nobody recorded how many originals survived", "没有记录残留了多少处原文")
        else:
            problem = "" if left <= rule.survivors else t("{n} originals survived", "残留 {n} 处原文", n=left)
        verdicts.append(verdict("deid survivors", problem))
    return verdicts


def masked_with(rule: DeidRule, used: str) -> Verdict:
    """Return whether the profile that was used is one that will do."""
    if rule.admitted is None or used in rule.admitted:
        return verdict("deid profile")
    named = ", ".join(rule.admitted)
    problem = t("profile {used} was used, the policy names {named}", "使用了方案 {used}，策略指定 {named}", used=used, named=named)
    return verdict("deid profile", problem, want=rule.admitted[0], used=used)


def _parts(wanted: Sequence[str], statement: Statement) -> Verdict:
    absent = ", ".join(sorted(set(wanted) - set(statement.predicate.parts)))
    return verdict(
        "part version", t("{step} ran without {parts}", "{step} 未使用 {parts}", step=statement.step, parts=absent) if absent else ""
    )


def _cage(policy: Policy, chain: Sequence[Statement]) -> list[Verdict]:
    for statement in chain:
        report = statement.predicate.sandbox
        if report is None or (policy.train.min_sandbox == "T1" and report.tier != "T1"):
            tier = report.tier if report else "-"
            problem = t("{step} ran in tier {tier}", "{step} 运行在 {tier} 级沙箱", step=statement.step, tier=tier)
            return [verdict("sandbox tier", problem, want=policy.train.min_sandbox)]
        if report.tier == "T1" and (report.self_test is None or report.self_test.failures()):
            problem = t("{step} has no passed self-test", "{step} 没有通过的自检", step=statement.step)
            return [verdict("sandbox tier"), verdict("self-test missing", problem)]
    return [verdict("sandbox tier"), verdict("self-test missing")]


def _label(chain: Sequence[Statement]) -> Verdict:
    """Return whether every branch has one label, a joined set the strictest of its branches, and a run that evaluated rows one as strict or stricter."""
    branches, trunk = lines(chain)
    # Rows that a run only evaluated may have chosen its weights.
    beside = [n for n, one in enumerate(chain) if one.step == "train" and "evaluation" in one.predicate.inputs]
    labels = [{chain[n].predicate.label for n in part if n not in beside} for part in (*branches, trunk) if part]
    agree = all(len(one) == 1 and None not in one for one in labels)
    if agree and labels:
        *before, after = (LABELS.index(label) for one in labels for label in one if label)
        own = [chain[n].predicate.label for n in beside]
        agree = after == max(before, default=after) and all(label is not None and LABELS.index(label) >= after for label in own)
    return verdict("label", "" if agree else t("labels along the chain differ", "链上的标签不一致"))


def _promised(chain: Sequence[Statement]) -> float | None:
    """Return the epsilon of the plan under which the training ran; None for an ordinary run."""
    train = last(chain, "train")
    plan = train.predicate.figures.get("plan") if train else None
    return float(plan["epsilon"]) if isinstance(plan, Mapping) else None


def _asked(chain: Sequence[Statement]) -> ReleaseRules | None:
    """Return the `release:` block of the recipe that the run was trained by."""
    train = last(chain, "train")
    block = train.predicate.settings.get("release") if train else None
    return ReleaseRules.model_validate(dict(block)) if isinstance(block, Mapping) else None


def _private(policy: Policy, epsilon: float | None, *, allowed: tuple[Ordinary, ...]) -> list[Verdict]:
    rule, most = policy.train.ordinary, policy.train.max_epsilon
    if epsilon is None:
        problem = t("the policy says {rule} to runs without differential privacy", "策略对不使用差分隐私的运行规定为 {rule}", rule=rule)
        return [verdict("ordinary", "" if rule in allowed else problem)]
    if most is None:
        return []
    problem = t(
        "the run promises epsilon {e}, the policy allows {most}",
        "该运行承诺 epsilon {e}，策略允许 {most}",
        e=exact(epsilon),
        most=exact(most),
    )
    return [verdict("max epsilon", "" if epsilon <= most else problem, want=exact(most))]


# ── what a policy gives up ────────────────────────────────────────────────────────────────────────────────────────────


class Looser(NamedTuple):
    """A key at which a policy allows more than another one; None stands for an absent key."""

    key: str  # dotted
    before: object  # of JSON
    after: object


def not_asked(policy: Policy) -> tuple[str, ...]:
    """Return the rules that `policy` does not ask for, by their dotted names."""
    required = policy.train.require
    train = [f"train.require.{name}" for name in type(required).model_fields if getattr(required, name) is None]
    return (*train, *(f"release.{name}" for name in policy.release.not_asked))


def looser(before: Settings, after: Settings, *, within: str = "") -> list[Looser]:
    """Return where `after` allows more than `before`, two policies or two of the same block of them, in the order of the keys."""
    found: list[Looser] = []
    for name in type(after).model_fields:
        old, new = _value(before, name), _value(after, name)
        if isinstance(old, Settings) and isinstance(new, Settings):
            found += looser(old, new, within=f"{within}{name}.")
        elif old != new and _allows_more(name, old, new):
            found.append(Looser(f"{within}{name}", _plain(old), _plain(new)))
    return found


def _value(block: Settings, name: str) -> object:
    if isinstance(block, DeidRule) and name in ("profile", "profiles"):  # two ways to write one rule
        return block.admitted if name == "profiles" else None
    value: object = getattr(block, name)
    return value


def _allows_more(name: str, old: object, new: object) -> bool:
    if name == "budget":  # the one block that allows something by being there
        return old is None
    if isinstance(old, Settings) or isinstance(new, Settings):
        return new is None
    return bool(STRICTER[name](old, new) != new if name in STRICTER else _WIDER[name](old, new))


def _along(*order: str) -> Callable[[Any, Any], bool]:
    return lambda old, new: order.index(new) > order.index(old)


def _above(old: float | None, new: float | None) -> bool:
    return old is not None and (new is None or new > old)


def _admits(old: tuple[str, ...] | None, new: tuple[str, ...] | None) -> bool:
    return old is not None and (new is None or not set(new) <= set(old))


# Whether the second value of a key allows more than the first; limits of a release have STRICTER.
_WIDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "parts": lambda old, new: not set(old) <= set(new),
    "profiles": _admits,
    "survivors": _above,
    "ordinary": _along("refuse", "internal-only", "allow"),
    "max_epsilon": _above,
    "min_sandbox": _along("T1", "T0"),
    "epsilon": _above,
    "delta": _above,
    "reveal": _along("refuse", "allow"),
    "export": _along("refuse", "masked", "allow"),
}


def _plain(value: object) -> object:
    if isinstance(value, Settings):
        return value.model_dump(mode="json", exclude_none=True)
    return list(value) if isinstance(value, tuple) else value
