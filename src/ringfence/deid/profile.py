"""Profiles: which recognisers run and what happens to each kind. A profile is a JSON file; the built-in ones lie in `profiles/`.

A profile of one's own is named by its file and its content, so that a policy that names it means this content and no other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from ringfence.core.digest import settings_digest
from ringfence.core.errors import InvalidSettings, UnknownPart, UnknownProfile
from ringfence.core.problems import first_problem
from ringfence.core.settings import OWN_DIGITS, Digest, PartName, Settings
from ringfence.core.text import t
from ringfence.deid.operator import Uses
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.settings import DeidSettings, kinds
from ringfence.deid.tagger import TAGGERS

_SUFFIX = ".json"
_OWN_END = re.compile(rf"-[0-9a-f]{{{OWN_DIGITS}}}$")
_OTHERS = "*"  # every kind that a profile does not name
_LONGEST = 40  # characters of a name before its digest


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
    return _parsed(name, (_folder(folder) / f"{name}.json").read_bytes())


def own(path: Path) -> tuple[str, Profile]:
    """Return a profile of one's own and its name: that of the file and the first digits of the content's SHA-256.

    Raises: UnknownProfile, InvalidSettings, UnknownPart.
    """
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise UnknownProfile(name=path.name, known=", ".join(names())) from cause
    profile = _parsed(path.name, data)
    for registry, parts in ((RECOGNISERS, profile.recognisers), (TAGGERS, profile.taggers)):
        for part in parts:
            registry.create(part)
    return _called(re.sub(r"[^\w.-]", "-", path.name.removesuffix(_SUFFIX)), profile), profile


def _called(name: str, profile: Profile) -> str:
    """Return the name of a profile of one's own."""
    return f"{name[:_LONGEST]}-{settings_digest(profile)[:OWN_DIGITS]}"


def is_called_rightly(settings: DeidSettings) -> bool:
    """Return True when the settings do what the profile whose name they bear does, with or without further taggers.

    A policy admits profiles by name, so a name must not cover another content.
    """
    given = (settings.parts, settings.taggers, settings.operators)
    if settings.profile in names():
        profile = load(settings.profile)
        return (profile.recognisers, profile.taggers, profile.operators) == (given[0], given[1][: len(profile.taggers)], given[2])
    name = settings.profile[: -OWN_DIGITS - 1]
    of_profile = (Profile(recognisers=given[0], taggers=given[1][:n], operators=given[2]) for n in range(len(given[1]) + 1))
    return any(_called(name, profile) == settings.profile for profile in of_profile)


def _parsed(name: str, data: bytes) -> Profile:
    try:
        return Profile.model_validate_json(data)
    except ValidationError as cause:
        where, problem = first_problem(cause)
        said = t("{key}: {problem}", "{key}：{problem}", key=".".join(where), problem=problem) if where else problem
        raise InvalidSettings(where=f"profile {name}", problem=said) from cause


def settings_for(
    name: str,
    *,
    terms_digest: Digest | None = None,
    without: Collection[str] = (),
    with_: Collection[str] = (),
    folder: Traversable | None = None,
) -> DeidSettings:
    """Return complete settings: the profile's content goes into them, so that the evidence says what ran and not only its name.

    name: of a built-in profile, or the path of one's own, which ends in `.json`.
    without: taggers of the profile that are left out: what remains is a profile of one's own, and is called so.
    with_: taggers that are used besides those of the profile, which finds no less with them.

    Raises: UnknownProfile, InvalidSettings, UnknownPart.
    """
    if name.endswith(_SUFFIX):
        name, profile = own(Path(name))
    else:
        profile = load(name, folder=folder)
    for left_out in without:
        if left_out not in profile.taggers:
            raise UnknownPart(kind="tagger", name=left_out, known=", ".join(profile.taggers) or "-")
    for added in with_:
        if added not in TAGGERS.names():
            raise UnknownPart(kind="tagger", name=added, known=", ".join(TAGGERS.names()))
    if without:
        profile = profile.model_copy(update={"taggers": tuple(tagger for tagger in profile.taggers if tagger not in without)})
        name = _called(re.sub(_OWN_END, "", name), profile)
    taggers = tuple(dict.fromkeys([*profile.taggers, *with_]))
    return DeidSettings(profile=name, parts=profile.recognisers, taggers=taggers, operators=profile.operators, terms_digest=terms_digest)


def unknown_kinds(settings: DeidSettings) -> list[str]:
    """Return the kinds that have an operator and that nothing of ringfence finds, sorted: misspelt, or of a tagger or recognisers of one's own."""
    return sorted(settings.operators.keys() - {*kinds(), _OTHERS})


def _folder(folder: Traversable | None) -> Traversable:
    return folder if folder is not None else files("ringfence.deid") / "profiles"
