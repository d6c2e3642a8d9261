"""Sentences that people read, in both languages of the product, side by side."""

from __future__ import annotations

from typing import Literal, NamedTuple

Language = Literal["en", "zh"]

_current: Language = "en"


class Text(NamedTuple):
    """One sentence in English and Chinese; both may hold the same `{placeholders}`."""

    en: str
    zh: str

    def show(self, language: Language | None = None, /, **facts: object) -> str:
        """Return the sentence in `language` (default: the chosen one) with `facts` filled in."""
        template = self.zh if (language or _current) == "zh" else self.en
        return template.format_map(facts)


def choose(language: Language) -> None:
    """Set the language of everything printed from now on."""
    global _current  # noqa: PLW0603  one process speaks one language
    _current = language


def chosen() -> Language:
    """Return the language that `choose` set."""
    return _current


def t(en: str, zh: str, /, **facts: object) -> str:
    """Return the sentence in the chosen language."""
    return Text(en, zh).show(None, **facts)
