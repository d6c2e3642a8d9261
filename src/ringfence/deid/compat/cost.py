"""How much work a regular expression can make of one place of a text.

Python's engine tries one way after another. For an expression from outside we bound the number of ways before it runs: a repeat multiplies it by the
lengths that it can have, unless what follows tells at once where it ends.
"""

from __future__ import annotations

import re
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST_WAYS = 100_000
LONGEST = 256  # repeats without an end are given this one
_FLAGS = re.DOTALL | re.MULTILINE | re.IGNORECASE
_ONE = frozenset({op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY})
_NO_WIDTH = frozenset({op.ASSERT, op.ASSERT_NOT, op.AT})
_REPEATS = frozenset({op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT})


class Unbounded(ValueError):
    """The expression refers back to what it matched, or can be tried in too many ways."""


def check(expression: str) -> None:
    """Raise Unbounded for an expression that may not run, re.error for one that is none."""
    tree = parser.parse(expression, _FLAGS)
    if tree.state.flags & re.VERBOSE or _ways(list(tree)) > MOST_WAYS:
        raise Unbounded


def _ways(items: list[Any]) -> int:
    """Return a bound on the ways to match a sequence from one place."""
    total = 1
    for item in reversed(list(enumerate(items))):
        number, (code, value) = item
        rest = items[number + 1 :]
        if code in _REPEATS and _is_told_apart(value, rest):
            total += _longest(value)
        elif code in (op.ASSERT, op.ASSERT_NOT):
            total += _ways(list(value[1])) - 1
        else:
            total *= _of(code, value)
        if total > MOST_WAYS:
            raise Unbounded
    return total


def _of(code: Any, value: Any) -> int:  # noqa: ANN401  the parser is untyped
    if code in _ONE or code is op.AT:
        return 1
    if code is op.SUBPATTERN:
        return _ways(list(value[-1]))
    if code is op.ATOMIC_GROUP:
        return _ways(list(value))
    if code is op.BRANCH and all(item[0] in _NO_WIDTH for branch in value[1] for item in branch):
        return 1  # an edge: one of them holds or none
    if code is op.BRANCH:
        return sum(_ways(list(branch)) for branch in value[1])
    if code in _REPEATS:
        least, most, inner = value
        ways, total = _ways(list(inner)), 0
        for times in range(least, min(most, max(LONGEST, least)) + 1):
            total += ways**times if ways > 1 else 1
            if total > MOST_WAYS:
                raise Unbounded
        return max(1, total)
    raise Unbounded  # a reference to what was matched, or a condition on it


def _longest(value: Any) -> int:  # noqa: ANN401
    least, most, _ = value
    return int(min(most, max(LONGEST, least)))


def _is_told_apart(value: Any, rest: list[Any]) -> bool:  # noqa: ANN401
    """Return True for a repeat of one character class that the next character, which must be there, is not in: giving characters back is in vain."""
    inner = list(value[2])
    if len(inner) != 1 or inner[0][0] not in _ONE or not rest or rest[0][0] is not op.LITERAL:
        return False
    try:
        return not re.compile(_source(inner[0]), _FLAGS).fullmatch(chr(rest[0][1]))
    except ValueError:
        return False


def _source(item: Any) -> str:  # noqa: ANN401
    """Return a class as an expression again; ValueError for what it cannot write."""
    code, value = item
    if code is op.LITERAL:
        return re.escape(chr(value))
    if code is op.NOT_LITERAL:
        return f"[^{re.escape(chr(value))}]"
    if code is op.ANY:
        return "."
    names = {op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W"}
    names |= {op.CATEGORY_SPACE: r"\s", op.CATEGORY_NOT_SPACE: r"\S"}
    parts = []
    for kind, what in value:
        if kind is op.NEGATE:
            parts.append("^")
        elif kind is op.LITERAL:
            parts.append(re.escape(chr(what)))
        elif kind is op.RANGE:
            parts.append(f"{re.escape(chr(what[0]))}-{re.escape(chr(what[1]))}")
        elif kind is op.CATEGORY and what in names:
            parts.append(names[what])
        else:
            raise ValueError("unknown class")
    return f"[{''.join(parts)}]"
