r"""Characters that are written as escapes: `\u5f20` and `\n` of JSON, `%E5%BC%A0` of addresses and forms (RFC 3986 §2.1), `&#24352;` of HTML.

Escapes of escapes, as they come from JSON inside JSON or a form sent twice, are read as what they stand for in the end: `\\u5f20`, `%25E5…`, `&amp;#24352;`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

Escape = tuple[int, int, str]  # a range of characters, and the one that they stand for

_JSON = re.compile(r"\\u([0-9A-Fa-f]{4})")
_SHORT = re.compile(r"\\+([nrt/])?")
_SHORT_FOR = {"n": "\n", "r": "\r", "t": "\t", "/": "/"}
_WORD = re.compile(r"[A-Za-z0-9]")
_BACK = re.compile(r"[^\s\"'\x00]*")  # from right to left, what may be the beginning of a path
_DRIVE = re.compile(r"[A-Za-z]:(?:$|[\\/])|\\\\")  # C:\ and \\host
_LOGIN = re.compile(r"[A-Z][A-Z0-9-]{1,14}")  # CORP\nancy
_LONGEST_PATH = 128  # characters
_NEXT = r"%(?:25)*[89ABab][0-9A-Fa-f]"
_PERCENT = re.compile(
    rf"%(?:25)*(?:0[9ADad]|[2-7][0-9A-Fa-f]|[CDcd][0-9A-Fa-f]{_NEXT}|[Ee][0-9A-Fa-f](?:{_NEXT}){{2}}|[Ff][0-4](?:{_NEXT}){{3}})"
)
_BYTE = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")
_NAMES = {"amp": "&", "nbsp": "\u00a0", "quot": '"', "apos": "'", "lt": "<", "gt": ">", "commat": "@", "period": "."}
_HTML = re.compile(rf"&(?:amp;)*(?:#([0-9]{{1,7}}|[xX][0-9A-Fa-f]{{1,6}})|({'|'.join(_NAMES)}));")

# An address on the web keeps what it must escape: url.v1 takes it as a whole, and a character that no address may hold would end it.
_BEGINNINGS = ("://", "www.", "WWW.", "Www.")
_LONGEST = 2_048
_ADDRESS = re.compile(r"(?:://(?!localhost|127\.|0\.0\.0\.0)|[wW]{3}\.)(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]|\\u00[2-7][0-9A-Fa-f])+")
_UNRESERVED = frozenset(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~"
)  # RFC 3986 §2.3: the same with and without escape

_SPACES = "\t\n\r"
_FIRST, _DELETE, _PAST_CONTROLS = 0x20, 0x7F, 0xA0
_SURROGATES = range(0xD800, 0xE000)
_PAST = 0x110000


MARKS = b"\\u%&"  # what an escape begins with


def escapes(text: str, sorts: bytes) -> list[Escape]:
    r"""Return the escapes of a text, in order and disjoint.

    sorts: a byte for each character, in which MARKS stand for themselves alone: they are found faster there.
    Not those of controls, NUL above all, nor of half a pair (`\ud83d`), nor bytes that are no UTF-8: they stay as they are, and so does what an address
    on the web must escape.
    """
    found = [*_of_json(text, sorts), *_of_short(text, sorts)]
    others = [*_of_percent(text, sorts), *_of_html(text, sorts)]
    return sorted([*found, *_outside_addresses(text, sorted(others))])


def _matches(text: str, sorts: bytes, mark: bytes, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Yield the matches of a pattern that begins with `mark`, which is rare and found faster than the pattern is."""
    at = sorts.find(mark)
    while at >= 0:
        match = pattern.match(text, at)
        if match:
            yield match
        at = sorts.find(mark, match.end() if match else at + 1)


def _of_json(text: str, sorts: bytes) -> Iterator[Escape]:
    done = 0
    for match in _matches(text, sorts, b"\\u", _JSON):
        if character := _character(int(match[1], 16)):
            start = match.start()
            while start > done and text[start - 1] == "\\":
                start -= 1
            done = match.end()
            yield start, done, character


def _of_short(text: str, sorts: bytes) -> Iterator[Escape]:
    r"""Yield the ends of lines, tabs and slashes of JSON: to a search, the `n` of `\nAnna` is no letter of hers. In a path they are what is written."""
    done, at = 0, sorts.find(b"\\")
    while at >= 0:
        match = _SHORT.match(text, at)
        assert match is not None  # noqa: S101  a backslash stands there
        if match[1] and not (match[1] != "/" and _is_path(text, max(done, at - _LONGEST_PATH), at, match.end())):
            done = match.end()
            yield at, done, _SHORT_FOR[match[1]]
        at = sorts.find(b"\\", match.end())


def _is_path(text: str, first: int, start: int, end: int) -> bool:
    """Return True when the backslashes at `start` part the names of a path, or a login from its domain, as far as what stands there from `first` on tells."""
    if not _WORD.match(text, end):
        return False
    back = _BACK.match(text[first:start][::-1])
    before = back[0][::-1] if back else ""
    return _DRIVE.match(before) is not None or (text[end].islower() and _LOGIN.fullmatch(before) is not None)


def _of_percent(text: str, sorts: bytes) -> Iterator[Escape]:
    for match in _matches(text, sorts, b"%", _PERCENT):
        if character := _of_bytes(match[0]):
            yield match.start(), match.end(), character


@lru_cache(maxsize=1 << 14)
def _of_bytes(written: str) -> str:
    try:
        return _character(ord(bytes.fromhex("".join(_BYTE.findall(written))).decode()))
    except UnicodeDecodeError:
        return ""


def _of_html(text: str, sorts: bytes) -> Iterator[Escape]:
    for match in _matches(text, sorts, b"&", _HTML):
        number, name = match.groups()
        character = _NAMES[name] if name else _character(int(number[1:], 16) if number[0] in "xX" else int(number))
        if character:
            yield match.start(), match.end(), character


def _character(code: int) -> str:
    """Return the character of a code point; nothing for controls, halves of pairs and what is no code point."""
    is_control = code < _FIRST or _DELETE <= code < _PAST_CONTROLS
    return "" if (is_control and chr(code) not in _SPACES) or code in _SURROGATES or code >= _PAST else chr(code)


def _outside_addresses(text: str, found: list[Escape]) -> Iterator[Escape]:
    """Yield the escapes that do not stand in an address, and those in one that may as well stand there unescaped."""
    looked = ends = 0  # up to where addresses were looked for, and where the last one ends
    for start, end, character in found:
        if character not in _UNRESERVED and not (character == "&" and text[start] == "&"):
            begin = max(text.rfind(beginning, max(looked, start - _LONGEST), start) for beginning in _BEGINNINGS)
            looked = max(0, start - max(map(len, _BEGINNINGS)) + 1)
            if begin >= 0 and (match := _ADDRESS.match(text, begin, begin + _LONGEST)):
                ends = match.end()
            if start < ends:
                continue
        yield start, end, character
