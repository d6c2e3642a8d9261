"""`audit.v1`: a finished adapter meets the canaries of its training set. The child half; runs in the sandbox."""

from __future__ import annotations

from pathlib import Path

from ringfence.audit.register import FILE, unseal
from ringfence.audit.settings import AuditFigures, AuditOrder
from ringfence.core.order import Child, Progress


def run(child: Child[AuditOrder]) -> AuditFigures:
    """Return what the canaries of the input "register" show of the input "adapter", on the model of `files["model"]`.

    One forward pass a canary with the adapter and one without. The purpose key "auditor" opens the register.

    Raises: RegisterBroken, AdapterUnexpected, DeviceMissing, ModelUnsupported, ObjectBroken.
    """
    import torch

    from ringfence.audit.findings import findings
    from ringfence.audit.scorer import CanaryScorer
    from ringfence.models.load import load
    from ringfence.train.adapter import WEIGHTS
    from ringfence.train.device import Capabilities, choose, cpu_flags
    from ringfence.train.restore import with_sealed
    from ringfence.train.usage import age, peak_memory
    from ringfence.vault.files import read_file

    order, keys, settings = child.order, child.keys, child.order.settings
    sealed, adapter = order.inputs["register"], order.inputs["adapter"]
    register = unseal(read_file(sealed, keys.data[sealed.slot], FILE), auditor=keys.purpose["auditor"], slot=sealed.slot)
    torch.set_num_threads(settings.hints.threads or order.limits.threads)
    placement = choose(settings.hints, Capabilities(torch.cuda.is_available(), cpu_flags()))
    total = len(register.canaries)
    child.channel.progress(Progress(done=0, total=total, phase="load"))
    loaded = load(Path(order.files["model"]), dtype=getattr(torch, placement.dtype), device=placement.device)
    scorer = CanaryScorer(with_sealed(loaded, settings.train, read_file(adapter, keys.data[adapter.slot], WEIGHTS)), settings.train)
    scores = scorer.score(register.canaries, show=lambda done: child.channel.progress(Progress(done=done, total=total)))
    found = findings(
        register,
        {one.id: score for one, score in zip(register.canaries, scores, strict=True)},
        delta=settings.delta,
        are_cut=any(map(scorer.is_cut, register.canaries)),
    )
    return found.model_copy(update={"seconds": age(), "peak_memory": peak_memory()})
