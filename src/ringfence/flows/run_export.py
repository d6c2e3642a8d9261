"""A run's losses leave the vault as files that other tools read: LLaMA-Factory's log, transformers' state, TensorBoard's events, a picture."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

from ringfence.core.durable import full_disk_as_error, sync_folder
from ringfence.core.errors import BadArgument
from ringfence.core.text import t
from ringfence.flows.runs import adapter_of, sealed_bytes
from ringfence.flows.train import Saved
from ringfence.report.training import Log, log_of, picture, write_events
from ringfence.train.schedule import learning_rate, steps_of, steps_per_epoch
from ringfence.train.settings import TrainFigures
from ringfence.workspace.space import Workspace

LOG, STATE, PICTURE = "trainer_log.jsonl", "trainer_state.json", "training_loss.svg"


def export_run(space: Workspace, name: str, folder: Path) -> tuple[str, ...]:
    """Write the losses of a finished ordinary run into a new folder, and return the names of its files; the folder is there whole or not at all.

    The losses of a private run are of private rows and covered by no epsilon: they stay inside.

    Raises: UnknownRun, AmbiguousName, NotReleasable, BadArgument, StorageFull.
    """
    log, began = log_in(space, name)
    temporary = folder.with_name(f".{folder.name}.tmp")
    with full_disk_as_error():
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        try:
            (temporary / LOG).write_text("".join(f"{line}\n" for line in log.lines()), encoding="utf-8")
            (temporary / STATE).write_text(log.state(), encoding="utf-8")
            (temporary / PICTURE).write_text(picture(log), encoding="utf-8")
            write_events(log, temporary, began=began)
            sync_folder(temporary)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return tuple(sorted(path.name for path in folder.iterdir()))


def log_in(space: Workspace, name: str) -> tuple[Log, float]:
    """Return the log of a finished ordinary run, opened on record, and when it began, in seconds since 1970.

    Raises: UnknownRun, AmbiguousName, NotReleasable, BadArgument.
    """
    run, _ = adapter_of(space, name)
    assert run.statement is not None  # noqa: S101  a finished run has one
    predicate = space.statement(run.statement).predicate
    if "plan" in predicate.figures:
        problem = t(
            "its losses are of private rows, and no epsilon covers them: they stay inside; ringfence run show prints them",
            "其损失来自隐私行，不受 ε 保护，须留在内部；ringfence run show 会显示",
        )
        raise BadArgument(option=run.id, problem=problem, verb="run export")
    data = sealed_bytes(space, run)
    if data is None:
        raise BadArgument(option=run.id, problem=t("its figures were deleted", "其数据已删除"), verb="run export")
    figures = TrainFigures.model_validate({**predicate.figures, **json.loads(data)["figures"]})
    settings = Saved.model_validate(predicate.settings).order.train
    highest = figures.learning_rate or settings.learning_rate or 0.0
    looks = list(zip(figures.eval_at, figures.eval_losses, strict=True))
    if figures.eval_before is not None:
        looks.insert(0, (0, figures.eval_before))
    if figures.eval_after is not None and figures.best_step is None:
        looks.append((figures.steps, figures.eval_after))
    planned = steps_of(settings, figures.rows)
    log = log_of(
        losses=figures.losses,
        every=figures.losses_every,
        looks=looks,
        rates=[learning_rate(settings, planned, step, highest=highest) for step in range(figures.steps)],
        steps=figures.steps,
        steps_per_epoch=steps_per_epoch(settings, figures.rows),
        seconds_per_step=figures.seconds_per_step,
        drawn={
            name: series
            for name, series in (("reward", figures.rewards), ("kl", figures.kls), ("completions/mean_length", figures.answer_tokens))
            if series
        },
    )
    return log, datetime.fromisoformat(run.intent.time).timestamp()
