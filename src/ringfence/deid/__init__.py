"""De-identification: find what names a person or opens a door, replace it consistently, show that nothing was left.

`scan` needs no workspace, no key and no network:

    >>> from ringfence.deid import scan
    >>> [(span.type, span.start, span.end) for span in scan("电话13800138000，谢谢")]
    [('CN_MOBILE', 2, 13)]
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence.deid.engine import Engine
    from ringfence.deid.recogniser import Span

__all__ = ["scan"]


def scan(text: str, *, profile: str = "default", terms: Iterable[str] = ()) -> list[Span]:
    """Return what `text` holds: disjoint spans in order, each with `start`, `end` (characters), `type` and `score` (0 to 1).

    profile: a built-in profile; its operators play no part.  terms: internal terms that are found, too.
    A profile's taggers run if they ship with ringfence; those whose models are imported need a workspace.

    Raises: UnknownProfile.
    """
    return _engine(profile, tuple(terms)).find(text)


@lru_cache(maxsize=8)
def _engine(profile: str, terms: tuple[str, ...]) -> Engine:
    from ringfence.deid.engine import Engine, keep_automata  # noqa: PLC0415  the settings of this package are read without its engine
    from ringfence.deid.profile import settings_for  # noqa: PLC0415
    from ringfence.deid.tagger import TAGGERS  # noqa: PLC0415

    settings = settings_for(profile)
    shipped = tuple(name for name in settings.taggers if TAGGERS.create(name).model is None)
    settings = settings.model_copy(update={"taggers": shipped})
    return Engine.build(settings, bytes(32), terms=terms, automata=keep_automata(settings))  # finding needs no key
