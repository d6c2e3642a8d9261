"""Init: a workspace for one tenant."""

from __future__ import annotations

import secrets
from pathlib import Path

from ringfence.core.durable import write_atomic
from ringfence.core.errors import BadArgument
from ringfence.core.policy import DEFAULT
from ringfence.core.text import t
from ringfence.flows.policy import as_yaml
from ringfence.workspace.space import Secret, Workspace


def init(path: Path, secret: Secret, *, auditor: Secret | None = None) -> Workspace:
    """Make a workspace with fresh keys and the default policy, and return it unlocked.

    auditor: the secret of the auditor's private key; None = one person plays both parts, on record.

    Raises: AlreadyExists, StorageFull, BadArgument when the auditor's secret is the workspace's own.
    """
    if auditor is not None and auditor.rstrip(b"\r\n") == secret.rstrip(b"\r\n"):
        problem = t(
            "it is the workspace's own secret; --solo says on record that one person plays both parts",
            "与工作区口令相同；由一人兼任请用 --solo 并记录在案",
        )
        raise BadArgument(option="--auditor-passphrase-file", problem=problem, verb="init")
    space = Workspace.create(path, secret, tenant=secrets.token_hex(16), auditor=auditor)
    write_atomic(path / "policy.yaml", as_yaml(DEFAULT).encode(), mode=0o644)
    return space
