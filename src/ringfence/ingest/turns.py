"""The turns of a conversation as files write them: OpenAI messages or ShareGPT, content as text or as text parts, calls of tools in either form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ringfence.ingest.settings import Order, TagRole

Turns = list[tuple[str, str]]  # (role, text)
ANSWERS = ("assistant", "call")  # roles of what a model says

_CHAT = {role: role for role in ("system", "user", "assistant", "tool")}
_SHAREGPT = {"human": "user", "gpt": "assistant", "observation": "tool", "function_call": "call", "function": "tool"}
_DEVELOPER = {"developer": "system"}  # OpenAI's newer word
_ROLES: dict[str, str] = {**_CHAT, **_SHAREGPT, **_DEVELOPER}
_TAGGED: Mapping[TagRole, str] = {"user": "user", "assistant": "assistant", "observation": "tool", "function": "call", "system": "system"}
_WEIGHTS = ("weight", "loss_weight")  # others than 1 would change what is learned, so they are never dropped in silence


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


def turns_of(
    value: Any,  # noqa: ANN401  any JSON value
    tags: Mapping[TagRole, str] | None = None,
    order: Order = "any",
    *,
    is_asked: bool = False,
) -> Turns:
    """Return role and text of each turn of a list of messages; one that says something and calls at once is two turns, and one answer.

    tags: the names that this file has for keys and roles; without them the usual ones. order: in which messages have to follow each other.
    is_asked: the last one is a question.

    Raises: Refused.
    """
    if not isinstance(value, list):
        raise Refused("wrong-type")
    if not value:
        raise Refused("empty")
    found = [_turns(message, tags or {}) for message in value]
    _refuse_disorder([turns[-1][0] for turns in found], order, is_asked=is_asked)
    return [turn for turns in found for turn in turns]


def _refuse_disorder(roles: Sequence[str], order: Order, *, is_asked: bool) -> None:
    """Return when questions and answers take turns, as LLaMA-Factory wants them: a question or what a tool says, then an answer or a call.

    roles: of each message. order: of "openai", what several tools say counts as one turn; of "any", every order will do.

    Raises: Refused.
    """
    if order == "any":
        return
    roles = [role for role in roles if role != "system"]
    if order == "openai":
        roles = [role for role, before in zip(roles, ["", *roles], strict=False) if not role == before == "tool"]
    answers = [role in ANSWERS for role in roles]
    if answers != [bool(place % 2) for place in range(len(answers))] or len(answers) % 2 != is_asked:
        raise Refused("bad-role")


def tools_of(value: Any) -> Turns:  # noqa: ANN401  any JSON value
    """Return what may be called, as the turn before all others; none where a row has no tools. value: a list of schemas, or its JSON.

    Raises: Refused.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    found = _parsed(value) if isinstance(value, str) else value
    if found in ([], {}):
        return []
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Refused("wrong-type")
    return [("tools", _told(found))]


def _turns(message: Any, tags: Mapping[TagRole, str]) -> Turns:  # noqa: ANN401  any JSON value
    if not isinstance(message, dict):
        raise Refused("wrong-type")
    if any(message.get(key) not in (None, 1) for key in _WEIGHTS):
        raise Refused("weighted")
    role = message.get(tags["role"]) if "role" in tags else message.get("role", message.get("from"))
    roles = {name: _TAGGED[key] for key, name in tags.items() if key in _TAGGED} or _ROLES
    if not isinstance(role, str) or role not in roles:
        raise Refused("bad-role")
    content = message.get(tags["content"]) if "content" in tags else message.get("content", message.get("value"))
    calls = message.get("tool_calls") or message.get("function_call")
    if calls is not None and roles[role] in ANSWERS:
        said = _joined(content) if content is not None else ""
        return [*([("assistant", said)] if said.strip() else []), ("call", _told(_calls(calls)))]
    if calls is not None:
        raise Refused("wrong-type")
    text = _joined(content)
    return [(roles[role], _as_call(text) if roles[role] == "call" else text)]


def _calls(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401  any JSON value
    """Return calls as names and arguments, whether they are OpenAI's or bare."""
    calls = value if isinstance(value, list) else [value]
    found = [call.get("function", call) if isinstance(call, dict) else None for call in calls]
    if not found or not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in found):
        raise Refused("wrong-type")
    return [{"name": call["name"], "arguments": _arguments(call.get("arguments", {}))} for call in found if call]


def _arguments(value: Any) -> Any:  # noqa: ANN401  any JSON value
    found = _parsed(value) if isinstance(value, str) else value
    return value if found is None else found


def _as_call(text: str) -> str:
    """Return a call that is written as JSON in one way; what is no JSON is what the assistant said."""
    found = _parsed(text)
    try:
        return _told(_calls(found))
    except Refused:
        return text


def _parsed(text: str) -> Any:  # noqa: ANN401  any JSON value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _told(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # no escapes: identifiers are looked for in it


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
