"""S0: characters that a reader does not see or takes for others, where no script or emoji needs them."""

from __future__ import annotations

import numpy as np

from ringfence.core.records import Record
from ringfence.scan.characters import Finding, find
from ringfence.scan.detector import DETECTORS, Records, Scores

# How much one finding weighs: each but "stray" flags; beyond that the weight ranks what has no innocent use above what a careless export leaves.
_WEIGHTS: dict[Finding, float] = {
    "tag": 10.0,
    "bidi": 5.0,
    "selector": 3.0,
    "hidden": 2.0,
    "mixed": 2.0,
    "private": 1.0,
    "unassigned": 1.0,
    "control": 1.0,
}
_STRAY = 0.5  # however many


@DETECTORS.add("unicode.v1")
class UnicodeDetector:
    """Scores a record by the suspicious characters of its texts; file columns that are not trained on are not looked at.

    Source: Unicode TR36 (security considerations), TR39 §4 (confusables), TR51 (emoji sequences), TR9 (bidirectional controls).
    """

    threshold = 1.0
    alone = True

    def score(self, records: Records) -> Scores:
        """Return the summed weight of the findings in each record, [n]."""
        return np.fromiter((sum(map(_weight, record.texts)) for record in records), np.float64, len(records))

    def example(self, record: Record) -> Record:
        """Return `record` with an invisible trigger in its first text."""
        return record.with_texts((f"{record.texts[0]} now\u200bhere", *record.texts[1:]))


def _weight(text: str) -> float:
    found = list(find(text))
    return sum(_WEIGHTS.get(kind, 0.0) for kind in found) + (_STRAY if "stray" in found else 0.0)
