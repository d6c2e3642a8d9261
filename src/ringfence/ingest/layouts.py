"""What the columns of a row mean: conversations, instructions, pairs, preferences, plain text; named or detected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from ringfence.core.records import Kind, Record
from ringfence.ingest.settings import NEEDED, OPTIONAL, ImportSettings, Layout, Order, TagRole
from ringfence.ingest.turns import ANSWERS, Refused, Turns, text_of, tools_of, turns_of

_PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("query", "response"),
    ("instruction", "response"),
    ("input", "output"),
    ("问题", "回答"),
    ("问题", "答案"),
    ("提问", "回答"),
)
_LABELS = ("label", "kto_tag")
_OWN_NAMES: dict[Layout, tuple[tuple[str, ...], ...]] = {  # column names, in the order of NEEDED, by which a layout is recognised
    "messages": (("messages",), ("conversations",)),
    "feedback-messages": tuple((turns, label) for turns in ("messages", "conversations") for label in _LABELS),
    "feedback": tuple((*names, label) for names in (("instruction", "output"), *_PAIRS) for label in _LABELS),
    "preference": (("prompt", "chosen", "rejected"), ("instruction", "chosen", "rejected"), ("conversations", "chosen", "rejected")),
    "alpaca": (("instruction", "output"),),
    "pair": _PAIRS,
    "text": (("text",), ("文本",)),
}
# The more demanding ones first.
_ORDER: tuple[Layout, ...] = ("preference", "feedback-messages", "feedback", "messages", "alpaca", "pair", "text")


@dataclass(frozen=True, slots=True)
class Content:
    """The natural-language part of a row."""

    kind: Kind
    roles: tuple[str, ...]
    texts: tuple[str, ...]

    def data(self) -> bytes:
        """Return the bytes over which equal content is recognised: the same as `Record.content`."""
        return Record("", "", "", self.kind, self.roles, self.texts).content()


@dataclass(frozen=True)
class Plan:
    """A layout and the columns of the file that fill its roles."""

    layout: Layout
    columns: Mapping[str, str]  # role -> column
    tags: Mapping[TagRole, str] = field(default_factory=dict)  # of messages
    order: Order = "any"

    def content(self, row: Mapping[str, Any]) -> Content:
        """Return the content of one row.

        Raises: Refused.
        """
        return _BUILDERS[self.layout](_Cells(row, self))


def detect(row: Mapping[str, Any], settings: ImportSettings) -> Plan | None:
    """Return the plan that fits the columns of `row`, or None; what the user mapped always holds."""
    if settings.mapping:
        layout = settings.mapped_layout()
        columns = {str(role): column for role, column in settings.mapping.items()}
        return Plan(layout, columns, settings.tags, settings.order) if layout else None
    for layout in _ORDER:
        if settings.layout not in ("auto", layout):
            continue
        for names in _OWN_NAMES[layout]:
            if all(name in row for name in names) and (layout not in _JUDGED or _judges(row, names[-1], settings)):
                roles = (*OPTIONAL[layout], *NEEDED[layout])
                return Plan(layout, dict(zip(roles, (*OPTIONAL[layout], *names), strict=True)), settings.tags, settings.order)
    return None


class _Cells:
    """A row seen through the roles of a layout."""

    def __init__(self, row: Mapping[str, Any], plan: Plan) -> None:
        self._row, self._columns = row, plan.columns
        self.order, self._tags = plan.order, plan.tags

    def get(self, role: str) -> Any:  # noqa: ANN401  any JSON value
        """Return the value of the role's column; None when it is absent."""
        return self._row.get(self._columns.get(role, ""))

    def needed(self, role: str) -> Any:  # noqa: ANN401  any JSON value
        """Return the value of the role's column.

        Raises: Refused when there is none.
        """
        value = self.get(role)
        if value is None:
            raise Refused("missing-text")
        return value

    def turns(self, value: Any, order: Order = "any", *, is_asked: bool = False) -> Turns:  # noqa: ANN401  any JSON value
        """Return the turns of a list of messages, by the names that the file has for keys and roles.

        Raises: Refused.
        """
        return turns_of(value, self._tags, order, is_asked=is_asked)

    def text(self, role: str) -> str:
        """Return the text of the role.

        Raises: Refused when it is absent, no text or blank.
        """
        text = text_of(self.needed(role))
        if not text.strip():
            raise Refused("empty")
        return text

    def optional_text(self, role: str) -> str:
        """Return the text of the role, "" when it is absent.

        Raises: Refused when it is no text.
        """
        value = self.get(role)
        return "" if value is None else text_of(value)


def _messages(cells: _Cells) -> Content:
    return _conversation("messages", _turns(cells))


def _turns(cells: _Cells) -> Turns:
    return _opened(cells, cells.turns(cells.needed("messages"), cells.order))


def _opened(cells: _Cells, turns: Turns) -> Turns:
    """Return the turns after the tools that may be called in them, and after what the row says apart from them to the system."""
    tools = tools_of(cells.get("tools"))
    return [*tools, *turns] if turns[0][0] == "system" else [*tools, *_system(cells), *turns]


