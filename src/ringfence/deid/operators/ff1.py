"""Digits encrypted to digits."""

from __future__ import annotations

from ringfence.deid.draw import DIGITS, Draw
from ringfence.deid.operator import OPERATORS, Occurrence, Replacing, Tools

_FEWEST = 6  # digits: FF1 asks for a domain of a million values. Source: NIST SP 800-38G, 5.1 (revision 1, draft 2)


@OPERATORS.add("ff1.v1")
class FF1(Replacing):
    """Format-preserving encryption of the digits, one to one: two account numbers stay two, and tables stay joined. Letters and separators stay.

    The kind is the tweak. A value of fewer than six digits is too easily guessed for it and gets digits drawn from its digest, which can collide.
    Source: NIST SP 800-38G, method FF1, with AES-256. The ciphertext of a valid number may be somebody's: it is no surrogate.
    """

    def apply(self, occurrence: Occurrence, tools: Tools) -> str:
        """Return the value with its digits encrypted; what has none, or by chance the same ones, gets a stand-in."""
        digits = "".join(c for c in occurrence.value if c in DIGITS)
        if len(digits) >= _FEWEST:
            made = _encrypted(tools.digest("ff1", b"").hex(), occurrence.kind, digits)
        else:
            made = Draw(tools.digest("ff1-short", b""), f"{occurrence.kind}\x00{digits}".encode()).text(DIGITS, len(digits))
        if made == digits:
            return tools.surrogate(occurrence.kind, occurrence.value)
        fresh = iter(made)
        return "".join(next(fresh) if c in DIGITS else c for c in occurrence.value)


def _encrypted(key: str, kind: str, digits: str) -> str:
    from fastfpe import ff1  # noqa: PLC0415  of the extra `deid`

    return str(ff1.encrypt(key, kind.encode().hex(), DIGITS, digits))
