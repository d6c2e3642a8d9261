"""LLaMA-Factory's `dataset_info.json`: what a set's name stands for, as an import of ours.

Source: `src/llamafactory/data/parser.py` of LLaMA-Factory, whose defaults are these: once an entry has a `columns` (or `tags`) block, whatever the
block leaves out means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ringfence.core.errors import BadDatasetInfo
from ringfence.core.problems import first_problem
from ringfence.core.text import Text, t
from ringfence.ingest.settings import ImportSettings, Layout, MapRole, TagRole

FILE = "dataset_info.json"
_LIMIT = 4 << 20  # bytes of it
_FORMATS: Mapping[str, str] = {
    "json": "json",
    "jsonl": "json",
    "csv": "csv",
    "parquet": "parquet",
    "txt": "text",
}  # by the ending of a file
_REMOTE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
_TAGS: Mapping[TagRole, str] = {
    "role": "from",
    "content": "value",
    "user": "human",
    "assistant": "gpt",
    "observation": "observation",
    "function": "function_call",
    "system": "system",
}
_ANSWERED: dict[str, MapRole] = {"query": "input", "history": "history", "system": "system"}
_TURNS: dict[str, MapRole] = {"system": "system", "tools": "tools"}
_PAIR: dict[str, MapRole] = {"chosen": "chosen", "rejected": "rejected"}
_LAYOUTS: Mapping[
    tuple[str, str], tuple[Layout, dict[str, MapRole]]
] = {  # by formatting and what is learned: a layout, and its roles by their columns
    ("alpaca", "prompt"): ("text", {"prompt": "text"}),
    ("alpaca", "response"): ("alpaca", {"prompt": "instruction", "response": "output", **_ANSWERED}),
    ("alpaca", "ranking"): ("preference", {"prompt": "prompt", **_PAIR, **_ANSWERED}),
    ("alpaca", "kto_tag"): ("feedback", {"prompt": "prompt", "response": "completion", "kto_tag": "label", **_ANSWERED}),
    ("turns", "response"): ("messages", {"messages": "messages", **_TURNS}),
    ("turns", "ranking"): ("preference", {"messages": "prompt", **_PAIR, **_TURNS}),
    ("turns", "kto_tag"): ("feedback-messages", {"messages": "messages", "kto_tag": "label", **_TURNS}),
}
_MEDIA = ("images", "videos", "audios")
_TAKES_TURNS = ("sharegpt", "openai")
_UNSAFE = Text(
    "{key} would fetch it from elsewhere; download it, look at it, and write file_name instead",
    "{key} 会从别处获取数据；请先下载并检查，再改写为 file_name",
)


class Source(NamedTuple):
    """What the name of a set stands for."""

    path: Path
    settings: ImportSettings


def entries(folder: Path) -> dict[str, Any]:
    """Return what stands in the `dataset_info.json` of a folder, by name; nothing where there is none.

    Raises: BadDatasetInfo.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
        found = json.loads(data) if len(data) <= _LIMIT else None
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError):
        raise BadDatasetInfo(path=str(path), problem=t("it cannot be read as JSON", "无法按 JSON 读取")) from None
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise BadDatasetInfo(path=str(path), problem=t("it is not one object of objects", "不是由对象构成的对象"))
    return found


def _named(entry: Mapping[str, Any], block: str) -> Any:  # noqa: ANN401  any JSON value
    """Return the names of a `columns` or `tags` block; None where the entry has none. null and "" name nothing, as there."""
    found = entry.get(block)
    return {key: name for key, name in found.items() if name not in (None, "")} if isinstance(found, dict) else found


