"""`price.v1`: what a run would take, from a few of its own steps. A child half: it reads the rows to know their lengths."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np

from ringfence.core.order import Channel, Child, Progress
from ringfence.train.data import Corpus, Example, Pass, Tokens
from ringfence.train.engine import opened
from ringfence.train.schedule import is_evaluated
from ringfence.train.settings import PriceFigures, PriceOrder
from ringfence.train.setup import Ready, batches_of, peaks_of, prepared
from ringfence.train.trainer import Trainer

_TIMED = (0.25, 0.5, 0.75)  # quantiles of cost at which a step is timed
_SAMPLE = 2_000  # steps whose cost is computed one by one; longer runs are extrapolated
_CANARY, _CANARY_ANSWER = 63, 16  # tokens of a planted row and of its answer, on average over both languages
_WRITE = 0.5  # s to export, seal and report

Rows = Sequence[Example]


@dataclass(frozen=True)
class _Work:
    """Steps of training, or micro batches of an evaluation, and what it takes to make one of them."""

    pieces: Sequence[Rows]
    make: Callable[[Rows], object]
    trainer: Trainer

    @cached_property
    def shapes(self) -> list[set[tuple[int, int]]]:
        """The shapes of the micro batches of each piece."""
        return [{self.trainer.shape(one) for one in self.trainer.passes(rows)} for rows in self.pieces]

    @cached_property
    def largest(self) -> int:
        """The piece with the largest micro batch, which needs the most memory."""
        return max(range(len(self.pieces)), key=lambda piece: max(count * tokens for count, tokens in self.shapes[piece]))


def run(child: Child[PriceOrder]) -> PriceFigures:
    """Return time and memory of the run that the order describes; the adapter of the trial steps is thrown away.

    The piece with the largest micro batch is made first and last, which warms the caches and shows the peak memory; between, one piece each
    at three quantiles of cost, twice over: the second time gives the seconds per floating-point operation, the difference what the kernels
    of a new shape take to generate. The time of all other pieces follows from their operations and shapes.

    Raises: as `train.v1`.
    """
    if child.order.settings.train.drawn:
        with opened() as engine:
            figures: PriceFigures = engine.price(child)
        return figures
    with prepared(child) as ready:
        return _priced(child, ready)


def _priced(child: Child[PriceOrder], ready: Ready) -> PriceFigures:
    corpus = _with_canaries(ready.corpus, child.order.settings.to_plant)
    trainer, examples = ready.trainer, corpus.examples
    batches = batches_of(child, corpus, lease=lambda steps: steps)  # nothing of these steps is kept: they spend nothing
    steps = batches.steps
    tried = min(steps, _SAMPLE)
    sampled = [rows for step in range(tried) if (rows := batches.rows(step))] or [examples[:1]]
    scale = steps / tried
    training = _Work(sampled, lambda rows: trainer.step(rows, step=0, steps=max(2, steps)), trainer)
    evaluation = _Work(_groups(trainer, ready.evaluation.examples), trainer.evaluate, trainer)
    reference = _Work(
        _groups(trainer, [*examples, *ready.evaluation.examples]) if trainer.objective.needs_reference else [], trainer.refer, trainer
    )
    finding, directions = _directions(trainer, steps)
    seconds_training = _seconds(training, child.channel, scale=scale) + directions * finding
    looks = sum(is_evaluated(child.order.settings.train, step + 1, steps=steps, epoch=batches.epoch) for step in range(steps))
    seconds_evaluation = _seconds(evaluation, child.channel, scale=2.0 + looks)  # before, after and on the way
    seconds_reference = _seconds(reference, child.channel, scale=1.0)
    training.make(sampled[training.largest])  # again: other shapes have scattered the free memory, and its peak is higher now
    peaks = peaks_of(trainer)
    return PriceFigures(
        seconds=ready.seconds_load + seconds_training + seconds_evaluation + seconds_reference + _WRITE,
        seconds_load=ready.seconds_load,
        seconds_per_step=seconds_training / steps,
        seconds_evaluation=seconds_evaluation,
        seconds_directions=finding,
        directions=directions,
        peak_memory=peaks.memory,
        peak_gpu_memory=peaks.gpu_memory,
        steps=steps,
        rows=len(examples),
        dropped=ready.corpus.dropped,
        tokens_cut=ready.corpus.tokens_cut,
        tokens=int(scale * sum(example.tokens for rows in sampled for example in rows)),
        longest=max(example.longest for example in examples),
        learning_rate=trainer.rate,
        processes=trainer.team.size,
        device=ready.placement.device,
        dtype=ready.placement.dtype,
    )


def _directions(trainer: Trainer, steps: int) -> tuple[float, int]:
    """Return the seconds in which GaLore finds its directions once, and how often it will; from now on it finds none anew, so that timed steps hold none of it."""
    if not trainer.settings.use_galore:
        return 0.0, 0
    from ringfence.train.galore import Galore  # noqa: PLC0415  of an extra

    galore, seconds = cast("Galore", trainer.optimiser), 0.0
    for names in galore.alike:
        galore.find(names[0])  # kernels are generated
        began = time.perf_counter()
        galore.find(names[0])
        seconds += (time.perf_counter() - began) * len(names)
    galore.keep()
    return seconds, -(-steps // trainer.settings.galore_update_interval)


def _groups(trainer: Trainer, examples: Sequence[Example]) -> list[Rows]:
    return [one.rows for one in trainer.passes(examples)]


def _with_canaries(corpus: Corpus, more: int) -> Corpus:
    """Return the rows and as many stand-ins for canaries: the beginning of a row each, of a canary's length, and a unit of its own."""
    found = []
    for n in range(more):
        row = corpus.examples[n % len(corpus.examples)]
        ids = np.resize(row.ids, _CANARY)
        learn = np.arange(_CANARY) >= _CANARY - _CANARY_ANSWER
        found.append(Example(ids, learn, corpus.units + n, other=row.other and Tokens(ids, learn), is_liked=row.is_liked))
    return replace(corpus, examples=[*corpus.examples, *found], units=corpus.units + more)