def _conversation(kind: Kind, turns: Turns) -> Content:
    answers = [text for role, text in turns if role in ANSWERS]
    asked = [role for role, _ in turns if role not in ("tools", "system")]
    if not answers or asked[0] in ANSWERS:
        raise Refused("bad-role")
    if not any(map(str.strip, answers)):
        raise Refused("empty")
    return Content(kind, tuple(role for role, _ in turns), tuple(text for _, text in turns))


def _alpaca(cells: _Cells) -> Content:
    question = _question(cells, "instruction")
    history = list(_history(cells.get("history")))
    turns = [*_system(cells), *history, ("user", question), ("assistant", cells.text("output"))]
    return _conversation("messages" if history else "pair", turns)


def _question(cells: _Cells, role: str) -> str:
    """Return what is asked and what belongs to it, one below the other; one of the two may be empty.

    Raises: Refused.
    """
    asked = "\n".join(filter(None, (text_of(cells.needed(role)), cells.optional_text("input"))))
    if not asked.strip():
        raise Refused("empty")
    return asked


def _history(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  any JSON value
    if value is None or value in ("", []):
        return
    if not isinstance(value, list):
        raise Refused("wrong-type")
    for round_ in value:
        if not isinstance(round_, list) or len(round_) != 2:  # noqa: PLR2004  question and answer
            raise Refused("wrong-type")
        yield "user", text_of(round_[0])
        yield "assistant", text_of(round_[1])


def _system(cells: _Cells) -> Turns:
    text = cells.optional_text("system")
    return [("system", text)] if text.strip() else []


def _pair(cells: _Cells) -> Content:
    return _conversation("pair", [*_system(cells), ("user", cells.text("prompt")), ("assistant", cells.text("completion"))])


def _text(cells: _Cells) -> Content:
    return Content("text", ("text",), (cells.text("text"),))


def _preference(cells: _Cells) -> Content:
    turns = _asked(cells)
    answers = [_said(cells, cells.needed(role)) for role in _CANDIDATES]
    if turns[-1][0] not in ("user", "tool") or next(role for role, _ in turns if role not in ("tools", "system")) != "user":
        raise Refused("bad-role")
    if not all(map(str.strip, (turns[-1][1], *answers))):
        raise Refused("empty")
    return Content("preference", (*(role for role, _ in turns), *_CANDIDATES), (*(text for _, text in turns), *answers))


def _asked(cells: _Cells) -> Turns:
    """Return the turns before the answers that people compared or judged."""
    prompt = cells.needed("prompt")
    if isinstance(prompt, str):
        return _opened(cells, [*_history(cells.get("history")), ("user", _question(cells, "prompt"))])
    if cells.get("input") or cells.get("history"):
        raise Refused("wrong-type")  # a list of turns has room for them, and says nothing of where they belong
    return _opened(cells, cells.turns([prompt] if isinstance(prompt, dict) else prompt, cells.order, is_asked=True))


_CANDIDATES = ("chosen", "rejected")
_JUDGED: tuple[Layout, ...] = ("feedback", "feedback-messages")


def _feedback(cells: _Cells) -> Content:
    return _judged(cells, [*_asked(cells), ("assistant", cells.text("completion"))])


def _feedback_messages(cells: _Cells) -> Content:
    return _judged(cells, _turns(cells))


def _judged(cells: _Cells, turns: Turns) -> Content:
    """Return a conversation whose last answer people liked or did not."""
    is_liked = _is_liked(cells.needed("label"))
    if is_liked is None:
        raise Refused("wrong-type")
    found = _conversation("feedback", turns)
    if found.roles[-1] not in ANSWERS:
        raise Refused("bad-role")
    if not found.texts[-1].strip():
        raise Refused("empty")
    return Content("feedback", (*found.roles[:-1], "liked" if is_liked else "disliked"), found.texts)


def _judges(row: Mapping[str, Any], column: str, settings: ImportSettings) -> bool:
    """Return whether a column says what people liked. One that is called label may say anything, unless the user named the layout."""
    return _is_liked(row[column]) is not None and (column != "label" or settings.layout != "auto")


def _is_liked(value: Any) -> bool | None:  # noqa: ANN401  any JSON value
    """Return what a label says: a truth value, or its name in a table; None for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def _said(cells: _Cells, value: Any) -> str:  # noqa: ANN401  any JSON value
    """Return an answer: a text, one message, or a list that ends in the only message of the assistant, which says something or calls."""
    if isinstance(value, str):
        return value
    turns = cells.turns([value] if isinstance(value, dict) else value)
    said = [text for role, text in turns if role in ANSWERS]
    if len(said) != 1 or turns[-1][0] not in ANSWERS:
        raise Refused("bad-role")  # what people compared over more than one turn is no single answer
    return said[0]


_BUILDERS: dict[Layout, Callable[[_Cells], Content]] = {
    "messages": _messages,
    "alpaca": _alpaca,
    "pair": _pair,
    "text": _text,
    "preference": _preference,
    "feedback": _feedback,
    "feedback-messages": _feedback_messages,
}
assert set(_BUILDERS) == set(_ORDER) == set(get_args(Layout))  # noqa: S101  a layout without builder fails at import
