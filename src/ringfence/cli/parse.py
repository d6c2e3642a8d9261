"""Turns words of the command line into settings, or an error that names the option."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ringfence.core.errors import AlreadyExists, BadArgument
from ringfence.core.problems import first_problem
from ringfence.core.settings import Name, Settings
from ringfence.core.text import t

S = TypeVar("S", bound=Settings)
C = TypeVar("C", bound=str)
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_OPTIONS = {"mapping": "map", "id_column": "id"}  # by field, where the two differ


def settings(kind: type[S], verb: str, **values: Any) -> S:  # noqa: ANN401  fields of any settings
    """Return settings built from options.

    Raises: BadArgument, naming the option.
    """
    try:
        return kind(**{key: value for key, value in values.items() if value is not None})
    except ValidationError as cause:
        where, problem = first_problem(cause)
        option = _OPTIONS.get(where[0], where[0].replace("_", "-")) if where else ""
        raise BadArgument(option=f"--{option}" if option else verb, problem=problem, verb=verb) from cause


def pairs(text: str | None, verb: str) -> dict[str, str]:
    """Return the mapping of `a=b,c=d`.

    Raises: BadArgument.
    """
    if not text:
        return {}
    parts = [part.partition("=") for part in text.split(",")]
    if any(not key.strip() or not equals or not value.strip() for key, equals, value in parts):
        raise BadArgument(option="--map", problem=t("write role=COLUMN,role=COLUMN", "请写成 role=列名,role=列名"), verb=verb)
    return {key.strip(): value.strip() for key, _, value in parts}


def new_path(path: Path, option: str, verb: str) -> Path:
    """Return the absolute path of something that is to be written, when it can be.

    Raises: AlreadyExists; BadArgument when its folder is missing or not writable.
    """
    path = path.absolute()
    if path.exists():
        raise AlreadyExists(path=str(path))
    if not path.parent.is_dir():
        raise BadArgument(option=option, problem=t("the folder {path} does not exist", "文件夹 {path} 不存在", path=path.parent), verb=verb)
    if not os.access(path.parent, os.W_OK):
        raise BadArgument(
            option=option, problem=t("the folder {path} is not writable", "文件夹 {path} 不可写", path=path.parent), verb=verb
        )
    return path


def choice(value: str, known: Sequence[C], option: str, verb: str) -> C:
    """Return `value` if it is one of `known`.

    Raises: BadArgument.
    """
    for one in known:
        if one == value:
            return one
    raise BadArgument(option=option, problem=t("choose one of {known}", "请从 {known} 中选择", known=", ".join(known)), verb=verb)


def name_of(text: str, verb: str) -> str:
    """Return the name of a set or bundle.

    Raises: BadArgument.
    """
    try:
        return _NAME.validate_python(text)
    except ValidationError as cause:
        shape = t(
            "give a name of up to 64 letters, digits, dots, hyphens and underscores, without spaces",
            "请给出名称：至多 64 个字母、数字、点、连字符或下划线，不含空格",
        )
        raise BadArgument(option="--name", problem=shape, verb=verb) from cause


def override(text: str, verb: str) -> tuple[str, Any]:
    """Return key and value of `key=value`, the value read as YAML.

    Raises: BadArgument.
    """
    import yaml

    from ringfence.recipe.read import override_value

    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[a-z0-9_]+", key):
        how = t("write key=value; a key inside a block only in the file", "请写成 键=值；块内的键只能写在文件中")
        raise BadArgument(option=text, problem=how, verb=verb)
    if not value.strip():
        raise BadArgument(option=text, problem=t("it has no value; null means none", "没有值；null 表示空"), verb=verb)
    try:
        return key, override_value(key, value)
    except yaml.YAMLError as cause:
        raise BadArgument(option=key, problem=t("its value is not readable YAML", "其值不是可读的 YAML"), verb=verb) from cause
