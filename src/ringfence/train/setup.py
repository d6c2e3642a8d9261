"""What training and pricing do first, alike: place the run, read the rows, load the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from ringfence.core.errors import NothingToTrain
from ringfence.core.order import Child, Progress
from ringfence.models.load import choose_attention, load_model, load_tokenizer
from ringfence.train.batches import Batches, Sampled, Shuffled
from ringfence.train.data import Corpus, read_corpus
from ringfence.train.device import Capabilities, Placement, choose, cpu_flags
from ringfence.train.private import PrivateTrainer
from ringfence.train.settings import TrainOrder
from ringfence.train.trainer import Trainer
from ringfence.train.usage import age
from ringfence.vault.sets import SetReader

Orders = TypeVar("Orders", bound=TrainOrder)


class Ready(NamedTuple):
    """Everything that the first step needs."""

    trainer: Trainer
    corpus: Corpus
    evaluation: Corpus
    placement: Placement
    seconds_load: float  # from the start of the process


def prepare(child: Child[Orders]) -> Ready:
    """Return a trainer and the rows of the inputs "set" and "evaluation", on the model of `files["model"]`.

    Raises: DeviceMissing, ModelUnsupported, NothingToTrain, NotCovered, NotPerExample, ObjectBroken.
    """
    train, hints = child.order.settings.train, child.order.settings.hints
    torch.set_num_threads(hints.threads or child.order.limits.threads)
    placement = choose(hints, Capabilities(torch.cuda.is_available(), cpu_flags()))
    folder = Path(child.order.files["model"])
    child.channel.progress(Progress(done=0, total=0, phase="read"))
    tokenizer = load_tokenizer(folder)
    corpus, evaluation = (_read(child, role, tokenizer) for role in ("set", "evaluation"))
    if not corpus.examples:
        raise NothingToTrain(rows=corpus.dropped)
    child.channel.progress(Progress(done=0, total=0, phase="load"))
    longest = max(len(example.ids) for example in (*corpus.examples, *evaluation.examples))
    if child.order.settings.plan:
        longest = train.cutoff_len  # the kernel must not depend on what one unit's rows are like
    attention = choose_attention(hints.attention, device=placement.device, longest=longest)
    model = load_model(folder, dtype=getattr(torch, placement.dtype), device=placement.device, attention=attention)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    common = {"hints": hints, "padding": padding, "device": placement.device}
    plan = child.order.settings.plan
    trainer = Trainer(model, train, **common) if plan is None else PrivateTrainer(model, train, plan=plan, **common)
    return Ready(trainer, corpus, evaluation, placement, age())


def batches_of(child: Child[Orders], corpus: Corpus, *, lease: Callable[[int], int]) -> Batches:
    """Return where the run's rows come from. lease: asks the host for steps of a private run.

    Raises: PlanUnfit.
    """
    plan = child.order.settings.plan
    return Shuffled(child.order.settings.train, corpus) if plan is None else Sampled(plan, corpus, lease=lease)


def peak_gpu_memory(placement: Placement) -> int:
    """Return the largest memory that torch held on the GPU, in bytes; 0 on a CPU."""
    return torch.cuda.max_memory_allocated() if placement.device == "cuda" else 0


def _read(child: Child[Orders], role: str, tokenizer: object) -> Corpus:
    settings = child.order.settings.train
    if role not in child.order.inputs or (role == "evaluation" and not settings.eval):
        return Corpus([], 0, 0)
    slot = child.order.inputs[role]
    return read_corpus(SetReader(slot, child.keys.data[slot.slot]), tokenizer, settings)
