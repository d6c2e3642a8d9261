"""What has to be installed for a part, asked before work starts: in the sandbox its absence would be a dead job."""

from __future__ import annotations

from importlib.util import find_spec

from ringfence.core.errors import LibraryMissing
from ringfence.deid.tagger import Needs


def require(part: str, needs: Needs | None) -> None:
    """Let pass where everything is there.

    Raises: LibraryMissing.
    """
    if needs and (absent := [name for name in needs.libraries if find_spec(name) is None]):
        raise LibraryMissing(part=part, libraries=", ".join(absent), extra=needs.extra)
