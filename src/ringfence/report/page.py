"""An audit as one standalone page of HTML: no script, nothing from elsewhere, and not a word of a record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ringfence.core.bounds import exact
from ringfence.core.text import t
from ringfence.report import html
from ringfence.report.curves import Point, histogram, roc, share_found
from ringfence.report.figures import AuditFacts, AuditShown
from ringfence.report.pictures import FALSE_POSITIVES, exposure_picture, roc_picture, signed
from ringfence.report.sentences import headline, rows, tone

MOST = 6 * math.log2(10)  # bits of a secret of six digits
_READ_OFF = (0.0, FALSE_POSITIVES, 0.05, 0.1, 0.2, 0.5)  # shares of false positives in the table of the curve


def audit_page(f: AuditShown, facts: AuditFacts) -> str:
    """Return the page in the chosen language."""
    title = t("Audit of {run}", "{run} 的审计", run=facts.run)
    said, reach = headline(f, facts)
    parts = [html.said(said, reach, tone=tone(f)), _measured(f, facts), _exposures(f), _curve(f), _about(facts), _foot(facts)]
    return html.document(title, parts)


def _measured(f: AuditShown, facts: AuditFacts) -> str:
    names = [t("quantity", "测量项"), t("value", "数值"), t("bounds", "界限"), t("what it is, and how to read it", "含义与解读")]
    body = [
        (escape(row.name), escape(row.value), escape(row.bounds), f"{escape(row.meaning)}<br><em>{escape(row.reading)}</em>")
        for row in rows(f, facts)
    ]
    note = t("Bounds are one-sided, at 95 % confidence each.", "界限为单侧，置信度各为 95 %。")
    return html.section("measured", t("What was measured", "测量结果"), html.table(note, names, body, kind="measured"))


def _exposures(f: AuditShown) -> str:
    title = t("Exposure of secrets", "秘密的暴露度")
    if f.exposures_in is None or f.exposures_out is None:
        return html.section("exposures", title, _sealed())
    if not (f.exposures_in or f.exposures_out):
        return html.section("exposures", title, f"<p>{escape(t('No secrets were planted.', '没有植入秘密。'))}</p>")
    bins = histogram(f.exposures_in, f.exposures_out, reach=MOST)
    caption = t(
        "{a} secrets planted once, {b} held out. Bars to the right of the limit line are not chance. "
        "Below zero, nothing is shown of a secret; at {m:.2f} bits it is known entirely.",
        "{a} 个植入一次的秘密，{b} 个保留的秘密。界限线右侧的柱不是偶然。零以下说明不了什么；{m:.2f} 比特即完全已知。",
        a=len(f.exposures_in),
        b=len(f.exposures_out),
        m=MOST,
    )
    names = [t("exposure, bits", "暴露度（比特）"), t("planted", "植入"), t("held out", "保留")]
    body = [
        (f"{signed(one.lower)} – {signed(one.upper)}", str(one.planted), str(one.held_out)) for one in bins if one.planted or one.held_out
    ]
    picture = exposure_picture(bins, limit=f.exposure_limit, most=MOST)
    return html.section(
        "exposures", title, html.figure(picture, caption, html.table(t("The same as numbers", "同样内容的数字"), names, body))
    )


def _curve(f: AuditShown) -> str:
    title = t("Members told from others", "区分成员与非成员")
    if f.scores_in is None or f.scores_out is None:
        return html.section("members", title, _sealed())
    if not (f.scores_in and f.scores_out):
        nothing = t("There is no curve: no rows on one side or on both.", "没有曲线：一侧或两侧没有行。")
        return html.section("members", title, f"<p>{escape(nothing)}</p>")
    points = roc(f.scores_in, f.scores_out)
    caption = t(
        "Area under the curve (AUC) {v:.3f}, bounds {a:.3f} – {b:.3f}. The dashed diagonal is guessing; the further above it, the more is given away. "
        "The dot marks 1 % false positives.",
        "曲线下面积（AUC）{v:.3f}，界限 {a:.3f} – {b:.3f}。虚线对角线为随机猜测；高出越多，泄露越多。圆点标出 1 % 误报处。",
        v=f.auc.value,
        a=f.auc.lower,
        b=f.auc.upper,
    )
    names = [t("false positives, at most", "误报至多"), t("members found", "检出的成员")]
    table = html.table(t("The same as numbers", "同样内容的数字"), names, _read_off(points))
    return html.section("members", title, html.figure(roc_picture(points), caption, table))


def _read_off(points: Sequence[Point]) -> list[tuple[str, ...]]:
    return [(f"{at:.0%}", f"{share_found(points, at):.1%}") for at in _READ_OFF]


def _about(facts: AuditFacts) -> str:
    promise = (
        t("epsilon {e} at delta {d}", "epsilon {e}，delta {d}", e=exact(facts.claim[0]), d=exact(facts.claim[1]))
        if facts.claim
        else t("none: an ordinary run", "无：普通运行")
    )
    told = [
        (t("training run", "训练运行"), facts.run),
        (t("audit", "审计"), facts.audit),
        (t("data set", "数据集"), facts.data_set),
        (t("base model", "基础模型"), facts.base),
        (t("privacy claim", "隐私声明"), promise),
        (t("training ended", "训练结束"), facts.trained),
        (t("audit ended", "审计结束"), facts.audited),
        (t("signed statement", "签名声明"), facts.statement),
    ]
    return html.section("about", t("What was audited", "审计对象"), html.facts(told))


def _foot(facts: AuditFacts) -> str:
    words = t(
        "Figures only: this page holds no text of a record or a canary. Canaries are made-up rows planted before training. They show how the model "
        "treats rows like them, not what it did with any one real row. The page is not signed; the statement named above is. Made by ringfence {v}.",
        "仅含数字：本页不含记录或金丝雀的任何原文。金丝雀是训练前植入的虚构行，它们显示模型如何对待与其类似的行，而非对某一真实行做了什么。"
        "本页未签名；上面所列的声明已签名。由 ringfence {v} 生成。",
        v=facts.version,
    )
    return html.footer(words)


def _sealed() -> str:
    words = t("The single scores behind this picture are no longer there.", "此图所需的逐项得分已不存在。")
    return f"<p>{escape(words)}</p>"
