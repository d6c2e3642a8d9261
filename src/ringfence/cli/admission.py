"""What a profile of de-identification is warned of: the policy does not name it, or it names kinds that nothing finds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ringfence.cli.context import options
from ringfence.cli.streams import printable
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


def note_unknown_kinds(unknown: Sequence[str], known: Sequence[str]) -> None:
    """Warn on standard error that a profile has operators for kinds that nothing finds: a misspelt one leaves the right one to the operator of the others."""
    if unknown and not options().quiet:
        named = [f"{printable(kind)} ({near[0]}?)" if (near := get_close_matches(kind, known, 1)) else printable(kind) for kind in unknown]
        note = t(
            "note: the profile has an operator for kinds that nothing finds; check the spelling: {kinds}",
            "提示：方案为没有任何识别器查找的类型指定了算子，请检查写法：{kinds}",
            kinds=", ".join(named),
        )
        print(note, file=sys.stderr, flush=True)
