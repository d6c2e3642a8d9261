"""`price.v1`: what a run would take, from a few of its own steps. A child half: it reads the rows to know their lengths."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ringfence.core.order import Child, Progress
from ringfence.train.data import Example, split
from ringfence.train.schedule import rows_of_step, steps_of
from ringfence.train.settings import PriceFigures, TrainOrder
from ringfence.train.setup import Ready, peak_gpu_memory, prepare
from ringfence.train.usage import peak_memory

_TIMED = (0.25, 0.5, 0.75)  # quantiles of cost at which a step is timed
_SAMPLE = 2_000  # steps whose cost is computed one by one; longer runs are extrapolated
_WRITE = 0.5  # s to export, seal and report
_FORWARD = 0.5  # share of a step that an evaluation of the same rows takes: frozen weights need no gradient, so backward costs as much


def run(child: Child[TrainOrder]) -> PriceFigures:
    """Return time and memory of the run that the order describes; the adapter of the trial steps is thrown away.

    The dearest step is made first, which warms the caches and shows the peak memory; then one step each at three quantiles of cost.
    The time of the others follows from their floating-point operations.

    Raises: as `train.v1`.
    """
    ready = prepare(child)
    settings, examples = ready.trainer.settings, ready.corpus.examples
    steps = steps_of(settings, len(examples))
    sampled = [[examples[i] for i in rows_of_step(settings, len(examples), step)] for step in range(min(steps, _SAMPLE))]
    costs = [_cost(rows, ready) for rows in sampled]
    ranked = sorted(range(len(sampled)), key=costs.__getitem__)
    trials = [ranked[-1], *(ranked[int(q * (len(ranked) - 1))] for q in _TIMED)]
    seconds = []
    for done, trial in enumerate(trials):
        child.channel.progress(Progress(done=done, total=len(trials)))
        began = time.perf_counter()
        ready.trainer.step(sampled[trial], step=0, steps=max(2, steps))
        seconds.append(time.perf_counter() - began)
    rate = sum(seconds[1:]) / sum(costs[trial] for trial in trials[1:])  # s per operation
    per_step = rate * sum(costs) / len(costs)
    evaluation = 2 * _FORWARD * rate * _cost(ready.evaluation.examples, ready)
    scale = steps / len(sampled)
    return PriceFigures(
        seconds=ready.seconds_load + per_step * steps + evaluation + _WRITE,
        seconds_load=ready.seconds_load,
        seconds_per_step=per_step,
        seconds_evaluation=evaluation,
        peak_memory=peak_memory(),
        peak_gpu_memory=peak_gpu_memory(ready.placement),
        steps=steps,
        rows=len(examples),
        dropped=ready.corpus.dropped,
        tokens=int(scale * sum(len(example.ids) for rows in sampled for example in rows)),
        longest=max(len(example.ids) for example in examples),
        device=ready.placement.device,
        dtype=ready.placement.dtype,
    )


def _cost(rows: Sequence[Example], ready: Ready) -> float:
    """Return the floating-point operations of one step on these rows, padding included.

    Forward and the gradient of the inputs cost 2 operations a weight and token each; attention 4 a layer, hidden unit and pair of tokens,
    and twice that backward; the head is met by predicted tokens only.
    """
    trainer = ready.trainer
    config = trainer.model.config
    head = config.vocab_size * config.hidden_size
    body = sum(weight.numel() for weight in trainer.model.parameters()) - head * (1 if config.tie_word_embeddings else 2)
    total = 0.0
    for group in split(rows, trainer.micro_batch):
        longest = len(group[0].ids)
        pairs = len(group) * longest * longest
        total += 4.0 * body * len(group) * longest + 12.0 * config.num_hidden_layers * config.hidden_size * pairs
        total += 4.0 * head * sum(example.weight for example in group)
    return total
