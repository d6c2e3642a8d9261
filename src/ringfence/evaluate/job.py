"""`eval.v1`: a run and its base model meet rows, side by side. The child half; runs in the sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ringfence.core.errors import LossNotFinite, NothingToEvaluate
from ringfence.core.order import Child, Progress
from ringfence.evaluate.settings import BATCH, EvalFigures, EvalOrder

if TYPE_CHECKING:
    from ringfence.evaluate.rows import Question
    from ringfence.evaluate.sides import Sides
    from ringfence.models.load import Loaded
    from ringfence.train.data import Corpus


def run(child: Child[EvalOrder]) -> EvalFigures:
    """Return what the model of `files["model"]` says of the input "rows", with the adapter and without.

    The adapter is the sealed input "adapter" or the plain folder `files["bundle"]`.

    Raises: NothingToEvaluate before the model works, LossNotFinite, AdapterUnexpected, DeviceMissing, ModelUnsupported, ObjectBroken.
    """
    import torch

    from ringfence.evaluate.rows import read
    from ringfence.evaluate.sides import Sides
    from ringfence.models.load import load
    from ringfence.train.device import Capabilities, choose, cpu_flags
    from ringfence.train.usage import age, peak_memory
    from ringfence.vault.sets import SetReader

    order, settings = child.order, child.order.settings
    asked, hints = settings.asked, settings.hints
    torch.set_num_threads(hints.threads or order.limits.threads)
    placement = choose(hints, Capabilities(torch.cuda.is_available(), cpu_flags()))
    child.channel.progress(Progress(done=0, total=0, phase="load"))
    dtype, train = getattr(torch, placement.dtype), settings.train
    loaded = load(Path(order.files["model"]), dtype=dtype, device=placement.device, prelude=train.prelude, quantised=train.quantised)
    child.channel.progress(Progress(done=0, total=0, phase="read"))
    slot = order.inputs["rows"]
    source = SetReader(slot, child.keys.data[slot.slot])
    rows = read(source.rows(0, asked.max_samples or len(source)), loaded.tokenizer, settings.train)
    sides = Sides(_with_adapter(child, loaded), batch=hints.micro_batch or BATCH, head_chunk=hints.head_chunk)
    questions = [one for one in rows.questions if len(one.ids) + asked.max_new_tokens <= sides.window] if asked.generates else []
    if not rows.corpus.examples or (asked.generates and rows.questions and not questions):
        raise NothingToEvaluate(rows=rows.total, most=asked.max_new_tokens)
    scored = _scored(child, sides, rows.corpus)
    answered = _answered(child, sides, questions) if questions else {}
    return EvalFigures(
        rows=rows.total,
        rows_cut=rows.corpus.truncated,
        rows_unasked=rows.total - len(questions) if asked.generates and not settings.train.is_reward else 0,
        **scored,
        **answered,
        seconds=age(),
        peak_memory=peak_memory(),
        device=placement.device,
        dtype=placement.dtype,
    )


def _with_adapter(child: Child[EvalOrder], loaded: Loaded) -> Loaded:
    from ringfence.train.adapter import WEIGHTS
    from ringfence.train.restore import with_bundle, with_sealed
    from ringfence.vault.files import read_file

    if slot := child.order.inputs.get("adapter"):
        return with_sealed(loaded, child.order.settings.train, read_file(slot, child.keys.data[slot.slot], WEIGHTS))
    return with_bundle(loaded, Path(child.order.files["bundle"]), keeps_base=True, seed=child.order.settings.train.seed)


def _scored(child: Child[EvalOrder], sides: Sides, corpus: Corpus) -> dict[str, Any]:
    """Return the figures of how the rows are foretold; of a reward model, of how it judges their pairs."""
    import numpy as np

    from ringfence.evaluate.statistics import accuracy, compared, loss, margin, perplexity, summed

    asked, examples, ranks = child.order.settings.asked, corpus.examples, child.order.settings.train.is_reward
    began = time.monotonic()
    found = (sides.margins if ranks else sides.losses)(examples, show=_shown(child, len(examples), "evaluate"))  # [rows, 2]
    seconds = time.monotonic() - began
    if not np.isfinite(found).all():
        raise LossNotFinite(step=0)
    if ranks:
        tokens = [example.tokens for example in examples]  # that were read: none is foretold
        measures = {"loss": loss, "accuracy": accuracy, "margin": margin}
        columns = np.stack([np.logaddexp(0.0, -found), np.ones_like(found), found > 0, found], axis=-1)  # [rows, 2, 4]
    else:
        tokens = [example.weight for example in examples]
        measures = {"loss": loss, "perplexity": perplexity}
        columns = np.stack([found, np.broadcast_to(np.array(tokens)[:, None], found.shape)], axis=-1)  # [rows, 2, 2]
    sums = summed(columns, [example.unit for example in examples], resamples=asked.resamples, seed=asked.seed)
    return {
        "rows_scored": len(examples),
        "units_scored": len({example.unit for example in examples}),
        "tokens_scored": sum(tokens),
        "seconds_loss": seconds,
        **{name: compared(sums, measure) for name, measure in measures.items()},
    }


def _answered(child: Child[EvalOrder], sides: Sides, questions: list[Question]) -> dict[str, Any]:
    """Return the figures of what is answered to the questions."""
    import numpy as np

    from ringfence.evaluate import texts
    from ringfence.evaluate.statistics import compared, summed

    asked, answers = child.order.settings.asked, [one.answer for one in questions]
    began = time.monotonic()
    said = sides.answers(questions, most=asked.max_new_tokens, show=_shown(child, len(questions), "answer"))
    seconds = time.monotonic() - began
    tokens = texts.tokens_for(answers)
    columns = np.stack([texts.counted(one.texts, answers, tokens=tokens) for one in said], axis=1)  # [rows, 2, columns]
    sums = summed(columns, [one.unit for one in questions], resamples=asked.resamples, seed=asked.seed)
    return {
        "rows_answered": len(questions),
        "units_answered": len({one.unit for one in questions}),
        "unended": said[1].unended,
        "exact_match": compared(sums, texts.exact_match),
        "rouge_l": compared(sums, texts.rouge_l),
        "bleu": compared(sums, texts.bleu),
        "bleu_tokens": tokens,
        "seconds_answers": seconds,
    }


def _shown(child: Child[EvalOrder], total: int, phase: Literal["evaluate", "answer"]) -> Callable[[int], None]:
    return lambda done: child.channel.progress(Progress(done=done, total=total, phase=phase))
