"""Reveal: what stood where a stand-in stands now. Allowed by the policy alone, and every answer is put on record before anybody sees it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from ringfence.core.errors import BadArgument, NoSuchObject, WrongStage
from ringfence.core.order import Keys
from ringfence.core.text import t
from ringfence.core.work import Work
from ringfence.deid.reveal import Answer
from ringfence.deid.settings import RevealFigures, RevealSettings
from ringfence.flows.gate import tier_for
from ringfence.flows.rights import refuse_originals
from ringfence.jobs.start import Handlers, start
from ringfence.workspace.entries import Revealed
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

_LONGEST = 10_000  # characters of a stand-in


def reveal(
    space: Workspace,
    name: str,
    *,
    settings: RevealSettings,
    hear: Callable[[], str | None],
    show: Callable[[str, Answer], None],
) -> RevealFigures:
    """Answer which originals stand behind the stand-ins that `hear` returns until it returns None.

    The settings say why; that stands in the ledger beside a keyed digest of each stand-in and the number of spellings that were shown. Of a stand-in
    that several originals share none is shown.

    Raises: RevealRefused, UnknownName, WrongStage, NoSuchObject, BadArgument, SandboxError, LedgerUnavailable.
    """
    refuse_originals(space)
    masked, spans = _spans(space, name)
    source, key = space.input(spans), space.keys.purpose("content")
    waiting: list[str] = []  # the question that is not answered yet

    def heard() -> str | None:
        stand_in = hear()
        if stand_in is None:
            return None
        if len(stand_in) > _LONGEST:
            raise BadArgument(option="STAND-IN", problem=t("more than {n} characters", "超过 {n} 个字符", n=_LONGEST), verb="deid reveal")
        waiting.append(stand_in)
        return stand_in

    def said(text: str) -> None:
        if not waiting:
            raise TypeError("an answer to no question")
        answer, stand_in = Answer.model_validate_json(text), waiting.pop()
        digest = hmac.digest(key, b"reveal\x00" + stand_in.encode("utf-8", "surrogatepass"), "sha256").hex()
        with space.locked():
            refuse_originals(space)  # it may have been taken back since
            shown = len(answer.originals)
            space.record(Revealed(object=spans.made.digest, ticket=settings.ticket, stand_in=digest, shown=shown))
        show(stand_in, answer)

    work = Work(
        job="reveal.v1",
        run=f"reveal-{secrets.token_hex(6)}",
        tenant=space.settings.tenant,
        settings=settings,
        inputs={"spans": source},
        keys=Keys(data={source.slot.slot: space.keys.data_key(source.slot.slot)}),
        tier=tier_for(space.policy(), masked.made.label),
    )
    return start(work, RevealFigures, handlers=Handlers(say=said, hear=heard)).figures


def _spans(space: Workspace, name: str) -> tuple[Thing, Thing]:
    """Return a masked set and the sealed table of what was replaced in it."""
    masked = space.state.resolve(name if "@" in name else f"{name}@masked")
    if masked.made.stage != "masked":
        why = t("originals are kept beside a masked set", "原文与已脱敏的数据集一同保存")
        raise WrongStage(set=masked.made.name, stage=masked.made.stage, why=why)
    made = next(one for one in space.state.runs[masked.run].made if one.kind == "spans")
    spans = space.state.live().get(made.digest)
    if spans is None:
        raise NoSuchObject(object=made.digest[:12])
    return masked, spans
