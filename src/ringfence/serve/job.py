"""`chat.v1`: a base model, with or without an adapter, answers what the person types; `serve.v1`: a bundle answers many at once.

The child halves; they run in the sandbox.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.core.errors import NotOpened
from ringfence.core.failure import failure_of
from ringfence.core.lineage import numbered, roles
from ringfence.core.order import Channel, Child, Progress
from ringfence.models.prelude import AS_IT_IS, Prelude
from ringfence.serve.filter import Shown, filters
from ringfence.serve.settings import END_OF_TURN, ChatFigures, ChatSettings, ServeFigures, ServeSettings

if TYPE_CHECKING:
    from ringfence.guard.replay import ReplayGuard
    from ringfence.models.load import Loaded
    from ringfence.serve.decode import Round
    from ringfence.serve.filter import Filters
    from ringfence.train.device import Placement

# How vLLM says what it does not know.
_NOT_OPENED = (AssertionError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)


def run(child: Child[ChatSettings]) -> ChatFigures:
    """Answer until the person ends the conversation and return how much was said.

    The adapter is the sealed input "adapter" (its shape in `settings.train`) or the plain folder `files["bundle"]`; with neither the base
    model answers. Each answer comes in pieces, under a filter a sentence behind, and ends with END_OF_TURN. The input "guard", where there is one, lets no
    passage of the training set pass.

    Raises: AdapterUnexpected, AutomatonChanged, DeviceMissing, ModelUnsupported, ObjectBroken.
    """
    from ringfence.serve.talk import Talk

    channel = child.channel
    channel.progress(Progress(done=0, total=1, phase="load"))
    settings = child.order.settings
    made = filters(child, settings.filter) if settings.filter else None
    prelude = settings.train.prelude if settings.train else AS_IT_IS
    talk = Talk(_with_adapter(child, _loaded(child, prelude)), settings, _guards(child).get("guard"))
    channel.progress(Progress(done=1, total=1, phase="load"))
    masked = Counter[str]()
    while (question := channel.hear()) is not None:
        shown = Shown(made)
        talk.answer(question, lambda piece: _say(channel, shown.add(piece)))  # noqa: B023  it is over when the next one begins
        _say(channel, shown.add("", is_end=True))
        masked.update(shown.found())
        channel.say(END_OF_TURN)
    return ChatFigures(turns=talk.turns, tokens=talk.tokens, masked=dict(sorted(masked.items())), blocked=talk.blocked)


def serve(child: Child[ServeSettings]) -> ServeFigures:
    """Answer conversations side by side until the front ends and return how much was said.

    The adapters are the plain folders `files["bundle"]`, "bundle2" and so on, over one base model; the input "guard" of the same number, where there is one,
    lets no passage of an adapter's training set pass. Every turn begins with the front's `Orders` and gives each conversation one token.

    Raises: AutomatonChanged, DeviceMissing, ModelUnsupported, NotOpened.
    """
    from ringfence.serve.wire import Orders, Told

    if child.order.settings.engine == "vllm":
        served = _by_vllm(child)
    else:
        served = _by_ringfence(child)
        served.warm()
    while (text := child.channel.hear()) is not None:
        said = served.turn(Orders.model_validate_json(text) if text else Orders())
        if said:
            child.channel.say(Told(said=said).model_dump_json(exclude_defaults=True))
    return ServeFigures(answers=served.answers, tokens=served.tokens, masked=dict(sorted(served.masked.items())), blocked=served.blocked)


def _by_ringfence(child: Child[ServeSettings]) -> Round:
    from ringfence.models.load import beside
    from ringfence.serve.decode import Round, Voice
    from ringfence.train.restore import with_bundle

    base, guards = _loaded(child), _guards(child)
    voices = [
        Voice(with_bundle(beside(base), Path(child.order.files[role])), guards.get(numbered("guard", number)))
        for number, role in enumerate(roles("bundle", child.order.files))
    ]
    return Round(voices, _filters(child))


def _by_vllm(child: Child[ServeSettings]) -> Round:
    from ringfence.serve.vllm import opened

    folders = [Path(child.order.files[role]) for role in roles("bundle", child.order.files)]
    found, made, placement = _guards(child), _filters(child), _placement(child)
    guards = [found.get(numbered("guard", number)) for number in range(len(folders))]
    most = child.order.limits.memory
    memory = min(child.order.settings.memory or most, most)
    try:
        served = opened(Path(child.order.files["model"]), folders, placement, guards, made, memory=memory)
        served.warm()  # some of what it cannot do it says at the first answer
    except _NOT_OPENED as cause:
        if failure_of(cause).error == "OutOfMemory":
            raise
        raise NotOpened from cause
    return served


def _filters(child: Child[ServeSettings]) -> Filters | None:
    chosen = child.order.settings.filter
    return filters(child, chosen) if chosen else None


def _guards(child: Child[ChatSettings] | Child[ServeSettings]) -> dict[str, ReplayGuard]:
    """Return the guards by their role; one that several adapters share is in memory once."""
    from ringfence.guard.replay import FILE, ReplayGuard
    from ringfence.vault.files import read_file

    slots = {role: slot for role, slot in child.order.inputs.items() if slot.kind == "guard"}
    guards = {
        slot: ReplayGuard.from_bytes(read_file(one, child.keys.data[slot], FILE))
        for slot, one in {one.slot: one for one in slots.values()}.items()
    }
    return {role: guards[one.slot] for role, one in slots.items()}


def _say(channel: Channel, text: str) -> None:
    if text:
        channel.say(text)


def _loaded(child: Child[ChatSettings] | Child[ServeSettings], prelude: Prelude = AS_IT_IS) -> Loaded:
    import torch

    from ringfence.models.load import load

    placement = _placement(child)
    dtype, quantised = getattr(torch, placement.dtype), child.order.settings.quantised
    return load(Path(child.order.files["model"]), dtype=dtype, device=placement.device, prelude=prelude, quantised=quantised)


def _placement(child: Child[ChatSettings] | Child[ServeSettings]) -> Placement:
    """Return where the model computes, in which precision, after saying with how many threads."""
    import torch

    from ringfence.train.device import Capabilities, choose, cpu_flags

    hints = child.order.settings.hints
    torch.set_num_threads(hints.threads or child.order.limits.threads)
    return choose(hints, Capabilities(torch.cuda.is_available(), cpu_flags()))


def _with_adapter(child: Child[ChatSettings], loaded: Loaded) -> Loaded:
    from ringfence.train.adapter import WEIGHTS
    from ringfence.train.restore import with_bundle, with_sealed
    from ringfence.train.settings import TrainSettings
    from ringfence.vault.files import read_file

    if slot := child.order.inputs.get("adapter"):
        data = read_file(slot, child.keys.data[slot.slot], WEIGHTS)
        return with_sealed(loaded, child.order.settings.train or TrainSettings(), data)
    if folder := child.order.files.get("bundle"):
        return with_bundle(loaded, Path(folder))
    return loaded
