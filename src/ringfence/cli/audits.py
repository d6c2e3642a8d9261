"""What an audit can show, for people: before planting and before auditing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ringfence.cli.context import say
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.audit.forecast import Reach


def show_reach(reach: Reach, missing: Sequence[str]) -> None:
    """Print what the chosen numbers of canaries can and cannot show."""
    say(t("If the run learns nothing of its canaries, the audit can show:", "若该运行未学到任何金丝雀，审计能够显示："))
    say(
        t(
            "  extraction  at most {u:.1%} of such secrets, from {m} planted and none extracted",
            "  提取        此类秘密至多 {u:.1%}（植入 {m} 个，提取 0 个）",
            u=reach.extraction_upper,
            m=reach.secrets,
        )
    )
    decides = t('enough for "nothing shown"', "足以得出“未显现”") if reach.exposure_decides else t("too few to decide", "过少，无法定论")
    say(t("  exposure    {d}", "  暴露度      {d}", d=decides))
    say(
        t(
            "  membership  AUC at most {a:.3f}, from about {n} rows in and {n} out",
            "  成员推断    AUC 至多 {a:.3f}（约 {n} 行在内、{n} 行在外）",
            a=reach.auc_upper,
            n=reach.in_out,
        )
    )
    if not reach.has_tpr:
        from ringfence.audit.forecast import LEAST_OUT

        say(
            t(
                "              no rate at 1 % false positives: that needs 100 rows out, so in_out: {n} or more",
                "              无法给出 1 % 误报下的检出率：需要 100 行在外，即 in_out 不小于 {n}",
                n=LEAST_OUT,
            )
        )
    say(
        t(
            "  epsilon     a lower bound of {e:.2f} at most: a claim above it can be neither shown nor refuted",
            "  epsilon     下界至多 {e:.2f}：高于它的声明既不能证实也不能否定",
            e=reach.epsilon_ceiling,
        )
    )
    say(t("  work        {n} forward passes over one row at the most", "  工作量      至多 {n} 次单行前向计算", n=reach.forwards))
    for line in missing:
        say(t("  ✘ too few for {line}", "  ✘ 不足以通过 {line}", line=line))
    if not missing:
        say(t("  ✔ enough for every rule of the policy that counts canaries", "  ✔ 足以通过策略中每条与金丝雀数量有关的规则"))
