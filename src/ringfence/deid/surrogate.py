"""What operators share: stand-ins and digests, for one key the same for one value in every record, file and run."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence

from ringfence.deid import terms as dictionary
from ringfence.deid.draw import Draw
from ringfence.deid.named import StandIn

_TRIES = 64


class Surrogates:
    """The `Tools` of operators; makes and remembers stand-ins. `is_taken` refuses one that holds an original of the set; the next draw is then used."""

    def __init__(
        self,
        key: bytes,
        *,
        parts: Mapping[str, StandIn],
        terms: Sequence[str],
        is_taken: Callable[[str, str], bool],
        generic: Mapping[str, str] | None = None,
    ) -> None:
        """Take the key. `generic`: the word that stands for a term, by the term's normal form, where one does."""
        self._key, self._parts, self._is_taken = key, parts, is_taken
        self._generic = generic or {}
        self._names = dictionary.neutral_names(terms)
        self._made: dict[tuple[str, str], str] = {}

    def surrogate(self, kind: str, value: str) -> str:
        """Return the stand-in of `value`.

        It keeps the separators of this spelling; letters and digits depend on the kind and the normal form alone.
        """
        at = (kind, value)
        if at not in self._made:
            self._made[at] = self._make(kind, value)
        return self._made[at]

    def _make(self, kind: str, value: str) -> str:
        if kind == dictionary.KIND and (word := self._generic.get(self.normal(kind, value))) and not self._is_taken(kind, word):
            return word
        candidate = ""
        for attempt in range(_TRIES):
            seed = b"\x00".join((kind.encode(), self.normal(kind, value).encode("utf-8", "surrogatepass")))
            draw = Draw(self._key, seed, attempt=attempt)
            candidate = self._draw(kind, value, draw)
            if candidate != value and not self._is_taken(kind, candidate):
                break
        return candidate  # of the last try, if all were taken: the re-scan will say so

    def _draw(self, kind: str, value: str, draw: Draw) -> str:
        if kind == dictionary.KIND:
            return dictionary.stand_in(value, draw, names=self._names)
        return self._parts[kind].surrogate(value, draw)

    def digest(self, purpose: str, data: bytes) -> bytes:
        """Return HMAC-SHA256 of `data` under a key of this purpose."""
        return hmac.digest(hmac.digest(self._key, f"operator {purpose}".encode(), "sha256"), data, "sha256")

    def normal(self, kind: str, value: str) -> str:
        """Return the normal form of a value."""
        return dictionary.normal(value) if kind == dictionary.KIND else self._parts[kind].normalise(value)
