"""What a de-identification is told and what it says. Light: no engine is imported here."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.order import Count, Counts, Figures
from ringfence.core.settings import Digest, Name, PartName, Settings
from ringfence.deid.operator import Uses

LANGUAGES = ("zh", "en")  # of taggers
LOOKS = ("age", "sex", "region", "month")  # by which people are told apart
EngineName = Literal["vectorscan", "re"]
Reach = Literal["set", "record"]  # how far an original that was found is looked up: in all records, or in its own alone


class DeidSettings(Settings):
    """One de-identification completely. `profile` is the name that policies ask for; `parts` and `operators` are what it stands for."""

    profile: str = "default"
    parts: tuple[PartName, ...]
    taggers: tuple[PartName, ...] = ()
    models: Mapping[PartName, Digest] = {}  # the weights of each tagger that has some
    taught: Mapping[Name, Digest] = {}  # taggers of the tenant's own: their sealed objects
    operators: Mapping[str, Uses] = {}  # by kind, "*" for those that are not named; without it they get surrogates
    terms_digest: Digest | None = None  # keyed digest of the dictionary: a plain one would let anyone test guesses at short lists
    presidio_digest: Digest | None = None  # keyed digest of a file of Presidio recognisers
    engine: Literal["auto", "re"] = "auto"
    reach: Reach = "set"
    plant: Annotated[int, Field(ge=0, le=1_000)] = (
        60  # different identifiers of each kind that are hidden in copies of rows: 60 of 60 are 95 %
    )


class DeidFigures(Figures):
    """What was found and replaced, and what may be left. Characters are those of the texts before the change."""

    records: Count
    spans: Counts
    kept: Counts  # found, and left by the profile's choice
    dropped: Count  # records
    survivors: Count  # originals that the re-scan found in the output
    short_left: Count  # places of names too short to be looked up outside their own record
    characters: Count
    characters_changed: Count
    engine: EngineName
    hidden: Counts  # different identifiers that were hidden in copies of the set's own texts, by kind; only of kinds that have a generator
    hidden_found: Counts  # of these, covered whole
    people: Count
    looks_said: (
        Counts  # by what they were compared, as it is looked for and stays true: age, sex, region, month; and of how many people it is said
    )
    people_few: Count  # in classes of fewer than five that look alike
    few_without: Counts  # how many fewer it would be if the masked texts said less: without one of these, or with bands of 20 years
    seen_first: Counts  # different names of persons that the first tagger of a language saw, where it has two
    seen_second: Counts
    seen_both: Counts

    @classmethod
    def public(cls) -> frozenset[str]:
        """Return what the gate needs: a set with survivors is never written, so the number tells nothing about rows."""
        return frozenset({"survivors", "engine"})


class RevealSettings(Settings):
    """Why originals are asked for: the number of a decision that is kept elsewhere, never a text."""

    ticket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,39}$")]


class RevealFigures(Figures):
    """How many stand-ins were asked about, behind how many there was an original, and behind how many there were several, none of them shown."""

    asked: Count
    revealed: Count
    ambiguous: Count


def model_role(tagger: str) -> str:
    """Return the name under which an order holds the folder of a tagger's model."""
    return f"model-{tagger}"


def taught_role(number: int) -> str:
    """Return the name under which an order holds a tagger of the tenant's own, the `number`-th of `DeidSettings.taught`."""
    return f"tagger-{number}"


def dictionary_digest(data: bytes, key: bytes) -> Digest:
    """Return HMAC-SHA256 of a dictionary of terms in hex."""
    return hmac.digest(key, data, "sha256").hex()


def vocabulary() -> tuple[str, ...]:
    """Return the only words by which figures may count."""
    return (*kinds(), *LOOKS, "band", *LANGUAGES)


def terms_digest(sealed: bytes | None, file: bytes | None, key: bytes) -> Digest | None:
    """Return the digest of the workspace's dictionary and of a file of terms together; None without either."""
    given = [data for data in (sealed, file) if data is not None]
    return dictionary_digest(b"\0".join(given), key) if given else None


def kinds() -> tuple[str, ...]:
    """Return every kind that the registered recognisers, the dictionary and the columns of a set can find, sorted: the vocabulary of `spans`."""
    from ringfence.deid.named import CODE, STAND_INS  # noqa: PLC0415  the settings stay light
    from ringfence.deid.recogniser import RECOGNISERS  # noqa: PLC0415
    from ringfence.deid.terms import KIND  # noqa: PLC0415

    return tuple(sorted({KIND, CODE, *STAND_INS, *(kind for name in RECOGNISERS.names() for kind in RECOGNISERS.create(name).kinds)}))
