"""`ringfence recipe check`, `import` and `preset`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.context import advise, clock, emit, say, table
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.recipe.presets import Preset, PresetFigures

ORDER = 120
_MACHINE = ("model", "device", "dtype", "threads", "cores", "cpu", "date")  # figures that those of one machine share


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("Recipes: LLaMA-Factory's YAML.", "配方：LLaMA-Factory 的 YAML。"), no_args_is_help=True)
    group.command(
        "check",
        help=t(
            "Say what becomes of every key; start nothing.\n\nExample: ringfence recipe check clinic.yaml",
            "说明每个键如何处理，不启动任何任务。\n\n示例：ringfence recipe check clinic.yaml",
        ),
    )(check)
    group.command(
        "import",
        help=t(
            "Turn an Axolotl config into a recipe, and say what becomes of every key. A key that cannot be met is refused, and then nothing is written.\n\n"
            "Example: ringfence recipe import lora-1b.yml --dataset clinic --out clinic.yaml\n\n"
            "Without --out the recipe is printed. No set is fetched: import each one yourself.",
            "把 Axolotl 配置变为配方，并说明每个键如何处理。无法满足的键会被拒绝，此时不写任何文件。\n\n"
            "示例：ringfence recipe import lora-1b.yml --dataset clinic --out clinic.yaml\n\n"
            "不写 --out 时打印配方。不会获取任何数据集：请自行逐一导入。",
        ),
    )(import_)
    group.command(
        "preset",
        help=t(
            "List ready recipes with the time, memory and loss that each was measured to take, or write one of them.\n\n"
            "Examples:\n\n  ringfence recipe preset\n\n  ringfence recipe preset sft-lora --model smollm2 --dataset clinic --out clinic.yaml\n\n"
            "Without --out the recipe is printed. --json gives every figure.",
            "列出现成的配方及其实测的时间、内存与损失，或写出其中一个。\n\n"
            "示例：\n\n  ringfence recipe preset\n\n  ringfence recipe preset sft-lora --model smollm2 --dataset clinic --out clinic.yaml\n\n"
            "不写 --out 时打印配方。--json 给出全部数据。",
        ),
    )(preset)
    app.add_typer(group, name="recipe")


def check(file: Annotated[Path, typer.Argument(metavar="FILE", help=t("Recipe (YAML).", "配方（YAML）。"))]) -> int:
    """Say what becomes of every key."""
    from ringfence.recipe.read import checked, load

    document = load(file)
    lines = checked(document)
    bad = [line for line in lines if line.treatment == "refused"]

    def show() -> None:
        words = _words()
        rows = [[line.key, str(document.get(line.key, "")), words[line.treatment], line.why] for line in lines]
        table("", [t("key", "键"), t("value", "值"), t("treatment", "处理"), t("why", "原因")], rows)
        say(
            _refusal(len(bad))
            if bad
            else t(
                "✔ every key is understood; model, sets and policy are asked by ringfence train FILE --dry-run",
                "✔ 每个键都能理解；模型、数据集与策略由 ringfence train FILE --dry-run 核对",
            )
        )

    emit({"keys": [{"key": line.key, "treatment": line.treatment, "why": line.why} for line in lines], "ok": not bad}, show)
    return 2 if bad else 0


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=t("Axolotl config (YAML).", "Axolotl 配置（YAML）。"))],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RECIPE", help=t("Write the recipe here; a new file.", "把配方写入此处；须为新文件。"))
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAMES",
            help=t("Imported sets that stand for its datasets: one, or a,b.", "代替其 datasets 的已导入数据集：一个，或 a,b。"),
        ),
    ] = None,
    eval_dataset: Annotated[
        str | None,
        typer.Option(
            "--eval-dataset",
            metavar="NAMES",
            help=t("Imported sets that stand for its test_datasets.", "代替其 test_datasets 的已导入数据集。"),
        ),
    ] = None,
) -> int:
    """Turn an Axolotl config into a recipe."""
    import yaml

    from ringfence.cli.parse import new_path
    from ringfence.core.durable import write_atomic
    from ringfence.recipe.axolotl import imported
    from ringfence.recipe.read import load

    target = new_path(out, "--out", "recipe import") if out else None
    found = imported(load(file), dataset=dataset, eval_dataset=eval_dataset)
    text = yaml.safe_dump(dict(found.recipe), sort_keys=False, allow_unicode=True)
    if target and not found.refused:
        write_atomic(target, text.encode(), mode=0o644)

    def show() -> None:
        words = _words()
        rows = [
            [one.key, words[one.treatment], ", ".join(f"{key}: {value}" for key, value in one.to.items()), one.why]
            for one in found.outcomes
        ]
        table("", [t("key", "键"), t("treatment", "处理"), t("in the recipe", "在配方中"), t("why", "原因")], rows)
        if found.refused:
            say(_refusal(len(found.refused)))
        elif target:
            say(t("✔ {path} is written", "✔ 已写入 {path}", path=target))
            advise(f"ringfence train {target} --dry-run")
        else:
            say(f"\n{text}")

    keys = [{"key": one.key, "treatment": one.treatment, "recipe": one.to, "why": one.why} for one in found.outcomes]
    written = None if found.refused or target is None else str(target)
    emit({"keys": keys, "ok": not found.refused, "recipe": None if found.refused else found.recipe, "written": written}, show)
    return 2 if found.refused else 0


def preset(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help=t("Preset; without it all are listed.", "预设；不写则列出全部。"))
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help=t("Base model of the recipe.", "配方的基础模型。"))] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAMES", help=t("Imported sets: one, or a,b.", "已导入的数据集：一个，或 a,b。"))
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RECIPE", help=t("Write the recipe here; a new file.", "把配方写入此处；须为新文件。"))
    ] = None,
) -> None:
    """List ready recipes, or write one."""
    from ringfence.cli.parse import new_path
    from ringfence.core.durable import write_atomic
    from ringfence.core.errors import BadArgument
    from ringfence.recipe.presets import filled, presets
    from ringfence.recipe.presets import preset as find
    from ringfence.recipe.read import strict_yaml

    if name is None:
        given = {"--model": model, "--dataset": dataset, "--out": out}
        if needless := next((option for option, value in given.items() if value is not None), None):
            raise BadArgument(option=needless, problem=t("name the preset that it is for", "请写明它用于哪个预设"), verb="recipe preset")
        _list(presets())
        return
    text = filled(find(name), model=model, dataset=dataset)
    target = new_path(out, "--out", "recipe preset") if out else None
    if target:
        write_atomic(target, text.encode(), mode=0o644)

    def show() -> None:
        if target:
            say(t("✔ {path} is written", "✔ 已写入 {path}", path=target))
            advise(f"ringfence train {target} --dry-run")
        else:
            say(text.rstrip("\n"))

    emit({"preset": name, "recipe": strict_yaml(text), "written": None if target is None else str(target)}, show)


def _list(known: tuple[Preset, ...]) -> None:
    def show() -> None:
        columns = [
            t("preset", "预设"),
            t("for", "用途"),
            t("rows", "行数"),
            t("steps", "步数"),
            t("time", "时间"),
            t("memory", "内存"),
            t("tokens/s", "词元/秒"),
            t("load", "负载"),
            t("before → after", "前 → 后"),
        ]
        table("", columns, [preset_row(one) for one in known], right=tuple(range(2, 8)))
        say("")
        for line in preset_machines(known):
            say(line)
        advise("ringfence recipe preset NAME --model NAME --dataset NAME --out RECIPE")

    told = [{"name": one.name, "for": one.purpose.show(), "figures": one.figures and one.figures.model_dump(mode="json")} for one in known]
    emit({"presets": told}, show)


def preset_row(one: Preset) -> list[str]:
    """Return the cells of a preset: its name, its purpose, and what it was measured to take."""
    purpose, found = one.purpose.show(), one.figures
    if found is None:
        return [one.name, purpose, *["-"] * 6, t("not measured", "未测量")]
    learned = "-"
    if found.loss:
        learned = t("held-out loss", "留出集损失") + f" {found.loss[0]:.3f} → {found.loss[1]:.3f}"
    elif found.reward:
        learned = t("reward", "奖励") + f" {found.reward[0]:.2f} → {found.reward[1]:.2f}"
    cost = [clock(found.seconds), f"{found.peak_memory / 2**30:.1f} GiB", f"{found.tokens_per_second:.0f}", f"{found.load:.1f}"]
    return [one.name, purpose, str(found.rows), str(found.steps), *cost, learned]


def preset_machines(known: Sequence[Preset]) -> list[str]:
    """Return a line for each machine that presets were measured on, and with what."""
    found: dict[tuple[object, ...], list[PresetFigures]] = {}
    for figures in (one.figures for one in known if one.figures):
        found.setdefault((*(getattr(figures, name) for name in _MACHINE), *sorted(figures.versions.items())), []).append(figures)
    return [
        t(
            "Measured by ringfence train: {model}, rows of at most {longest} tokens, {device} {dtype}, {threads} of {cores} cores of {cpu}; {date}, {versions}",
            "由 ringfence train 实测：{model}，每行至多 {longest} 词元，{device} {dtype}，{cpu} {cores} 核中的 {threads} 核；{date}，{versions}",
            longest=max(one.longest for one in same),
            versions=", ".join(f"{name} {version}" for name, version in same[0].versions.items()),
            **{name: getattr(same[0], name) for name in _MACHINE},
        )
        for same in found.values()
    ]


def _words() -> dict[str, str]:
    return {"used": t("used", "使用"), "noted": t("noted", "忽略并注明"), "refused": t("refused", "拒绝")}


def _refusal(number: int) -> str:
    return t("✖ {n} keys are refused", "✖ {n} 个键被拒绝", n=number)
