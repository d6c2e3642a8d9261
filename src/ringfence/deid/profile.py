"""Profiles: which recognisers run and what happens to each kind. A profile is a JSON file; the built-in ones lie in `profiles/`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated

from pydantic import Field, ValidationError

from ringfence.core.errors import InvalidSettings, UnknownPart, UnknownProfile
from ringfence.core.problems import first_problem
from ringfence.core.settings import Digest, PartName, Settings
from ringfence.deid.operator import Uses
from ringfence.deid.settings import DeidSettings
from ringfence.deid.tagger import TAGGERS


class Profile(Settings):
    """A named choice of parts and operators."""

    recognisers: Annotated[tuple[PartName, ...], Field(min_length=1)]
    taggers: tuple[PartName, ...] = ()
    operators: Mapping[str, Uses] = {}


def names(folder: Traversable | None = None) -> list[str]:
    """Return the names of the profiles of a folder (default: the built-in ones), sorted."""
    return sorted(entry.name.removesuffix(".json") for entry in _folder(folder).iterdir() if entry.name.endswith(".json"))


def load(name: str, *, folder: Traversable | None = None) -> Profile:
    """Return a profile.

    Raises: UnknownProfile, InvalidSettings.
    """
    known = names(folder)
    if name not in known:
        raise UnknownProfile(name=name, known=", ".join(known))
    try:
        return Profile.model_validate_json((_folder(folder) / f"{name}.json").read_text(encoding="utf-8"))
    except ValidationError as cause:
        raise InvalidSettings(where=f"profile {name}", problem=first_problem(cause)[1]) from cause


def settings_for(
    name: str,
    *,
    terms_digest: Digest | None = None,
    without: Collection[str] = (),
    with_: Collection[str] = (),
    folder: Traversable | None = None,
) -> DeidSettings:
    """Return complete settings: the profile's content goes into them, so that the evidence says what ran and not only its name.

    without: taggers of the profile that are left out.  with_: taggers that are used besides those of the profile.

    Raises: UnknownProfile, InvalidSettings, UnknownPart.
    """
    profile = load(name, folder=folder)
    for left_out in without:
        if left_out not in profile.taggers:
            raise UnknownPart(kind="tagger", name=left_out, known=", ".join(profile.taggers) or "-")
    for added in with_:
        if added not in TAGGERS.names():
            raise UnknownPart(kind="tagger", name=added, known=", ".join(TAGGERS.names()))
    taggers = tuple(dict.fromkeys([*(tagger for tagger in profile.taggers if tagger not in without), *with_]))
    return DeidSettings(profile=name, parts=profile.recognisers, taggers=taggers, operators=profile.operators, terms_digest=terms_digest)


def _folder(folder: Traversable | None) -> Traversable:
    return folder if folder is not None else files("ringfence.deid") / "profiles"
