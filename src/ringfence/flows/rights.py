"""Who may see what stood there before masking."""

from __future__ import annotations

from ringfence.core.errors import RevealRefused
from ringfence.workspace.space import Workspace


def refuse_originals(space: Workspace) -> None:
    """Let pass where the signed policy says `reveal: allow`. Whatever hands out the span table asks here first.

    Raises: RevealRefused.
    """
    if space.policy().reveal != "allow":
        raise RevealRefused
