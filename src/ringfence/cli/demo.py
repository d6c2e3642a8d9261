"""The end of the demo: one table of both runs, the questions, and where to look next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ringfence.cli.context import say, table
from ringfence.cli.streams import printable
from ringfence.core.bounds import exact
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.flows.demo import Story, Told


def show_story(story: Story, *, seconds: float) -> None:
    """Print what was measured. seconds: of the whole demo."""
    say("")
    _table(story)
    for question, answer, truth in story.answers:
        say(f"\n  {t('asked', '问')}:  {question}\n  {t('answer', '答')}: {printable(answer)}\n  {t('record', '原记录')}: {truth}")
    say("")
    say(_cost(story))
    say(
        t(
            "Done in {s:.0f} s. Every figure was measured in this call, on a fresh draw; nothing left this host.",
            "用时 {s:.0f} 秒。所有数字均为本次在全新抽样上实测；数据没有离开本机。",
            s=seconds,
        )
    )
    say(
        t(
            "Look next: docs/quickstart.md · docs/verdicts.md · docs/threat-model.md",
            "接着看：docs/zh/quickstart.md · docs/zh/verdicts.md · docs/zh/threat-model.md",
        )
    )


def _table(story: Story) -> None:
    from ringfence.core.verdict import OUTCOMES

    def row(title: str, cell: Callable[[str, Told], str]) -> list[str]:
        return [title, *(cell(name, told) for name, told in story.runs.items())]

    def took(name: str) -> str:
        return t("{a:.0f} + {b:.0f} s", "{a:.0f} + {b:.0f} 秒", a=story.seconds[f"train {name}"], b=story.seconds[f"audit {name}"])

    def verdict(told: Told, rule: str) -> str:
        return next((OUTCOMES[one.outcome].show() for one in told.verdicts if one.rule == rule), "-")

    rows = [
        row(t("time to train + audit", "训练 + 审计用时"), lambda name, _: took(name)),
        row(t("held-out loss, base model", "留出集损失，基础模型"), lambda _, one: f"{one.trained.eval_before or 0:.2f}"),
        row(t("held-out loss, this run", "留出集损失，该运行"), lambda _, one: f"{one.trained.eval_after or 0:.2f}"),
        row(
            t("promised epsilon", "承诺的 epsilon"),
            lambda _, one: f"{exact(one.plan.epsilon)} (δ {exact(one.plan.delta)})" if one.plan else t("none", "无"),
        ),
        row(
            t("exposure, mean / max of 19.9 bits", "暴露度，平均 / 最大（共 19.9 比特）"),
            lambda _, one: f"{one.audited.exposure_mean:.1f} / {one.audited.exposure_max:.1f}",
        ),
        row(
            t("secrets extracted", "被提取的秘密"),
            lambda _, one: f"{one.audited.extracted} / {one.audited.secrets}  (≤ {one.audited.extraction.upper:.0%})",
        ),
        row(
            t("membership AUC", "成员推断 AUC"),
            lambda _, one: f"{one.audited.auc.value:.2f}  ({one.audited.auc.lower:.2f} … {one.audited.auc.upper:.2f})",
        ),
        row(t("rows replayed word for word", "逐字复现的行"), lambda _, one: f"{one.audited.rows_replayed} / {one.audited.rows_tried}"),
    ]
    rules = dict.fromkeys(one.rule for told in story.runs.values() for one in told.verdicts if one.rule.startswith(("G", "backdoor")))
    rows += [row(rule, lambda _, one, rule=rule: verdict(one, rule)) for rule in rules]  # type: ignore[misc]  # the loop's value, bound
    rows.append(row(t("released", "放行"), lambda _, one: t("yes", "是") if one.bundle else t("refused", "被拒绝")))
    table("", ["", t("ordinary", "普通"), t("private", "隐私")], rows)


def _cost(story: Story) -> str:
    """Return in one sentence what privacy cost, by the loss of held-out notes."""
    ordinary, private = (story.runs[name].trained for name in ("ordinary", "private"))
    base, fell = ordinary.eval_before or 0.0, (ordinary.eval_before or 0.0) - (private.eval_after or 0.0)
    most = base - (ordinary.eval_after or 0.0)
    share = f"{fell / most:.0%}" if most > 0 else "-"
    return t(
        "What privacy cost: held-out loss fell by {p:.2f} instead of {o:.2f} ({share}).",
        "隐私的代价：留出集损失下降 {p:.2f}，而非 {o:.2f}（{share}）。",
        p=fell,
        o=most,
        share=share,
    )
