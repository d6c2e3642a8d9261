"""Chat: a verified bundle, or an unreleased run inside the vault, answers from its sandbox."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from ringfence.core.environment import cores
from ringfence.core.errors import BadArgument, OnlyScores
from ringfence.core.lineage import last, numbered
from ringfence.core.order import Keys, Limits, Progress
from ringfence.core.public_keys import PublicKeys
from ringfence.core.settings import Settings
from ringfence.core.statement import Statement
from ringfence.core.text import t
from ringfence.core.work import Input, Work
from ringfence.deid.settings import DeidSettings, kinds
from ringfence.flows.deid import Equipped, with_models
from ringfence.flows.extras import require_low_memory
from ringfence.flows.guard import FROM_ELSEWHERE, Choice, Guarding, of_adapter, of_bundle, refuse_on
from ringfence.flows.runs import adapter_of
from ringfence.flows.train import Saved
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models import store as models
from ringfence.models.settings import Quantisation
from ringfence.models.store import ModelEntry
from ringfence.release.chain import parts
from ringfence.release.formats import REWARDS
from ringfence.release.steps import Report
from ringfence.release.verify import verify_bundle
from ringfence.serve.filter import for_readers
from ringfence.serve.settings import END_OF_TURN, ChatFigures, ChatSettings
from ringfence.train.settings import TrainSettings, quantised_in
from ringfence.workspace.entries import Opened
from ringfence.workspace.space import Workspace

S = TypeVar("S", bound=Settings)
_LONGEST = 100_000  # characters of a question; far more than a model takes in, far less than a frame


class Say(Protocol):
    """Shows a piece of an answer."""

    def __call__(self, piece: str, *, is_end: bool) -> None:
        """Show `piece`; at the end of an answer it is empty."""
        ...


@dataclass(frozen=True)
class Speaker:
    """What a conversation opens: exactly one of a sealed adapter and a bundle's folder, on its base model."""

    model: ModelEntry
    train: TrainSettings | None = None
    quantised: Quantisation | None = None  # the base, as it was in training
    adapter: tuple[Input, bytes] | None = None  # and its data key
    bundle: Path | None = None
    guarding: Guarding = FROM_ELSEWHERE


def from_bundle(folder: Path, public: PublicKeys, *, guard: Choice = "auto") -> Speaker:
    """Return a bundle that passed verification under `public`. There is no replay guard: it never leaves its vault.

    Raises: GuardRefused where it is to be on; OnlyScores, BundleUnreadable, BundleBroken, WrongSigner, ModelUnknown, ModelBroken, LowMemoryMissing.
    """
    refuse_on(guard)
    report = verify_bundle(folder, public)
    refuse_reward(report.chain, name=str(folder))
    quantised = quantised_of(report)
    require_low_memory(quantised)
    return Speaker(models.verify(report.manifest.base.digest), quantised=quantised, bundle=folder)


def quantised_of(report: Report) -> Quantisation | None:
    """Return how a verified bundle's base was held in training; None: as it was computed with.

    Raises: BundleBroken.
    """
    order = parts(report.chain).train.predicate.settings.get("order", {})
    return quantised_in(order.get("train", {}))


def from_workspace(space: Workspace, target: str, *, guard: Choice = "auto", show: Callable[[Progress], None] = lambda _: None) -> Speaker:
    """Return a released bundle by its name or folder, or a training run; opening a run is put on record.

    guard: whether its answers pass a replay guard. show: how far the building of one is.

    Raises: UnknownRun, NotReleasable, OnlyScores, LowMemoryMissing, and what `from_bundle` and `of_adapter` raise.
    """
    if target in space.state.releases or (target and Path(target).is_dir()):
        folder = space.path / "releases" / target if target in space.state.releases else Path(target)
        speaker = from_bundle(folder, space.public)
        return replace(speaker, guarding=of_bundle(space, folder, guard, show=show))
    run, thing = adapter_of(space, target)
    refuse_reward(space.chain(thing), name=run.id)
    saved = Saved.model_validate(space.statement(run.statement or "").predicate.settings)
    train = saved.order.train
    require_low_memory(train.quantised)
    passed = of_adapter(space, thing.made.digest, guard, show=show)
    source = space.input(thing)
    with space.locked():
        space.record(Opened(object=thing.made.digest, purpose="chat"))
    key = space.keys.data_key(source.slot.slot)
    return Speaker(models.verify(saved.model), train=train, quantised=train.quantised, adapter=(source, key), guarding=passed)


