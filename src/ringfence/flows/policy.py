"""Policy: read a file, refuse what no code enforces, sign it into the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ringfence.core.errors import PolicyInvalid, PolicyKeyUnenforced
from ringfence.core.interrupts import uninterrupted
from ringfence.core.policy import Policy
from ringfence.core.problems import first_problem
from ringfence.core.text import t
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
                raise PolicyKeyUnenforced(key=".".join(map(str, found["loc"])), known=", ".join(_keys(Policy))) from cause
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


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        inner: Any = next(
            (arg for arg in (field.annotation, *get_args(field.annotation)) if isinstance(arg, type) and issubclass(arg, BaseModel)), None
        )
        keys += _keys(inner, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return keys
