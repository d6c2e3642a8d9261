"""What the front and the engine of `serve.v1` say to each other over the text channel: one JSON text a turn each way. Light: the host imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ringfence.core.settings import Settings

Role = Literal["system", "user", "assistant"]
Stop = Annotated[str, Field(min_length=1, max_length=1_000)]


class Turn(Settings):
    """One message of a conversation."""

    role: Role
    content: str


class Ask(Settings):
    """One conversation to answer, or one text to continue."""

    id: Annotated[int, Field(ge=0)]
    bundle: Annotated[int, Field(ge=0)] = 0  # who answers: the number of a served bundle
    messages: tuple[Turn, ...] = ()
    prompt: Annotated[str, Field(min_length=1)] | None = None  # continued as it stands, without the chat template
    max_tokens: Annotated[int, Field(gt=0)]
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0  # 0: always the likeliest token
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0  # 0: all
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    stop: Annotated[tuple[Stop, ...], Field(max_length=4)] = ()
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.messages) == (self.prompt is not None):
            raise ValueError("either messages or a prompt")
        return self

    @property
    def asked(self) -> tuple[str, ...]:
        """What others than the model said before the answer."""
        return tuple(turn.content for turn in self.messages if turn.role != "assistant") if self.prompt is None else (self.prompt,)

    @property
    def said(self) -> tuple[str, ...]:
        """The model's answers before this one, as the client tells them."""
        return tuple(turn.content for turn in self.messages if turn.role == "assistant")


class Orders(Settings):
    """What the front says: whom to answer from now on, whom no longer."""

    ask: Ask | None = None  # at most one a turn: two could be longer than a frame
    cancel: tuple[int, ...] = ()


class Said(Settings):
    """A piece of one answer. With `finish` it is the last.

    finish: "unfit" means that the model's chat template refused the conversation, "blocked" that the replay guard refused too many tokens at one place.
    text: what the model said, for the canary alarm.  shown: under a filter, what the client may see, which comes a sentence later.
    masked: how many identifiers of each kind the filter took out of it.  blocked: how many tokens the replay guard refused so far.
    """

    id: Annotated[int, Field(ge=0)]
    text: str = ""
    shown: str | None = None
    masked: Annotated[Mapping[str, Annotated[int, Field(gt=0)]], Field(max_length=1_000)] = {}
    finish: Literal["stop", "length", "unfit", "blocked"] | None = None
    prompt_tokens: Annotated[int, Field(ge=0)] = 0
    tokens: Annotated[int, Field(ge=0)] = 0  # generated so far
    blocked: Annotated[int, Field(ge=0)] = 0


class Told(Settings):
    """What the engine says after a turn."""

    said: Annotated[tuple[Said, ...], Field(max_length=1_000)]