def refuse_reward(chain: Sequence[Statement], *, name: str) -> None:
    """Return unless the run that a chain ends in trained a reward model. name: what the user called it.

    Raises: OnlyScores.
    """
    train = last(chain, "train")
    if train is not None and REWARDS.intersection(train.predicate.parts):
        raise OnlyScores(name=name)


def chat(
    speaker: Speaker,
    *,
    hear: Callable[[], str | None],
    say: Say,
    max_new_tokens: int = 256,
    keep_history: bool = True,
    profile: DeidSettings | None = None,
) -> ChatFigures:
    """Answer until `hear` returns None, and return how much was said.

    profile: whose identifiers are masked in the answers.

    Raises: BadArgument for a question that is too long; TaggerMissing, ModelBroken; SandboxError.
    """
    used = with_filter(profile)
    chosen = used.settings if used else None
    settings = ChatSettings(
        train=speaker.train, quantised=speaker.quantised, max_new_tokens=max_new_tokens, keep_history=keep_history, filter=chosen
    )
    work = work_for([speaker], "chat", settings, used=used)

    def pass_on(piece: str) -> None:
        is_end = piece == END_OF_TURN
        say("" if is_end else piece, is_end=is_end)

    def asked() -> str | None:
        question = hear()
        if question is not None and len(question) > _LONGEST:
            raise BadArgument(option="--ask", problem=t("more than {n} characters", "超过 {n} 个字符", n=_LONGEST), verb="chat")
        return question

    return start(work, ChatFigures, handlers=Handlers(say=pass_on, hear=asked)).figures


def with_filter(profile: DeidSettings | None) -> Equipped | None:
    """Return the filter of a profile with what it needs; None without a profile.

    Raises: TaggerMissing, ModelBroken.
    """
    return with_models(for_readers(profile)) if profile else None


def work_for(
    speakers: Sequence[Speaker],
    verb: Literal["chat", "serve"],
    settings: S,
    *,
    threads: int | None = None,
    used: Equipped | None = None,
) -> Work[S]:
    """Return the job that opens what the speakers mean and answers.

    speakers: on one base model; what is the second's goes by the roles "guard2", "bundle2" and so on.
    threads: None = every processor that this process may use.  used: the filter.
    """
    given = [(numbered("adapter", at), one.adapter) for at, one in enumerate(speakers)]
    given += [(numbered("guard", at), one.guarding.guard) for at, one in enumerate(speakers)]
    inputs = {role: one[0] for role, one in given if one}
    keys = {one[0].slot.slot: one[1] for _, one in given if one}
    bundles = {numbered("bundle", at): one.bundle.resolve() for at, one in enumerate(speakers) if one.bundle}
    limits = JOBS[f"{verb}.v1"].limits
    return Work(
        job=f"{verb}.v1",
        run=f"{verb}-{secrets.token_hex(6)}",
        tenant=next((one.adapter[0].slot.tenant for one in speakers if one.adapter), "0" * 32),
        settings=settings,
        inputs=inputs,
        files={"model": speakers[0].model.path} | bundles | (used.files if used else {}),
        digests=used.digests if used else {},
        vocabulary=kinds(),
        keys=Keys(data=keys),
        limits=Limits(seconds=limits.seconds, memory=limits.memory, threads=threads or cores()),
    )
