"""Reads the public keys that a verifier brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.core.errors import BadArgument, NotCanonical
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.core.public_keys import PublicKeys


def public_keys(path: Path) -> PublicKeys:
    """Return the keys of an exported file.

    Raises: BadArgument.
    """
    from ringfence.core.public_keys import PublicKeys

    try:
        return PublicKeys.from_bytes(path.read_bytes())
    except (OSError, NotCanonical) as cause:
        problem = t("{path} is not a file that ringfence keys export wrote", "{path} 不是 ringfence keys export 写出的文件", path=path)
        raise BadArgument(option="--keys", problem=problem, verb="verify") from cause
