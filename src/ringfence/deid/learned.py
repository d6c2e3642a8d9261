"""What one shard teaches about a set: its originals, to be looked up in all others."""

from __future__ import annotations

from dataclasses import dataclass, field

from ringfence.deid.known import Known


@dataclass
class Learned:
    """Takes originals as `Known` does and keeps each once, without filing them: it travels from a worker to those that look them up."""

    _added: dict[tuple[str, str, str, float], None] = field(default_factory=dict)  # (kind, value, normal form, score), in order
    _noted: dict[tuple[str, str, float], None] = field(default_factory=dict)  # (kind, value, score)
    _maybe: dict[tuple[str, str, str], None] = field(default_factory=dict)  # (kind, value, owner)

    def add(self, kind: str, value: str, *, normal: str, score: float) -> None:
        """Remember an original that is looked up in the whole set."""
        self._added[kind, value, normal, score] = None

    def note(self, kind: str, value: str, *, score: float) -> None:
        """Remember an original that is only counted in other records."""
        self._noted[kind, value, score] = None

    def maybe(self, kind: str, value: str, *, owner: str) -> None:
        """Remember a value that is an original if it is one person's."""
        self._maybe[kind, value, owner] = None

    def teach(self, known: Known) -> None:
        """Pass everything on. Shards may teach in any order: `Known` takes the surest kind of each value."""
        for kind, value, normal, score in self._added:
            known.add(kind, value, normal=normal, score=score)
        for kind, value, score in self._noted:
            known.note(kind, value, score=score)
        for kind, value, owner in self._maybe:
            known.maybe(kind, value, owner=owner)
