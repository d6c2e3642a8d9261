"""A sweep as one standalone page of HTML: what each value gained on held-out rows, and what its run gave away. No script, and no word of a record."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ringfence.core.bounds import exact
from ringfence.core.text import t
from ringfence.report import html
from ringfence.report.figures import Bounds, MemoryShown, SweepFacts, Tried
from ringfence.report.pictures import frontier_picture, value_told

_MOST_SAID = 5  # values that a headline can hold


def frontier_page(tried: Sequence[Tried], facts: SweepFacts) -> str:
    """Return the page in the chosen language."""
    title = t("Sweep of {key} on {data}", "{data} 上 {key} 的参数扫描", key=facts.key, data=facts.data_set)
    inside = t(
        "These losses are figures of private rows: no epsilon covers them, nor a choice that is made by them. They stay inside.",
        "这些损失是隐私行的数字：epsilon 不涵盖它们，也不涵盖据此作出的选择。它们留在内部。",
    )
    return html.document(
        title, [html.said(headline(tried, facts), inside, tone="valid"), _frontier(tried, facts), _about(tried, facts), _foot(facts)]
    )


def headline(tried: Sequence[Tried], facts: SweepFacts) -> str:
    """Return what the sweep shows, in one sentence: each value and its loss; of many values the best and the worst."""
    shown = [one for one in tried if one.loss is not None]
    if not shown:
        return t("No run has a held-out loss", "没有运行带有留出集损失")
    if len(shown) > _MOST_SAID:
        ranked = sorted(shown, key=lambda one: one.loss or 0.0)
        shown = [ranked[0], ranked[-1]]
    name = "epsilon" if facts.is_of_privacy else facts.key
    each = [
        t("{loss:.3f} without privacy", "不用差分隐私时 {loss:.3f}", loss=one.loss)
        if facts.is_of_privacy and one.epsilon is None
        else t("{loss:.3f} at {name} {value}", "{name} {value} 时 {loss:.3f}", loss=one.loss, name=name, value=value_told(one))
        for one in shown
    ]
    return t("Held-out loss {each}", "留出集损失：{each}", each=t(", ", "，").join(each))


def column_names(key: str) -> list[str]:
    """Return what stands above the columns of a table of runs, in the terminal and on the page."""
    return [
        key,
        t("held-out loss", "留出集损失"),
        t("95 % interval", "95 % 区间"),
        t("steps", "步数"),
        t("learning rate", "学习率"),
        t("secrets extracted", "被提取的秘密"),
        t("membership AUC", "成员推断 AUC"),
        t("epsilon at least", "epsilon 至少"),
    ]


def loss_told(one: Tried) -> tuple[str, str]:
    """Return the held-out loss of a run and its 95 % interval, as words."""
    loss = "-" if one.loss is None else f"{one.loss:.3f}"
    return loss, "" if one.lower is None or one.upper is None else f"{one.lower:.3f} … {one.upper:.3f}"


def steps_told(one: Tried) -> str:
    """Return the updates that a run made, and of how many where it was interrupted and made fewer."""
    return str(one.steps) if one.planned in (None, one.steps) else f"{one.steps} / {one.planned}"


def rate_told(one: Tried) -> str:
    """Return the highest learning rate of a run, which a private one may have found itself."""
    return "-" if one.learning_rate is None else f"{one.learning_rate:g}"


def memory_told(audit: MemoryShown | None) -> tuple[str, str, str]:
    """Return what an audit found, as words: secrets extracted, membership AUC, and the epsilon that the run exceeded for sure."""
    if audit is None:
        return t("not audited", "未审计"), "-", "-"
    extracted = f"{audit.extracted} / {audit.secrets} ({_bounds(audit.extraction, '.0%')})" if audit.secrets else "-"
    auc = f"{audit.auc.value:.2f} ({_bounds(audit.auc, '.2f')})" if audit.members and audit.others else "-"
    if audit.validity != "valid":
        return extracted, auc, t("the audit is not valid", "该审计无效")
    return extracted, auc, f"{audit.epsilon_lower:.2f}"


def _bounds(found: Bounds, how: str) -> str:
    return f"{found.lower:{how}} … {found.upper:{how}}"


def _frontier(tried: Sequence[Tried], facts: SweepFacts) -> str:
    caption = t(
        "Points are held-out losses, per predicted token or, where answers are compared or judged, per row; lower is better. Bars are 95 % intervals over the people or records whose rows were held out. "
        "They say how much other rows would change a loss, not how much another training would: noise and order of rows are drawn once a run.",
        "点为留出集损失，按预测词元计；回答经比较或受评时按行计；越低越好。线段为对留出行所属的人或记录的 95 % 区间。它说明换一批行损失会变化多少，"
        "而不是重新训练会变化多少：每次运行只抽取一次噪声与行的次序。",
    )
    if any(one.audit for one in tried):
        caption += t(
            " Below: the share of secrets planted once that can be extracted, and how well rows that were in the data are told from others, "
            "with one-sided 95 % bounds each.",
            "下图：植入一次的秘密中可被提取的比例，以及区分在内与在外的行的能力，界限为单侧 95 %。",
        )
    names = column_names(facts.key)
    body = [tuple(map(escape, _row(one, facts))) for one in tried]
    table = html.table(t("The same as numbers", "同样内容的数字"), names, body, kind="numbers unbroken")
    title = t("What each value gained, and gave away", "各个值得到什么，泄露什么")
    return html.section("frontier", title, html.figure(frontier_picture(tried, facts.key), caption, table))


def _row(one: Tried, facts: SweepFacts) -> tuple[str, ...]:
    value = value_told(one)
    if facts.is_of_privacy and one.epsilon is None:
        value = t("none: an ordinary run", "无：普通运行")
    return (value, *loss_told(one), steps_told(one), rate_told(one), *memory_told(one.audit))


def _about(tried: Sequence[Tried], facts: SweepFacts) -> str:
    held = {(one.rows, one.units) for one in tried}
    rows = ", ".join(t("{n} rows of {m} people or records", "{m} 个人或记录的 {n} 行", n=n, m=m) for n, m in sorted(held))
    told = [
        (t("data set", "数据集"), facts.data_set),
        (t("base model", "基础模型"), facts.base),
        (t("held out", "留出"), rows),
        (
            t("loss before training", "训练前的损失"),
            ", ".join(dict.fromkeys("-" if one.before is None else f"{one.before:.3f}" for one in tried)),
        ),
        (t("privacy claims", "隐私声明"), _claims(tried)),
    ]
    if facts.together:
        told.append((t("all together", "合计"), facts.together))
    if {one.epsilon is None for one in tried} == {True, False}:
        told.append((
            t("the ordinary run", "普通运行"),
            t(
                "its learning rate was not sought, so that without privacy more may be gained; releasing it would void the lifetime bound of the private "
                "runs on the same people",
                "其学习率未经搜索，不用差分隐私时或许还能学得更多；放行它会使同一批人的隐私运行的终身上限失效",
            ),
        ))  # fmt: skip
    told.append((t("runs", "运行"), ", ".join(f"{value_told(one)}: {one.run}" for one in tried)))
    return html.section("about", t("What was swept", "扫描的内容"), html.facts(told))


def _claims(tried: Sequence[Tried]) -> str:
    claims = dict.fromkeys((one.epsilon, one.delta) for one in tried)
    return "; ".join(
        t("none: an ordinary run", "无：普通运行") if e is None or d is None else f"epsilon {exact(e)}, delta {exact(d)}" for e, d in claims
    )


def _foot(facts: SweepFacts) -> str:
    words = t(
        "Figures only: this page holds no text of a record or a canary. The page is not signed; the statement of each run is. Made by ringfence {v}.",
        "仅含数字：本页不含记录或金丝雀的任何原文。本页未签名；各次运行的声明已签名。由 ringfence {v} 生成。",
        v=facts.version,
    )
    return html.footer(words)
