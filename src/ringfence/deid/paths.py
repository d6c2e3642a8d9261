"""The best path of tags through many sentences at once.

Source: Viterbi 1967; forward only the best scores are kept, and which tag they came from is asked again on the way back, for the one path that counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def best_paths(own: Sequence[NDArray[np.floating]], between: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the best tags: [steps, sentences], zeros behind a sentence's end. Of equal paths the one with the lower tags counts.

    own: of each step, what each tag scores by itself: [tags, sentences that have this step]. The longest sentences are the first ones, so that those
    that go on are always a beginning of those before.  between: [from, to].
    """
    steps: list[NDArray[np.floating]] = []
    moves = between[:, :, None]  # [from, to, 1]
    room = np.empty((*between.shape, own[0].shape[1] if own else 0), dtype=between.dtype)
    for score in own:
        if steps:
            count = score.shape[1]
            reached = np.add(steps[-1][:, None, :count], moves, out=room[:, :, :count])  # [from, to, sentences]
            score = reached.max(axis=0) + score  # noqa: PLW2901
        steps.append(score)
    tags = np.zeros((len(steps), room.shape[2]), dtype=np.int64)
    going = 0
    for step in range(len(steps) - 1, -1, -1):
        score = steps[step]
        if going:
            score = score.copy()
            score[:, :going] += between[:, tags[step + 1, :going]]
        going = score.shape[1]
        tags[step, :going] = score.argmax(axis=0)
    return tags
