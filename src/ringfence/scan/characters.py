"""Which characters of a text are suspicious where they stand. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from ringfence.scan.homoglyphs import has_mixed_word

Finding = Literal["tag", "bidi", "selector", "hidden", "mixed", "private", "unassigned", "control", "stray"]
_Class = Literal["tag", "bidi", "mark", "selector", "joiner", "invisible", "private", "unassigned", "control"]

_FLAG = re.compile(
    "\U0001f3f4\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)\U000e007f"
)
_ASCII_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")  # tab, line ends and page breaks are innocent
_RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_NEEDS_JOINERS = re.compile(
    "[\u0600-\u0dff\u0f00-\u109f\u1780-\u18af\ua840-\ua87f\ufb50-\ufefc]"
)  # Arabic to Sinhala, Tibetan, Burmese, Khmer, Mongolian
_NEEDS_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # Thai, Lao, Burmese and Khmer mark word ends with U+200B
_HAN = re.compile("[\u2e80-\u2fdf\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")
_OVERRIDES = "\u202d\u202e"
_VISIBLE_CF = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001345f]")
_BLANK_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"  # no format characters, yet show nothing


def find(text: str) -> Iterator[Finding]:
    """Yield one finding per suspicious character, and one when a word mixes scripts that look alike.

    "stray" is an invisible character beside a space or a line end: word processors and web pages leave those, so it alone proves nothing.
    """
    if text.isascii():
        for _ in _ASCII_CONTROL.finditer(text):
            yield "control"
        return
    if "\U0001f3f4" in text:
        text = _FLAG.sub("", text)  # the flags of England, Scotland and Wales are spelt with tags
    kinds = {char: kind for char in set(text) if (kind := _CLASSES[char])}
    if kinds:
        yield from _judged(text, kinds)
    if has_mixed_word(text):
        yield "mixed"


class _Classes(dict[str, _Class | None]):
    """The class of every character met so far; None = unsuspicious anywhere."""

    def __missing__(self, char: str) -> _Class | None:
        self[char] = kind = _class_of(char)
        return kind


_CLASSES = _Classes()


def _class_of(char: str) -> _Class | None:
    code, category = ord(char), unicodedata.category(char)
    for kind, ranges in _RANGES:
        if any(first <= code <= last for first, last in ranges):
            return kind
    if char in _BLANK_LETTERS or (category == "Cf" and not _VISIBLE_CF.match(char)):
        return "invisible"
    if category == "Cn" and not _may_be_newer_than_python(code):
        return "unassigned"
    if category == "Cc" and char not in "\t\n\v\f\r\x85":
        return "control"
    return "private" if category == "Co" else None


_RANGES: tuple[tuple[_Class, tuple[tuple[int, int], ...]], ...] = (
    ("tag", ((0xE0000, 0xE007F),)),
    ("selector", ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))),
    ("joiner", ((0x200C, 0x200D),)),
    ("mark", ((0x061C, 0x061C), (0x200E, 0x200F))),
    ("bidi", ((0x202A, 0x202E), (0x2066, 0x2069))),
)


_GROWING = ((0x1F000, 0x1FAFF), (0x20000, 0x3FFFD))  # emoji and ideographs are added every year


def _may_be_newer_than_python(code: int) -> bool:
    return any(first <= code <= last for first, last in _GROWING)


def _judged(text: str, kinds: dict[str, _Class]) -> Iterator[Finding]:
    is_rtl = _RTL.search(text) is not None
    for found in re.finditer(f"[{re.escape(''.join(kinds))}]", text):
        i, char = found.start(), found[0]
        finding = _judge(char, kinds[char], before=text[i - 1 : i] if i else "", after=text[i + 1 : i + 2], is_rtl=is_rtl)
        if finding is not None:
            yield finding


def _judge(char: str, kind: _Class, *, before: str, after: str, is_rtl: bool) -> Finding | None:
    """Return what `char` means between its neighbours ("" at the ends of the text)."""
    if _is_needed(char, kind, before=before, after=after, is_rtl=is_rtl):
        return None
    if kind == "control" and char >= "\x80" and "\x80" <= before <= "\xf4":
        return "stray"  # UTF-8 that somebody read as Latin-1: a blemish that everybody sees
    if kind != "invisible" and kind != "joiner" and kind != "mark":  # noqa: PLR1714  mypy narrows this form only
        return kind
    is_run = _is_hidden(before) or _is_hidden(after)  # a run of them carries bits
    return "hidden" if is_run or (before.isalnum() and after.isalnum()) else "stray"


def _is_needed(char: str, kind: _Class, *, before: str, after: str, is_rtl: bool) -> bool:
    """Return True where the script or the emoji around `char` cannot do without it."""
    if kind in ("bidi", "mark"):
        return is_rtl and char not in _OVERRIDES
    if kind == "selector":
        return _is_selected(char, before)
    if kind == "joiner":
        return _is_joined(char, before, after)
    if char == "\u200b":
        return bool(_NEEDS_SPACES.match(before)) and not _is_hidden(after)
    return char == "\ufeff" and not before  # a byte order mark


def _is_hidden(char: str) -> bool:
    return bool(char) and _CLASSES[char] in ("joiner", "invisible", "selector", "tag")


def _is_selected(selector: str, before: str) -> bool:
    """Return True where a variation selector picks a glyph: emoji or text style, a mathematical or an ideographic variant."""
    if not before or before.isspace() or _is_hidden(before):
        return False
    if _HAN.match(before):
        return "\ufe00" <= selector <= "\ufe02" or selector >= "\U000e0100"
    if selector in "\ufe0e\ufe0f":
        return before in "#*0123456789\u00a9\u00ae" or (before >= "\u203c" and not before.isalpha())
    return selector in "\ufe00\ufe01" and unicodedata.category(before) == "Sm"


def _is_joined(joiner: str, before: str, after: str) -> bool:
    """Return True where a script or an emoji sequence needs a joiner."""
    if _NEEDS_JOINERS.match(before):
        return not _is_hidden(after)
    return joiner == "\u200d" and _is_emoji(before) and _is_emoji(after)


def _is_emoji(char: str) -> bool:
    """Return True for what stands in emoji sequences, style selector and skin tones included."""
    return char == "\ufe0f" or (char >= "\u203c" and unicodedata.category(char) in ("So", "Sk", "Sm", "Cn"))
