"""`join.v1`: the sets that a recipe names become one, or what it wants of them. A child half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from ringfence.core.lineage import roles
from ringfence.core.order import Child, Progress
from ringfence.core.records import Record
from ringfence.train.settings import Cut, JoinFigures, JoinSettings
from ringfence.vault.index import RowIndex
from ringfence.vault.sets import SetReader, SetWriter

_EVERY = 5_000  # rows between two words to the host
_BLOCK = 1_000  # draws at once
_PLACES = ("set", "evaluation")  # outputs, in the order of the numbers in `places`


def run(child: Child[JoinSettings]) -> JoinFigures:
    """Write the output `set`, every row of the inputs `set`, `set2` and so on, as they are and in this order; return how many there are.

    With a cut, those rows that it takes; what it holds out goes to the output `evaluation`. The id of a unit is the same in every set of a workspace:
    who has rows in several is one unit.

    Raises: ObjectBroken, StorageFull.
    """
    order, keys = child.order, child.keys
    sources = [SetReader(order.inputs[role], keys.data[order.inputs[role].slot]) for role in roles("set", order.inputs)]
    total, written = sum(map(len, sources)), [0, 0]
    has_units = all(source.index.unit_table is not None for source in sources)
    with ExitStack() as stack:
        slots = [order.outputs[role] for role in _PLACES if role in order.outputs]
        outputs = [
            stack.enter_context(SetWriter(slot, keys.data[slot.slot], keys.purpose["content"], unit_table=has_units)) for slot in slots
        ]
        for done, (record, place) in enumerate(placed(sources, order.settings.cut)):
            if done % _EVERY == 0:
                child.channel.progress(Progress(done=done, total=total))
            outputs[place].write(record)
            written[place] += 1
    return JoinFigures(rows=written[0], held_out=written[1])


def placed(sources: Sequence[SetReader], cut: Cut) -> Iterator[tuple[Record, int]]:
    """Yield the rows that are taken of several sets, one set after the other, each with 0 where it is learned from and 1 where it is held out.

    Raises: ObjectBroken.
    """
    for source, of_rows in zip(sources, places([one.index for one in sources], cut), strict=True):
        yield from zip(source.rows(0, len(of_rows)), of_rows.tolist(), strict=True)


def places(indexes: Sequence[RowIndex], cut: Cut) -> list[NDArray[np.int8]]:
    """Return of each set where its first rows go: 0 to what is learned from, 1 to what is held out; the rows after them are left out.

    All rows of a unit are held out together, or what is known of somebody would help to foretell the rest. Units are drawn by the seed, but for those
    that have more rows than are still wanted; where all have, the first of the smallest ones is.
    """
    taken = [index.unit_ids[: cut.most] for index in indexes]  # [rows, 16] each
    if cut.is_mixed and len(taken) > 1:
        taken = [one[:rows] for one, rows in zip(taken, mixed([len(one) for one in taken], cut), strict=True)]
    if not cut.held_out:
        return [np.zeros(len(one), dtype=np.int8) for one in taken]
    rows = np.concatenate(taken)
    units, of_row, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    wanted = cut.rows_held_out(len(rows))
    drawn = np.random.default_rng(cut.seed).permutation(len(units))
    chosen, left = [], wanted
    for unit, size in zip(drawn.tolist(), counts[drawn].tolist(), strict=True):
        if size <= left:
            chosen.append(unit)
            left -= size
    if not chosen and len(units) > 1:
        chosen = [int(drawn[np.argmin(counts[drawn])])]
    is_held_out = np.isin(of_row.reshape(-1), chosen).astype(np.int8)
    return np.split(is_held_out, np.cumsum([len(one) for one in taken])[:-1])


def mixed(lengths: Sequence[int], cut: Cut) -> list[int]:
    """Return how many first rows of each set are taken until one has ended: in turns, or as draws with shares fall.

    They are those of `datasets.interleave_datasets` with "first_exhausted" (datasets 5.2, `_interleave_map_style_datasets`): draws come in blocks.
    """
    if not cut.shares or not min(length for length, share in zip(lengths, cut.shares, strict=True) if share):
        return [min(lengths)] * len(lengths)
    drawn, counts = np.random.default_rng(cut.seed), [0] * len(lengths)
    while True:
        for one in drawn.choice(len(lengths), size=_BLOCK, p=cut.shares).tolist():
            counts[one] += 1
            if counts[one] == lengths[one]:
                return counts
