"""Internal terms: candidates are found in a set, people decide on them by number, and the workspace's dictionary keeps what they decided.

The host half sees no term: candidates and dictionary are sealed, and text reaches a person through the channel of a job alone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ringfence.core.errors import NoCandidates
from ringfence.core.order import Keys, Progress
from ringfence.core.text import t
from ringfence.core.work import Work
from ringfence.deid.decisions import read_decisions
from ringfence.deid.settings import DeidSettings, dictionary_digest
from ringfence.deid.terms_settings import DiscoverFigures, DiscoverSettings, ListFigures, ListSettings, TermsFigures, TermsSettings
from ringfence.flows.deid import dictionary_of, source_of, with_models
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.jobs.start import Handlers, start
from ringfence.workspace.arrow import Arrow, Committed, Facts, Plan
from ringfence.workspace.entries import Opened
from ringfence.workspace.locks import held
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import State, Thing

Row = dict[str, Any]  # what the job says of one candidate: number, term, count, score, contexts, …
_NAME = "terms"  # of the dictionary
_GLANCE = 0.5  # s


def discover(
    space: Workspace, name: str, *, settings: DeidSettings, most: int = 500, show: Callable[[Progress], None] = lambda _: None
) -> tuple[Committed, DiscoverFigures]:
    """Look for internal terms in a set, the cleared one where there is one, and return how many candidates were sealed.

    settings: of the profile that will mask the set; what it finds is no candidate.

    Raises: UnknownName, WrongStage, TaggerMissing, ModelBroken, SandboxError.
    """
    source = source_of(space, name)
    find, folders, digests = with_models(settings)
    inputs = {"set": source}
    if known := dictionary_of(space.state):
        inputs["dictionary"] = known
    wanted, label = DiscoverSettings(find=find, most=most), source.made.label
    outputs = {"candidates": Plan("candidates", "candidates")}
    with Arrow(space, "discover", name=source.made.name, label=label, settings=wanted, inputs=inputs, outputs=outputs) as arrow:
        work = arrow.work("discover.v1", files=folders, digests=digests, tier=tier_for(space.policy(), label))
        done = start(work, DiscoverFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(parts=(*find.parts, *find.taggers), software=software())), done.figures


def show(space: Workspace, name: str | None, *, most: int = 50, say: Callable[[Row], None]) -> ListFigures:
    """Say the first candidates of a set with what was decided on them, or, without a name, the dictionary. Opening them is put on record.

    Raises: UnknownName, WrongStage, NoCandidates, SandboxError.
    """
    opened = {"candidates": candidates_of(space, name)} if name is not None else {}
    if known := dictionary_of(space.state):
        opened["dictionary"] = known
    _record_opening(space, opened)
    sources = {role: space.input(thing) for role, thing in opened.items()}
    work = Work(
        job="terms-list.v1",
        run=f"terms-{secrets.token_hex(6)}",
        tenant=space.settings.tenant,
        settings=ListSettings(most=most),
        tier=tier_for(space.policy(), "sensitive"),
        inputs=sources,
        keys=Keys(data={source.slot.slot: space.keys.data_key(source.slot.slot) for source in sources.values()}),
    )
    return start(work, ListFigures, handlers=Handlers(say=lambda text: say(json.loads(text)))).figures


def decide(space: Workspace, name: str, settings: TermsSettings) -> tuple[Committed, TermsFigures]:
    """Decide on candidates by their numbers in the list, and return what the dictionary holds now.

    Raises: UnknownName, WrongStage, NoCandidates, NumberUnknown, SandboxError; Busy while somebody else changes the dictionary.
    """
    return _changed(space, "terms-decide.v1", settings, asked=candidates_of(space, name))


def review(space: Workspace, name: str, *, say: Callable[[Row], None], hear: Callable[[], str | None]) -> tuple[Committed, TermsFigures]:
    """Ask about one undecided candidate after another, and return what the dictionary holds then. Opening them is put on record.

    hear: returns an answer, None at the end.

    Raises: as `decide`.
    """
    asked = candidates_of(space, name)
    handlers = Handlers(say=lambda text: say(json.loads(text)), hear=hear)
    return _changed(space, "terms-review.v1", TermsSettings(how="review"), asked=asked, handlers=handlers, is_shown=True)


def take(space: Workspace, file: Path) -> tuple[Committed, TermsFigures]:
    """Merge the decisions of a file into the dictionary, and return what it holds now.

    Raises: TermsFileRefused before anything is started, SandboxError, Busy.
    """
    read_decisions(file)  # here, too: what is wrong with it is said before a sandbox starts
    key = space.keys.purpose("content")
    settings = TermsSettings(how="import", source_digest=dictionary_digest(file.read_bytes(), key))
    return _changed(space, "terms-import.v1", settings, files={"source": file.resolve()}, purpose=("content",))


def unreviewed(space: Workspace, thing: Thing) -> int | None:
    """Return how many strong candidates nobody decided on, by the newest discovery on what the set was made of; None if nobody looked.

    It is what the evidence says: of the last change of the dictionary that counted them, else of the discovery itself.
    """
    found = _newest(space.state, thing.origin)
    if found is None:
        return None
    live = space.state.live()
    for run in sorted(space.state.runs.values(), key=lambda run: run.outcome_index or 0, reverse=True):
        if run.intent.arrow == "terms" and run.statement and any(one.digest in live for one in run.made):
            for role, digest in run.intent.inputs.items():
                if digest == found.made.digest:
                    return int(space.statement(run.statement).predicate.figures["strong_left"][role])
    return int(space.statement(found.statement or "").predicate.figures["strong"])


def candidates_of(space: Workspace, name: str) -> Thing:
    """Return the candidates of the newest discovery on a set.

    Raises: UnknownName, WrongStage, NoCandidates.
    """
    source = source_of(space, name)
    found = _newest(space.state, source.origin)
    if found is None:
        raise NoCandidates(set=source.made.name)
    return found


def _newest(state: State, origin: str) -> Thing | None:
    found = [thing for thing in state.live().values() if thing.made.kind == "candidates" and thing.origin == origin]
    return max(found, key=lambda thing: thing.index, default=None)


def _changed(
    space: Workspace,
    job: str,
    settings: TermsSettings,
    *,
    asked: Thing | None = None,
    files: Mapping[str, Path] | None = None,
    purpose: tuple[str, ...] = (),
    handlers: Handlers | None = None,
    is_shown: bool = False,
) -> tuple[Committed, TermsFigures]:
    """Write the next version of the dictionary. One at a time: a second change would not know what the first one decided."""
    with held(space.path / "terms.lock", what=t("the dictionary of internal terms", "内部术语词典"), seconds=_GLANCE):
        state = space.refresh()
        inputs = _all_candidates(state, asked)
        vocabulary = tuple(inputs)
        if known := dictionary_of(state):
            inputs["dictionary"] = known
        if is_shown:
            _record_opening(space, {role: thing for role, thing in inputs.items() if role in ("candidates", "dictionary")})
        outputs = {"dictionary": Plan("dictionary", "dictionary")}
        with Arrow(space, "terms", name=_NAME, label="sensitive", settings=settings, inputs=inputs, outputs=outputs) as arrow:
            work = arrow.work(job, purpose=purpose, files=files, vocabulary=vocabulary, tier=tier_for(space.policy(), "sensitive"))
            done = start(work, TermsFigures, handlers=handlers)
            return arrow.commit(done, Facts(software=software())), done.figures


def _all_candidates(state: State, asked: Thing | None) -> dict[str, Thing]:
    """Return the candidates that are decided on and the newest ones of every other set, so that the change counts what it leaves open in all of them."""
    origins = {thing.origin for thing in state.live().values() if thing.made.kind == "candidates"}
    newest = [one for origin in origins if (one := _newest(state, origin)) and (asked is None or one.made.digest != asked.made.digest)]
    others = {f"others-{n}": one for n, one in enumerate(sorted(newest, key=lambda one: one.index), 1)}
    return ({"candidates": asked} if asked else {}) | others


def _record_opening(space: Workspace, opened: Mapping[str, Thing]) -> None:
    with space.locked():
        for thing in opened.values():
            space.record(Opened(object=thing.made.digest, purpose="terms"))
