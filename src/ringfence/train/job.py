"""`train.v1`: rows and a base model become an adapter. The child half; runs in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.core.order import Child, Progress
from ringfence.train.settings import TrainFigures, TrainOrder

if TYPE_CHECKING:
    from ringfence.train.checkpoint import History, SlotKeeper
    from ringfence.train.loop import Outcome
    from ringfence.train.setup import Ready

_SERIES = 10_000  # the most losses that figures can hold


def run(child: Child[TrainOrder]) -> TrainFigures:
    """Write the adapter into the output slot "adapter" and return what the run did.

    Inputs "set", "evaluation" (read when `eval` is set) and "checkpoint" (continue from there). Checkpoints go to the output "checkpoint"
    and to the slots that the host grants after it.

    Under a plan every step was granted by the host before it is drawn. A resumed private run begins at its last checkpoint with fresh noise and
    draws, and ends when the plan is spent: it makes fewer updates.

    Raises: NothingToTrain, LossNotFinite, Interrupted, DeviceMissing, CheckpointUnfit, ModelUnsupported, NotCovered, NotPerExample, PlanUnfit,
    ObjectBroken, RankLost.
    """
    if child.order.settings.train.drawn:
        return _drawn(child)
    from safetensors.torch import save

    from ringfence.train.adapter import WEIGHTS
    from ringfence.train.loop import train
    from ringfence.train.setup import batches_of, prepared, referred
    from ringfence.vault.files import write_files

    with prepared(child) as began:
        ready = referred(began, child.channel)
        outcome = train(
            ready.trainer,
            batches_of(child, ready.corpus, lease=child.channel.lease),
            channel=child.channel,
            evaluation=ready.evaluation.examples,
            keeper=_keeper(child, ready),
            resumed=_resume(child, ready),
        )
        steps = outcome.history.step
        child.channel.progress(Progress(done=steps, total=steps, phase="write"))
        slot = child.order.outputs["adapter"]
        write_files(slot, child.keys.data[slot.slot], {WEIGHTS: save(ready.trainer.method.export(), metadata={"format": "pt"})})
        return _figures(child, ready, outcome)


def _drawn(child: Child[TrainOrder]) -> TrainFigures:
    """Return what a run did that learns from answers of its own, after telling its engine where it may write: into the sandbox's memory."""
    from ringfence.train.engine import opened

    with opened() as engine:
        figures: TrainFigures = engine.train(child)
    return figures


def _keeper(child: Child[TrainOrder], ready: Ready) -> SlotKeeper | None:
    from ringfence.train.checkpoint import SlotKeeper
    from ringfence.vault.files import write_files

    slot = child.order.outputs.get("checkpoint")
    if slot is None:
        return None
    return SlotKeeper(
        child.channel,
        slot=slot,
        key=child.keys.data[slot.slot],
        write=write_files,
        settings=child.order.settings.train,
        rows=len(ready.corpus.examples),
    )


def _resume(child: Child[TrainOrder], ready: Ready) -> History | None:
    from ringfence.train.checkpoint import STATE, TENSORS, unpack
    from ringfence.vault.files import read_file

    slot = child.order.inputs.get("checkpoint")
    if slot is None:
        return None
    key = child.keys.data[slot.slot]
    files = {name: read_file(slot, key, name) for name in (STATE, TENSORS)}
    history, tensors = unpack(files, child.order.settings.train, rows=len(ready.corpus.examples))
    ready.trainer.restore(tensors, step=history.step)
    return history


def _figures(child: Child[TrainOrder], ready: Ready, outcome: Outcome) -> TrainFigures:
    from ringfence.train.setup import peaks_of
    from ringfence.train.usage import age

    history, peaks = outcome.history, peaks_of(ready.trainer)
    losses = history.losses
    every = max(child.order.settings.train.logging_steps, -(-len(losses) // _SERIES))
    looked = history.evals[:: max(1, -(-len(history.evals) // _SERIES))]
    windows = [losses[at : at + every] for at in range(0, len(losses), every)]
    return TrainFigures(
        steps=history.step,
        rows=len(ready.corpus.examples),
        dropped=ready.corpus.dropped,
        truncated=ready.corpus.truncated,
        tokens_cut=ready.corpus.tokens_cut,
        longest=max(example.longest for example in ready.corpus.examples),
        tokens=history.tokens,
        losses=tuple(sum(window) / len(window) for window in windows),
        losses_every=every,
        loss_first=losses[0] if losses else None,
        loss_last=losses[-1] if losses else None,
        eval_before=history.eval_before,
        eval_after=outcome.after.loss if outcome.after else None,
        eval_error=outcome.after.error if outcome.after else None,
        eval_rows=len(ready.evaluation.examples),
        eval_units=outcome.after.units if outcome.after else 0,
        eval_losses=tuple(loss for _, loss in looked),
        eval_at=tuple(step for step, _ in looked),
        best_step=history.best_step if child.order.settings.train.load_best_model_at_end else None,
        resumed_from=outcome.resumed_from,
        trainable=ready.trainer.trainable,
        closing=ready.closing,
        learning_rate=ready.trainer.rate,
        seconds_load=ready.seconds_load,
        seconds_per_step=outcome.seconds_per_step,
        seconds_clip=ready.trainer.seconds_clip,
        seconds_noise=ready.trainer.seconds_noise,
        seconds=age(),
        peak_memory=peaks.memory,
        peak_gpu_memory=peaks.gpu_memory,
        processes=ready.trainer.team.size,
        device=ready.placement.device,
        dtype=ready.placement.dtype,
    )
