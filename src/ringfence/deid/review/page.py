"""The sample before and after masking as one standalone page in both languages: no script, nothing from elsewhere. It holds record text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from itertools import pairwise

from ringfence.core.text import Text
from ringfence.deid.review.marks import At, Review
from ringfence.deid.review.queue import sendable
from ringfence.deid.review.sample import Row, Stretch, stretches
from ringfence.deid.review.settings import ReviewFigures

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { --ground: #fff; --ink: #1b1f24; --soft: #4d5661; --line: #c9d0d8; --panel: #f4f6f8; --warn: #9b1c1c; --light: 88%; --dark: 28%; --edge: 42%; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ground: #14181d; --ink: #e8ebef; --soft: #b3bcc6; --line: #465260; --panel: #1e242b; --warn: #ff9a93; --light: 24%; --dark: 85%; --edge: 60%; }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink); line-height: 1.55; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei",
    "Noto Sans CJK SC", "Noto Sans SC", "WenQuanYi Micro Hei", sans-serif;
}
main { max-width: 78rem; margin: 0 auto; padding: 1.5rem; }
h1 { margin: 0 0 .75rem; font-size: 1.3rem; }
.warning { border-inline-start: .4rem solid var(--warn); background: var(--panel); padding: .6rem 1rem; margin: 0 0 1rem; }
.warning p, .said p { margin: 0; }
.said { margin: 0 0 1rem; color: var(--soft); }
.kinds { display: flex; flex-wrap: wrap; gap: .4rem .6rem; list-style: none; margin: 0 0 1.5rem; padding: 0; font-size: .85rem; }
section { border-top: 1px solid var(--line); padding: .9rem 0; break-inside: avoid; }
h2 { font-size: .9rem; margin: 0 0 .5rem; color: var(--soft); font-weight: 600; }
.text { display: grid; grid-template-columns: 1fr 1fr; gap: 1.25rem; margin-bottom: .6rem; }
.text > div { min-width: 0; }
h3 { font-size: .75rem; margin: 0 0 .15rem; color: var(--soft); font-weight: 400; }
pre { margin: 0; font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; }
mark { background: hsl(var(--hue) 75% var(--light)); color: inherit; border-radius: .2rem; padding: 0 .15em; border-bottom: 2px solid hsl(var(--hue) 55% var(--edge)); unicode-bidi: isolate; }
mark small { color: hsl(var(--hue) 60% var(--dark)); font-size: .7em; margin-inline-start: .35em; font-weight: 600; white-space: nowrap; }
mark.leak { outline: 2px solid var(--warn); }
mark.rejected { background: none; border-bottom-style: dotted; }
mark.gone { color: var(--soft); }
@media (max-width: 50rem) { .text { grid-template-columns: 1fr; gap: .4rem; } }
"""
_BEFORE, _AFTER = Text("before", "脱敏前"), Text("after", "脱敏后")
_WORDS: Mapping[str, Text] = {
    "system": Text("system", "系统"),
    "user": Text("user", "用户"),
    "assistant": Text("assistant", "助手"),
    "tool": Text("tool", "工具"),
    "text": Text("text", "文本"),
    "chosen": Text("chosen", "选中"),
    "rejected": Text("rejected", "未选"),
}


def page(review: Review, originals: Sequence[Sequence[str]], figures: ReviewFigures, digest: str) -> Iterator[str]:
    """Yield the page in parts. originals: what stood in the places of each row; digest: of the set."""
    title = _both(Text("Before and after: {digest}", "脱敏前后对照：{digest}"), digest=digest)
    yield (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f'<meta name="referrer" content="no-referrer">\n<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n'
    )
    yield _lead(figures)
    kinds = sorted({place.kind for row in review.rows for place in row.places} | set(review.leaks.values()) | set(review.retyped.values()))
    yield '<ul class="kinds">' + "".join(f"<li>{_mark(escape(kind), kind)}</li>" for kind in kinds) + "</ul>\n"
    for n, row in enumerate(review.rows):
        yield _row(review, n, row, originals[n])
    yield "</main>\n</body>\n</html>\n"


