"""What training and pricing do first, alike: place the run, read the rows, load the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from ringfence.core.errors import DeviceMissing, NothingToTrain
from ringfence.core.lineage import roles
from ringfence.core.order import Channel, Child, Progress
from ringfence.core.records import Record
from ringfence.models.load import choose_attention, closing_of, load_model, load_tokenizer
from ringfence.sandbox.devices import gpus
from ringfence.train.batches import Batches, Sampled, Shuffled
from ringfence.train.data import Corpus, padding_of, read_corpus
from ringfence.train.device import Capabilities, Placement, choose, cpu_flags, processes
from ringfence.train.join import placed
from ringfence.train.joined import tokens_of
from ringfence.train.objective import OBJECTIVES
from ringfence.train.private import PrivateTrainer
from ringfence.train.settings import WHOLE, PriceOrder, TrainOrder
from ringfence.train.shard import return_memory
from ringfence.train.team import Team, assembled
from ringfence.train.trainer import PACKED, Trainer
from ringfence.train.usage import age
from ringfence.vault.sets import SetReader

Orders = TypeVar("Orders", bound=TrainOrder)


class Ready(NamedTuple):
    """Everything that the first step needs."""

    trainer: Trainer
    corpus: Corpus
    evaluation: Corpus
    placement: Placement
    closing: int | None  # the token that closes an answer, where it is another than the one that ends a text
    seconds_load: float  # from the start of the process


@contextlib.contextmanager
def prepared(child: Child[Orders]) -> Iterator[Ready]:
    """Yield a trainer and the rows of the inputs "set" and "evaluation", on the model of `files["model"]`; its team ends with the block.

    A run that is priced may have several sets that are not joined yet: "set", "set2" and so on, read one after the other.

    Raises: DeviceMissing, ModelUnsupported, NothingToTrain, NotCovered, NotPerExample, ObjectBroken, RankLost.
    """
    with assembled(processes(child.order.settings.hints, len(gpus())), partial(_trainer, child)) as team:
        yield _prepare(child, team)


def _prepare(child: Child[Orders], team: Team) -> Ready:
    placement = choose(child.order.settings.hints, Capabilities(torch.cuda.is_available(), cpu_flags()))
    child.channel.progress(Progress(done=0, total=0, phase="read"))
    tokenizer = load_tokenizer(Path(child.order.files["model"]), child.order.settings.train.prelude)
    corpus, evaluation = (_read(child, role, tokenizer) for role in ("set", "evaluation"))
    if not corpus.examples:
        raise NothingToTrain(rows=corpus.dropped)
    if child.order.settings.train.eval and not evaluation.examples:
        raise NothingToTrain(rows=evaluation.dropped)
    child.channel.progress(Progress(done=0, total=0, phase="load"))
    longest = max(map(tokens_of, (*corpus.examples, *evaluation.examples)))
    if child.order.settings.hints.packing:
        longest = max(longest, PACKED)
    if child.order.settings.plan:
        longest = child.order.settings.train.cutoff_len  # the kernel must not depend on what one unit's rows are like
    told = (placement, longest, padding_of(tokenizer))
    team.ask("build", [told] * team.size)
    trainer = _trainer(child, team, *told)
    team.answers()
    trainer.start()
    return Ready(trainer, corpus, evaluation, placement, closing_of(tokenizer), age())


def _trainer(child: Child[Orders], team: Team, placement: Placement, longest: int, padding: int) -> Trainer:
    """Return the trainer of one rank, on a device of its own. longest: tokens of a row.  padding: the token that fills rows up.

    Raises: DeviceMissing, ModelUnsupported, NotCovered, NotPerExample.
    """
    train, hints, plan = child.order.settings.train, child.order.settings.hints, child.order.settings.plan
    is_shared_out = hints.shard and team.size > 1
    if is_shared_out:  # before anything that may fail on one rank: the others would wait for it here, and nobody would hear why
        team.meet(placement.device)
        return_memory()
    torch.set_num_threads(max(1, (hints.threads or child.order.limits.threads) // team.size))
    if placement.device == "cuda":
        if team.rank >= torch.cuda.device_count():
            raise DeviceMissing
        torch.cuda.set_device(team.rank)
    attention = choose_attention(hints.attention, device=placement.device, longest=longest)
    common: dict[str, Any] = {"hints": hints, "padding": padding, "device": placement.device, "team": team}
    # No GPU need hold what is going to be divided; but what is quantised is so where it is computed, to the same bits as in any run.
    is_on_cpu = is_shared_out and train.quantised is None
    with team.in_turn() if is_shared_out else contextlib.nullcontext():  # the whole base is there once at a time
        model = load_model(
            Path(child.order.files["model"]),
            dtype=getattr(torch, placement.dtype),
            device="cpu" if is_on_cpu else placement.device,
            attention=attention,
            quantised=train.quantised,
        )
        return Trainer(model, train, **common) if plan is None else PrivateTrainer(model, train, plan=plan, **common)


def referred(ready: Ready, channel: Channel) -> Ready:
    """Return the same with what the model says of all rows before training, where the objective compares with it. Call it before any step or restoring.

    Raises: RankLost.
    """
    trainer = ready.trainer
    if not trainer.objective.needs_reference:
        return ready
    channel.progress(Progress(done=0, total=0, phase="reference"))
    corpus, evaluation = (replace(one, examples=trainer.refer(one.examples)) for one in (ready.corpus, ready.evaluation))
    return ready._replace(corpus=corpus, evaluation=evaluation)


def batches_of(child: Child[Orders], corpus: Corpus, *, lease: Callable[[int], int]) -> Batches:
    """Return where the run's rows come from. lease: asks the host for steps of a private run.

    Raises: PlanUnfit.
    """
    plan = child.order.settings.plan
    return Shuffled(child.order.settings.train, corpus) if plan is None else Sampled(plan, corpus, lease=lease)


class Peaks(NamedTuple):
    """The largest memory that a run held, in bytes."""

    memory: int  # of all ranks
    gpu_memory: int  # of the fullest GPU; 0 on a CPU


def peaks_of(trainer: Trainer) -> Peaks:
    """Return the peaks so far. Raises: RankLost."""
    found = trainer.each("memory")
    more = max(max(0, one.loading - one.memory) for one in found)  # only one of them loads at a time
    return Peaks(sum(one.memory for one in found) + more, max(one.gpu_memory for one in found))


def records_of(child: Child[Orders], role: str) -> Iterator[Record]:
    """Yield the records of the input "set" or "evaluation"; of a run that is priced, those that are going to be in it."""
    cut = child.order.settings.cut if isinstance(child.order.settings, PriceOrder) else WHOLE
    is_held_out = role == "evaluation" and bool(cut.held_out)
    slots = [child.order.inputs[one] for one in roles("set" if is_held_out else role, child.order.inputs)]
    sources = [SetReader(slot, child.keys.data[slot.slot]) for slot in slots]
    if role == "evaluation" and not is_held_out:
        cut = cut.of_evaluation
    if sources:
        yield from (record for record, place in placed(sources, cut) if place == is_held_out)


def _read(child: Child[Orders], role: str, tokenizer: object) -> Corpus:
    settings = child.order.settings.train
    if role == "evaluation" and not settings.eval:
        return Corpus([], 0, 0)
    objective = OBJECTIVES.create(settings.objective, settings=settings)
    corpus = read_corpus(records_of(child, role), lambda record: objective.read(record, tokenizer), cutoff=settings.cutoff_len)
    return replace(corpus, examples=objective.complete(corpus.examples))
