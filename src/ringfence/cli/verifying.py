"""Reads the public keys that a verifier brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.cli.context import workspace
from ringfence.core.errors import BadArgument, NotAWorkspace, NotCanonical
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.core.public_keys import PublicKeys
    from ringfence.workspace.space import Workspace


def owner_space(verb: str, *, unlock: bool = True) -> Workspace:
    """Return the workspace whose keys check what the user names, where they brought no public keys.

    Raises: BadArgument where there is no workspace; as `workspace`.
    """
    try:
        return workspace(unlock=unlock)
    except NotAWorkspace as cause:
        problem = t("outside a workspace, bring the owner's public keys", "在工作区之外，请提供所有者的公钥")
        raise BadArgument(option="--keys", problem=problem, verb=verb) from cause


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
