"""What a de-identification is told and what it says. Light: no engine is imported here."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Literal

from ringfence.core.order import Count, Counts, Figures
from ringfence.core.settings import Digest, PartName, Settings
from ringfence.deid.operator import Uses

EngineName = Literal["vectorscan", "re"]


class DeidSettings(Settings):
    """One de-identification completely. `profile` is the name that policies ask for; `parts` and `operators` are what it stands for."""

    profile: str = "default"
    parts: tuple[PartName, ...]
    taggers: tuple[PartName, ...] = ()
    models: Mapping[PartName, Digest] = {}  # the weights of each tagger that has some
    operators: Mapping[str, Uses] = {}  # by kind, "*" for those that are not named; without it they get surrogates
    terms_digest: Digest | None = None  # keyed digest of the dictionary: a plain one would let anyone test guesses at short lists
    engine: Literal["auto", "re"] = "auto"


class DeidFigures(Figures):
    """What was found and replaced. Characters are those of the texts before the change."""

    records: Count
    spans: Counts
    kept: Counts  # found, and left by the profile's choice
    dropped: Count  # records
    survivors: Count  # originals that the re-scan found in the output
    characters: Count
    characters_changed: Count
    engine: EngineName

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return what the gate needs: a set with survivors is never written, so the number tells nothing about rows."""
        return frozenset({"survivors", "engine"})


def model_role(tagger: str) -> str:
    """Return the name under which an order holds the folder of a tagger's model."""
    return f"model-{tagger}"


def dictionary_digest(data: bytes, key: bytes) -> Digest:
    """Return HMAC-SHA256 of a dictionary of terms in hex."""
    return hmac.digest(key, data, "sha256").hex()


def terms_digest(sealed: bytes | None, file: bytes | None, key: bytes) -> Digest | None:
    """Return the digest of the workspace's dictionary and of a file of terms together; None without either."""
    given = [data for data in (sealed, file) if data is not None]
    return dictionary_digest(b"\0".join(given), key) if given else None


def kinds() -> tuple[str, ...]:
    """Return every kind that the registered recognisers and the dictionary can find, sorted: the vocabulary of `spans`."""
    from ringfence.deid.named import STAND_INS  # noqa: PLC0415  the settings stay light
    from ringfence.deid.recogniser import RECOGNISERS  # noqa: PLC0415
    from ringfence.deid.terms import KIND  # noqa: PLC0415

    return tuple(sorted({KIND, *STAND_INS, *(kind for name in RECOGNISERS.names() for kind in RECOGNISERS.create(name).kinds)}))
