"""GRPO and RLOO: a model draws several answers to each question, and those that are worth more become likelier. TRL's trainers make the steps.

Child halves only: this module imports torch and TRL; the caches of both go where `core.environment` was told before.

Source: Shao et al. 2024 (arXiv:2402.03300) and Ahmadian et al. 2024 (arXiv:2402.14740), as TRL implements them. The rewards are ours, and so is everything
around the steps: rows, template, model, method, what is saved.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import torch
from datasets import Dataset
from safetensors.torch import save
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from ringfence.core.errors import LossNotFinite, NothingToTrain, NotKept, TooFewQuestions
from ringfence.core.order import Channel, Child, Progress
from ringfence.models.load import choose_attention, closing_of, load_model, load_tokenizer
from ringfence.train.adapter import WEIGHTS
from ringfence.train.device import Capabilities, Placement, choose, cpu_flags
from ringfence.train.method import METHODS, Method
from ringfence.train.questions import asked
from ringfence.train.reward import REWARDS, Reward
from ringfence.train.schedule import steps_of, warmup_of
from ringfence.train.settings import DrawnSettings, PriceFigures, PriceOrder, TrainFigures, TrainOrder, TrainSettings
from ringfence.train.setup import Orders, records_of
from ringfence.train.usage import age, peak_memory
from ringfence.train.whole import Whole
from ringfence.vault.files import write_files

_SERIES = 10_000  # the most figures of a series
_WRITE = 0.5  # s to export, seal and report


class Question(NamedTuple):
    """What a model is asked, and what the row answers."""

    prompt: str
    answer: str
    tokens: int  # of the prompt


class Ready(NamedTuple):
    """Everything that the first step needs."""

    questions: list[Question]
    dropped: int  # rows without a question, or with one longer than cutoff_len
    model: Any
    tokenizer: Any
    method: Method
    placement: Placement
    seconds_load: float  # from the start of the process


class _Ours:
    """What a trainer of TRL does otherwise here."""

    processing_class: Any

    def _send_telemetry(self) -> None:
        """Tell nobody."""

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Return prompts as token ids: the template has written every special token already."""
        return self.processing_class(text=prompts, add_special_tokens=False)["input_ids"], None, {}


class _Grpo(_Ours, GRPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """Group relative policy optimisation."""


class _Rloo(_Ours, RLOOTrainer):  # type: ignore[misc]
    """REINFORCE leave-one-out."""


_TRAINERS: dict[str, tuple[Any, Any, set[str]]] = {  # trainer, its configuration, and what else of ours that takes
    "grpo.v1": (_Grpo, GRPOConfig, {"loss_type"}),
    "rloo.v1": (_Rloo, RLOOConfig, set()),
}


@dataclass
class Log:
    """What was measured at each step."""

    losses: list[float] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    kls: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)  # tokens of an answer
    each: list[list[float]] = field(default_factory=list)  # the mean of every reward
    seconds: list[float] = field(default_factory=list)  # since some moment, before the first step and at the end of each
    tokens: list[int] = field(default_factory=list)  # read and drawn so far
    is_stopped: bool = False


