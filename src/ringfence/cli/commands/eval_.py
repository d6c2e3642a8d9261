"""`ringfence eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.answering import keys_option
from ringfence.cli.context import advise, emit, progress, say, table, workspace
from ringfence.core.text import Text, t

if TYPE_CHECKING:
    from ringfence.evaluate.settings import Compared, Estimate, EvalFigures
    from ringfence.flows.eval import Evaluated

ORDER = 57
_INSIDE = {
    "private run": Text("the run is private", "该运行是隐私运行"),
    "private rows": Text("a private run was made on these people's rows", "这批人的数据上有过隐私运行"),
    "few people": Text("they are of fewer than {n} people", "所涉不足 {n} 人"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "eval",
        help=t(
            "Measure how a run or a bundle answers the rows of a set, beside its base model: loss, perplexity, exact match, ROUGE-L and BLEU.\n\n"
            "Every figure has a 95 % interval over people. Rows that the run was trained on are told apart.\n\n"
            "Examples:\n\n  ringfence eval train-0123456789ab --data clinic@held-out\n\n  ringfence eval clinic-lora --data ward-test --max-samples 200 --max-new-tokens 128\n\n"
            "  ringfence eval train-0123456789ab --data ward-test --no-generate",
            "测量某次运行或发布包如何回答一个数据集的行，与其基础模型并列：损失、困惑度、精确匹配、ROUGE-L 与 BLEU。\n\n"
            "每个数都有按人计的 95 % 区间。该运行训练过的行会单独指出。\n\n"
            "示例：\n\n  ringfence eval train-0123456789ab --data clinic@held-out\n\n  ringfence eval clinic-lora --data ward-test --max-samples 200 --max-new-tokens 128\n\n"
            "  ringfence eval train-0123456789ab --data ward-test --no-generate",
        ),
    )(eval_)


def eval_(
    target: Annotated[
        str, typer.Argument(metavar="RUN|BUNDLE", help=t("Run id, or bundle (name or folder).", "运行编号，或发布包（名称或文件夹）。"))
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data", metavar="SET", help=t("Set to evaluate on, such as clinic@held-out.", "用于评估的数据集，如 clinic@held-out。")
        ),
    ],
    max_samples: Annotated[
        int | None, typer.Option("--max-samples", min=1, help=t("Its first rows alone (default: all).", "只用其最前若干行（默认全部）。"))
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, help=t("Longest answer, in tokens.", "回答的最大词元数。"))
    ] = 256,
    no_generate: Annotated[
        bool, typer.Option("--no-generate", help=t("Loss and perplexity alone: let it answer nothing.", "只算损失与困惑度，不生成回答。"))
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            help=t("Rows at once: time and memory (default 16).", "同时处理的行数，影响时间与内存（默认 16）。"),
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="float32|bfloat16",
            help=t(
                "Precision of the computation (default: the faster here). In bfloat16 a loss is off by some thousandths of itself.",
                "计算精度（默认取此处较快者）。bfloat16 下损失约有千分之几的偏差。",
            ),
        ),
    ] = None,
    keys: Annotated[Path | None, keys_option()] = None,
) -> None:
    """Evaluate a run or a bundle."""
    from ringfence.cli.parse import settings
    from ringfence.cli.verifying import public_keys
    from ringfence.evaluate.settings import EvalSettings
    from ringfence.flows.eval import evaluate
    from ringfence.train.settings import RuntimeHints

    asked = settings(EvalSettings, "eval", max_samples=max_samples, max_new_tokens=max_new_tokens, generates=not no_generate)
    hints = settings(RuntimeHints, "eval", micro_batch=batch_size, dtype=dtype)
    public = public_keys(keys) if keys is not None else None
    space = workspace()
    with progress(t("eval", "评估")) as bar:
        found = evaluate(space, target, data, asked=asked, hints=hints, public=public, show=bar)
    figures = found.figures.model_dump(mode="json")
    emit({"eval": found.committed.run, "run": found.run, "data": data, **found.marks, **figures}, lambda: _show(found, data))
    if found.inside is None and found.committed.statement.predicate.inputs.get("adapter"):
        advise(f"ringfence release {found.run} --dry-run")


def _show(found: Evaluated, data: str) -> None:
    from ringfence.evaluate.settings import LEAST_UNITS

    f = found.figures
    say(t("✔ {run}  evaluation {e} on {data}", "✔ {run}  评估 {e}，数据集 {data}", run=found.run, e=found.committed.run, data=data))
    columns = [t("measured", "测量"), t("base", "基础模型"), t("tuned", "微调后"), t("difference", "差"), t("on", "基于")]
    table("", columns, _rows(f), right=(1, 2, 3))
    for line in _notes(found):
        say(f"  {line}")
    if found.inside:
        because = _INSIDE[found.inside].show(None, n=LEAST_UNITS)
        say(
            t(
                "  ! {because}: this evaluation is not covered by epsilon and stays inside",
                "  ! {because}：本次评估不受 epsilon 保护，须留在内部",
                because=because,
            )
            if found.inside != "few people"
            else t("  ! {because}: this evaluation stays inside", "  ! {because}：本次评估须留在内部", because=because)
        )


def _notes(found: Evaluated) -> list[str]:
    """Return what a reader must know of the rows."""
    f = found.figures
    notes = []
    if found.is_seen:
        told = {"n": f.rows_seen, "rows": f.rows}
        notes.append(
            t(
                "! the run was trained on {n} of the {rows} rows: what it says of them is no test",
                "! 该运行训练过 {rows} 行中的 {n} 行：对这些行的结果不是检验",
                **told,
            )
        )
    elif f.rows_of_seen_units:
        notes.append(
            t(
                "! {n} rows are of people of whom the run was trained on other rows",
                "! 有 {n} 行所属的人，其另一些行曾用于训练",
                n=f.rows_of_seen_units,
            )
        )
    elif found.is_seen is None:
        notes.append(t("whether the run was trained on these rows is not known here", "此处无从得知该运行是否训练过这些行"))
    if f.rows_scored < f.rows or f.rows_cut:
        told = {"n": f.rows - f.rows_scored, "cut": f.rows_cut}
        notes.append(
            t("{n} rows had no answer within cutoff_len; {cut} were cut", "{n} 行在 cutoff_len 内没有回答；{cut} 行被截断", **told)
        )
    if f.rows_unasked:
        notes.append(
            t(
                "{n} rows were not answered: no question, or no room for an answer",
                "{n} 行未作答：没有问题，或窗口中没有回答的余地",
                n=f.rows_unasked,
            )
        )
    if f.unended:
        notes.append(t("{n} answers ended at --max-new-tokens", "{n} 个回答因 --max-new-tokens 而止", n=f.unended))
    return notes


def _rows(f: EvalFigures) -> list[list[str]]:
    scored = t("{n} tokens of {rows} rows", "{rows} 行的 {n} 个词元", n=f.tokens_scored, rows=f.rows_scored)
    if f.accuracy:
        scored = t("{rows} pairs", "{rows} 对回答", rows=f.rows_scored)
    answered = t("{n} answers", "{n} 个回答", n=f.rows_answered)
    rows = [
        (t("loss", "损失"), f.loss, "{:.4f}", scored),
        (t("perplexity", "困惑度"), f.perplexity, "{:.2f}", scored),
        (t("pairs in order", "排序正确的对"), f.accuracy, "{:.1%}", scored),
        (t("margin", "间隔"), f.margin, "{:.4f}", scored),
        (t("exact match", "精确匹配"), f.exact_match, "{:.1%}", answered),
        ("ROUGE-L", f.rouge_l, "{:.4f}", answered),
        (f"BLEU ({f.bleu_tokens})", f.bleu, "{:.2f}", answered),
    ]
    return [[name, *_cells(found, form), on] for name, found, form, on in rows if found is not None]


def _cells(found: Compared, form: str) -> list[str]:
    return [_cell(found.base, form), _cell(found.tuned, form), _cell(found.difference, form.replace(":", ":+"))]


def _cell(one: Estimate, form: str) -> str:
    bounds = "" if one.lower is None else f" [{form.format(one.lower)}, {form.format(one.upper)}]"
    return form.format(one.value) + bounds
