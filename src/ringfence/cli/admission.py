"""The warning that a profile of de-identification is none that the policy names."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ringfence.cli.context import options
from ringfence.core.policy import masked_with
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.workspace.space import Workspace


def note_not_admitted(space: Workspace, profile: str) -> None:
    """Warn on standard error where the policy will refuse to train on what this profile masks. A warning: the set itself may be made."""
    rule = space.policy().train.require.deid
    refused = rule is not None and masked_with(rule, profile).outcome == "fail"
    if rule is not None and refused and not options().quiet:
        note = t(
            "note: profile {profile} is none that the policy names ({named}), so nothing may be trained on what it masks unless train.require.deid.profiles lists it",
            "提示：策略未指定方案 {profile}（已指定：{named}）；除非列入 train.require.deid.profiles，否则不得用其脱敏结果训练",
            profile=profile,
            named=", ".join(rule.admitted or ()),
        )
        print(note, file=sys.stderr, flush=True)
