"""Teach: spans that people corrected become a sealed tagger of the tenant's own, with its card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ringfence.core.errors import FileUnreadable
from ringfence.core.order import Progress
from ringfence.core.statement import Label
from ringfence.deid.lessons import NAMES
from ringfence.deid.settings import dictionary_digest
from ringfence.deid.tagger import CRFSUITE
from ringfence.deid.teaching import TeachFigures, TeachSettings
from ringfence.flows.extras import require
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.flows.review import Sampled, without
from ringfence.jobs.start import Handlers, start
from ringfence.workspace.arrow import Arrow, Committed, Facts, Plan
from ringfence.workspace.entries import Opened
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing


def digest(space: Workspace, path: Path) -> str:
    """Return the keyed digest of a file of labelled text, whose content is read in the sandbox alone.

    Raises: FileUnreadable.
    """
    try:
        return dictionary_digest(path.read_bytes(), space.keys.purpose("content"))
    except OSError as cause:
        raise FileUnreadable(path=str(path)) from cause


def teach(
    space: Workspace,
    path: Path | None,
    *,
    name: str,
    settings: TeachSettings,
    reviewed: Sampled | None = None,
    show: Callable[[Progress], None] = lambda _: None,
) -> tuple[Committed, TeachFigures]:
    """Learn a tagger from labelled text and return what was made; its features hold pieces of that text, so it stays sealed in the workspace.

    path: a file of labelled text.  reviewed: a review, whose finished rows are learnt from as they were before masking; they go from sealed object to
    sealed object, are shown to nobody, and their opening is on record.  settings: those of `digest(space, path)` and of the review.

    Raises: LessonsUnreadable, KindsUndeclared, TooFewSentences, PartsOverlap, NotReviewable, LibraryMissing, SandboxError.
    """
    require("deid train", CRFSUITE)
    outputs = {"tagger": Plan("tagger", "tagger")}
    inputs = {"set": reviewed.masked, "review": reviewed.review, "spans": reviewed.spans} if reviewed else {}
    label: Label = reviewed.masked.made.label if reviewed and path is None else "sensitive"
    if reviewed:
        with space.locked():
            space.record(Opened(object=reviewed.spans.made.digest, purpose="originals"))
    with Arrow(space, "teach", name=name, label=label, settings=settings, inputs=inputs, outputs=outputs) as arrow:
        work = arrow.work(
            "teach.v1",
            purpose=("content",),
            files={"labels": path.resolve()} if path else {},
            vocabulary=tuple(sorted({*NAMES, *settings.kinds})),
            tier=tier_for(space.policy(), label),
        )
        done = start(without(work, "set"), TeachFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(software=software())), done.figures


def taught_kinds(space: Workspace, tagger: Thing) -> tuple[str, ...]:
    """Return the kinds of the tenant's own that a tagger may find, as its signed statement says.

    Raises: WorkspaceBroken, SignatureInvalid.
    """
    statement = space.statement(tagger.statement) if tagger.statement else None
    return TeachSettings.model_validate(statement.predicate.settings).kinds if statement else ()
