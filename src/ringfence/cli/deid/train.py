"""`ringfence deid train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import advise, emit, progress, say, table, workspace
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.deid.teaching import LanguageCard, TeachFigures

ORDER = 40


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(
        "train",
        help=t(
            "Learn a tagger of your own from spans that people corrected, and print how much better it is than the one that ships.\n\n"
            "FILE is Label Studio's JSON export, or JSON Lines: {{'text': …, 'spans': [{{'start', 'end', 'kind'}}]}}.\n\n"
            "--review SET learns from the finished rows of the newest review of a masked set, with or without a file; no text leaves the vault for it.\n\n"
            "Examples: ringfence deid train corrected.json · ringfence deid train wards.jsonl --kind WARD --name wards · ringfence deid train --review clinic",
            "用人工校正过的标注训练自有的标注器，并显示它比自带的好多少。\n\n"
            "FILE 为 Label Studio 的 JSON 导出，或 JSON Lines：{{'text': …, 'spans': [{{'start', 'end', 'kind'}}]}}。\n\n"
            "--review SET 从脱敏数据集最新一次审阅中已审完的行学习，可与文件并用；为此没有文本离开保险库。\n\n"
            "示例：ringfence deid train corrected.json · ringfence deid train wards.jsonl --kind WARD --name wards · ringfence deid train --review clinic",
        ),
    )(train)


def train(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help=t("Labelled text.", "已标注的文本。"))] = None,
    review: Annotated[
        str | None,
        typer.Option("--review", metavar="SET", help=t("Masked set whose newest review is learnt from.", "从其最新审阅学习的脱敏数据集。")),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help=t("Name of the tagger; default: the file's, or the set's.", "标注器名称；默认取文件名或数据集名。")),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", help=t("A kind of your own, WARD for one; several may be given.", "自有类型，如 WARD；可给出多个。")
        ),
    ] = None,
    held_out: Annotated[
        float | None, typer.Option("--held-out", help=t("Share that is measured on and not learnt from.", "只用于度量、不用于学习的比例。"))
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help=t("Which documents are held out.", "决定留出哪些文档。"))] = None,
) -> None:
    """Learn a tagger from labelled text, or from a review."""
    from ringfence.cli.parse import name_of, settings
    from ringfence.core.errors import BadArgument
    from ringfence.deid.teaching import TeachSettings
    from ringfence.flows.review import found_review, masked_set
    from ringfence.flows.teach import digest, teach

    if file is None and review is None:
        raise BadArgument(option="FILE", problem=t("give a file, or --review SET", "请给出文件，或 --review SET"), verb="deid train")
    chosen = name_of(name or (file.stem if file else str(review).partition("@")[0]), "deid train")
    space = workspace()
    reviewed = found_review(space, masked_set(space, review)) if review is not None else None
    wanted = settings(
        TeachSettings,
        "deid train",
        kinds=tuple(dict.fromkeys(one.upper() for one in kind or ())),
        labels_digest=digest(space, file) if file else None,
        review=reviewed.review.made.digest if reviewed else None,
        held_out=held_out,
        seed=seed,
    )
    with progress(t("train", "训练")) as bar:
        committed, figures = teach(space, file, name=chosen, settings=wanted, reviewed=reviewed, show=bar)
    made = committed.things["tagger"].made
    cards = {language: card for language, card in (("zh", figures.zh), ("en", figures.en)) if card}

    def show() -> None:
        say(
            t(
                "✔ {name}@tagger  {spans} spans in {documents} documents; {moved} near-duplicates moved, {shared:.1f} % of the held-out text is shared",
                "✔ {name}@tagger  {documents} 份文档中的 {spans} 处标注；移走近似重复 {moved} 份，留出文本有 {shared:.1f} % 与其余相同",
                name=chosen,
                spans=sum(figures.spans.values()),
                documents=figures.documents,
                moved=figures.moved,
                shared=100 * figures.shared,
            )
        )
        if figures.ignored:
            say(t("  {n} spans of kinds that patterns find were not learnt", "  {n} 处标注属于由规则识别的类型，未学习", n=figures.ignored))
        if figures.unreviewed:
            say(t("  {n} texts that nobody annotated were left out", "  {n} 份无人标注的文本未使用", n=figures.unreviewed))
        for language, card in cards.items():
            _show_card(language, card)

    emit(
        {"tagger": chosen, "digest": made.digest, "run": committed.run, **figures.model_dump(mode="json"), "scores": _scores(figures)}, show
    )
    advise(f"ringfence deid SET --tagger {chosen}")


def _systems() -> dict[str, str]:
    return {"learnt": t("yours", "自有"), "shipped": t("shipped", "自带"), "together": t("together", "合用")}


def _scores(figures: TeachFigures) -> dict[str, object]:
    """Return the shares of the card by language, system and kind; `all` is of all kinds together."""
    from ringfence.deid.teaching import scores

    return {
        language: {
            system: {"all": scores(card, getattr(card, system))}
            | {kind: scores(card, getattr(card, system), kind) for kind in card.labelled}
            for system in _systems()
        }
        for language, card in (("zh", figures.zh), ("en", figures.en))
        if card
    }


def _show_card(language: str, card: LanguageCard) -> None:
    from ringfence.deid.teaching import scores

    say(
        t(
            "  {language}: learnt from {n} sentences in {seconds:.0f} s, measured on {held} others",
            "  {language}：用 {seconds:.0f} 秒学习了 {n} 个句子，在另外 {held} 个句子上度量",
            language={"zh": t("Chinese", "中文"), "en": t("English", "英文")}[language],
            n=card.taught_on,
            seconds=card.seconds_learning,
            held=card.measured_on,
        )
    )
    columns = [
        t("kind", "类型"),
        t("spans", "数量"),
        t("tagger", "标注器"),
        "P",
        "R",
        "F1",
        t("covered", "覆盖"),
        t("missed", "漏字"),
        t("over", "多遮"),
    ]
    body = []
    for kind in (None, *card.labelled):
        for system, title in _systems().items():
            one = scores(card, getattr(card, system), kind)
            cells = [f"{100 * one[key]:.1f}" if key in one else "" for key in ("precision", "recall", "f1", "covered", "missed", "over")]
            first = system == "learnt"
            count = card.labelled[kind] if kind else sum(card.labelled.values())
            body.append([(kind or t("all", "全部")) if first else "", str(count) if first else "", title, *cells])
    table("", columns, body, right=(1, 3, 4, 5, 6, 7, 8))
    say(t("  exact spans and kinds; all figures in %", "  按范围与类型完全一致计；均为百分比"))
