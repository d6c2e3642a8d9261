"""`guard.v1`: a training set becomes the filter that knows its passages again. A child half."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ringfence.core.order import Child, Progress
from ringfence.guard.replay import FILE, build
from ringfence.guard.settings import GuardFigures, GuardSettings
from ringfence.vault.files import write_files
from ringfence.vault.sets import SetReader

_EVERY = 5_000  # rows between two words to the host


def run(child: Child[GuardSettings]) -> GuardFigures:
    """Write the output "guard", the filter of the input "set", and return what it holds.

    Raises: ObjectBroken, StorageFull.
    """
    began = time.monotonic()
    order, keys = child.order, child.keys.data
    source = SetReader(order.inputs["set"], keys[order.inputs["set"].slot])

    def rows() -> Iterator[tuple[str, Sequence[str]]]:
        for done, record in enumerate(source):
            if done % _EVERY == 0:
                child.channel.progress(Progress(done=done, total=len(source)))
            yield record.unit, record.texts

    guard, counts = build(rows(), order.settings)
    made = list(guard.blocks())
    left = order.outputs["guard"]
    write_files(left, keys[left.slot], {FILE: made})
    seconds = time.monotonic() - began
    return GuardFigures(**counts, false_blocks=guard.false_blocks, guard_bytes=sum(map(len, made)), seconds=seconds)
