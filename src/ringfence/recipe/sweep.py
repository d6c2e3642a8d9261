"""A sweep: one recipe, with one of its keys set to each of several values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.core.errors import BadValue
from ringfence.core.text import t
from ringfence.recipe.drawn import DRAWING
from ringfence.recipe.read import Recipe, document_of, recipe_of, with_value
from ringfence.train.settings import Cut

EPSILON = "privacy.epsilon"
ORDINARY = "none"  # as a value of privacy.epsilon: a run without a privacy block
_ORDINARY_RATE = 1e-3  # between those at which ordinary runs were measured: docs/privacy.md, sections 6 and 7


@dataclass(frozen=True)
class Variant:
    """The recipe with one value of the swept key."""

    told: str  # the value, as it was written
    at: float | None  # the same as a number; None where it is none
    recipe: Recipe


@dataclass(frozen=True)
class Sweep:
    """Recipes that differ in one key."""

    key: str  # a key inside a block has a dot: privacy.epsilon
    variants: tuple[Variant, ...]

    @property
    def is_of_privacy(self) -> bool:
        """Whether the runs differ in what they promise: a value then is an epsilon, or no promise at all."""
        return self.key == EPSILON


_SCALES = ("stage", "pref_loss", "pref_beta", "pref_ftx", "dpo_label_smoothing", "simpo_gamma", "kto_chosen_weight", "kto_rejected_weight")


def sweep(path: Path, key: str, values: Sequence[tuple[str, object]], overrides: Mapping[str, Any] | None = None) -> Sweep:
    """Return the recipe of a YAML file with each of the values in the place of `key`; `overrides` hold for all of them.

    values: as they were written, and as they are. Of privacy.epsilon, `none` leaves the privacy block out; where private runs find their rate, it is
    AdamW at 1e-3.

    Raises: RecipeUnreadable, UnknownKey, RefusedKey, BadValue also where nothing would tell the runs apart: without held-out rows, or two values
    that are the same.
    """
    if key in _SCALES:
        raise BadValue(key=key, problem=t("its values have losses that cannot be compared with each other", "其各取值的损失不可相互比较"))
    document = document_of(path, overrides)
    if document.get("stage") in DRAWING:  # before it is asked for rows that such a run would not read
        raise BadValue(
            key="stage",
            problem=t(
                "a sweep compares losses on held-out rows, and a run of stage {stage} has none; train each value, then: ringfence eval RUN --data SET",
                "参数扫描比较留出行上的损失，而 stage 为 {stage} 的运行没有此损失；请逐个取值训练，然后用 ringfence eval RUN --data SET",
                stage=document["stage"],
            ),
        )
    found: list[Variant] = []
    for told, value in values:
        recipe = recipe_of(_with(document, key, value))
        if not recipe.order.train.eval:
            raise BadValue(key="eval_dataset", problem=t("a sweep compares runs on held-out rows", "参数扫描需要留出集来比较各次运行"))
        if found and _held_out(recipe) != _held_out(found[0].recipe):
            raise BadValue(
                key=key,
                problem=t(
                    "its values hold out other rows, so that losses cannot be compared; name one eval_dataset for all of them",
                    "其各取值留出的行不同，损失不可相互比较；请为所有取值写同一个 eval_dataset",
                ),
            )
        if any(recipe == other.recipe for other in found):
            raise BadValue(
                key=key, problem=t("{value} makes the same run as another value", "{value} 与另一个值得到同样的运行", value=told)
            )
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        found.append(Variant(told, float(value) if is_number else None, recipe))  # type: ignore[arg-type]  # is_number says so
    return Sweep(key, tuple(found))


def _held_out(recipe: Recipe) -> tuple[tuple[str, ...], Cut]:
    """Return what decides which rows are held out: sets of their own, and how many rows of each; else the sets that are learned from, and what is taken of them."""
    return (recipe.eval_datasets, recipe.cut.of_evaluation) if recipe.eval_dataset else (recipe.datasets, recipe.cut)


def _rate_beside(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an ordinary run learns by where private runs find a rate for their noise: the default of ordinary recipes hardly moves in so few steps."""
    is_found = document.get("learning_rate") is None and document.get("optim") in (None, "sgd")
    return {"optim": "adamw_torch", "learning_rate": _ORDINARY_RATE} if is_found else {}


def _with(document: Mapping[str, Any], key: str, value: object) -> dict[str, Any]:
    """Return the document with a value in the place of a key."""
    if key == EPSILON and value in (ORDINARY, None):
        return {name: block for name, block in document.items() if name != "privacy"} | _rate_beside(document)
    return with_value(document, key, value)
