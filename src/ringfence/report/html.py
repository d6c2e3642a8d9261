"""The frame of a standalone page of HTML, and its sections, tables and pictures: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from ringfence.core.text import chosen

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, parts: Iterable[str]) -> str:
    """Return the page in the chosen language; `title` is text, `parts` are HTML."""
    style = files("ringfence.report").joinpath("page.css").read_text(encoding="utf-8")
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="{"zh-Hans" if chosen() == "zh" else "en"}">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>",
            f"<header>\n<p>ringfence</p>\n<h1>{escape(title)}</h1>\n</header>",
            *parts,
            "</main>\n</body>\n</html>\n",
        ]
    )


def said(headline: str, reach: str, *, tone: str) -> str:
    """Return what a page says first, and how far that reaches. tone: "valid", "inconclusive" or "void"."""
    return (
        f'<section class="said {tone}" aria-labelledby="said">\n<h2 id="said">{escape(headline)}</h2>\n<p>{escape(reach)}</p>\n</section>'
    )


def facts(told: Iterable[tuple[str, str]]) -> str:
    """Return names with their values."""
    body = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in told)
    return f"<dl>\n{body}\n</dl>"


def footer(words: str) -> str:
    """Return the last words of a page."""
    return f"<footer>\n<p>{escape(words)}</p>\n</footer>"


def section(name: str, title: str, inner: str) -> str:
    """Return a section; `inner` is HTML."""
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(title)}</h2>\n{inner}\n</section>'


def figure(picture: str, caption: str, table: str) -> str:
    """Return a picture and the same as a table, side by side where there is room."""
    return f'<div class="pair">\n<figure>\n{picture}\n<figcaption>{escape(caption)}</figcaption>\n</figure>\n{table}\n</div>'


def table(caption: str, names: Sequence[str], body: Sequence[Sequence[str]], *, kind: str = "numbers") -> str:
    """Return a table; the cells of `body` are HTML."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = "\n".join(f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in body)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">\n<table class="{kind}">\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>\n</div>"
    )
