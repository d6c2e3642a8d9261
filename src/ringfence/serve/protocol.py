"""OpenAI's chat completions and completions, as far as a served bundle speaks them: requests read, answers and errors written. Light: no web framework."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ringfence.core.errors import RequestInvalid, RingfenceError
from ringfence.core.text import t
from ringfence.serve.wire import Ask, Role, Stop, Turn

# Who asks, what is to be kept and how soon: no answer is another by these. Of calls at once there is none where there are no tools.
_IDLE = frozenset(
    (
        *("user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prediction"),
        *("parallel_tool_calls", "cache_salt", "priority", "request_id"),
    )
)
# Whatever else a request asks for is refused: it would change the answer and is not built, or nobody knows it. An answer that ignored it would mislead.
_NOTHING: tuple[Any, ...] = (None, [], {})  # values that ask for nothing, whatever the key
_DEFAULTS: Mapping[str, tuple[Any, ...]] = {  # name -> further ones
    "n": (1,),
    "top_logprobs": (0,),
    "tool_choice": ("none", "auto"),  # there are no tools
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "echo": (False,),
    # what other servers sample by
    "min_p": (0,),
    "typical_p": (1,),
    "length_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "min_tokens": (0,),
    "best_of": (1,),
    "use_beam_search": (False,),
    "ignore_eos": (False,),
    # how they lay prompts out and write answers
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "add_special_tokens": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "include_reasoning": (True,),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
}
_DEFAULTS_CHAT = {**_DEFAULTS, "logprobs": (False,)}
_DEFAULTS_TEXT = {**_DEFAULTS, "suffix": ("",)}  # no `logprobs`: a 0 would ask for the probability of each token
_DEFAULT_TEXT = 16  # tokens of a completion where a request says nothing, as OpenAI's


class _Part(BaseModel):
    """A part of a message."""

    type: Literal["text"]
    text: str


class _Message(BaseModel):
    """One message of a request."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]

    def turn(self) -> Turn:
        """Return the message as the engine takes it."""
        role: Role = "system" if self.role == "developer" else self.role
        return Turn(role=role, content=self.content if isinstance(self.content, str) else "".join(part.text for part in self.content))


class _StreamOptions(BaseModel):
    """What a stream carries besides pieces."""

    include_usage: bool = False


class _Request(BaseModel):
    """What both kinds of requests say. Keys that change no answer (user, metadata, store, …) are ignored."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    defaults: ClassVar[Mapping[str, tuple[Any, ...]]]

    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None  # OpenAI's default, 1; 0 always takes the likeliest token
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None  # as other servers': -1 and 0 mean all tokens
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Return the request.

        Raises: RequestInvalid, naming the place and never quoting what stands there.
        """
        try:
            request = cls.model_validate_json(body)
        except ValidationError as cause:
            first = cause.errors(include_input=False, include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            raise RequestInvalid(where=where, problem=first["msg"]) from None  # the cause holds the input
        for name, value in (request.model_extra or {}).items():
            if name not in _IDLE and value not in (*_NOTHING, *cls.defaults.get(name, ())):
                raise RequestInvalid(
                    where=name if name.isidentifier() else "body", problem=t("this server does not offer it", "本服务不提供")
                )
        return request

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def _ask(self, *, id_: int, bundle: int, most: int, **asked: Any) -> Ask:  # noqa: ANN401  what is answered
        """Return what the engine is asked: at most `most` tokens, and a seed of our own where none was given."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Ask(
            id=id_,
            bundle=bundle,
            max_tokens=most,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(0, self.top_k or 0),
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            stop=tuple(stops),
            seed=secrets.randbits(63) if self.seed is None else self.seed % (1 << 63),
            **asked,
        )


class ChatRequest(_Request):
    """A request for an answer in a conversation."""

    defaults = _DEFAULTS_CHAT

    messages: Annotated[list[_Message], Field(min_length=1, max_length=1_000)]
    max_completion_tokens: Annotated[int, Field(gt=0)] | None = None

    def ask(self, *, id_: int, bundle: int, most: int) -> Ask:
        """Return what the engine is asked: an answer of one bundle, of at most `most` tokens."""
        most = min(self.max_completion_tokens or self.max_tokens or most, most)
        return self._ask(id_=id_, bundle=bundle, most=most, messages=tuple(message.turn() for message in self.messages))

    def conversation(self) -> str:
        """Return all that was said before the answer, for the canary alarm."""
        return "\n".join(message.turn().content for message in self.messages)

    def said(self) -> str:
        """Return what the model said of it, as the client tells."""
        return "\n".join(message.turn().content for message in self.messages if message.role == "assistant")


class TextRequest(_Request):
    """A request for how a text goes on: no chat template is put around it."""

    defaults = _DEFAULTS_TEXT

    prompt: Annotated[str, Field(min_length=1)] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1)]

    def ask(self, *, id_: int, bundle: int, most: int) -> Ask:
        """Return what the engine is asked: an answer of one bundle, of at most `most` tokens."""
        return self._ask(id_=id_, bundle=bundle, most=min(self.max_tokens or _DEFAULT_TEXT, most), prompt=self.conversation())

    def conversation(self) -> str:
        """Return the text that goes on."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    def said(self) -> str:
        """Return what the model said of it: nobody knows."""
        return ""


Finish = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True)
class Piece:
    """What came of an answer."""

    text: str
    finish: Finish | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    is_withdrawn: bool = False  # it would have told a canary: who has seen nothing of it yet sees nothing

    @property
    def usage(self) -> dict[str, int]:
        """The tokens so far."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }


@dataclass(frozen=True)
class Writer:
    """Writes one answer in OpenAI's shape of a conversation."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, last: Piece) -> dict[str, Any]:
        """Return the document of a whole answer."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": last.finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": last.usage}

    def chunk(self, piece: Piece, *, is_first: bool = False) -> dict[str, Any]:
        """Return one event of a stream."""
        delta = ({"role": "assistant"} if is_first else {}) | ({"content": piece.text} if piece.text or is_first else {})
        return {**self._head("chat.completion.chunk"), "choices": [{"index": 0, "delta": delta, "finish_reason": piece.finish}]}

    def usage(self, last: Piece) -> dict[str, Any]:
        """Return the event that ends a stream whose request wanted the usage."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": last.usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


@dataclass(frozen=True)
class TextWriter(Writer):
    """Writes one answer in OpenAI's shape of a text that goes on."""

    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")

    def whole(self, text: str, last: Piece) -> dict[str, Any]:
        """Return the document of a whole answer."""
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": last.finish}
        return {**self._head("text_completion"), "choices": [choice], "usage": last.usage}

    def chunk(self, piece: Piece, *, is_first: bool = False) -> dict[str, Any]:  # noqa: ARG002  a first piece is like any other
        """Return one event of a stream."""
        choice = {"index": 0, "text": piece.text, "logprobs": None, "finish_reason": piece.finish}
        return {**self._head("text_completion"), "choices": [choice]}

    def usage(self, last: Piece) -> dict[str, Any]:
        """Return the event that ends a stream whose request wanted the usage."""
        return {**self._head("text_completion"), "choices": [], "usage": last.usage}


def error_document(error: RingfenceError) -> dict[str, Any]:
    """Return an error in OpenAI's shape: our code, what happened and what to do now."""
    what, remedy = error.sentences()
    param = error.facts.get("where")
    return {"error": {"message": f"{what}; {remedy}", "type": _kind(error.http_status), "param": param, "code": error.code}}


def _kind(status: int) -> str:
    named = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    return named.get(status) or ("invalid_request_error" if status < 500 else "server_error")  # noqa: PLR2004  HTTP's server errors
