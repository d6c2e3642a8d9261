"""Pictures as SVG inside the page: exposure of secrets, members told from others, spending over time, sweeps. No colour carries a meaning alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from ringfence.core.bounds import exact
from ringfence.core.text import t
from ringfence.report.curves import GAP, Bin, Point, axis, instants, share_found, spaced, steps, ticks
from ringfence.report.figures import Tried

FALSE_POSITIVES = 0.01  # where the curve is read off
_LEFT, _TOP, _BOTTOM = 62, 64, 52  # room for the labels, in SVG units
_HATCH = (  # the second series is told from the first in black and white, too
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="ground" width="5" height="5"/><path class="line" d="M0 0V5"/></pattern></defs>'
)
_DAY = 86_400  # s
_LEAST_SPAN = 300  # s; of a picture over time
_NUMBER, _MARK = 16.0, 24.0  # between the labels of two runs, and of two releases, in SVG units
_WIDE, _MARGIN = 620, 48  # of the panels of a sweep, and how far its points keep from their sides
_ASIDE = 8  # two points of one value stand so far from its middle
_ALONE = (  # of a picture outside a page
    "svg{background:#fff;font:13px sans-serif}text{fill:#333}.grid{stroke:#ddd}.lead{stroke:#999}.curve{stroke:#1f5fbf;stroke-width:2;fill:none}"
    ".joins{stroke:#888;fill:none}.planted{fill:#1f5fbf}.held{fill:#b5491f}"
)
_LETTER = 7.2  # width of a letter of a label, about; a Chinese one is twice as wide


def exposure_picture(bins: Sequence[Bin], *, limit: float, most: float) -> str:
    """Return the histogram. limit: bits that nothing unlearned should pass; most: bits of a secret."""
    plot_w, plot_h, width, height = 620, 210, 720, 326
    low, high = bins[0].lower, bins[-1].upper
    marks = ticks(max(max(one.planted, one.held_out) for one in bins))

    def x(bits: float) -> float:
        return _LEFT + (bits - low) / (high - low) * plot_w

    def y(count: float) -> float:
        return _TOP + plot_h * (1 - count / marks[-1])

    parts = [_HATCH, _axis_y([(y(mark), str(mark)) for mark in marks], plot_w, t("number of secrets", "秘密个数"), plot_h)]
    half = (x(bins[0].upper) - x(low)) / 2
    for one in bins:
        for at, (kind, count) in enumerate((("planted", one.planted), ("held", one.held_out))):
            if count:
                parts.append(
                    f'<rect class="{kind}" x="{x(one.lower) + at * half + 0.6:.1f}" y="{y(count):.1f}" '
                    f'width="{half - 1.2:.1f}" height="{y(0) - y(count):.1f}"/>'
                )
    step = 2 if high - low <= 24 else 5  # noqa: PLR2004  labels that do not touch
    base = _TOP + plot_h
    parts += [_text(x(bits), base + 18, signed(bits), "middle") for bits in range(-(-low // step) * step, high + 1, step)]
    parts.append(_text(_LEFT + plot_w / 2, base + 42, t("certified exposure, bits", "可证暴露度（比特）"), "middle"))
    parts.append(_legend())
    for kind, line_top, bits, name in (  # the line of the limit begins below the label of the other
        ("most", 34, most, t("whole secret known: {b:.1f} bits", "秘密完全已知：{b:.1f} 比特", b=most)),
        ("limit", 52, limit, t("limit without learning: {b:.1f} bits", "未学习时的界限：{b:.1f} 比特", b=limit)),
    ):
        if low <= bits <= high:
            parts.append(f'<path class="{kind}" d="M{x(bits):.1f} {line_top - 11}V{base}"/>{_text(x(bits) - 6, line_top, name, "end")}')
    return _svg(
        "exposure",
        t("Exposure of planted and held-out secrets", "植入与保留秘密的暴露度"),
        t(
            "A bar chart of the number of secrets by certified exposure in bits. The table below has the same numbers.",
            "以比特计的可证暴露度与秘密个数的柱状图。下表列出相同的数字。",
        ),
        (width, height),
        parts,
    )


def roc_picture(points: Sequence[Point]) -> str:
    """Return the ROC curve with the diagonal of guessing, and the point at 1 % false positives."""
    side, width, height = 300, 420, 386
    top = 30
    size = points[-1]

    def x(share: float) -> float:
        return _LEFT + share * side

    def y(share: float) -> float:
        return top + side * (1 - share)

    quarters = (0, 0.25, 0.5, 0.75, 1)
    parts = [_axis_y([(y(q), f"{q:.0%}") for q in quarters], side, t("members found", "检出的成员"), side, top=top)]
    parts += [_text(x(q), y(0) + 18, f"{q:.0%}", "middle") for q in quarters]
    parts.append(_text(x(0.5), y(0) + 42, t("others called members (false positives)", "误认为成员的非成员（误报）"), "middle"))
    parts.append(f'<path class="guess" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>')
    line = "L".join(f"{x(p.others / size.others):.2f} {y(p.members / size.members):.2f}" for p in points)
    parts.append(f'<path class="curve" d="M{line}"/>')
    parts.append(_text(x(0.97), y(0.69), t("guessing", "随机猜测"), "end"))
    found = share_found(points, FALSE_POSITIVES)
    at_x, at_y = x(FALSE_POSITIVES), y(found)
    parts.append(f'<path class="limit" d="M{at_x:.2f} {y(0)}V{y(1)}"/><circle class="mark" cx="{at_x:.2f}" cy="{at_y:.2f}" r="5"/>')
    label = t("{f:.0%} at 1 % false positives", "1 % 误报下检出 {f:.0%}", f=found)
    parts.append(
        _text(x(1), y(0) - 12, label, "end") + f'<path class="lead" d="M{at_x + 6:.2f} {at_y:.2f}L{_lead(label, x(1))} {y(0) - 17}"/>'
    )
    return _svg(
        "roc",
        t("Members told from others: ROC curve", "区分成员与非成员：ROC 曲线"),
        t(
            "A curve of the share of members found against the share of others called members. The table below has points of it.",
            "检出成员的比例随误报比例变化的曲线。下表列出其中若干点。",
        ),
        (width, height),
        parts,
    )


def spending_picture(
    steps: Sequence[tuple[int, float | None]],
    *,
    limits: Sequence[float],
    frozen: int | None,
    releases: Sequence[int],
    now: int,
    delta: float,
) -> str:
    """Return ε over time as stairs, a step for each run, numbered as in the table.

    steps: when a run began, and the ε after it, None where it is beyond the picture; in order. limits: ε at the same delta. releases: of ordinary runs.
    All times in seconds since 1970.
    """
    plot_w, plot_h, top = 620, 230, 50 if releases or frozen is not None else 24
    base = top + plot_h
    past = [when for when, _ in steps] + list(releases) + ([frozen] if frozen is not None else [])
    now = max([now, *past])  # a clock may have been set back
    span = max(now - min(past, default=now), _LEAST_SPAN)
    first = now - span - span // 20
    marks = ticks(math.ceil(max([1.0, *limits, *(epsilon for _, epsilon in steps if epsilon is not None)])))

    def x(when: int) -> float:
        return _LEFT + (when - first) / (now - first) * plot_w

    def y(epsilon: float | None) -> float:
        return top if epsilon is None else base - epsilon / marks[-1] * plot_h

    name = t("ε at δ = {d:g}", "ε（δ = {d:g}）", d=delta)
    parts = [_axis_y([(y(mark), str(mark)) for mark in marks], plot_w, name, plot_h, top=top)]
    parts += [_under_axis(x(when), base, label) for when, label in _dated(instants(first, now))]
    parts.append(_text(_LEFT + plot_w / 2, base + 44, t("time (UTC)", "时间（UTC）"), "middle"))
    for limit in limits:
        label = t("limit: ε {e}", "上限：ε {e}", e=exact(limit))
        parts.append(f'<path class="limit" d="M{_LEFT} {y(limit):.1f}h{plot_w}"/>{_text(_LEFT + 6, y(limit) - 6, label, "start")}')
    if frozen is not None:
        parts.append(f'<path class="most" d="M{x(frozen):.1f} 20V{base}"/>{_text(x(frozen), 14, t("frozen", "冻结"), "middle")}')
    bears = spaced([(x(when), 0) for when in releases], least=_MARK)
    for number, (when, is_labelled) in enumerate(zip(releases, bears, strict=True), 1):
        label = _text(x(when), 34, f"R{number}", "middle") if is_labelled else ""
        parts.append(f'<path class="guess" d="M{x(when):.1f} 40V{base}"/>{label}')
    stairs = "".join(f"H{x(when):.1f}V{y(epsilon):.1f}" for when, epsilon in steps)
    parts.append(f'<path class="curve" d="M{_LEFT} {base}{stairs}H{x(now):.1f}"/>')
    corners = [(x(when), y(epsilon)) for when, epsilon in steps]
    for number, ((at_x, at_y), is_labelled) in enumerate(zip(corners, spaced(corners, least=_NUMBER), strict=True), 1):
        label = _text(at_x - 8, at_y - 6, str(number), "end") if is_labelled else ""
        parts.append(f'<circle class="mark" cx="{at_x:.1f}" cy="{at_y:.1f}" r="4"/>{label}')
    return _svg(
        "spending",
        t("What private runs spent over time", "隐私运行的支出随时间的变化"),
        t(
            "Stairs of the ε spent by all private runs so far, a step for each run. The table below has the same numbers.",
            "至今所有隐私运行所用 ε 的阶梯图，每次运行一级。下表列出相同的数字。",
        ),
        (736, base + 52),
        parts,
    )


def frontier_picture(tried: Sequence[Tried], key: str) -> str:
    """Return held-out loss against the values of a key and, where a run was audited, below it what the runs memorised."""
    loss_top, loss_h, memory_top, memory_h = 22, 220, 352, 150
    is_audited = any(one.audit for one in tried)
    found = axis([one.at for one in tried])
    xs = [_LEFT + _MARGIN + place * (_WIDE - 2 * _MARGIN) for place in found.places]
    parts = _losses(tried, xs, found.joined, top=loss_top, plot_h=loss_h)
    panels = [(loss_top, loss_h)]
    if is_audited:
        parts += [_HATCH, *_memories(tried, xs, found.joined, top=memory_top, plot_h=memory_h)]
        panels.append((memory_top, memory_h))
    for top, plot_h in panels:
        base = top + plot_h
        if found.is_parted:
            parts.append(f'<path class="guess" d="M{_LEFT + _MARGIN + GAP * (_WIDE - 2 * _MARGIN):.1f} {top}V{base}"/>')
        right = -math.inf  # where the label before ends
        for x, words in sorted((x, value_told(one)) for x, one in zip(xs, tried, strict=True)):
            half = _width(words) / 2
            if x - half > right + _LETTER:
                parts.append(_text(x, base + 18, words, "middle"))
                right = x + half
        parts.append(_text(_LEFT + _WIDE / 2, base + 42, key, "middle"))
    return _svg(
        "frontier",
        t("Held-out loss against {key}", "留出集损失与 {key}", key=key),
        t(
            "A point with its interval for each value. The table below has the same numbers.",
            "每个值一个带区间的点。下表列出相同的数字。",
        ),
        (_LEFT + _WIDE + 38, sum(panels[-1]) + _BOTTOM),
        parts,
    )


def _dated(at: Sequence[int]) -> list[tuple[int, str]]:
    """Return times with what stands below them: the day, or where they are closer together the minute."""
    is_days = all(when % _DAY == 0 for when in at)
    return [(when, datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d" if is_days else "%m-%d %H:%M")) for when in at]


def _under_axis(x: float, base: int, label: str) -> str:
    return f'<path class="lead" d="M{x:.1f} {base}v5"/>{_text(x, base + 20, label, "middle")}'


def value_told(one: Tried) -> str:
    """Return a value of a sweep as people read it."""
    return t("none", "无") if one.told in ("none", "null") else one.told


def _losses(tried: Sequence[Tried], xs: Sequence[float], joined: Sequence[int], *, top: int, plot_h: int) -> list[str]:
    reached = [bound for one in tried for bound in (one.lower, one.loss, one.upper) if bound is not None]
    if not reached:
        return []
    marks = steps(min(reached), max(reached))
    digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9))

    def y(loss: float) -> float:
        return top + plot_h * (1 - (loss - marks[0]) / (marks[-1] - marks[0]))

    parts = [_axis_y([(y(mark), f"{mark:.{digits}f}") for mark in marks], _WIDE, t("held-out loss", "留出集损失"), plot_h, top=top)]
    parts.append(_line([(xs[at], y(loss)) for at in joined if (loss := tried[at].loss) is not None]))
    for x, one in zip(xs, tried, strict=True):
        if one.loss is not None:
            bounds = None if one.lower is None or one.upper is None else (y(one.lower), y(one.upper))
            parts.append(_interval(x, bounds) + _circle(x, y(one.loss)))
    return parts


def _memories(tried: Sequence[Tried], xs: Sequence[float], joined: Sequence[int], *, top: int, plot_h: int) -> list[str]:
    def y(share: float) -> float:
        return top + plot_h * (1 - share)

    quarters = (0, 0.25, 0.5, 0.75, 1)
    parts = [_axis_y([(y(q), f"{q:.0%}") for q in quarters], _WIDE, t("memorised", "记忆"), plot_h, top=top)]
    parts.append(f'<path class="guess" d="M{_LEFT} {y(0.5):.1f}h{_WIDE}"/>')
    extracted, auc = t("secrets extracted", "被提取的秘密"), t("membership AUC (dashed: guessing)", "成员推断 AUC（虚线：随机猜测）")
    second = _LEFT + 60 + _width(extracted)
    parts.append(_circle(_LEFT + 7, top - 22) + _text(_LEFT + 19, top - 17, extracted, "start"))
    parts.append(_square(second, top - 22) + _text(second + 12, top - 17, auc, "start"))
    audited = {at: audit for at, one in enumerate(tried) if (audit := one.audit) is not None}
    rates = {at: audit.extraction for at, audit in audited.items() if audit.secrets}
    areas = {at: audit.auc for at, audit in audited.items() if audit.members and audit.others}
    for shares, aside, mark in ((rates, -_ASIDE, _circle), (areas, _ASIDE, _square)):
        parts.append(_line([(xs[at] + aside, y(shares[at].value)) for at in joined if at in shares]))
        for at, share in shares.items():
            parts.append(_interval(xs[at] + aside, (y(share.lower), y(share.upper))) + mark(xs[at] + aside, y(share.value)))
    return parts


def drawn_losses(learned: Sequence[tuple[int, float]], held_out: Sequence[tuple[int, float]], at: Sequence[int], *, name: str) -> str:
    """Return losses against steps, as SVG that stands by itself: what was learned from as a line, held-out rows as joined points.

    learned, held_out: (step, loss). at: where the axis of steps has marks. name: of that axis.
    """
    plot_h, top = 260, 44
    reached = [loss for _, loss in (*learned, *held_out)] or [0.0]
    marks = steps(min(reached), max(reached))
    digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9))

    def place(step: int, loss: float) -> tuple[float, float]:
        return _LEFT + _WIDE * step / max(1, at[-1]), top + plot_h * (1 - (loss - marks[0]) / (marks[-1] - marks[0]))

    parts = [
        f"<style>{_ALONE}</style>",
        _axis_y([(place(0, mark)[1], f"{mark:.{digits}f}") for mark in marks], _WIDE, t("loss", "损失"), plot_h, top=top),
    ]
    parts += [_under_axis(place(step, marks[0])[0], top + plot_h, str(step)) for step in at]
    parts.append(_text(_LEFT + _WIDE / 2, top + plot_h + 44, name, "middle"))
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*one) for one in learned))
    parts += [f'<path class="curve" d="M{line}"/>' if len(learned) > 1 else "".join(_circle(*place(*one)) for one in learned)]
    parts += [_line([place(*one) for one in held_out]), *(_square(*place(*one)) for one in held_out)]
    parts.append(f'<path class="curve" d="M{_LEFT} 18h22"/>{_text(_LEFT + 28, 22, t("learned from", "训练"), "start")}')
    if held_out:
        parts.append(_square(_LEFT + 150, 18) + _text(_LEFT + 162, 22, t("held out", "留出"), "start"))
    return _svg(
        "losses",
        t("Loss against steps", "损失随步数的变化"),
        t("A line of the losses of what was learned from, and points of those of held-out rows.", "训练损失的曲线，以及留出行损失的点。"),
        (_LEFT + _WIDE + 38, top + plot_h + _BOTTOM),
        parts,
    ).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def _circle(x: float, y: float) -> str:
    return f'<circle class="planted" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'


def _square(x: float, y: float) -> str:
    return f'<rect class="held" x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>'


def _line(points: Sequence[tuple[float, float]]) -> str:
    return f'<path class="joins" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>' if len(points) > 1 else ""


def _interval(x: float, bounds: tuple[float, float] | None) -> str:
    """Return the interval of a point, with a stroke at each end."""
    if bounds is None:
        return ""
    low, high = bounds
    return f'<path class="interval" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 5:.1f} {low:.1f}h10M{x - 5:.1f} {high:.1f}h10"/>'


def signed(number: int) -> str:
    """Return a whole number with a minus as wide as a plus."""
    return str(number).replace("-", "\N{MINUS SIGN}")


def _lead(label: str, right: float) -> str:
    """Return where a label that ends at `right` begins."""
    return f"{right - 4 - _width(label):.1f}"


def _width(label: str) -> float:
    return sum(_LETTER if ord(c) < 0x2E80 else 2 * _LETTER for c in label)  # noqa: PLR2004  first CJK block


def _legend() -> str:
    planted, held = t("planted once", "植入一次"), t("held out, never planted", "保留、从未植入")
    return (
        f'<rect class="planted" x="{_LEFT}" y="4" width="13" height="13"/>{_text(_LEFT + 19, 15, planted, "start")}'
        f'<rect class="held" x="{_LEFT + 140}" y="4" width="13" height="13"/>{_text(_LEFT + 159, 15, held, "start")}'
    )


def _axis_y(marks: Sequence[tuple[float, str]], plot_w: int, name: str, plot_h: int, *, top: int = _TOP) -> str:
    middle = top + plot_h / 2
    lines = "".join(f'<path class="grid" d="M{_LEFT} {y:.1f}h{plot_w}"/>{_text(_LEFT - 8, y + 4, mark, "end")}' for y, mark in marks)
    return lines + f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(name)}</text>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(name: str, title: str, description: str, size: tuple[int, int], parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {size[0]} {size[1]}" class="{name}">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )
