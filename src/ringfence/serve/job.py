"""`chat.v1`: a base model, with or without an adapter, answers what the person types. The child half; runs in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.core.order import Child, Progress
from ringfence.serve.settings import END_OF_TURN, ChatFigures, ChatSettings

if TYPE_CHECKING:
    from ringfence.models.load import Loaded


def run(child: Child[ChatSettings]) -> ChatFigures:
    """Answer until the person ends the conversation and return how much was said.

    The adapter is the sealed input "adapter" (its shape in `settings.train`) or the plain folder `files["bundle"]`; with neither the base
    model answers. Each answer comes in pieces and ends with END_OF_TURN.

    Raises: AdapterUnexpected, DeviceMissing, ModelUnsupported, ObjectBroken.
    """
    import torch

    from ringfence.models.load import load
    from ringfence.serve.engine import Engine
    from ringfence.train.device import Capabilities, choose, cpu_flags

    settings, channel = child.order.settings, child.channel
    torch.set_num_threads(settings.hints.threads or child.order.limits.threads)
    placement = choose(settings.hints, Capabilities(torch.cuda.is_available(), cpu_flags()))
    channel.progress(Progress(done=0, total=1, phase="load"))
    loaded = load(Path(child.order.files["model"]), dtype=getattr(torch, placement.dtype), device=placement.device)
    engine = Engine(_with_adapter(child, loaded), settings)
    channel.progress(Progress(done=1, total=1, phase="load"))
    turns = 0
    while (question := channel.hear()) is not None:
        engine.answer(question, channel.say)
        channel.say(END_OF_TURN)
        turns += 1
    return ChatFigures(turns=turns, tokens=engine.tokens)


def _with_adapter(child: Child[ChatSettings], loaded: Loaded) -> Loaded:
    from ringfence.serve.engine import with_bundle
    from ringfence.train.adapter import WEIGHTS
    from ringfence.train.restore import with_sealed
    from ringfence.train.settings import TrainSettings
    from ringfence.vault.files import read_file

    if slot := child.order.inputs.get("adapter"):
        data = read_file(slot, child.keys.data[slot.slot], WEIGHTS)
        return with_sealed(loaded, child.order.settings.train or TrainSettings(), data)
    if folder := child.order.files.get("bundle"):
        return with_bundle(loaded, Path(folder))
    return loaded
