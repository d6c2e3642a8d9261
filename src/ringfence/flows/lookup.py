"""The sets that a recipe names and the workspace does not have: files that LLaMA-Factory's `dataset_info.json` describes, imported by it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from ringfence.core.errors import BadDatasetInfo, BadValue, UnknownName
from ringfence.core.order import Progress
from ringfence.core.policy import Require, evaluate
from ringfence.core.settings import Name
from ringfence.core.text import t
from ringfence.core.verdict import refusals
from ringfence.flows.import_ import FILE_DIGEST, import_file
from ringfence.ingest.dataset_info import FILE, Source, entries, source_of
from ringfence.ingest.settings import ImportFigures
from ringfence.recipe.read import Recipe
from ringfence.vault.files import file_names, read_file
from ringfence.workspace.arrow import Committed
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

_ASIDE = ("source", "skip_bad")  # settings of an import that say nothing of how a row is read


class Brought(NamedTuple):
    """A set that was imported because a recipe names it."""

    name: str
    path: Path
    committed: Committed
    figures: ImportFigures


def bring_in(space: Workspace, recipe: Recipe, *, show: Callable[[Progress], None] = lambda _: None) -> Iterator[Brought]:
    """Import what a recipe names and only `dataset_info.json` knows, and yield each set as it is made.

    Nothing is imported before all names are found in one place alone: a set of the workspace that has the name of an entry must come from the entry's own
    file, or nobody could tell what is trained on.

    Raises: BadDatasetInfo, BadValue, every error of an import.
    """
    for name, source in absent(space, recipe).items():
        committed, figures = import_file(space, source.path, name=name, settings=source.settings, show=show)
        yield Brought(name, source.path, committed, figures)


def absent(space: Workspace, recipe: Recipe) -> dict[str, Source]:
    """Return the sets that a recipe names and only `dataset_info.json` knows, by name.

    Raises: UnknownName, BadDatasetInfo, BadValue.
    """
    if not recipe.dataset_dir:
        return {}
    folder = Path(recipe.dataset_dir)
    known = _entries(space, recipe, folder)
    found: dict[str, Source] = {}
    for key, names in (("dataset", recipe.datasets), ("eval_dataset", recipe.eval_datasets)):
        for name in names:
            thing = _in_workspace(space, name)
            if thing is None and name not in known:
                _refuse_unknown(space, name, folder)
            if name not in known or "@" in name:  # who names a stage means the workspace
                continue
            if thing is None:
                _refuse_unnamable(name, folder)
                found[name] = source_of(folder, name, known[name])
            elif not _is_of(space, thing, folder, name, known[name]):
                problem = t(
                    "{name} stands in the workspace and, with another file, in {path}; write {name}@{stage} for the one in the workspace, or rename one of them",
                    "{name} 既在工作区中，又以另一个文件出现在 {path} 中；要用工作区中的请写 {name}@{stage}，或重命名其一",
                    name=name,
                    path=folder / FILE,
                    stage=thing.made.stage,
                )
                raise BadValue(key=key, problem=problem)
    return found


def _entries(space: Workspace, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Return the entries of the folder. One that no recipe named may hold another tool's file of that name, which is nobody's while nothing is missing."""
    try:
        return entries(folder)
    except BadDatasetInfo:
        is_named = any(line.key == "dataset_dir" for line in recipe.lines)
        if is_named or any(_in_workspace(space, name) is None for name in (*recipe.datasets, *recipe.eval_datasets)):
            raise
        return {}


def refuse_unprepared(space: Workspace, recipe: Recipe) -> None:
    """Return unless training would import a set that the policy then refuses, for want of a step that people decide on.

    Raises: UnknownName, BadDatasetInfo; BadValue, which names every set that lacks a step.
    """
    required = space.policy().train.require
    steps = [step for step in type(required).model_fields if getattr(required, step) is not None]
    found = absent(space, recipe) if steps else {}
    if not found:
        return
    lacking = [name for name in dict.fromkeys((*recipe.datasets, *recipe.eval_datasets)) if name in found or _lacks_a_step(space, name)]
    problem = t(
        "before training the policy asks for {steps}, and {lacking} did not go through that: ringfence import {file} --entry NAME for each of {absent}, then {commands} for each that lacks it",
        "策略要求训练前经过 {steps}，而 {lacking} 尚未经过：对 {absent} 逐一运行 ringfence import {file} --entry NAME，再对每个缺少步骤的数据集运行 {commands}",
        steps=", ".join(steps),
        lacking=", ".join(lacking),
        file=Path(recipe.dataset_dir or "") / FILE,
        absent=", ".join(found),
        commands=", ".join(f"ringfence {step} NAME" for step in steps),
    )
    raise BadValue(key="dataset", problem=problem)


def _lacks_a_step(space: Workspace, name: str) -> bool:
    thing = _in_workspace(space, name)
    missing = {f"{step} missing" for step in Require.model_fields}
    return thing is not None and any(one.rule in missing for one in refusals(evaluate(space.policy(), space.chain(thing), moment="train")))


def refuse_absent(space: Workspace, recipe: Recipe) -> None:
    """Return when the workspace has all sets of a recipe: what writes nothing imports nothing.

    Raises: BadDatasetInfo, BadValue.
    """
    if found := absent(space, recipe):
        file = Path(recipe.dataset_dir or "") / FILE
        problem = t(
            "not imported yet: {commands}; training does so by itself",
            "尚未导入：{commands}；训练时会自动导入",
            commands=", ".join(f"ringfence import {file} --entry {name}" for name in found),
        )
        raise BadValue(key="dataset", problem=problem)


def _refuse_unknown(space: Workspace, name: str, folder: Path) -> None:
    """Raise UnknownName with the names of the workspace and the file that was looked into, too."""
    try:
        space.state.resolve(name)
    except UnknownName as cause:
        path = folder / FILE
        looked = (
            t("{path} has no such entry", "{path} 中没有该条目", path=path)
            if path.is_file()
            else t("there is no {path}", "没有 {path}", path=path)
        )
        raise UnknownName(name=name, known=f"{cause.facts['known']}; {looked}") from cause


def _in_workspace(space: Workspace, name: str) -> Thing | None:
    try:
        return space.state.resolve(name)
    except UnknownName:
        return None


def _refuse_unnamable(name: str, folder: Path) -> None:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        problem = t(
            "{name} of {path} is no name of a set here; import its file under another one",
            "{path} 中的 {name} 不能作为数据集名称；请以其他名称导入其文件",
            name=name,
            path=folder / FILE,
        )
        raise BadValue(key="dataset", problem=problem) from None


def _is_of(space: Workspace, thing: Thing, folder: Path, name: str, entry: dict[str, object]) -> bool:
    """Return whether a set was imported from the very file of an entry, read as the entry says, whatever was done to it since."""
    account = space.state.accounts.of_set.get(thing.origin)
    if account is None or account not in space.state.things:
        return False
    slot = space.input(space.state.things[account]).slot
    key = space.keys.data_key(slot.slot)
    if FILE_DIGEST not in file_names(slot, key):
        return False
    path, wanted = source_of(folder, name, entry)
    statement = space.state.things[thing.origin].statement
    imported = space.statement(statement).predicate.settings if statement else {}
    if any(imported.get(key) != value for key, value in wanted.model_dump(mode="json").items() if key not in _ASIDE):
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest() == read_file(slot, key, FILE_DIGEST)
