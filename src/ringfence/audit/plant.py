"""`plant.v1`: a masked set and fresh canaries become a training set, and a register that only the auditor can read. A child half."""

from __future__ import annotations

import random
from itertools import islice

from ringfence.audit.canaries import draw, liked_of, pair_of, record_of
from ringfence.audit.register import FILE, seal
from ringfence.audit.settings import PlantFigures, PlantSettings
from ringfence.core.order import Child, Progress
from ringfence.vault.files import write_files
from ringfence.vault.sets import SetReader, SetWriter

_SAMPLE = 1_000  # rows that say which languages the set speaks
_WRITTEN = {"any": record_of, "preference": pair_of, "feedback": liked_of}
_EVERY = 5_000  # rows between two words to the host


def run(child: Child[PlantSettings]) -> PlantFigures:
    """Write the output `set`, every row of the input and then the canaries, and the output `register`; return how many rows there are.

    Raises: ObjectBroken, StorageFull.
    """
    order, keys = child.order, child.keys
    source_slot, set_slot, register_slot = order.inputs["set"], order.outputs["set"], order.outputs["register"]
    source = SetReader(source_slot, keys.data[source_slot.slot])
    register = draw(order.settings.audit, control=order.settings.control, chinese=0.5 if order.settings.blind else _chinese(source))
    rows = [one for one in register.canaries if one.is_in for _ in range(one.times)]
    random.SystemRandom().shuffle(rows)
    has_units = source.index.unit_table is not None
    with SetWriter(set_slot, keys.data[set_slot.slot], keys.purpose["content"], unit_table=has_units) as output:
        for done, record in enumerate(source):
            if done % _EVERY == 0:
                child.channel.progress(Progress(done=done, total=len(source)))
            output.write(record)
        for canary in rows:
            output.write(_WRITTEN[order.settings.rows](canary))
    sealed = seal(register, auditor=order.settings.auditor, slot=register_slot.slot)
    write_files(register_slot, keys.data[register_slot.slot], {FILE: sealed})
    return PlantFigures(rows=len(source) + len(rows), planted=len(rows))


def _chinese(source: SetReader) -> float:
    """Return the share of rows that hold a Chinese character, of the first thousand."""
    rows = list(islice(source, _SAMPLE))
    return sum(any("一" <= c <= "鿿" for text in row.texts for c in text) for row in rows) / max(1, len(rows))
