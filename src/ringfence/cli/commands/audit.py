"""`ringfence audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import advise, auditor_opening, emit, progress, say, table, workspace
from ringfence.core.text import Text, t

if TYPE_CHECKING:
    from ringfence.audit.settings import AuditFigures, Interval

ORDER = 55
_SPANS = {
    "tried": Text("of {n} replaced can still be extracted", "共 {n} 个被替换者中仍可提取的"),
    "nobody looked": Text("the set was not de-identified", "数据集未经脱敏"),
    "gone": Text("the originals were deleted", "原文已删除"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "audit",
        help=t(
            "Measure what a finished run remembers of the canaries that its recipe's audit: block planted.\n\n"
            "It asks for the auditor's passphrase: the register of the canaries opens for nobody else.\n\n"
            "Examples:\n\n  ringfence audit train-0123456789ab --dry-run\n\n  ringfence audit train-0123456789ab",
            "测量一次完成的训练记住了多少由配方 audit: 块植入的金丝雀。\n\n需要审计员的口令：金丝雀登记册不为他人打开。\n\n"
            "示例：\n\n  ringfence audit train-0123456789ab --dry-run\n\n  ringfence audit train-0123456789ab",
        ),
    )(audit)


def audit(
    run: Annotated[str, typer.Argument(metavar="RUN", help=t("Id of the training run, or its beginning.", "训练运行的编号，或其开头。"))],
    auditor_passphrase_file: Annotated[
        str | None, typer.Option(metavar="FILE", help=t("The auditor's passphrase.", "审计员的口令。"))
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help=t("Real rows to try, or all there are.", "尝试的真实数据行数，不足则全部。"))] = 500,
    spans: Annotated[
        int, typer.Option(min=0, help=t("Replaced identifiers to try, or all there are.", "尝试的被替换标识符数，不足则全部。"))
    ] = 300,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard",
            help=t("Say also how many rows a replay guard leaves to be replayed.", "同时给出在复现防护之下仍被逐字复现的行数。"),
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help=t("Say what the audit can and cannot show; start nothing.", "说明审计能与不能显示什么，不启动。")),
    ] = False,
) -> None:
    """Measure what a run remembers."""
    from ringfence.cli.audits import show_reach
    from ringfence.core.gates import unsound
    from ringfence.core.verdict import OUTCOMES
    from ringfence.flows.audit import Sample, foretell
    from ringfence.flows.audit import audit as measure

    space, sample = workspace(), Sample(rows, spans)
    if dry_run:
        name, reach, missing = foretell(space, run, sample=sample)
        emit({"run": name, "reach": reach._asdict(), "missing": missing}, lambda: show_reach(reach, missing))
        return
    opening = auditor_opening(space, auditor_passphrase_file)
    with progress(t("audit", "审计")) as bar:
        audited = measure(space, run, opening, sample=sample, with_guard=guard, show=bar)
    f = audited.figures

    def show() -> None:
        say(t("✔ {run}  audit {a}", "✔ {run}  审计 {a}", run=audited.run, a=audited.committed.run))
        columns = [t("measured", "测量"), t("value", "数值"), t("bounds", "界"), t("says", "含义")]
        table("", columns, _rows(f), right=(1,))
        outcome, why = unsound(f.validity)
        say(t("  validity: {v}", "  有效性：{v}", v=OUTCOMES[outcome].show() + (t(": {why}", "：{why}", why=why) if why else "")))

    emit({"audit": audited.committed.run, "run": audited.run, **f.model_dump(mode="json")}, show)
    advise(f"ringfence release {audited.run} --dry-run")


def _bounds(found: Interval) -> str:
    return f"≤ {found.upper:.1%}" if not found.value else f"{found.lower:.1%} … {found.upper:.1%}"


def _guarded(f: AuditFigures) -> list[list[str]]:
    if f.replay_guarded is None or f.guard_false_blocks is None:
        return []
    return [
        [
            t("… under the replay guard", "……在复现防护之下"),
            f"{f.rows_replayed_guarded} / {f.rows_tried}",
            _bounds(f.replay_guarded),
            t(
                "the gate judges without it; it would refuse {s:.2%} of other people's words",
                "门禁按无防护判定；对他人的话误拦 {s:.2%}",
                s=f.guard_false_blocks,
            ),
        ]
    ]


def _rows(f: AuditFigures) -> list[list[str]]:
    from ringfence.core.gates import BLIND

    return [
        [
            t("secrets extracted", "被提取的秘密"),
            f"{f.extracted} / {f.secrets}",
            _bounds(f.extraction),
            t("of the secrets planted once, with 95 % confidence", "植入一次的秘密，置信度 95 %"),
        ],
        [
            t("exposure, certified bits", "暴露度（可证比特）"),
            f"{f.exposure_mean:.1f}",
            t("largest {m:.1f}, limit {l:.1f}", "最大 {m:.1f}，界限 {l:.1f}", m=f.exposure_max, l=f.exposure_limit),
            t("p = {p:.2g} had none been learned", "若未学到任何秘密，p = {p:.2g}", p=f.exposure_p),
        ],
        [
            t("membership, AUC", "成员推断 AUC"),
            f"{f.auc.value:.3f}",
            f"{f.auc.lower:.3f} … {f.auc.upper:.3f}",
            t("{a} rows in, {b} out", "{a} 行在内，{b} 行在外", a=f.members, b=f.others),
        ],
        [
            t("true positives at 1 %", "1 % 误报下的检出"),
            "-" if f.tpr is None else f"{f.tpr.value:.1%}",
            "" if f.tpr is None else _bounds(f.tpr),
            t("needs 100 rows out", "需要 100 行在外") if f.tpr is None else "",
        ],
        [
            t("epsilon, at least", "epsilon 至少"),
            f"{f.epsilon_lower:.2f}",
            t("ceiling {c:.2f}", "上限 {c:.2f}", c=f.epsilon_ceiling),
            t("{r} of {g} guesses right", "{g} 次猜测中 {r} 次正确", r=f.right, g=f.guesses),
        ],
        [
            t("positive control", "阳性对照"),
            f"{f.controls_extracted} / {f.controls}" if f.controls else "-",
            "",
            t("secrets planted sixteen times", "植入十六次的秘密") if f.controls else t("ordinary runs only", "仅普通运行"),
        ],
        [t("blind check", "盲检"), BLIND[f.blind].show(), "", t("the base model alone, on the same rows", "仅用基础模型，同样的行")],
        [
            t("rows replayed", "逐字复现的行"),
            f"{f.rows_replayed} / {f.rows_tried}",
            _bounds(f.replay),
            t("of {n} real rows; {s} answers too short to tell", "共 {n} 行真实数据；{s} 个回答过短无法判断", n=f.rows, s=f.rows_short),
        ],
        *_guarded(f),
        [
            t("replaced identifiers", "被替换的标识符"),
            f"{f.spans_new} / {f.spans_tried}" if f.spans_state == "tried" else "-",
            "",
            _SPANS[f.spans_state].show(None, n=f.spans),
        ],
    ]
