"""Ready recipes: each is one YAML file in this folder, with what it was measured to cost in `figures.json`. A file that is added is listed; nothing else is edited.

The first two lines of a file say what it is for, in English and in Chinese. `benchmarks/presets.py` writes the figures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Annotated, Any, cast

import yaml
from pydantic import Field

from ringfence.core.errors import UnknownPart
from ringfence.core.settings import Settings
from ringfence.core.text import Text, t
from ringfence.recipe.read import recipe_of, strict_yaml

FIGURES = "figures.json"
_SUFFIX = ".yaml"
_FOLDER = files("ringfence.recipe.presets")
_PAIR = Annotated[tuple[float, float], Field(min_length=2, max_length=2)]


class PresetFigures(Settings):
    """What one preset cost and learned, in one run of `ringfence train`."""

    model: str
    rows: Annotated[int, Field(gt=0)]  # that it learned from, canaries included
    longest: Annotated[int, Field(gt=0)]  # tokens of the longest of them; of its question, where answers are drawn
    held_out: Annotated[int, Field(ge=0)]  # rows
    changed: Mapping[str, object]  # keys of the preset that were other than in its file
    steps: Annotated[int, Field(gt=0)]
    seconds: Annotated[float, Field(gt=0)]  # of the whole command
    peak_memory: Annotated[int, Field(gt=0)]  # bytes, of the training process
    tokens_per_second: Annotated[float, Field(gt=0)]  # in steps: read, or read and drawn; padding left out
    loss: _PAIR | None = None  # of the held-out rows, before and after
    reward: _PAIR | None = None  # of drawn answers, in the first step and in the last
    device: str
    dtype: str
    cpu: str
    cores: Annotated[int, Field(gt=0)]  # of the machine
    threads: Annotated[int, Field(gt=0)]  # of the run
    load: Annotated[float, Field(ge=0)]  # processes that were running or waiting, the mean of the run's last minute
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    versions: Mapping[str, str]  # of ringfence and of the libraries that compute


@dataclass(frozen=True)
class Preset:
    """A ready recipe."""

    name: str
    purpose: Text
    text: str  # the file
    figures: PresetFigures | None  # None: not measured


def presets() -> tuple[Preset, ...]:
    """Return all presets, by name."""
    measured = json.loads((_FOLDER / FIGURES).read_text(encoding="utf-8"))
    names = sorted(entry.name.removesuffix(_SUFFIX) for entry in _FOLDER.iterdir() if entry.name.endswith(_SUFFIX))
    return tuple(_preset(name, measured.get(name)) for name in names)


def _preset(name: str, figures: Mapping[str, object] | None) -> Preset:
    text = (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
    english, chinese = (line.removeprefix("# ") for line in text.splitlines()[:2])
    return Preset(name, Text(english, chinese), text, None if figures is None else PresetFigures.model_validate(figures))


def preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises: UnknownPart, which lists the nearest first.
    """
    known = {one.name: one for one in presets()}
    if name in known:
        return known[name]
    nearest = get_close_matches(name, known, n=len(known), cutoff=0.5)
    listed = dict.fromkeys((*nearest, *known))
    raise UnknownPart(kind=t("preset", "预设"), name=name, known=", ".join(listed))


def filled(chosen: Preset, *, model: str | None = None, dataset: str | None = None) -> str:
    """Return the text of a preset with its model and its set named; None leaves what the file has.

    Raises: BadValue for names that no recipe can have.
    """
    text = chosen.text
    for key, value in (("model_name_or_path", model), ("dataset", dataset)):
        text = text if value is None else _named(text, key, value)
    recipe_of(cast("Mapping[str, Any]", strict_yaml(text)))
    return text


def _named(text: str, key: str, value: str) -> str:
    """Return a recipe's text with another value of a key, quoted where YAML must; a comment after it stays."""
    plain = yaml.safe_dump(value, allow_unicode=True, width=float("inf")).removesuffix("...\n").rstrip("\n")
    return re.sub(rf"^{key}: \S+", lambda _: f"{key}: {plain}", text, count=1, flags=re.MULTILINE)
