"""`join.v1`: the sets that a recipe names become one. A child half."""

from __future__ import annotations

from ringfence.core.lineage import roles
from ringfence.core.order import Child, Progress
from ringfence.train.settings import JoinFigures, JoinSettings
from ringfence.vault.sets import SetReader, SetWriter

_EVERY = 5_000  # rows between two words to the host


def run(child: Child[JoinSettings]) -> JoinFigures:
    """Write the output `set`, every row of the inputs `set`, `set2` and so on, as they are and in this order; return how many there are.

    The id of a unit is the same in every set of a workspace: who has rows in several is one unit.

    Raises: ObjectBroken, StorageFull.
    """
    order, keys = child.order, child.keys
    slots = [order.inputs[role] for role in roles("set", order.inputs)]
    sources = [SetReader(slot, keys.data[slot.slot]) for slot in slots]
    total, done, output_slot = sum(map(len, sources)), 0, order.outputs["set"]
    has_units = all(source.index.unit_table is not None for source in sources)
    with SetWriter(output_slot, keys.data[output_slot.slot], keys.purpose["content"], unit_table=has_units) as output:
        for source in sources:
            for record in source:
                if done % _EVERY == 0:
                    child.channel.progress(Progress(done=done, total=total))
                output.write(record)
                done += 1
    return JoinFigures(rows=total)
