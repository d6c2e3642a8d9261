"""The account of a data set as a page: what private runs spent of the privacy of its units, when, and what is left. Numbers and names alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from html import escape

from ringfence.core.bounds import Bound, bound_told, epsilon_told, exact
from ringfence.core.errors import RUN_STATES
from ringfence.core.text import Text, t
from ringfence.report import html
from ringfence.report.pictures import spending_picture


@dataclass(frozen=True)
class Spender:
    """One private run that was granted steps, however it ended."""

    run: str
    started: str  # UTC, as in the ledger; all its steps count from then on
    set: str
    state: str  # a word of RUN_STATES
    granted: int  # steps
    planned: int
    noise: float  # multiplier
    rate: float  # of sampling
    epsilon: float | None  # of this run and all before it together; None beyond 1,000


@dataclass(frozen=True)
class Limit:
    """One limit that holds today, and what is spent at its delta. None: beyond 1,000."""

    epsilon: float
    delta: float
    spent: float | None


@dataclass(frozen=True)
class Spending:
    """What a page tells of an account. Names that users chose are escaped there. Times: UTC, as in the ledger."""

    sets: tuple[str, ...]
    units: tuple[str, ...]
    limits: tuple[Limit, ...]  # the nearest first; none: no private run may start
    delta: float  # of every ε but those of other limits
    spent: float | None
    reserved: float | None
    left: float
    spenders: tuple[Spender, ...]  # in the order in which they began
    bound: Bound  # over the lifetime
    finer: tuple[str, ...]  # runs that promised per record, or by one column, where people are known by another
    guarded: tuple[str, ...]  # of `releases`, those of private runs with a replay guard
    releases: tuple[tuple[str, str], ...]  # that ended every bound: name and time
    frozen: str | None
    now: str
    version: str  # of ringfence


def columns() -> list[str]:
    """Return what stands above the rows of the table of runs."""
    return [
        t("run", "运行"),
        t("started (UTC)", "开始（UTC）"),
        t("set", "数据集"),
        t("state", "状态"),
        t("steps spent / planned", "已用 / 计划步数"),
        t("noise", "噪声"),
        t("rate", "抽样率"),
        t("ε after it", "其后的 ε"),
    ]


def row(one: Spender) -> list[str]:
    """Return a run as cells of text."""
    steps = f"{one.granted} / {one.planned}"
    return [
        one.run,
        one.started,
        one.set,
        RUN_STATES[one.state].show(),
        steps,
        f"{one.noise:.5g}",
        f"{one.rate:.4g}",
        epsilon_told(one.epsilon),
    ]


def spending_page(f: Spending) -> str:
    """Return the page in the chosen language."""
    title = t("Privacy account of {sets}", "{sets} 的隐私账户", sets=", ".join(f.sets))
    head, reach, tone = _headline(f)
    parts = [html.said(head, reach, tone=tone), _runs(f), _others(f), _account(f), _foot(f)]
    return html.document(title, [part for part in parts if part])


_WITHIN = Text("ε {spent} of {limit} is spent, {left} is left.", "预算 ε {limit} 中已用 {spent}，剩余 {left}。")
_EXCEEDED = Text("The budget of ε {limit} is exceeded: ε {spent} is spent.", "预算 ε {limit} 已超出：已用 ε {spent}。")
_VOID = Text("No bound holds any more: an ordinary run on these people was released.", "不再有任何上限：这批人的普通运行已被放行。")
_VOID_BY_GUARD = Text(
    "No bound holds any more: a private run on these people was released with a replay guard, which tells who is among them.",
    "不再有任何上限：这批人的隐私运行已带复现防护放行，而防护会透露谁在其中。",
)


def _headline(f: Spending) -> tuple[str, str, str]:
    """Return what the page says first, how far that reaches, and its tone."""
    spent, count = epsilon_told(f.spent), len(f.spenders)
    reach = t(
        "Private runs so far: {n}, failed and abandoned ones included; they spent ε {spent} at δ {d:g}.",
        "至今的隐私运行：{n} 次，含失败与放弃的运行；合计用去 ε {spent}（δ {d:g}）。",
        n=count,
        spent=spent,
        d=f.delta,
    )
    if f.reserved:
        reach += t(" Runs that may still go on hold ε {r} more.", "可能继续的运行另预留 ε {r}。", r=epsilon_told(f.reserved))
    if f.bound == "void":
        return (_VOID_BY_GUARD if len(f.guarded) == len(f.releases) else _VOID).show(), reach, "void"
    if f.bound == "unknown":
        head = t(
            "It is not known what one person lost: {n} runs promised per record or per another unit, and one person may have many.",
            "一个人付出多少无从得知：{n} 次运行按记录或其他单位承诺，而一个人可能对应多个。",
            n=len(f.finer),
        )
        return head, reach, "void"
    if f.frozen:
        return t("Frozen since {time}: nothing more can be spent.", "自 {time} 起冻结：不得再有支出。", time=f.frozen), reach, "valid"
    if f.bound == "none":
        return t("There is no budget: no private run may start.", "没有预算：不能开始任何隐私运行。"), reach, "inconclusive"
    left = _EXCEEDED if f.bound == "exceeded" else _WITHIN
    return left.show(spent=spent, limit=exact(f.limits[0].epsilon), left=f"{f.left:.3f}"), reach, "valid" if f.left else "inconclusive"


def _runs(f: Spending) -> str:
    title = t("Spent over time", "支出随时间的变化")
    if not f.spenders:
        nothing = t("No private run spent anything yet.", "尚无隐私运行产生支出。")
        return html.section("spent", title, f"<p>{escape(nothing)}</p>")
    picture = spending_picture(
        [(_seconds(one.started), one.epsilon) for one in f.spenders],
        limits=[one.epsilon for one in f.limits if one.delta == f.delta],
        frozen=_seconds(f.frozen) if f.frozen else None,
        releases=[_seconds(time) for _, time in f.releases],
        now=_seconds(f.now),
        delta=f.delta,
    )
    caption = t(
        "ε of all private runs together, composed by PLD. Each run is a step, numbered as in the table; all that it spent counts from its start on, so the picture "
        "never shows too little. Dashed: today's limit.",
        "全部隐私运行合计的 ε，以 PLD 组合。每次运行为一级，编号同下表；其支出自开始时起全部计入，因此图中绝不会偏少。虚线为当前上限。",
    )
    names = ["#", *columns()]
    body = [(str(number), *(escape(cell) for cell in row(one))) for number, one in enumerate(f.spenders, 1)]
    table = html.table(t("The same as numbers", "同样内容的数字"), names, body, kind="runs")
    return html.section("spent", title, html.figure(picture, caption, table))


_ORDINARY = Text("ordinary run released as {name}", "普通运行放行为 {name}")
_GUARDED = Text("private run released with a replay guard as {name}", "隐私运行带复现防护放行为 {name}")


def _others(f: Spending) -> str:
    """Return the other events, which the picture marks; nothing where there is none."""
    body = [
        (f"R{number}", (_GUARDED if name in f.guarded else _ORDINARY).show(name=name), time)
        for number, (name, time) in enumerate(f.releases, 1)
    ]
    if f.frozen:
        body.append((t("frozen", "冻结"), t("nothing more is spent from here on", "自此不得再有支出"), f.frozen))
    if not body:
        return ""
    names = [t("mark", "标记"), t("what happened", "发生了什么"), t("when (UTC)", "时间（UTC）")]
    caption = t("Events", "事件")
    return html.section(
        "marks", t("What else counts", "其他事项"), html.table(caption, names, [tuple(map(escape, one)) for one in body], kind="runs")
    )


def _account(f: Spending) -> str:
    told = [(t("sets that share it", "共用的数据集"), ", ".join(f.sets)), (t("unit", "单位"), ", ".join(f.units))]
    told += [
        (
            t("limit", "上限"),
            t(
                "ε {e} at δ {d}; spent at this δ: {s}",
                "ε {e}（δ {d}）；在此 δ 下已用 {s}",
                e=exact(one.epsilon),
                d=exact(one.delta),
                s=epsilon_told(one.spent),
            ),
        )
        for one in f.limits
    ]
    told += [
        (
            t("lifetime bound", "终身上限"),
            bound_told(f.bound, voided_by=[name for name, _ in f.releases], guarded=f.guarded, runs=f.finer),
        ),
        (t("frozen since", "冻结自"), f.frozen or "–"),
        (t("as of", "截至"), f.now),
    ]
    return html.section("account", t("The account", "账户"), html.facts(told))


def _foot(f: Spending) -> str:
    words = t(
        "An account belongs to the people in the data: sets with common units share it, under whatever name. This page is not signed; the ledger that it was read "
        "from is. Made by ringfence {v}.",
        "账户属于数据中的人：有共同单位的数据集无论名称都共用账户。本页未签名；其所依据的账本已签名。由 ringfence {v} 生成。",
        v=f.version,
    )
    return html.footer(words)


def _seconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())