def _seconds(work: _Work, channel: Channel, *, scale: float) -> float:
    """Return the seconds of all pieces, `scale` times over; kernels are generated once."""
    if not work.pieces:
        return 0.0
    costs = [_cost(rows, work.trainer) for rows in work.pieces]
    ranked = sorted(range(len(costs)), key=costs.__getitem__)
    timed = [ranked[int(q * (len(ranked) - 1))] for q in _TIMED]
    work.make(work.pieces[work.largest])
    seen = set(work.shapes[work.largest])
    again, generating, new = 0.0, 0.0, 0
    for done, piece in enumerate(timed):
        channel.progress(Progress(done=done, total=len(timed)))
        began = time.perf_counter()
        work.make(work.pieces[piece])
        first = time.perf_counter()
        work.make(work.pieces[piece])
        second = time.perf_counter() - first
        again += second
        generating += max(0.0, first - began - second)
        new += len(work.shapes[piece] - seen)
        seen |= work.shapes[piece]
    rate = again / sum(costs[piece] for piece in timed)  # s an operation
    per_shape = generating / new if new else 0.0  # s
    return rate * sum(costs) * scale + per_shape * len(set().union(*work.shapes))


def _cost(rows: Rows, trainer: Trainer) -> float:
    """Return the floating-point operations of a step on these rows, on the rank that has most to do; those of an evaluation are in proportion.

    Padding is included. Forward and the gradient of the inputs cost 2 operations a weight and token each; attention 4 a layer, hidden unit and pair of tokens,
    and twice that backward; the head is met by predicted tokens only.
    """
    config = trainer.model.config
    head = config.vocab_size * config.hidden_size
    met = 0 if trainer.settings.is_reward else head  # a reward model computes no logits
    body = trainer.numbers - head * (1 if config.tie_word_embeddings else 2)

    def of_share(share: Sequence[Pass]) -> float:
        total = 0.0
        for one in share:
            count, tokens = trainer.shape(one)
            total += 4.0 * body * count * tokens + 12.0 * config.num_hidden_layers * config.hidden_size * count * tokens * tokens
            total += 4.0 * met * sum(example.weight for example in one.rows)
        return total

    return max(map(of_share, trainer.shares(rows)))