class _Watch(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Tells the host of each step, and ends the run where the host asks for it."""

    def __init__(self, channel: Channel, log: Log, rewards: Sequence[str]) -> None:
        self._channel, self._log, self._rewards = channel, log, rewards
        self._of_answers: dict[str, float] = {}  # what was logged when answers were drawn last

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002  transformers' signature
        """Note the time."""
        self._log.seconds.append(time.perf_counter())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Note the time, and ask whether to go on."""
        self._log.seconds.append(time.perf_counter())
        if self._channel.should_stop():
            self._log.is_stopped = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:  # noqa: ANN401, ARG002
        """Keep a step's figures.

        Raises: LossNotFinite.
        """
        if "loss" not in logs:  # the summary at the end
            return
        log, step = self._log, state.global_step
        if not math.isfinite(logs["loss"]) or not math.isfinite(logs.get("grad_norm", 0.0)):
            raise LossNotFinite(step=step)
        log.losses.append(logs["loss"])
        log.tokens.append(int(state.num_input_tokens_seen))
        if "reward" in logs:  # else the answers are those of the step before
            self._of_answers = logs
        log.rewards.append(self._of_answers["reward"])
        log.lengths.append(self._of_answers["completions/mean_length"])
        log.each.append([self._of_answers[f"rewards/{name}/mean"] for name in self._rewards])
        if (kl := logs.get("kl", self._of_answers.get("kl"))) is not None:
            log.kls.append(kl)
        self._channel.progress(Progress(done=step, total=state.max_steps, loss=logs["loss"], reward=log.rewards[-1]))


def train(child: Child[TrainOrder]) -> TrainFigures:
    """Write the adapter into the output slot "adapter" and return what the run did. No checkpoint is kept: TRL's own hold pickles.

    Raises: NothingToTrain, TooFewQuestions, LossNotFinite, NotKept, DeviceMissing, ModelUnsupported, ObjectBroken.
    """
    ready = prepared(child)
    settings = child.order.settings.train
    steps, log = steps_of(settings, len(ready.questions)), Log()
    make_steps(child, ready, ready.questions, steps=steps, log=log)
    if log.is_stopped and len(log.losses) < steps:
        raise NotKept(step=len(log.losses))
    child.channel.progress(Progress(done=steps, total=steps, phase="write"))
    slot = child.order.outputs["adapter"]
    write_files(slot, child.keys.data[slot.slot], {WEIGHTS: saved(ready.method)})
    return _figures(settings, ready, log, seconds_per_step=(log.seconds[-1] - log.seconds[0]) / steps)


def price(child: Child[PriceOrder]) -> PriceFigures:
    """Return time and memory of the run that the order describes; the adapter of the trial steps is thrown away.

    Two steps are made (with `num_iterations`, so many times as many): on the longest questions, which shows the peak memory and warms the caches, and on
    those of middle length, whose time counts for all. It holds as long as answers stay as long as they are before training.

    Raises: as `train`.
    """
    ready = prepared(child)
    train = child.order.settings.train
    steps, size, log = steps_of(train, len(ready.questions) + child.order.settings.to_plant), train.batch, Log()
    by_length = sorted(ready.questions, key=lambda question: question.tokens, reverse=True)
    middle = (len(by_length) - size) // 2
    make_steps(child, ready, [*by_length[:size], *by_length[middle : middle + size]], steps=2 * train.updates, log=log, shuffle=False)
    seconds = (log.seconds[-1] - log.seconds[train.updates]) / train.updates
    tokens = (log.tokens[-1] - log.tokens[train.updates - 1]) / train.updates
    return PriceFigures(
        seconds=ready.seconds_load + steps * seconds + _WRITE,
        seconds_load=ready.seconds_load,
        seconds_per_step=seconds,
        seconds_evaluation=0.0,
        peak_memory=peak_memory(),
        peak_gpu_memory=torch.cuda.max_memory_allocated() if ready.placement.device == "cuda" else 0,
        steps=steps,
        rows=len(ready.questions) + child.order.settings.to_plant,
        dropped=ready.dropped,
        tokens=int(steps * tokens),
        longest=by_length[0].tokens,
        learning_rate=_rate(train),
        device=ready.placement.device,
        dtype=ready.placement.dtype,
    )


def saved(method: Method) -> bytes:
    """Return what was learned as a file of safetensors."""
    data: bytes = save(method.export(), metadata={"format": "pt"})
    return data


def prepared(child: Child[Orders]) -> Ready:
    """Return the questions of the input "set" and the model of `files["model"]` with its method attached.

    Raises: DeviceMissing, ModelUnsupported, NothingToTrain, TooFewQuestions, ObjectBroken.
    """
    train, hints = child.order.settings.train, child.order.settings.hints
    torch.set_num_threads(max(1, hints.threads or child.order.limits.threads))
    placement = choose(hints, Capabilities(torch.cuda.is_available(), cpu_flags()))
    child.channel.progress(Progress(done=0, total=0, phase="read"))
    tokenizer = load_tokenizer(Path(child.order.files["model"]), train.prelude)
    questions, dropped = _questions(child, tokenizer)
    if not questions:
        raise NothingToTrain(rows=dropped)
    if len(questions) < train.batch:
        raise TooFewQuestions(rows=len(questions), needed=train.batch)
    child.channel.progress(Progress(done=0, total=0, phase="load"))
    longest = max(question.tokens for question in questions) + _drawn(train).max_completion_length
    model = load_model(
        Path(child.order.files["model"]),
        # Trained weights are float32: TRL has no masters beside them, and an update of one part in a thousand would be rounded away in bfloat16
        dtype=torch.float32 if train.is_whole else getattr(torch, placement.dtype),
        device=placement.device,
        attention=choose_attention(hints.attention, device=placement.device, longest=longest),
        quantised=train.quantised,
    )
    torch.manual_seed(train.seed)
    method = METHODS.create(train.method, settings=train)
    attached = method.attach(model)
    for weight in method.parameters().values():
        weight.data = weight.data.float()
    return Ready(questions, dropped, attached.model if isinstance(attached, Whole) else attached, tokenizer, method, placement, age())


def _questions(child: Child[Orders], tokenizer: Any) -> tuple[list[Question], int]:  # noqa: ANN401
    found, dropped, most = [], 0, child.order.settings.train.cutoff_len
    for record in records_of(child, "set"):
        one = asked(record, tokenizer)
        tokens = len(tokenizer(one.question, add_special_tokens=False).input_ids) if one else 0
        if one and tokens <= most:
            found.append(Question(one.question, one.answer, tokens))
        else:
            dropped += 1
    return found, dropped


def make_steps(child: Child[Orders], ready: Ready, questions: Sequence[Question], *, steps: int, log: Log, shuffle: bool = True) -> None:
    """Make so many steps on these questions, and keep what was measured. shuffle: False takes them in their order.

    Raises: LossNotFinite.
    """
    settings = child.order.settings
    drawn = _drawn(settings.train)
    datasets.disable_caching()
    datasets.disable_progress_bars()
    trainer_of, config_of, more = _TRAINERS[settings.train.objective]
    with tempfile.TemporaryDirectory() as folder:  # TRL makes one, and puts nothing into it
        config = config_of(
            output_dir=folder,
            max_steps=steps,
            shuffle_dataset=shuffle,
            gradient_checkpointing=settings.hints.checkpointing,
            bf16=ready.placement.dtype == "bfloat16",
            use_cpu=ready.placement.device == "cpu",
            dataloader_pin_memory=ready.placement.device != "cpu",
            **_SILENT,
            **_of_train(settings.train, steps),
            **drawn.model_dump(include=_SAME | more),
            reward_weights=list(drawn.reward_weights) if drawn.reward_weights else None,
        )
        trainer = trainer_of(
            model=ready.model,
            reward_funcs=[_function(name) for name in drawn.reward],
            args=config,
            train_dataset=Dataset.from_list([{"prompt": one.prompt, "answer": one.answer} for one in questions]),
            processing_class=ready.tokenizer,
            callbacks=[_Watch(child.channel, log, drawn.reward)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


_SILENT: dict[str, Any] = {  # nothing is sent, printed or stored
    "report_to": "none",
    "push_to_hub": False,
    "save_strategy": "no",
    "eval_strategy": "no",
    "log_completions": False,
    "disable_tqdm": True,
    "logging_strategy": "steps",
    "logging_steps": 1,
    "logging_nan_inf_filter": False,
}
_SAME = {"num_generations", "max_completion_length", "temperature", "top_p", "top_k", "beta", "num_iterations", "epsilon"}


def _of_train(train: TrainSettings, steps: int) -> dict[str, Any]:
    """Return the keys that transformers' Trainer has, too."""
    same = (
        "per_device_train_batch_size gradient_accumulation_steps learning_rate lr_scheduler_type weight_decay max_grad_norm seed adam_beta1 adam_beta2 "
        "adam_epsilon optim"
    )
    return {
        **train.model_dump(include=set(same.split())),
        "lr_scheduler_kwargs": dict(train.lr_scheduler_kwargs) or None,
        "warmup_steps": warmup_of(train, steps),
    }


def _function(name: str) -> Callable[..., list[float]]:
    """Return a reward as TRL calls it: with the columns of a batch."""
    part: Reward = REWARDS.create(name)

    def score(prompts: list[str], completions: list[str], answer: list[str], **_: object) -> list[float]:
        return [part.score(question=one, said=said, answer=known) for one, said, known in zip(prompts, completions, answer, strict=True)]

    score.__name__ = name
    return score


def _drawn(train: TrainSettings) -> DrawnSettings:
    assert train.drawn is not None  # noqa: S101  the settings of these objectives have it
    return train.drawn


def _rate(train: TrainSettings) -> float:
    assert train.learning_rate is not None  # noqa: S101  no recipe leaves it open but a private one
    return train.learning_rate


def _figures(train: TrainSettings, ready: Ready, log: Log, *, seconds_per_step: float) -> TrainFigures:
    every = max(train.logging_steps, -(-len(log.losses) // _SERIES))

    def means(series: Sequence[float]) -> tuple[float, ...]:
        windows = [series[at : at + every] for at in range(0, len(series), every)]
        return tuple(sum(window) / len(window) for window in windows)

    last = log.each[(len(log.each) - 1) // every * every :]
    return TrainFigures(
        steps=len(log.losses),
        rows=len(ready.questions),
        dropped=ready.dropped,
        truncated=0,
        longest=max(question.tokens for question in ready.questions),
        tokens=log.tokens[-1],
        losses=means(log.losses),
        losses_every=every,
        loss_first=log.losses[0],
        loss_last=log.losses[-1],
        rewards=means(log.rewards),
        rewards_last=tuple(sum(of_one) / len(of_one) for of_one in zip(*last, strict=True)),
        kls=means(log.kls),
        answer_tokens=means(log.lengths),
        trainable=sum(weight.numel() for weight in ready.method.parameters().values()),
        closing=closing_of(ready.tokenizer),
        learning_rate=_rate(train),
        seconds_load=ready.seconds_load,
        seconds_per_step=seconds_per_step,
        seconds=age(),
        peak_memory=peak_memory(),
        peak_gpu_memory=torch.cuda.max_memory_allocated() if ready.placement.device == "cuda" else 0,
        device=ready.placement.device,
        dtype=ready.placement.dtype,
    )
