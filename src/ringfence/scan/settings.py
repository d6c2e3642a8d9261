"""What a scan is told and what it may say back. Pydantic only."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ringfence.core.order import Count, Counts, Figures
from ringfence.core.settings import PartName, Settings

PARTS: tuple[PartName, ...] = ("unicode.v1", "bursts.v1")  # what runs unless the user names others
FLAGS = "_ringfence_flags"  # field of a quarantined record: the detectors that flagged it
ROW = "_ringfence_row"  # field of a quarantined record: its position in the scanned set, from 0, so that order can be restored


class ScanSettings(Settings):
    """Which detectors look at a set. Each one's threshold belongs to its version."""

    parts: Annotated[tuple[PartName, ...], Field(min_length=1, max_length=32)] = PARTS


class KeepSettings(Settings):
    """Which quarantined rows are readmitted: all, or those that nothing but one detector flagged."""

    only: PartName | None = None


class ScanFigures(Figures):
    """What a scan found, or a readmission left."""

    rows: Count  # that came in, quarantined ones included
    cleared: Count
    flagged: Count  # that lie in quarantine now
    by_part: Counts  # rows flagged, by detector; a row may count for several

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return the size alone: what the rows' content showed stays sealed."""
        return frozenset({"rows"})
