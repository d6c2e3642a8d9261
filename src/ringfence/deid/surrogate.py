"""What operators share: stand-ins and digests, for one key the same for one value in every record, file and run."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence

from ringfence.deid import terms as dictionary
from ringfence.deid.draw import Draw
from ringfence.deid.fold import fold
from ringfence.deid.named import STAND_INS, StandIn, coined
from ringfence.deid.operator import label
from ringfence.deid.variants import is_shared

_TRIES = 48  # draws of a stand-in
_COINED_TRIES = 16  # more draws, of names that are nobody's
_REMEMBERED = 1 << 16  # stand-ins: any of them is made again as it was

Taken = Callable[[Sequence[tuple[str, str]]], Sequence[bool]]


class Surrogates:
    """The `Tools` of operators; makes and remembers stand-ins.

    `taken` says of many (kind, stand-in) which hold an original of the set; of those the next draw is used, and in the end the kind alone:
    what is taken is never written.
    """

    def __init__(
        self,
        key: bytes,
        *,
        parts: Mapping[str, StandIn],
        terms: Sequence[str],
        taken: Taken,
        generic: Mapping[str, str] | None = None,
    ) -> None:
        """Take the key. `generic`: the word that stands for a term, by the term's normal form, where one does."""
        self._key, self._parts, self._taken = key, parts, taken
        self._generic = generic or {}
        self._names = dictionary.neutral_names(terms)
        self._made: dict[tuple[str, str], str] = {}

    def surrogate(self, kind: str, value: str) -> str:
        """Return the stand-in of `value`.

        It keeps the separators of this spelling; letters and digits depend on the kind and the normal form alone.
        """
        at = (kind, value)
        if at not in self._made:
            self.prepare([at])
        return self._made[at]

    def prepare(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Make the stand-ins of many (kind, value) at once: to look for originals in one text costs less than in each."""
        every = list(dict.fromkeys(wanted))
        left = [at for at in every if at not in self._made]
        if len(self._made) + len(left) > _REMEMBERED:
            self._made.clear()
            left = every
        for attempt in range(-1, _TRIES + _COINED_TRIES):
            if not left:
                return
            drawn = [(at, made) for at in left if (made := self._drawn(*at, attempt)) is not None]
            refused = self._taken([(kind, made) for (kind, _), made in drawn])
            fresh = {
                at: made
                for (at, made), is_taken in zip(drawn, refused, strict=True)
                if fold(made).text != at[1] and (is_shared(at[0], made) or not is_taken)
            }
            self._made |= fresh
            left = [at for at in left if at not in fresh]
        self._made |= {at: label(at[0]) for at in left}

    def _drawn(self, kind: str, value: str, attempt: int) -> str | None:
        """Return what is tried: first the word that many terms share, then names like `value`, then coined ones; None where there is no such."""
        normal = self.normal(kind, value)
        if attempt < 0:
            return self._generic.get(normal) if kind == dictionary.KIND else None
        seed = b"\x00".join((kind.encode(), normal.encode("utf-8", "surrogatepass")))
        draw = Draw(self._key, seed, attempt=attempt)
        if attempt >= _TRIES:
            return coined(value, draw) if kind in STAND_INS else None
        if kind == dictionary.KIND:
            return dictionary.stand_in(value, draw, names=self._names)
        return self._parts[kind].surrogate(value, draw)

    def forget(self) -> None:
        """Forget what stands for what: which draw was refused depended on the originals that were known."""
        self._made.clear()

    def digest(self, purpose: str, data: bytes) -> bytes:
        """Return HMAC-SHA256 of `data` under a key of this purpose."""
        return hmac.digest(hmac.digest(self._key, f"operator {purpose}".encode(), "sha256"), data, "sha256")

    def normal(self, kind: str, value: str) -> str:
        """Return the normal form of a value."""
        return dictionary.normal(value) if kind == dictionary.KIND else self._parts[kind].normalise(value)
