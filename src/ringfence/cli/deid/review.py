"""`ringfence deid review`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import advise, emit, progress, say, workspace
from ringfence.cli.reviewing import Terminal
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.deid.review.settings import ReviewFigures

ORDER = 40


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(
        "review",
        help=t(
            "Look at a random sample of a masked set, mark what still identifies somebody, and bound what is left in the whole set.\n\n"
            "Each row waits for a line: o = nothing is left · l KIND TEXT = this leaks · r N = number N is no identifier · t N KIND = it is of that kind · "
            "capital L, R, T = the same everywhere · u = undo · n, p = next, previous · q = go on another time.\n\n"
            "Examples:\n\n  ringfence deid review clinic\n\n  ringfence deid review clinic --by uncertainty --rows 100\n\n  ringfence deid review clinic --export tasks.json --plaintext\n\n"
            "  ringfence deid review clinic --import annotated.json",
            "查看脱敏数据集的随机样本，标出仍能识别个人的内容，并给出整个数据集残留的上限。\n\n"
            "每行等待一条输入：o = 无残留 · l 类型 文本 = 此处泄露 · r N = 第 N 处不是标识符 · t N 类型 = 改为该类型 · "
            "大写 L、R、T = 全样本同样处理 · u = 撤销 · n、p = 下一行、上一行 · q = 下次继续。\n\n"
            "示例：\n\n  ringfence deid review clinic\n\n  ringfence deid review clinic --by uncertainty --rows 100\n\n  ringfence deid review clinic --export tasks.json --plaintext\n\n"
            "  ringfence deid review clinic --import annotated.json",
        ),
    )(review)


def review(
    name: Annotated[str, typer.Argument(metavar="SET", help=t("Masked set.", "脱敏后的数据集。"))],
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=1, max=1_000_000, help=t("Rows of the sample; 300 if it is new.", "样本行数；新样本默认 300。")),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=(1 << 63) - 1, help=t("Seed of the sample.", "样本的随机种子。"), show_default=False)
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="chance|uncertainty",
            help=t(
                "Draw by chance, which bounds what is left, or take the rows that taggers are least sure of, which does not.",
                "随机抽样，可给出残留上限；或取标注器最不确定的行，不能给出上限。",
            ),
        ),
    ] = None,
    originals: Annotated[
        bool,
        typer.Option(
            "--originals", help=t("Show the text before masking, too; on record as such.", "同时显示脱敏前的文本；会单独记录在案。")
        ),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", metavar="FILE", help=t("Write the sample for Label Studio; record text.", "为 Label Studio 写出样本；含记录文本。")
        ),
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help=t("Take over Label Studio's annotations.", "采用 Label Studio 的标注。"))
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page", metavar="FILE", help=t("Write before and after as a page; record text.", "写出脱敏前后对照网页；含记录文本。")
        ),
    ] = None,
    plaintext: Annotated[
        bool, typer.Option("--plaintext", help=t("Yes, record text may leave the vault.", "确认：记录文本可离开保险库。"))
    ] = False,
) -> None:
    """Review a sample of a masked set."""
    from ringfence.cli.parse import choice
    from ringfence.deid.review.settings import BY
    from ringfence.flows import review as flow

    chosen = choice(by, BY, "--by", "deid review") if by is not None else None
    _check(export, import_, page, is_confirmed=plaintext)
    space = workspace()
    masked = flow.masked_set(space, name)
    if import_ is not None:
        sampled = flow.found_review(space, masked, rows=rows, seed=seed, by=chosen)
        _, figures = flow.take_labels(space, sampled, import_, originals=originals)
        _told(masked.made.name, figures, again=name)
        return
    with progress(t("review", "审阅")) as bar:
        sampled, _ = flow.sample(space, masked, rows=rows, seed=seed, by=chosen, show=bar)
    if export is not None or page is not None:
        path = export or page
        assert path is not None  # noqa: S101  one of them is given
        figures = flow.write_out(space, sampled, path.absolute(), does="export" if export else "page", originals=originals)
        document = {"set": masked.made.name, "file": str(path), **figures.model_dump(mode="json")}
        emit(
            document,
            lambda: say(t("✔ {path}  {n} rows; it holds record text", "✔ {path}  {n} 行；含记录文本", path=path, n=figures.sample)),
        )
        return
    terminal = Terminal()
    _, figures = flow.ask(space, sampled, hear=terminal.hear, show=terminal.show, originals=originals)
    _told(masked.made.name, figures, again=name)


def _check(export: Path | None, import_: Path | None, page: Path | None, *, is_confirmed: bool) -> None:
    """Raise before anything is opened: BadArgument, AlreadyExists, PlaintextUnconfirmed."""
    from ringfence.cli.parse import new_path
    from ringfence.core.errors import BadArgument, PlaintextUnconfirmed

    given = {option: path for option, path in (("--export", export), ("--import", import_), ("--page", page)) if path is not None}
    if len(given) > 1:
        problem = t("only one of --export, --import and --page at a time", "--export、--import、--page 一次只能用一个")
        raise BadArgument(option=" ".join(given), problem=problem, verb="deid review")
    if import_ is not None and not import_.is_file():
        raise BadArgument(option="--import", problem=t("{path} cannot be read", "{path} 无法读取", path=import_), verb="deid review")
    for option in ("--export", "--page"):
        if option in given:
            new_path(given[option], option, "deid review")
            if not is_confirmed:
                raise PlaintextUnconfirmed(option=option)


def _told(name: str, figures: ReviewFigures, *, again: str) -> None:
    emit({"set": name, **figures.model_dump(mode="json")}, lambda: say("\n".join(sentences(figures))))
    if figures.counted < figures.sample:
        advise(f"ringfence deid review {again}")  # as it was called: the bare name may mean several masked sets


def sentences(f: ReviewFigures) -> list[str]:
    """Return what a review has come to, for people."""
    lines = [
        t(
            "{reviewed} of {sample} rows of the sample reviewed: {leaking} leak ({leaks} places); places that were no identifiers: {rejected}, of another kind: {retyped}",
            "样本 {sample} 行中已审阅 {reviewed} 行：{leaking} 行有泄露（{leaks} 处），{rejected} 处并非标识符，{retyped} 处类型有误",
            **f.model_dump(include={"reviewed", "sample", "leaking", "leaks", "rejected", "retyped"}),
        )
    ]
    if f.counted > f.reviewed:
        lines.append(t("  {n} of them were skipped and count as leaking", "  其中 {n} 行被跳过，按有泄露计", n=f.counted - f.reviewed))
    if f.by == "uncertainty":
        why = t(
            "No bound: these rows were taken because the taggers are unsure of them, not by chance, so they say nothing of the others. `--by chance` draws a sample that does.",
            "没有上限：这些行是因标注器不确定而选取的，并非随机，因此不能说明其余各行。`--by chance` 抽取可以说明的样本。",
        )
        return [*lines, why]
    if f.bound_rows is None or f.bound_of_source is None:
        return [*lines, t("Nothing can be said of the whole set before a row is finished.", "在审完至少一行之前，无法对整个数据集下结论。")]
    lines.append(
        t(
            "At most {share} of the rows ({n} of {rows}) still hold an identifier that a reader sees, at 95 % confidence; of more rows of the same source, {more}.",
            "以 95 % 的置信度，至多 {share} 的行（{rows} 行中的 {n} 行）仍含读者能看出的标识符；对同一来源的更多行，至多 {more}。",
            share=percent(f.bound_rows, f.rows),
            n=f.bound_rows,
            rows=f.rows,
            more=percent(f.bound_of_source, 1),
        )
    )
    if f.other_draws:
        lines.append(
            t(
                "  Other samples drawn of this set: {n}. This holds if the sample was settled on before any of them was looked at.",
                "  该数据集另抽取过 {n} 个样本。仅当在查看任何样本之前就已选定此样本时，此结论才成立。",
                n=f.other_draws,
            )
        )
    if f.counted < f.sample:
        lines.append(
            t(
                "  The sample is not finished: this holds if the reviewer does not stop because of what they saw.",
                "  样本尚未审完：仅当审阅者不是因所见内容而停止时，此结论才成立。",
            )
        )
    return lines


def percent(part: float, whole: float) -> str:
    """Return a share in percent, never rounded down: it is an upper bound."""
    hundredths = math.ceil(round(10_000 * part / whole, 6))
    return f"{hundredths / 100:.2f} %"
