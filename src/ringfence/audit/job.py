"""`audit.v1`: a finished adapter meets the canaries of its training set. The child half; runs in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.audit.register import FILE, unseal
from ringfence.audit.settings import AuditFigures, AuditOrder, Register, RowFigures
from ringfence.core.lineage import roles
from ringfence.core.order import Child, Progress

if TYPE_CHECKING:
    from ringfence.audit.forward import Forward


def run(child: Child[AuditOrder]) -> AuditFigures:
    """Return what the input "adapter" remembers, on the model of `files["model"]`; the output "filter" knows its canaries again.

    One forward pass a canary of the input "register" with the adapter, and of each row one without; a reward model is asked for its scores instead, and what
    its adapter would say under the base's own head is tried on the rows and identifiers. The purpose key "auditor" opens the register.
    Of the training set, input "rows", a sample is tried; of the identifiers that de-identification replaced, inputs "cleared" and "spans" ("cleared2",
    "spans2" and so on where sets were joined), another, where these inputs are given. With the input "guard" the rows are tried with a replay guard, too.

    Raises: RegisterBroken, AdapterUnexpected, DeviceMissing, ModelUnsupported, ObjectBroken.
    """
    import torch

    from ringfence.audit.filter import FILE as FILTER
    from ringfence.audit.filter import CanaryFilter
    from ringfence.audit.findings import findings
    from ringfence.audit.forward import Forward
    from ringfence.audit.rewards import RewardScorer
    from ringfence.audit.scorer import CanaryScorer
    from ringfence.models.load import load
    from ringfence.train.adapter import WEIGHTS
    from ringfence.train.device import Capabilities, choose, cpu_flags
    from ringfence.train.restore import with_sealed
    from ringfence.train.usage import age, peak_memory
    from ringfence.vault.files import read_file, write_files

    order, keys, settings = child.order, child.keys, child.order.settings
    sealed, adapter = order.inputs["register"], order.inputs["adapter"]
    register = unseal(read_file(sealed, keys.data[sealed.slot], FILE), auditor=keys.purpose["auditor"], slot=sealed.slot)
    torch.set_num_threads(settings.hints.threads or order.limits.threads)
    placement = choose(settings.hints, Capabilities(torch.cuda.is_available(), cpu_flags()))
    total = len(register.canaries)
    child.channel.progress(Progress(done=0, total=total, phase="load"))
    dtype, train = getattr(torch, placement.dtype), settings.train
    loaded = load(Path(order.files["model"]), dtype=dtype, device=placement.device, prelude=train.prelude, quantised=train.quantised)
    forward = Forward(with_sealed(loaded, settings.train, read_file(adapter, keys.data[adapter.slot], WEIGHTS)))
    scorer = RewardScorer(forward, settings.train) if settings.train.is_reward else CanaryScorer(forward, settings.train)
    scores = scorer.score(register.canaries, show=lambda done: child.channel.progress(Progress(done=done, total=total)))
    found = findings(
        register,
        {one.id: score for one, score in zip(register.canaries, scores, strict=True)},
        delta=settings.delta,
        are_cut=any(map(scorer.is_cut, register.canaries)),
    )
    on_rows = _on_rows(child, forward, register)
    left = order.outputs["filter"]
    write_files(left, keys.data[left.slot], {FILTER: CanaryFilter.of(register.canaries).to_bytes()})
    return found.model_copy(update={**dict(on_rows), "seconds": age(), "peak_memory": peak_memory()})


def _on_rows(child: Child[AuditOrder], forward: Forward, register: Register) -> RowFigures:
    """Return what the run says of real rows, and of the identifiers that were replaced in them."""
    from ringfence.audit.rows import RowScorer, rows_of
    from ringfence.guard.replay import FILE as GUARD
    from ringfence.guard.replay import ReplayGuard
    from ringfence.vault.files import read_file
    from ringfence.vault.sets import SetReader

    settings, inputs, keys = child.order.settings, child.order.inputs, child.keys.data
    planted = SetReader(inputs["rows"], keys[inputs["rows"].slot])
    total, rows = rows_of(planted, frozenset(one.id for one in register.canaries), settings.rows)
    scorer = RowScorer(forward, settings.train)
    guard = None
    if slot := inputs.get("guard"):
        guard = ReplayGuard.from_bytes(read_file(slot, keys[slot.slot], GUARD))
    found = scorer.replay(
        total, rows, guard=guard, show=lambda done: child.channel.progress(Progress(done=done, total=len(rows), phase="rows"))
    )
    if not settings.looks_for_spans:
        return found
    pairs = [(inputs[one], inputs[other]) for one, other in zip(roles("cleared", inputs), roles("spans", inputs), strict=True)]
    if not pairs:
        return found.model_copy(update={"spans_state": "gone"})
    all_, tried, new = scorer.spans(
        [
            (SetReader(cleared, keys[cleared.slot]), read_file(spans, keys[spans.slot], "spans.jsonl").splitlines())
            for cleared, spans in pairs
        ],
        settings.spans,
        show=lambda done: child.channel.progress(Progress(done=done, total=settings.spans, phase="spans")),
    )
    return found.model_copy(update={"spans": all_, "spans_tried": tried, "spans_new": new, "spans_state": "tried"})
