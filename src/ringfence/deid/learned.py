"""What one shard teaches about a set: its originals, to be looked up in all others."""

from __future__ import annotations

from dataclasses import dataclass, field

from ringfence.deid.known import Known


@dataclass
class Learned:
    """Takes originals as `Known` does and keeps each once, without filing them: it travels from a worker to those that look them up."""

    _added: dict[tuple[str, str, str, float], None] = field(default_factory=dict)  # (kind, value, normal form, score), in order
    _noted: dict[tuple[str, str], None] = field(default_factory=dict)  # (kind, normal form)

    def add(self, kind: str, value: str, *, normal: str, score: float) -> None:
        """Remember an original that is looked up in the whole set."""
        self._added[kind, value, normal, score] = None

    def note(self, kind: str, *, normal: str) -> None:
        """Remember an original by its normal form alone."""
        self._noted[kind, normal] = None

    def teach(self, known: Known) -> None:
        """Pass everything on. Shards may teach in any order: `Known` takes the surest kind of each value."""
        for kind, value, normal, score in self._added:
            known.add(kind, value, normal=normal, score=score)
        for kind, normal in self._noted:
            known.note(kind, normal=normal)