def _lead(f: ReviewFigures) -> str:
    warning = Text(
        "This file holds the text of records, identifiers included. Keep it where the records may be, and delete it after use.",
        "此文件含有记录原文及其中的标识符。请只存放在允许存放这些记录的地方，用后删除。",
    )
    said = Text(
        "{sample} of {rows} rows, drawn at random; {reviewed} reviewed, {leaks} leaks marked.",
        "从 {rows} 行中随机抽取 {sample} 行；已审阅 {reviewed} 行，标出 {leaks} 处泄露。",
    )
    facts = {"sample": f.sample, "rows": f.rows, "reviewed": f.reviewed, "leaks": f.leaks}
    return (
        f'<div class="warning"><p>{escape(warning.en)}</p><p lang="zh-Hans">{escape(warning.zh)}</p></div>\n'
        f'<div class="said"><p>{escape(said.show("en", **facts))}</p><p lang="zh-Hans">{escape(said.show("zh", **facts))}</p></div>\n'
    )


def _row(review: Review, n: int, row: Row, values: Sequence[str]) -> str:
    state = Text("reviewed", "已审阅") if n in review.done else Text("not reviewed", "未审阅")
    head = f"{_both(Text('Row {n} of the sample', '样本第 {n} 行'), n=n + 1)} · {_both(state)}"
    texts = []
    for number, role in enumerate(row.roles):
        runs = stretches(row, number, values)
        word = _WORDS.get(role, Text(role, role))
        left = "".join(_run(review, n, row, run, run.before) for run in runs)
        right = "".join(_after(review, n, number, row, runs))
        texts.append(
            f'<div class="text">\n<div><h3>{_both(word)} · {_both(_BEFORE)}</h3><pre dir="auto">{left}</pre></div>\n'
            f'<div><h3>{_both(word)} · {_both(_AFTER)}</h3><pre dir="auto">{right}</pre></div>\n</div>\n'
        )
    return f"<section>\n<h2>{head}</h2>\n{''.join(texts)}</section>\n"


def _run(review: Review, n: int, row: Row, run: Stretch, text: str) -> str:
    shown = escape(sendable(text))
    if run.place is None:
        return shown
    place = row.places[run.place]
    is_rejected = At(n, place.text, place.start, place.end) in review.rejected
    return _mark(shown or "∅", review.kind_of(n, place), "rejected" if is_rejected else "" if shown else "gone", label=True)


def _after(review: Review, n: int, number: int, row: Row, runs: Sequence[Stretch]) -> Iterator[str]:
    """Yield the masked text; leaks stand out, also those inside a replaced place."""
    leaks = [at for at in review.leaks_of(n) if at.text == number]
    at = 0
    for run in runs:
        low, high = at, at + len(run.after)
        at = high
        edges = sorted({low, high, *(e for leak in leaks for e in (leak.start, leak.end) if low < e < high)})
        if len(edges) == 1:
            yield _run(review, n, row, run, run.after)
        for a, b in pairwise(edges):
            leak = next((one for one in leaks if one.start <= a and b <= one.end), None)
            part = run.after[a - low : b - low]
            if leak is not None:
                yield _mark(escape(sendable(part)), review.leaks[leak], "leak", label=True)
            else:
                yield _run(review, n, row, run, part)


def _mark(shown: str, kind: str, style: str = "", *, label: bool = False) -> str:
    small = f"<small>{escape(kind)}</small>" if label else ""
    return f'<mark class="{style}" style="--hue: {_hue(kind)}">{shown}{small}</mark>'


def _hue(kind: str) -> int:
    """Return the kind's own colour as an angle, the same on every page."""
    return int.from_bytes(sha256(kind.encode()).digest()[:2], "big") % 24 * 15


def _both(text: Text, **facts: object) -> str:
    en, zh = escape(text.show("en", **facts)), escape(text.show("zh", **facts))
    return en if en == zh else f"{en} / {zh}"
