"""Init: a workspace for one tenant."""

from __future__ import annotations

import secrets
from pathlib import Path

from ringfence.core.durable import write_atomic
from ringfence.core.policy import Policy
from ringfence.flows.policy import as_yaml
from ringfence.workspace.space import Secret, Workspace


def init(path: Path, secret: Secret, *, auditor: Secret | None = None) -> Workspace:
    """Make a workspace with fresh keys and the default policy, and return it unlocked.

    auditor: the secret of the auditor's private key; None = one person plays both parts, on record.

    Raises: AlreadyExists, StorageFull.
    """
    space = Workspace.create(path, secret, tenant=secrets.token_hex(16), auditor=auditor)
    write_atomic(path / "policy.yaml", as_yaml(Policy()).encode(), mode=0o644)
    return space
