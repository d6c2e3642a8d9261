"""Policy: read a file, refuse what no code enforces, sign it into the ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ringfence.core.errors import PolicyInvalid, PolicyKeyUnenforced
from ringfence.core.interrupts import uninterrupted
from ringfence.core.policy import SHIPPED, Looser, Policy, not_asked
from ringfence.core.problems import first_problem
from ringfence.core.rules import LEAST_SECRETS, canaries, least_rows, least_tries
from ringfence.core.text import t
from ringfence.core.verdict import RuleId
from ringfence.recipe.read import strict_yaml
from ringfence.workspace.space import Workspace, policy_entry


def read_policy(path: Path) -> Policy:
    """Return the policy of a YAML file.

    Raises: PolicyInvalid, PolicyKeyUnenforced.
    """
    try:
        document = strict_yaml(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise PolicyInvalid(where=path.name, problem=t("the file cannot be read", "文件无法读取")) from cause
    except (UnicodeDecodeError, yaml.YAMLError) as cause:
        raise PolicyInvalid(where=path.name, problem=t("it is not readable YAML", "不是可读的 YAML")) from cause
    if not isinstance(document, dict):
        raise PolicyInvalid(where=path.name, problem=t("it is not one mapping", "不是一个映射"))
    try:
        if empty := _empty(document):  # YAML's null would drop a requirement that the officer meant to write
            raise PolicyInvalid(
                where=empty,
                problem=t("it has no value; write {{}} to require it without conditions", "没有值；若要无条件地要求它，请写 {{}}"),
            )
        return Policy.model_validate(document)
    except RecursionError as cause:  # an alias that holds itself
        raise PolicyInvalid(where=path.name, problem=t("it is not readable YAML", "不是可读的 YAML")) from cause
    except ValidationError as cause:
        for found in cause.errors(include_input=False):
            if found["type"] == "extra_forbidden":
                raise PolicyKeyUnenforced(key=".".join(map(str, found["loc"])), known=", ".join(keys(Policy))) from cause
        where, problem = first_problem(cause)
        raise PolicyInvalid(where=".".join(where), problem=problem) from cause


def set_policy(space: Workspace, policy: Policy) -> str:
    """Sign `policy` into the ledger and return its digest.

    Raises: LedgerUnavailable.
    """
    entry = policy_entry(policy)
    with space.locked(), uninterrupted(final=True):
        space.record(entry)
    return entry.digest


class Least(NamedTuple):
    """The least sample that can pass one limit."""

    rule: RuleId
    limit: str
    sample: str
    enough: str  # what passes reliably, where that is more


def least_samples(policy: Policy) -> list[Least]:
    """Return, for each limit of the release gate, the least sample that can pass it."""
    rules, found = policy.release, list[Least]()
    impossible = t("no number of canaries is enough", "任何数量的金丝雀都不够")
    if one := rules.secret_extraction:
        found.append(
            Least("G1 secret extraction", f"max_rate {one.max_rate:g}", canaries("secrets", least_tries(one.max_rate)) or impossible, "")
        )
    if two := rules.secret_exposure:
        found.append(Least("G2 secret exposure", f"p_value {two.p_value:g}", f"audit.secrets: {LEAST_SECRETS}", ""))
    if three := rules.membership:
        least, reliable = least_rows(three.max_auc), least_rows(three.max_auc, reliably=True)
        enough = (
            t("{n} passes 19 times of 20 if nothing was learned", "若未学到任何内容，{n} 在 20 次中通过 19 次", n=reliable)
            if canaries("in_out", reliable)
            else ""
        )
        found.append(Least("G3 membership", f"max_auc {three.max_auc:g}", canaries("in_out", least) or impossible, enough))
    if five := rules.replay:
        rows = str(least_tries(five.max_rate)) if five.max_rate else t("all rows", "全部行")
        sample = t("{n} rows, or all of a smaller set", "{n} 行；数据集更小时为全部", n=rows)
        found.append(Least("G5 replay", f"max_rate {five.max_rate:g}", sample, ""))
    if six := rules.spans:
        sample = t("{n} identifiers, or all there are", "{n} 个标识符，不足则全部", n=six.sample)
        found.append(Least("G6 spans", f"max_new {six.max_new}", sample, ""))
    return found


def explained(policy: Policy) -> list[str]:
    """Return what the policy's rules on de-identification mean, a sentence each: who reads only their keys may take one for more than it is."""
    rule = policy.train.require.deid
    if rule is None:
        return []
    if rule.admitted is None:
        return [
            t(
                "train.require.deid names no profiles: any will do, also one that looks for nothing or keeps everything. Name those that will: profiles: [{names}]",
                "train.require.deid 未指定方案：任何方案都可以，包括什么都不查找或全部保留的方案。请指定可用的方案：profiles: [{names}]",
                names=", ".join(SHIPPED),
            )
        ]
    return [
        t(
            "A set that was masked with a profile other than {names} is refused. A profile of your own is called by its file and the digest of its content, as ringfence deid says it; add that name to train.require.deid.profiles.",
            "使用 {names} 以外的方案脱敏的数据集会被拒绝。自有方案的名称由文件名与内容摘要组成，ringfence deid 会显示；把该名称加入 train.require.deid.profiles。",
            names=", ".join(rule.admitted),
        )
    ]


def left_out(policy: Policy) -> list[str]:
    """Return which rules the policy does not ask for, a sentence each: in a file they are nothing but absent."""
    said = []
    if not policy.release.needs_audit:
        said.append(
            t(
                "No release rule: adapters leave without an audit, unless a recipe's own release: block asks for one.",
                "没有放行规则：除非配方自己的 release: 块要求审计，适配器不经审计即可放行。",
            )
        )
    if absent := ", ".join(not_asked(policy)):
        said.append(t("Not asked for: {absent}.", "未要求：{absent}。", absent=absent))
    if policy.budget is None:
        said.append(t("No budget: no private run may start.", "没有 budget：不能开始隐私运行。"))
    return said


def compared(more: Sequence[Looser]) -> list[str]:
    """Return where a policy allows more than the one before, a line each."""
    return [f"{one.key}: {_shown(one.before)} → {_shown(one.after)}" for one in more]


def _shown(value: object) -> str:
    if value is None:
        return t("absent", "未写")
    return json.dumps(value, ensure_ascii=False).replace('"', "")


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted keys of a policy, or of a block of it; a rule without conditions is a key of its own."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        inner: Any = next(
            (arg for arg in (field.annotation, *get_args(field.annotation)) if isinstance(arg, type) and issubclass(arg, BaseModel)), None
        )
        found += (inner and keys(inner, f"{prefix}{name}.")) or [f"{prefix}{name}"]
    return found


def as_yaml(policy: Policy) -> str:
    """Return the policy as the YAML that `read_policy` reads."""
    return yaml.safe_dump(policy.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def _empty(value: object, where: str = "") -> str | None:
    """Return the path of the first key without a value."""
    if value is None:
        return where
    if isinstance(value, dict):
        found = (_empty(inner, f"{where}.{key}".lstrip(".")) for key, inner in value.items())
        return next((path for path in found if path is not None), None)
    return None
