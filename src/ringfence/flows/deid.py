"""Deid: a set becomes a masked one, and the evidence says that no original survived."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ringfence.core.environment import cores
from ringfence.core.errors import BadArgument, ProfileMisnamed, TaggerMissing, WrongStage
from ringfence.core.order import Limits, Progress
from ringfence.core.text import t
from ringfence.deid.compat import yaml as recognisers
from ringfence.deid.decisions import FILE
from ringfence.deid.profile import is_called_rightly
from ringfence.deid.settings import DeidFigures, DeidSettings, dictionary_digest, model_role, taught_role, terms_digest, vocabulary
from ringfence.deid.tagger import CRFSUITE, TAGGERS
from ringfence.deid.terms import read_terms
from ringfence.flows.extras import require
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.flows.join import refuse_joined
from ringfence.flows.teach import taught_kinds
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models import store as models
from ringfence.vault.files import read_file
from ringfence.workspace.arrow import Arrow, Committed, Facts, Plan
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import State, Thing

_WORKER = 1 << 30  # bytes that a worker may need of its own


def deidentify(
    space: Workspace,
    name: str,
    *,
    settings: DeidSettings,
    terms: Path | None = None,
    taggers: Sequence[str] = (),
    presidio: Path | None = None,
    workers: int | None = None,
    show: Callable[[Progress], None] = lambda _: None,
) -> tuple[Committed, DeidFigures]:
    """Write a masked copy of a set and return what was done; the set itself stays as it was.

    A bare name means the cleared set where there is one, else the sealed one. The workspace's dictionary of internal terms is used, and `terms` with it.
    With `settings.reach` "record" nothing that was learned from a set is used: neither the dictionary, nor taggers of the tenant's own, nor other records.
    taggers: names of taggers of the tenant's own.
    workers: processes that share the work; by default one for every processor that has memory. The result is the same for any number.

    Raises: UnknownName, UnknownTagger, WrongStage, UnknownProfile, ProfileMisnamed, LibraryMissing, TaggerMissing, ModelBroken, TermsUnreadable,
    PresidioUnreadable, SurvivorsLeft, WorkerLost,
    SandboxError.
    """
    if not is_called_rightly(settings):
        raise ProfileMisnamed(profile=settings.profile)
    source = source_of(space, name)
    made = source.made
    files: dict[str, Path] = {}
    inputs = {"set": source}
    is_alone = settings.reach == "record"
    if is_alone and taggers:
        problem = t("a tagger of your own was taught on records; leave it out", "自有标注器由记录训练而成；请去掉它")
        raise BadArgument(option="--reach record, --tagger", problem=problem, verb="deid")
    known = None if is_alone else dictionary_of(space.state)
    if known:
        inputs["dictionary"] = known
    if terms is not None:
        read_terms(terms)  # here, too: what is wrong with it is said before a sandbox starts
        files["terms"] = terms.resolve()
    digest = terms_digest(sealed(space, known) if known else None, terms.read_bytes() if terms else None, space.keys.purpose("content"))
    settings = settings.model_copy(update={"terms_digest": digest})
    found: tuple[str, ...] = ()
    if presidio is not None:
        found = recognisers.kinds_of(recognisers.read(presidio))  # here, too: what is wrong with it is said before a sandbox starts
        files["presidio"] = presidio.resolve()
        digest = dictionary_digest(presidio.read_bytes(), space.keys.purpose("content"))
        settings = settings.model_copy(update={"presidio_digest": digest})
    settings, folders, digests = with_models(settings)
    files |= folders
    taught = {name: space.state.tagger(name) for name in dict.fromkeys(taggers)}
    for tagger in taught:
        require(tagger, CRFSUITE)
    settings = settings.model_copy(update={"taught": {name: thing.made.digest for name, thing in taught.items()}})
    inputs |= {taught_role(number): thing for number, thing in enumerate(taught.values())}
    outputs = {"set": Plan("set", "masked", profile=settings.profile), "spans": Plan("spans", "spans")}
    with Arrow(space, "deid", name=made.name, label=made.label, settings=settings, inputs=inputs, outputs=outputs) as arrow:
        work = arrow.work(
            "deid.v1",
            purpose=("surrogate", "content"),
            files=files,
            digests=digests,
            vocabulary=tuple(sorted({*vocabulary(), *found, *(kind for thing in taught.values() for kind in taught_kinds(space, thing))})),
            tier=tier_for(space.policy(), made.label),
            limits=_limits(workers or _workers()),
        )
        done = start(work, DeidFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(parts=(*settings.parts, *settings.taggers), software=software())), done.figures


def _workers() -> int:
    """Return one for every processor, as far as there is memory for each."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available = int(fields["MemAvailable"].split()[0]) << 10
    return max(1, min(cores(), available // _WORKER))


def _limits(workers: int) -> Limits:
    """Return the job's limits. Its memory is bound as a whole, so it grows with the workers."""
    limits = JOBS["deid.v1"].limits
    return limits.model_copy(update={"workers": workers, "memory": limits.memory + (workers - 1) * _WORKER})


class Equipped(NamedTuple):
    """Settings with the digest of each tagger's model, the folders of models and compiled patterns by role, and the digests of the latter's files."""

    settings: DeidSettings
    files: dict[str, Path]
    digests: Mapping[str, str]


def with_models(settings: DeidSettings) -> Equipped:
    """Return the settings with what an engine needs for them.

    Raises: TaggerMissing, ModelBroken.
    """
    from ringfence.deid.engine import keep_automata  # noqa: PLC0415  half a second that other commands do not pay

    digests, folders = {}, {}
    for tagger in settings.taggers:
        made = TAGGERS.create(tagger)
        require(tagger, made.needs)
        if wanted := made.model:
            found = [entry for entry in models.listing() if entry.kind == "tagger" and entry.open().config["model_type"] == wanted]
            if not found:
                raise TaggerMissing(tagger=tagger, model=wanted)
            entry = models.verify(min(found, key=lambda e: (e.name != wanted, e.name)).digest)
            digests[tagger], folders[model_role(tagger)] = entry.digest, entry.path
    automata = keep_automata(settings)
    if automata:
        folders["automata"] = automata.folder
    return Equipped(settings.model_copy(update={"models": digests}), folders, automata.digests if automata else {})


def source_of(space: Workspace, name: str) -> Thing:
    """Return the set to mask: never a masked one, as an audit tries the originals of one table only."""
    if "@" in name:
        named = space.state.resolve(name)
        refuse_joined(named, verb="deid")
        if named.made.stage in ("masked", "planted"):
            why = t("it is what training reads, made from an earlier stage", "它是由更早阶段制成、供训练读取的数据集")
            raise WrongStage(set=named.made.name, stage=named.made.stage, why=why)
        return named
    sealed = space.state.resolve(f"{name}@sealed")
    cleared = [t for t in space.state.live().values() if t.made.stage == "cleared" and t.origin == sealed.made.digest]
    return max(cleared, key=lambda t: t.index, default=sealed)


def dictionary_of(state: State) -> Thing | None:
    """Return the workspace's dictionary of internal terms in its newest version."""
    return max((thing for thing in state.live().values() if thing.made.kind == "dictionary"), key=lambda thing: thing.index, default=None)


def sealed(space: Workspace, dictionary: Thing) -> bytes:
    """Return the dictionary's bytes, to be digested and not to be read."""
    slot = space.input(dictionary).slot
    return read_file(slot, space.keys.data_key(slot.slot), FILE)
