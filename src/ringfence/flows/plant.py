"""Plant: a masked set and fresh canaries become the training set of one run; only the auditor can read which rows they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringfence.audit.settings import AuditSettings, PlantFigures, PlantSettings, cap
from ringfence.core.errors import CanariesOverCap
from ringfence.core.order import Progress
from ringfence.core.policy import Policy
from ringfence.flows.facts import software
from ringfence.flows.gate import tier_for
from ringfence.flows.join import names_of, rows_left
from ringfence.jobs.start import Handlers, start
from ringfence.recipe.read import Recipe
from ringfence.train.settings import WHOLE, Cut
from ringfence.workspace.arrow import Arrow, Facts, Plan
from ringfence.workspace.space import Workspace
from ringfence.workspace.state import Thing


def plant(
    space: Workspace,
    source: Thing,
    settings: PlantSettings,
    *,
    check: Callable[[Policy], None],
    show: Callable[[Progress], None] = lambda _: None,
) -> Thing:
    """Write a training set with canaries and their register, and return the set.

    check: the policy's question, asked before anything is read.

    Raises: CanariesOverCap, PolicyRefused, SandboxError.
    """
    refuse_too_many(space, [source], settings.audit, control=settings.control)
    made = source.made
    outputs = {"set": Plan("set", "planted", profile=made.profile), "register": Plan("register", "register")}
    with Arrow(
        space, "plant", name=made.name, label=made.label, settings=settings, inputs={"set": source}, outputs=outputs, check=check
    ) as arrow:
        work = arrow.work("plant.v1", purpose=("content",), tier=tier_for(space.policy(), made.label))
        done = start(work, PlantFigures, handlers=Handlers(progress=show))
        return arrow.commit(done, Facts(software=software())).things["set"]


def settings_for(space: Workspace, recipe: Recipe, source: Thing) -> PlantSettings:
    """Return what a recipe with an audit: block plants in a set. An ordinary run gets the positive control, too."""
    assert recipe.audit is not None  # noqa: S101  asked for by the caller
    blind = recipe.privacy is not None and recipe.privacy.scope == "record"
    kinds = {one.partition("-")[0] for one in layouts(space, source)}
    rows = next((kind for kind in ("preference", "feedback") if kinds == {kind}), "any")
    return PlantSettings(audit=recipe.audit, control=recipe.privacy is None, auditor=space.public.auditor, blind=blind, rows=rows)


def layouts(space: Workspace, thing: Thing) -> set[str]:
    """Return in which layouts the rows of a set were imported."""
    return {str(one.predicate.figures["layout"]) for one in space.chain(thing) if "layout" in one.predicate.figures}


def refuse_too_many(space: Workspace, sources: Sequence[Thing], audit: AuditSettings, *, control: bool, cut: Cut = WHOLE) -> None:
    """Return when the canaries are few enough for the model to learn the data all the same, or when the recipe says to exceed that.

    sources: what the run reads, joined or not. cut: what it will take of them.

    Raises: CanariesOverCap.
    """
    rows, _ = rows_left(space, sources, cut)
    planted = audit.planted(control=control)
    share = planted / max(1, rows + planted)
    if share > cap(rows) and not audit.exceed_cap:
        own = audit.planted(control=False)
        raise CanariesOverCap(
            planted=planted, control=planted - own, share=f"{share:.1%}", set=names_of(sources), cap=f"{cap(rows):.0%}", rows=rows
        )
