"""Who may see what stood there before masking, and which sets may leave as files."""

from __future__ import annotations

from ringfence.core.errors import ExportRefused, RevealRefused, WrongStage
from ringfence.core.policy import masking
from ringfence.core.text import t
from ringfence.flows.gate import refuse
from ringfence.flows.join import refuse_joined
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing


def refuse_originals(space: Workspace) -> None:
    """Let pass where the signed policy says `reveal: allow`. Whatever hands out the span table asks here first.

    Raises: RevealRefused.
    """
    if space.policy().reveal != "allow":
        raise RevealRefused


def refuse_export(space: Workspace, thing: Thing) -> None:
    """Let a set pass that the signed policy lets leave as a file in the clear.

    `export: masked`: a masked set that was de-identified as the policy asks of what is trained on, and any set labelled public. `export: allow`: any
    set. `export: refuse`: none. A planted set never: who has it knows the canaries that an audit looks for.

    Raises: WrongStage, BadArgument, ExportRefused, PolicyRefused.
    """
    made, policy = thing.made, space.policy()
    refuse_joined(thing, verb="data export")  # the file's layout is that of one import
    if made.stage == "planted":
        why = t("it holds the secrets that an audit looks for", "它含有审计要查找的秘密")
        raise WrongStage(set=made.name, stage=made.stage, why=why)
    if policy.export == "allow" or (policy.export == "masked" and made.label == "public"):
        return
    if policy.export == "refuse" or made.stage != "masked":
        raise ExportRefused(set=made.name, stage=made.stage)
    refuse(masking(policy, space.chain(thing)), name=made.name)
