"""The turns of a conversation as files write them: OpenAI messages or ShareGPT, content as text or as text parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ringfence.core.records import ROLES

Turns = list[tuple[str, str]]  # (role, text)

_SHAREGPT = {"human": "user", "gpt": "assistant", "observation": "tool", "function_call": "assistant", "function": "tool"}
_DEVELOPER = {"developer": "system"}  # OpenAI's newer word
_ROLES: dict[str, str] = {**dict(zip(ROLES, ROLES, strict=True)), **_SHAREGPT, **_DEVELOPER}
_MEANINGFUL = ("tool_calls", "function_call", "weight", "loss_weight")  # would change what is learned, so never dropped in silence


class Refused(Exception):
    """A row cannot be used: `reason` is a name of ROW_REASONS. Always caught in this package."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def text_of(value: Any) -> str:  # noqa: ANN401  any JSON value
    """Return `value` if it is text.

    Raises: Refused.
    """
    if not isinstance(value, str):
        raise Refused("wrong-type")
    return value


def turns_of(value: Any) -> Turns:  # noqa: ANN401  any JSON value
    """Return role and text of each turn of a list of messages.

    Raises: Refused.
    """
    if not isinstance(value, list):
        raise Refused("wrong-type")
    if not value:
        raise Refused("empty")
    return [_turn(message) for message in value]


def _turn(message: Any) -> tuple[str, str]:  # noqa: ANN401  any JSON value
    if not isinstance(message, dict) or any(message.get(key) is not None for key in _MEANINGFUL):
        raise Refused("wrong-type")
    role = message.get("role", message.get("from"))
    if not isinstance(role, str) or role not in _ROLES:
        raise Refused("bad-role")
    content = message.get("content", message.get("value"))
    return _ROLES[role], _joined(content)


def _joined(content: Any) -> str:  # noqa: ANN401  any JSON value
    if content is None:
        raise Refused("missing-text")
    if not isinstance(content, list):
        return text_of(content)
    return "".join(map(_part, content))


def _part(part: Any) -> str:  # noqa: ANN401  any JSON value
    if not isinstance(part, Mapping) or part.get("type") != "text":
        raise Refused("wrong-type")
    return text_of(part.get("text", part.get("value")))
