"""`ringfence deid terms`: find, judge and keep internal terms. A term stands on no command line: candidates have numbers."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringfence.cli.candidates import show_candidate
from ringfence.cli.context import advise, emit, options, progress, say, workspace
from ringfence.core.errors import BadArgument
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.deid.terms_settings import Range, TermsFigures, TermVerb
    from ringfence.workspace.arrow import Committed

ORDER = 40
_SET = Annotated[str, typer.Argument(metavar="SET", help=t("A set in which candidates were discovered.", "已查找过候选的数据集。"))]
_NUMBERS = Annotated[
    list[str], typer.Argument(metavar="NUMBERS", help=t("Numbers of the list, such as 3 7 12-20.", "列表中的编号，例如 3 7 12-20。"))
]
_NUMBER = re.compile(r"([1-9][0-9]{0,5})(?:-([1-9][0-9]{0,5}))?")


def register(group: typer.Typer) -> None:
    """Add the commands."""
    terms = typer.Typer(
        help=t(
            "Internal terms: project and system names that only insiders know, and that no recogniser finds.\n\n"
            "Examples:\n\n  ringfence deid terms discover clinic\n\n  ringfence deid terms review clinic\n\n"
            "  ringfence deid terms accept clinic 3 7 12-20",
            "内部术语：只有内部人员知道、识别器找不到的项目与系统名称。\n\n"
            "示例：\n\n  ringfence deid terms discover clinic\n\n  ringfence deid terms review clinic\n\n"
            "  ringfence deid terms accept clinic 3 7 12-20",
        ),
        no_args_is_help=True,
    )
    terms.command(
        "discover",
        help=t(
            "Look through a set for what could be an internal term, and seal a ranked list.\n\nExample: ringfence deid terms discover clinic",
            "在数据集中查找可能的内部术语，并封存排序后的列表。\n\n示例：ringfence deid terms discover clinic",
        ),
    )(discover)
    terms.command(
        "list",
        help=t(
            "Show the candidates of a set with their contexts and decisions (on record); without a set, the dictionary.\n\n"
            "Examples: ringfence deid terms list clinic --most 100 · ringfence deid terms list",
            "显示数据集的候选、上下文与决定（留有记录）；不给数据集则显示词典。\n\n"
            "示例：ringfence deid terms list clinic --most 100 · ringfence deid terms list",
        ),
    )(list_)
    for name, function, english, chinese in (
        ("accept", accept, "Replace these candidates by surrogates from now on.", "今后以替代值替换这些候选。"),
        ("keep", keep, "Leave these candidates as they are; they are candidates no more.", "保留这些候选原样，不再作为候选。"),
        ("generalise", generalise, "Replace these candidates by a generic word from now on.", "今后以泛称替换这些候选。"),
        ("forget", forget, "Take back what was decided on these candidates.", "撤回对这些候选的决定。"),
    ):
        more = " --as project" if name == "generalise" else ""
        example = f"ringfence deid terms {name} clinic 3 7 12-20{more}"
        terms.command(name, help=t("{text}\n\nExample: {example}", "{zh}\n\n示例：{example}", text=english, zh=chinese, example=example))(
            function
        )
    terms.command(
        "review",
        help=t(
            "Decide on one candidate after another (on record): a accept, k keep, g generalise, s skip, u undo, q quit. "
            "Answers are read from standard input.\n\nExample: ringfence deid terms review clinic",
            "逐个决定候选（留有记录）：a 接受，k 保留，g 泛化，s 跳过，u 撤销，q 退出。从标准输入读取。\n\n示例：ringfence deid terms review clinic",
        ),
    )(review)
    terms.command(
        "import",
        help=t(
            "Take over terms from a file: one a line, or CSV with the columns term,decision,as.\n\nExample: ringfence deid terms import projects.csv",
            "从文件导入术语：每行一个，或含 term,decision,as 列的 CSV。\n\n示例：ringfence deid terms import projects.csv",
        ),
    )(import_)
    group.add_typer(terms, name="terms")


def discover(
    name: Annotated[str, typer.Argument(metavar="SET", help=t("Set to look through.", "要查找的数据集。"))],
    profile: Annotated[
        str,
        typer.Option(
            "--profile", help=t("Profile that will mask the set: what it finds is no candidate.", "将用于脱敏的方案：它能找到的不作候选。")
        ),
    ] = "default",
    most: Annotated[int, typer.Option("--most", min=1, max=5_000, help=t("Most candidates to seal.", "最多封存的候选数。"))] = 500,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="TAGGER", help=t("A tagger of the profile to go without.", "不使用方案中的某个标注器。")),
    ] = None,
) -> None:
    """Look for candidates."""
    from ringfence.deid.profile import settings_for
    from ringfence.flows.terms import discover as look

    space = workspace()
    with progress(t("terms", "术语")) as bar:
        committed, figures = look(space, name, settings=settings_for(profile, without=without or ()), most=most, show=bar)
    made = committed.things["candidates"].made

    def show() -> None:
        line = t(
            "✔ {name}  {n} candidates for internal terms, {strong} of them strong; {read} of {rows} rows read",
            "✔ {name}  内部术语候选 {n} 个，其中强候选 {strong} 个；读取了 {rows} 行中的 {read} 行",
            name=made.name,
            n=figures.candidates,
            strong=figures.strong,
            read=figures.records_read,
            rows=figures.records,
        )
        say(line)

    emit({"set": made.name, "digest": made.digest, "run": committed.run, **figures.model_dump(mode="json")}, show)
    if figures.candidates:
        advise(f"ringfence deid terms review {made.name}")


def list_(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[SET]",
            help=t("A set in which candidates were discovered; none: the dictionary.", "已查找过候选的数据集；不给则为词典。"),
        ),
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, help=t("Most rows to show.", "最多显示的行数。"))] = 50,
) -> None:
    """Show candidates or the dictionary."""
    from ringfence.flows.terms import show

    rows: list[dict[str, Any]] = []
    show(workspace(), name, most=most, say=rows.append)

    def shown() -> None:
        for row in rows:
            show_candidate(row)

    emit({"candidates" if name is not None else "terms": rows}, shown)


def accept(name: _SET, numbers: _NUMBERS) -> None:
    """Accept candidates."""
    _decide(name, "accept", numbers)


def keep(name: _SET, numbers: _NUMBERS) -> None:
    """Keep candidates."""
    _decide(name, "keep", numbers)


def generalise(
    name: _SET,
    numbers: _NUMBERS,
    as_: Annotated[str, typer.Option("--as", metavar="KIND", help="system · project · organisation · product · place · code")] = "system",
) -> None:
    """Generalise candidates."""
    _decide(name, "generalise", numbers, kind=as_)


def forget(name: _SET, numbers: _NUMBERS) -> None:
    """Take decisions back."""
    _decide(name, "forget", numbers)


def review(name: _SET) -> None:
    """Decide on candidates one by one."""
    from ringfence.flows.terms import review as ask

    space = workspace()
    answers = sys.stdin

    def hear() -> str | None:
        print(
            t(
                "a accept · k keep · g generalise [kind] · s skip · u undo · q quit > ",
                "a 接受 · k 保留 · g 泛化 [类别] · s 跳过 · u 撤销 · q 退出 > ",
            ),
            end="",
            file=sys.stderr,
            flush=True,
        )
        try:
            line = answers.readline()
        except KeyboardInterrupt:  # what was decided so far is kept
            return None
        return line[:_LONGEST_ANSWER] if line else None

    def asked(row: dict[str, Any]) -> None:
        if row.pop("again"):
            print(t("that is none of the answers", "不是可选的回答"), file=sys.stderr)
        left = row.pop("left")
        show_candidate(row, to=sys.stderr if options().json else sys.stdout)
        if not options().quiet:
            print(t("{n} left", "剩余 {n} 个", n=left), file=sys.stderr)

    _tell(*ask(space, name, say=asked, hear=hear), name)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=t("Text or CSV, UTF-8.", "文本或 CSV，UTF-8 编码。"))],
) -> None:
    """Take over terms from a file."""
    from ringfence.flows.terms import take

    _tell(*take(workspace(), file))


_LONGEST_ANSWER = 64  # characters; far more than the longest answer


def ranges(numbers: list[str], verb: str) -> tuple[Range, ...]:
    """Return numbers such as `3 7 12-20`, commas allowed, as ranges.

    Raises: BadArgument.
    """
    found = []
    for text in (part for number in numbers for part in number.split(",") if part):
        match = _NUMBER.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:  # what was typed may be a term, so it is not repeated
            raise BadArgument(option="NUMBERS", problem=t("numbers look like 3 7 12-20", "编号形如 3 7 12-20"), verb=f"deid terms {verb}")
        found.append((first, last))
    return tuple(found)


def _decide(name: str, verb: TermVerb, numbers: list[str], *, kind: str | None = None) -> None:
    from ringfence.deid.decisions import KINDS
    from ringfence.deid.terms_settings import TermsSettings
    from ringfence.flows.terms import decide

    chosen = next((one for one in KINDS if one == kind), None)
    if kind is not None and chosen is None:
        raise BadArgument(option="--as", problem=t("one of {known}", "可选 {known}", known=", ".join(KINDS)), verb=f"deid terms {verb}")
    settings = TermsSettings(how="decide", verb=verb, kind=chosen, numbers=ranges(numbers, verb))
    _tell(*decide(workspace(), name, settings), name)


def _tell(committed: Committed, figures: TermsFigures, name: str | None = None) -> None:
    def show() -> None:
        line = t(
            "✔ {changed} decisions changed; the dictionary has {terms} terms: {a} accepted, {g} generalised, {k} kept",
            "✔ 更改了 {changed} 个决定；词典共 {terms} 个术语：接受 {a}，泛化 {g}，保留 {k}",
            changed=figures.changed,
            terms=figures.terms,
            a=figures.accepted,
            g=figures.generalised,
            k=figures.kept,
        )
        say(line)

    emit({"run": committed.run, **figures.model_dump(mode="json")}, show)
    if figures.changed:
        advise(f"ringfence deid {name or 'SET'}")