def source_of(folder: Path, name: str, entry: Mapping[str, Any], *, skip_bad: bool = False) -> Source:
    """Return the file that an entry names, and how it is to be imported.

    Raises: BadDatasetInfo where it would leave the machine, needs pictures or sound, or says what no import can do.
    """

    def refuse(problem: str) -> BadDatasetInfo:
        return BadDatasetInfo(path=str(folder / FILE), problem=f"{name}: {problem}")

    if remote := next((key for key in _REMOTE if key in entry), None):
        raise refuse(_UNSAFE.show(key=remote))
    if (problem := _problem(entry)) is not None:
        raise refuse(problem)
    path = folder / str(entry["file_name"])
    if path.is_dir():
        inside = sorted(one for one in path.iterdir() if one.is_file())
        if len(inside) != 1:
            raise refuse(
                t("it names a folder of {n} files; import each of them by name", "它指向含 {n} 个文件的文件夹；请逐个导入", n=len(inside))
            )
        (path,) = inside
    kind = _FORMATS.get(path.suffix[1:].lower())
    if kind is None:
        known = ", ".join(_FORMATS)
        raise refuse(
            t(
                "files that end in {end} are not read; {known} are",
                "不读取以 {end} 结尾的文件；可读 {known}",
                end=path.suffix or "-",
                known=known,
            )
        )
    if not path.is_file():
        raise refuse(t("its file is not there: {path}", "文件不存在：{path}", path=path))
    try:
        settings = ImportSettings.model_validate({"source": f"{name}{path.suffix}", "format": kind, "skip_bad": skip_bad, **_layout(entry)})
    except ValidationError as cause:
        where, told = first_problem(cause)
        raise refuse(".".join((*where, told))) from cause
    return Source(path, settings)


def _problem(entry: Mapping[str, Any]) -> str | None:
    columns, tags = ({} if block not in entry else _named(entry, block) for block in ("columns", "tags"))
    formatting = entry.get("formatting", "alpaca")
    if not all(isinstance(one, dict) and all(isinstance(value, str) for value in one.values()) for one in (columns, tags)):
        return t("columns and tags are objects of names", "columns 与 tags 须为由名称构成的对象")
    media = next((key for key in _MEDIA if key in columns), None)
    problems = (
        (not isinstance(entry.get("file_name"), str), t("it names no file_name", "没有 file_name")),
        (
            formatting not in ("alpaca", *_TAKES_TURNS),
            t("formatting is alpaca, sharegpt or openai", "formatting 须为 alpaca、sharegpt 或 openai"),
        ),
        (media is not None, t("it has {what}; only text is learned", "它含有 {what}；只学习文本", what=media)),
        (
            "tools" in columns and formatting == "alpaca",
            t("tools stand beside conversations: sharegpt or openai", "tools 只能与对话格式（sharegpt 或 openai）一起使用"),
        ),
        (
            entry.get("split", "train") != "train" or entry.get("subset") or entry.get("folder"),
            t("a file has no other split, subset or folder", "文件没有其他 split、subset 或 folder"),
        ),
        (
            entry.get("num_samples") is not None,
            t("num_samples draws rows at random; write max_samples in the recipe", "num_samples 随机抽取行；请在配方中写 max_samples"),
        ),
    )
    return next((problem for is_wrong, problem in problems if is_wrong), None)


def _layout(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return layout, mapping, tags, order and unit of an entry."""
    formatting = entry.get("formatting", "alpaca")
    columns: Mapping[str, str] = _named(entry, "columns") if "columns" in entry else _COLUMNS
    what = "ranking" if entry.get("ranking") else "kto_tag" if "kto_tag" in columns else "response"
    if formatting == "alpaca" and what == "response" and "response" not in columns:
        what = "prompt"  # text to go on reading
    layout, roles = _LAYOUTS["turns" if formatting in _TAKES_TURNS else "alpaca", what]
    found: dict[str, Any] = {"layout": layout, "mapping": {role: columns[name] for name, role in roles.items() if name in columns}}
    if formatting in _TAKES_TURNS:
        named = _named(entry, "tags")
        tags = {key: fallback if named is None else named.get(f"{key}_tag") for key, fallback in _TAGS.items()}
        found |= {"tags": {key: value for key, value in tags.items() if value}, "order": formatting}
    return {**found, "unit": columns.get("unit")}  # our own word: whom a row belongs to
