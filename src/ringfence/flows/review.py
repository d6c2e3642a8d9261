"""Review: people look at a sample of a masked set, and what they find bounds what is left in the whole of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from ringfence.core.digest import sha256
from ringfence.core.durable import full_disk_as_error, write_all
from ringfence.core.errors import BadArgument, NoReview, NotReviewable, WrongStage
from ringfence.core.order import Keys, Progress
from ringfence.core.settings import Settings
from ringfence.core.text import t
from ringfence.core.work import Work
from ringfence.deid.review.settings import ROWS, SHOWN, By, Does, FileShown, ReviewFigures, ReviewSettings, Shown, vocabulary
from ringfence.deid.tagger import CRFSUITE
from ringfence.flows.extras import require
from ringfence.flows.facts import software
from ringfence.flows.files import new_file
from ringfence.flows.gate import tier_for
from ringfence.flows.rights import refuse_originals
from ringfence.jobs.start import Handlers, start
from ringfence.workspace.arrow import Arrow, Committed, Facts, Plan
from ringfence.workspace.entries import Opened, Purpose
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing

S = TypeVar("S", bound=Settings)
_LONGEST = 20_000  # characters of a reviewer's line; far less than a frame
_OUTPUT = {"review": Plan("review", "review")}


@dataclass(frozen=True)
class Sampled:
    """A masked set, its span table, and a sealed review of it."""

    masked: Thing
    spans: Thing
    review: Thing
    settings: ReviewSettings  # of the step that made it


def masked_set(space: Workspace, name: str) -> Thing:
    """Return the masked set that `name` means; a bare name means the masked one.

    Raises: UnknownName, AmbiguousName, WrongStage.
    """
    thing = space.state.resolve(name if "@" in name or name in space.state.things else f"{name}@masked")
    if thing.made.stage != "masked":
        why = t("only a masked set is reviewed", "只能审阅脱敏后的数据集")
        raise WrongStage(set=thing.made.name, stage=thing.made.stage, why=why)
    return thing


def found_review(space: Workspace, masked: Thing, *, rows: int | None = None, seed: int | None = None, by: By | None = None) -> Sampled:
    """Return the newest review of a masked set; with `rows`, `seed` or `by`, the newest one of such a sample.

    Raises: NoReview, NotReviewable.
    """
    spans = _spans_of(space, masked)
    for thing in sorted(space.state.live().values(), key=lambda thing: -thing.index):
        run = space.state.runs[thing.run]
        if thing.made.kind != "review" or run.intent.inputs.get("set") != masked.made.digest or run.statement is None:
            continue
        settings = ReviewSettings.model_validate(space.statement(run.statement).predicate.settings)
        if rows in (None, settings.rows) and seed in (None, settings.seed) and by in (None, settings.by):
            return Sampled(masked, spans, thing, settings)
    raise NoReview(set=masked.made.name)


def sample(
    space: Workspace,
    masked: Thing,
    *,
    rows: int | None = None,
    seed: int | None = None,
    by: By | None = None,
    show: Callable[[Progress], None] = lambda _: None,
) -> tuple[Sampled, ReviewFigures | None]:
    """Return the review that is to be continued, or a new one of a sample that is drawn now, with its figures.

    rows, seed, by: what the sample must be; None = that of the newest review, or ROWS, a seed of the set's own digest, which anybody can check, and chance.

    Raises: NotReviewable, LibraryMissing, SandboxError.
    """
    try:
        return found_review(space, masked, rows=rows, seed=seed, by=by), None
    except NoReview:
        spans = _spans_of(space, masked)
    digest = masked.made.digest
    chosen = seed if seed is not None else int(sha256(f"review|{digest}".encode())[:15], 16)
    settings = ReviewSettings(does="draw", masked=digest, rows=rows or ROWS, seed=chosen, by=by or "chance")
    settings = _counted(space, settings)
    if settings.by == "uncertainty":
        require("deid review --by uncertainty", CRFSUITE)
    inputs = {"set": masked, "spans": spans}
    with _arrow(space, masked, settings, inputs) as arrow:
        done = start(_work(arrow, masked, tuple(inputs)), ReviewFigures, handlers=Handlers(progress=show))
        made = arrow.commit(done, Facts(software=software()))
    return Sampled(masked, spans, made.things["review"], settings), done.figures


def _counted(space: Workspace, settings: ReviewSettings) -> ReviewSettings:
    """Return the settings of a step with how many other samples of the set were drawn by chance until now, deleted ones included.

    Who draws until a sample looks good has a bound that means less than it says; whoever reads it can at least see how often there was a choice.
    """
    drawn = set()
    for run in space.state.runs.values():
        if run.intent.arrow == "review" and run.intent.inputs.get("set") == settings.masked and run.statement is not None:
            made = ReviewSettings.model_validate(space.statement(run.statement).predicate.settings)
            drawn |= {(made.rows, made.seed)} if made.by == "chance" else set()
    return settings.model_copy(update={"other_draws": len(drawn - {(settings.rows, settings.seed)})})


def _step(space: Workspace, sampled: Sampled, *, does: Does, originals: bool) -> ReviewSettings:
    """Return the settings of one more step of a review."""
    return _counted(space, sampled.settings.model_copy(update={"does": does, "originals": originals}))


def ask(
    space: Workspace, sampled: Sampled, *, hear: Callable[[], str | None], show: Callable[[Shown], None], originals: bool = False
) -> tuple[Committed, ReviewFigures]:
    """Let a person decide, row by row, until `hear` returns None or the sample is through, and keep what was decided as a new review.

    originals: show what stood there before masking, too, where the policy allows it; put on record as such.

    Raises: RevealRefused, BadArgument for a line that is too long; NotReviewable, SandboxError.
    """
    settings = _step(space, sampled, does="queue", originals=originals)

    def heard() -> str | None:
        line = hear()
        if line is not None and len(line) > _LONGEST:
            raise BadArgument(option="-", problem=t("more than {n} characters", "超过 {n} 个字符", n=_LONGEST), verb="deid review")
        return line

    handlers = Handlers(say=lambda text: show(SHOWN.validate_json(text)), hear=heard)
    _record_opening(space, sampled, "review", originals=originals)
    inputs = {"set": sampled.masked, "review": sampled.review} | ({"spans": sampled.spans} if originals else {})
    with _arrow(space, sampled.masked, settings, inputs) as arrow:
        roles = tuple(role for role in inputs if role != "set")
        done = start(_work(arrow, sampled.masked, roles), ReviewFigures, handlers=handlers)
        return arrow.commit(done, Facts(software=software())), done.figures


def take_labels(space: Workspace, sampled: Sampled, path: Path, *, originals: bool = False) -> tuple[Committed, ReviewFigures]:
    """Take over what people annotated in Label Studio, as a new review. originals: the file holds the texts before masking.

    Raises: LabelsUnreadable, LabelsForeign, NotReviewable, SandboxError.
    """
    settings = _step(space, sampled, does="take", originals=originals)
    if originals:  # they are compared with the file and shown to nobody
        with space.locked():
            space.record(Opened(object=sampled.spans.made.digest, purpose="originals"))
    inputs = {"set": sampled.masked, "review": sampled.review} | ({"spans": sampled.spans} if originals else {})
    with _arrow(space, sampled.masked, settings, inputs) as arrow:
        roles = tuple(role for role in inputs if role != "set")
        work = replace(_work(arrow, sampled.masked, roles), files={"labels": path.resolve()})
        done = start(work, ReviewFigures)
        return arrow.commit(done, Facts(software=software())), done.figures


def write_out(space: Workspace, sampled: Sampled, path: Path, *, does: Literal["export", "page"], originals: bool = False) -> ReviewFigures:
    """Write the sample to a new file outside the vault: Label Studio's JSON or a page. Both hold record text; the opening is put on record.

    originals: the texts before masking, where the policy allows it. A page always shows both.

    Raises: RevealRefused, AlreadyExists, BadArgument, NotReviewable, StorageFull, SandboxError.
    """
    originals = originals or does == "page"
    if originals:
        refuse_originals(space)  # before there is a file
    settings = _step(space, sampled, does=does, originals=originals)
    things = {"review": sampled.review} | ({"spans": sampled.spans} if originals else {})
    with new_file(path, option=f"--{does}", verb="deid review") as handle:
        _record_opening(space, sampled, does, originals=originals)

        def say(text: str) -> None:
            part = FileShown.model_validate_json(text)
            with full_disk_as_error():
                write_all(handle, part.text.encode())

        work = _loose_work(space, sampled.masked, settings, things)
        return start(work, ReviewFigures, handlers=Handlers(say=say)).figures


def _spans_of(space: Workspace, masked: Thing) -> Thing:
    """Return the table of what was replaced in a masked set.

    Raises: NotReviewable.
    """
    live = space.state.live()
    made = next((one for one in space.state.runs[masked.run].made if one.kind == "spans" and one.digest in live), None)
    if made is None:
        raise NotReviewable
    return live[made.digest]


def _arrow(space: Workspace, masked: Thing, settings: ReviewSettings, inputs: dict[str, Thing]) -> Arrow:
    return Arrow(space, "review", name=masked.made.name, label=masked.made.label, settings=settings, inputs=inputs, outputs=_OUTPUT)


def _work(arrow: Arrow, masked: Thing, roles: tuple[str, ...]) -> Work[ReviewSettings]:
    """Return the work with these inputs alone: who looks at a sample needs no key of the whole set."""
    work: Work[ReviewSettings] = arrow.work(
        "review.v1", purpose=("content",), vocabulary=vocabulary(), tier=tier_for(arrow.space.policy(), masked.made.label)
    )
    return without(work, *(role for role in work.inputs if role not in roles))


def without(work: Work[S], *roles: str) -> Work[S]:
    """Return the work without these inputs and their keys: they stand in the statement and are not opened."""
    inputs = {role: source for role, source in work.inputs.items() if role not in roles}
    slots = {source.slot.slot for source in inputs.values()} | {slot.slot for slot in work.outputs.values()}
    keys = Keys(data={slot: key for slot, key in work.keys.data.items() if slot in slots}, purpose=work.keys.purpose)
    return replace(work, inputs=inputs, keys=keys)


def _loose_work(space: Workspace, masked: Thing, settings: ReviewSettings, things: dict[str, Thing]) -> Work[ReviewSettings]:
    """Return work that makes no object."""
    inputs = {role: space.input(thing) for role, thing in things.items()}
    data = {source.slot.slot: space.keys.data_key(source.slot.slot) for source in inputs.values()}
    return Work(
        job="review.v1",
        run=f"review-{secrets.token_hex(6)}",
        tenant=space.settings.tenant,
        settings=settings,
        tier=tier_for(space.policy(), masked.made.label),
        inputs=inputs,
        vocabulary=vocabulary(),
        keys=Keys(data=data, purpose={"content": space.keys.purpose("content")}),
    )


def _record_opening(space: Workspace, sampled: Sampled, purpose: Purpose, *, originals: bool) -> None:
    with space.locked():
        if originals:
            refuse_originals(space)
        space.record(Opened(object=sampled.review.made.digest, purpose=purpose))
        if originals:
            space.record(Opened(object=sampled.spans.made.digest, purpose="originals"))
