"""A job's figures cannot carry text, and keep to their vocabulary and precision."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from ringfence.core.order import Count, Counts, Failure, Figures, Keys, Number, Progress, Series


class Colour(Enum):
    RED = 1


class Everything(Figures):
    rows: Count = 0
    loss: Number | None = None
    losses: Series = ()
    kinds: Counts = {}
    colour: Colour | None = None
    device: Literal["cpu", "cuda"] = "cpu"


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        str | None,
        Annotated[str, Field(max_length=3)],
        Annotated[str, Field(pattern="^[0-9a-f]{64}$")],
        list[int],
        tuple[int, ...],
        dict[str, int],
        dict[str, str],
        Annotated[tuple[str, ...], Field(max_length=2)],
        bytes,
        Any,
    ],
)
def test_a_field_that_could_carry_text_is_refused_when_its_class_is_made(annotation):
    with pytest.raises(TypeError, match="could carry text"):
        type("Leaky", (Figures,), {"__annotations__": {"leak": annotation}, "__module__": __name__})


def test_numbers_are_rounded_to_six_digits():
    assert Everything(loss=1.23456789).loss == 1.23457
    assert Everything(losses=(0.1234567,)).losses == (0.123457,)


@pytest.mark.parametrize(
    "bad", [{"loss": float("nan")}, {"loss": float("inf")}, {"loss": 1e16}, {"rows": -1}, {"rows": 1 << 60}, {"extra": 1}]
)
def test_numbers_outside_their_range_are_refused(bad):
    with pytest.raises(ValidationError):
        Everything(**bad)


def test_counts_use_only_words_of_the_order():
    context = {"vocabulary": ("EMAIL",)}
    assert Everything.model_validate({"kinds": {"EMAIL": 3}}, context=context).kinds == {"EMAIL": 3}
    with pytest.raises(ValidationError):
        Everything.model_validate({"kinds": {"secret text": 1}}, context=context)


def test_a_failure_names_a_place_of_ringfence_and_numbers_only():
    assert Failure(error="ValueError", at="ringfence.train.loop:12", facts={"row": 3})
    for bad in (
        {"at": "os.path:1"},
        {"error": "has spaces"},
        {"facts": {"row": "text"}},
        {"facts": {chr(97 + i // 26) + chr(97 + i % 26): i for i in range(33)}},
    ):
        with pytest.raises(ValidationError):
            Failure.model_validate({"error": "ValueError", "at": "ringfence.train.loop:12", **bad})


def test_the_numbers_of_a_failure_are_as_narrow_as_figures():
    made = Failure.model_validate_json('{"error": "ValueError", "at": "ringfence.train.loop:12", "facts": {"loss": 1.23456789, "row": 7}}')
    assert made.facts == {"loss": 1.23457, "row": 7}
    for bad in ("1" + "0" * 300, "1e300", "-1e18", "NaN"):
        with pytest.raises(ValidationError):
            Failure.model_validate_json(f'{{"error": "ValueError", "at": "ringfence.train.loop:12", "facts": {{"row": {bad}}}}}')


def test_keys_do_not_print():
    assert "61" not in repr(Keys(data={"a": b"aaaa"}, purpose={"b": b"aaaa"}))
    assert "aaaa" not in repr(Keys(data={"a": b"aaaa"}, purpose={"b": b"aaaa"}))


def test_progress_has_no_room_for_text():
    with pytest.raises(ValidationError):
        Progress.model_validate({"done": 1, "total": 2, "phase": "a patient's name"})
