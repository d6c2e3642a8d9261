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
_KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")  # of a recipe; inside a block, after the block's and a dot
_FEWEST = 2  # values of a sweep
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
    """Return key and value of `key=value` or `block.key=value`, the value read as YAML.

    Raises: BadArgument.
    """
    key, equals, value = text.partition("=")
    if not equals or not _KEY.fullmatch(key):
        how = t("write key=value; a key inside a block as block.key=value", "请写成 键=值；块内的键写成 块.键=值")
        raise BadArgument(option=text, problem=how, verb=verb)
    if not value.strip():
        raise BadArgument(option=text, problem=t("it has no value; null means none", "没有值；null 表示空"), verb=verb)
    return key, _value(key, value, verb)


def swept(text: str, verb: str) -> tuple[str, list[tuple[str, Any]]]:
    """Return key and values of `key=value,value`, each as it was written and read as YAML; commas inside brackets or quotes part nothing.

    Raises: BadArgument.
    """
    import yaml

    key, equals, values = text.partition("=")
    if not equals or not _KEY.fullmatch(key):
        how = t("write key=value,value; a key inside a block as block.key", "请写成 键=值,值；块内的键写成 块.键")
        raise BadArgument(option="--sweep", problem=how, verb=verb)
    listed = f"[{values}]"
    try:
        nodes = yaml.compose(listed, yaml.SafeLoader).value  # type: ignore[union-attr]  # a list, by its brackets
    except (yaml.YAMLError, RecursionError) as cause:
        raise BadArgument(option=key, problem=_unreadable(), verb=verb) from cause
    if len(nodes) < _FEWEST:
        problem = t("give at least two values, with commas between them", "请给出至少两个值，以逗号分隔")
        raise BadArgument(option="--sweep", problem=problem, verb=verb)
    written = [listed[one.start_mark.index : one.end_mark.index].strip() for one in nodes]
    return key, [(one, _value(key, one, verb)) for one in written]


def _value(key: str, text: str, verb: str) -> Any:  # noqa: ANN401  of any recipe key
    import yaml

    from ringfence.recipe.read import override_value

    try:
        return override_value(key, text)
    except yaml.YAMLError as cause:
        raise BadArgument(option=key, problem=_unreadable(), verb=verb) from cause


def _unreadable() -> str:
    return t("its value is not readable YAML", "其值不是可读的 YAML")
