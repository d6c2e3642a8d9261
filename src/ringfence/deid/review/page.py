"""The sample before and after masking as one standalone page in both languages: no script, nothing from elsewhere. It holds record text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
mark.leak { outline: 2px solid var(--warn); margin: 0 .15em; }
mark.plain { background: none; border-bottom-color: var(--soft); }
mark.leak.plain { border-bottom-color: transparent; }
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
    "tools": Text("tools", "可用工具"),
    "call": Text("call of a tool", "工具调用"),
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
    body = _Body(review, kinds)
    yield body.legend()
    for n, row in enumerate(review.rows):
        yield body.row(n, row, originals[n])
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
    if f.by == "uncertainty":
        said = Text(
            "{sample} of {rows} rows of which the taggers are least sure, no random sample; {reviewed} reviewed, {leaks} leaks marked.",
            "从 {rows} 行中取标注器最不确定的 {sample} 行，并非随机样本；已审阅 {reviewed} 行，标出 {leaks} 处泄露。",
        )
    facts = {"sample": f.sample, "rows": f.rows, "reviewed": f.reviewed, "leaks": f.leaks}
    return (
        f'<div class="warning"><p>{escape(warning.en)}</p><p lang="zh-Hans">{escape(warning.zh)}</p></div>\n'
        f'<div class="said"><p>{escape(said.show("en", **facts))}</p><p lang="zh-Hans">{escape(said.show("zh", **facts))}</p></div>\n'
    )


class _Body:
    """The rows, each kind in a colour of its own."""

    def __init__(self, review: Review, kinds: Sequence[str]) -> None:
        self._review = review
        self._hues = {kind: round(360 * n / len(kinds)) for n, kind in enumerate(kinds)}

    def legend(self) -> str:
        """Return what the colours and lines mean."""
        leak, rejected = Text("leak", "泄露"), Text("no identifier", "非标识符")
        kinds = [f"<li>{self._mark(escape(kind), kind)}</li>" for kind in self._hues]
        lines = [
            f'<li><mark class="leak plain">{_both(leak)}</mark></li>',
            f'<li><mark class="rejected plain">{_both(rejected)}</mark></li>',
        ]
        return '<ul class="kinds">' + "".join(kinds + lines) + "</ul>\n"

    def row(self, n: int, row: Row, values: Sequence[str]) -> str:
        """Return one row: its texts before and after. values: what stood in its places."""
        state = Text("reviewed", "已审阅") if n in self._review.done else Text("not reviewed", "未审阅")
        head = f"{_both(Text('Row {n} of the sample', '样本第 {n} 行'), n=n + 1)} · {_both(state)}"
        texts = []
        for number, role in enumerate(row.roles):
            runs = stretches(row, number, values)
            word = _both(_WORDS.get(role, Text(role, role)))
            left, right = ("".join(self._side(n, number, row, runs, is_before=side)) for side in (True, False))
            texts.append(
                f'<div class="text">\n<div><h3>{word} · {_both(_BEFORE)}</h3><pre dir="auto">{left}</pre></div>\n'
                f'<div><h3>{word} · {_both(_AFTER)}</h3><pre dir="auto">{right}</pre></div>\n</div>\n'
            )
        return f"<section>\n<h2>{head}</h2>\n{''.join(texts)}</section>\n"

    def _side(self, n: int, number: int, row: Row, runs: Sequence[Stretch], *, is_before: bool) -> Iterator[str]:
        """Yield one text with its places and leaks marked; a leak inside a replaced place is one of the text after alone."""
        leaks = [at for at in self._review.leaks_of(n) if at.text == number]
        low = 0
        for run in runs:
            high = low + len(run.after)
            edges = sorted({low, high, *(e for leak in leaks for e in (leak.start, leak.end) if low < e < high)})
            if len(edges) == 1 or (is_before and run.place is not None):
                yield self._run(n, row, run, run.before if is_before else run.after)
            else:
                for a, b in pairwise(edges):
                    part = run.after[a - low : b - low]
                    leak = next((one for one in leaks if one.start <= a and b <= one.end), None)
                    if leak is None:
                        yield self._run(n, row, run, part)
                    else:
                        yield self._mark(escape(sendable(part)), self._review.leaks[leak], "leak", label=True)
            low = high

    def _run(self, n: int, row: Row, run: Stretch, text: str) -> str:
        shown = escape(sendable(text))
        if run.place is None:
            return shown
        place = row.places[run.place]
        is_rejected = At(n, place.text, place.start, place.end) in self._review.rejected
        style = "rejected" if is_rejected else "" if shown else "gone"
        return self._mark(shown or "∅", self._review.kind_of(n, place), style, label=True)

    def _mark(self, shown: str, kind: str, style: str = "", *, label: bool = False) -> str:
        small = f"<small>{escape(kind)}</small>" if label else ""
        return f'<mark class="{style}" style="--hue: {self._hues[kind]}">{shown}{small}</mark>'


def _both(text: Text, **facts: object) -> str:
    en, zh = escape(text.show("en", **facts)), escape(text.show("zh", **facts))
    return en if en == zh else f"{en} / {zh}"
