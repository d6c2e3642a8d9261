"""`ringfence deid mask`, or short `ringfence deid SET`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.admission import note_not_admitted, note_unknown_kinds
from ringfence.cli.candidates import note_unreviewed
from ringfence.cli.context import advise, emit, progress, say, table, workspace
from ringfence.core.text import t
from ringfence.deid.settings import Reach

if TYPE_CHECKING:
    from ringfence.deid.settings import DeidFigures
    from ringfence.report.figures import Bounds

ORDER = 10


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(
        "mask",
        help=t(
            "Replace identifiers and internal terms by consistent surrogates; no original survives, or nothing is written.\n\n"
            "Examples: ringfence deid clinic · ringfence deid clinic --profile medical-zh · ringfence deid clinic --profile ours.json · ringfence deid clinic --terms projects.txt · ringfence deid clinic --tagger wards · ringfence deid clinic --workers 8",
            "把标识符与内部术语替换为一致的替代值；不残留原文，否则不写出。\n\n示例：ringfence deid clinic · ringfence deid clinic --profile medical-zh · ringfence deid clinic --profile ours.json · ringfence deid clinic --terms projects.txt · ringfence deid clinic --tagger wards · ringfence deid clinic --workers 8",
        ),
    )(mask)


def mask(
    name: Annotated[str, typer.Argument(metavar="SET", help=t("Set to de-identify.", "要脱敏的数据集。"))],
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="NAME|FILE.json",
            help=t("De-identification profile, or a file of your own.", "脱敏方案，或自定义方案文件。"),
        ),
    ] = "default",
    terms: Annotated[
        Path | None, typer.Option("--terms", metavar="FILE", help=t("Internal terms, one a line.", "内部术语，每行一个。"))
    ] = None,
    tagger: Annotated[
        list[str] | None,
        typer.Option(
            "--tagger", metavar="NAME", help=t("A tagger of your own, from `deid train`.", "自有的标注器，由 `deid train` 训练。")
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="TAGGER", help=t("A tagger of the profile to go without.", "不使用方案中的某个标注器。")),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="TAGGER", help=t("A tagger to use besides those of the profile.", "在方案之外另加的标注器。")),
    ] = None,
    presidio: Annotated[
        Path | None, typer.Option("--presidio", metavar="FILE", help=t("Recognisers in Presidio's YAML.", "Presidio YAML 格式的识别器。"))
    ] = None,
    reach: Annotated[
        Reach,
        typer.Option(
            "--reach",
            help=t(
                "How far an original is looked up: in the whole set, or in its own record alone, as privacy.scope: record needs. Alone, a name that no recogniser sees in a row stays there though another row gives it away; the dictionary of terms is not used.",
                "原文的查找范围：整个数据集，或仅其所在的记录（privacy.scope: record 需要后者）。仅限本记录时，识别器在某行未见的人名会留下，即使另一行已暴露它；也不使用术语词典。",
            ),
        ),
    ] = "set",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="N",
            help=t(
                "Processes that share the work, at most one for 4 MB of the set (default: one per processor that has 1 GiB of free memory). The result is the same for any number.",
                "分担工作的进程数，至多每 4 MB 数据一个（默认每个有 1 GiB 空闲内存的处理器一个）。结果与进程数无关。",
            ),
        ),
    ] = None,
) -> None:
    """Replace identifiers by surrogates."""
    from ringfence.deid.profile import settings_for, unknown_kinds
    from ringfence.deid.settings import kinds
    from ringfence.flows.deid import deidentify
    from ringfence.flows.report import recall_bounds
    from ringfence.flows.terms import unreviewed
    from ringfence.report.masked import MaskedShown, crowd_sentence, planted_sentence, short_sentence, taggers_sentences

    space = workspace()
    settings = settings_for(profile, without=without or (), with_=with_ or ())
    note_unreviewed(space, name)
    note_not_admitted(space, settings.profile)
    if not tagger and presidio is None:  # these bring kinds of their own
        note_unknown_kinds(unknown_kinds(settings), kinds())
    with progress(t("deid", "脱敏")) as bar:
        committed, figures = deidentify(
            space,
            name,
            settings=settings.model_copy(update={"reach": reach}),
            terms=terms,
            taggers=tagger or (),
            presidio=presidio,
            workers=workers,
            show=bar,
        )
    made = committed.things["set"].made

    def show() -> None:
        total = sum(figures.spans.values())
        say(
            t(
                "✔ {name}@masked:{p}  {n} identifiers in {rows} rows found and replaced, {left} of them survive",
                "✔ {name}@masked:{p}  在 {rows} 行中找到并替换了 {n} 个标识符，其中残留 {left}",
                name=made.name,
                p=made.profile,
                n=total,
                rows=figures.records,
                left=figures.survivors,
            )
        )
        recall = recall_bounds(figures.hidden, figures.hidden_found)
        shown_kinds = sorted({*figures.spans, *figures.kept}, key=lambda kind: (-figures.spans.get(kind, 0), kind))
        rows = [
            [kind, str(figures.spans.get(kind, 0)), str(figures.kept.get(kind, 0)), _recall(figures, recall, kind)] for kind in shown_kinds
        ]
        if rows:
            names = [t("kind", "类型"), t("replaced", "替换"), t("kept", "保留"), t("planted ones found", "找到的植入标识符")]
            table("", names, rows, right=(1, 2))
        shown = MaskedShown.of(figures.model_dump(mode="json"))
        for sentence in [planted_sentence(shown, recall), short_sentence(shown), crowd_sentence(shown), *taggers_sentences(shown)]:
            if sentence:
                say(sentence)
        say(t("More: ringfence run show {run} --html deid.html", "详见：ringfence run show {run} --html deid.html", run=committed.run))

    emit({"set": made.name, "stage": "masked", "digest": made.digest, "run": committed.run, **figures.model_dump(mode="json")}, show)
    thing = space.state.things[committed.statement.predicate.inputs["set"]]
    source = thing.made
    if source.stage == "sealed":  # the default policy asks for both, in this order
        advise(f"ringfence scan {made.name} && ringfence deid {made.name}")
    elif unreviewed(space, thing) is None:  # nobody looked for internal terms yet
        advise(f"ringfence deid terms discover {made.name} · ringfence train RECIPE")
    else:
        advise("ringfence train RECIPE")


def _recall(figures: DeidFigures, recall: Mapping[str, Bounds], kind: str) -> str:
    from ringfence.report.masked import recall_text

    return recall_text(figures.hidden_found.get(kind, 0), figures.hidden[kind], recall[kind]) if kind in recall else "–"
