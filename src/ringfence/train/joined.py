"""Two answers after one question: the question goes through the model once, and both answers follow it, neither seeing the other.

Source: the prefix sharing of Wang and Hegde 2024 (arXiv:2410.20305), here for whatever two sequences begin with alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ringfence.train.answers import states_of
from ringfence.train.data import Example, Packed, alike, collate

_MOST = 2_048  # tokens: every one of them has a place in the mask for every other
_WORTH = 0.9  # of the tokens that two padded sequences have; above it the longer attention costs what is saved
_APART = 0.02  # what rounding may make of a probe, in any type of numbers; what is not meant to be seen makes it tens of times more
_PROBE = 6  # tokens: two of the question, two of each answer


def beginning(row: Example) -> int:
    """Return the number of tokens that both sequences of a row begin with."""
    return alike(*(one.ids for one in row.sequences))


def tokens_of(row: Example) -> int:
    """Return the number of tokens of a row; of two sequences their common beginning counts once."""
    return row.tokens - beginning(row) if row.other is not None else row.tokens


def is_worth(rows: Sequence[Example]) -> bool:
    """Return whether rows of two sequences are read faster with their beginnings joined."""
    joined, longest = max(map(tokens_of, rows)), max(row.longest for row in rows)
    return joined <= min(_MOST, _WORTH * 2 * longest)


def join(rows: Sequence[Example], *, padding: int, dtype: torch.dtype, device: str, length: int = 0) -> Packed:
    """Return what the model reads of rows of two sequences: of each its beginning, what follows in the first, what follows in the second.

    length: tokens, at least.  dtype: of the model, and so of the mask.
    """
    length, longest = max(length, *map(tokens_of, rows)), max(row.longest for row in rows)
    ids = np.full((len(rows), length), padding, dtype=np.int64)
    positions = np.zeros((len(rows), length), dtype=np.int64)
    whose = np.full((len(rows), length), 3)  # 0: both read it; 1, 2: the first, the second; 3: it fills up
    places = np.zeros((2, len(rows), longest), dtype=np.int64)
    for at, row in enumerate(rows):
        stop = shared = beginning(row)
        ids[at, :shared], positions[at, :shared], whose[at, :shared] = row.ids[:shared], np.arange(shared), 0
        for number, one in enumerate(row.sequences, 1):
            start, stop = stop, stop + len(one.ids) - shared
            ids[at, start:stop], positions[at, start:stop], whose[at, start:stop] = (
                one.ids[shared:],
                np.arange(shared, len(one.ids)),
                number,
            )
            own = np.concatenate([np.arange(shared), np.arange(start, stop)])
            places[number - 1, at, : len(own)] = own
        places[:, at] += at * length
    reader, read = whose[:, :, None], whose[:, None, :]
    seen = torch.from_numpy(((read == 0) | (read == reader)) & np.tri(length, dtype=np.bool_))  # [rows, length, length]
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
    return Packed(*(one.to(device) for one in (*map(torch.from_numpy, (ids, positions, places.reshape(-1, longest))), mask)))


def may_join(model: Any) -> bool:  # noqa: ANN401  transformers is untyped
    """Return whether a model reads joined sequences as it reads each alone: it has no window narrower than a row, and a small probe agrees."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = base.config.get_text_config()
    is_full = set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    has_window = getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)
    backbone = getattr(base, base.base_model_prefix)
    return is_full and not has_window and _agrees(backbone, base.device, base.dtype)


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is untyped here
def _agrees(backbone: Any, device: torch.device, dtype: torch.dtype) -> bool:  # noqa: ANN401
    """Return whether the states of a row's two sequences are the same, but for rounding, where they are read joined."""
    ids = np.arange(_PROBE, dtype=np.int32)  # numbers that every vocabulary has
    row = Example(ids[:4], ids[:4] > 1)
    row = row._replace(other=row.sequences[0]._replace(ids=ids[[0, 1, 4, 5]]))
    alone = collate([row], padding=0, device=str(device))
    wanted = states_of(backbone, alone)
    found = states_of(backbone, alone._replace(packed=join([row], padding=0, dtype=dtype, device=str(device))))
    return bool((found - wanted).float().norm() <= _APART * wanted.float().norm())
