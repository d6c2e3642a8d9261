"""A promise about the records as they were imported: refused after steps that looked at one record for the sake of another, made without them."""

from __future__ import annotations

import pytest

from ringfence.core.errors import BadArgument, PlanImpossible
from ringfence.deid.profile import settings_for
from ringfence.flows.data import delete
from ringfence.flows.deid import deidentify
from ringfence.flows.plant import plant
from ringfence.flows.plant import settings_for as canaries_of
from ringfence.flows.scan import scan
from ringfence.flows.scope import refuse_prepared
from ringfence.flows.train import ask
from ringfence.recipe.read import read
from ringfence.scan.settings import ScanSettings
from tests.flows.conftest import import_notes, notes, set_policy
from tests.flows.test_private import PRIVACY, open_policy


@pytest.mark.full
def test_a_promise_about_imported_records_needs_steps_that_look_at_each_alone(space, tmp_path, recipe):
    import_notes(space, tmp_path)
    set_policy(space, open_policy())
    refuse_prepared(space, space.state.resolve("clinic@sealed"))
    alone = settings_for("default").model_copy(update={"reach": "record"})
    deidentify(space, "clinic", settings=alone)
    wanted = read(recipe(privacy={**PRIVACY, "scope": "record"}, optim="sgd", max_steps=2))
    plan = ask(space, wanted).order.plan
    assert plan.scope == "record"
    assert plan.statement("en").endswith("about the records as they were imported")
    assert read(recipe(privacy=PRIVACY, optim="sgd", max_steps=2)).privacy.scope == "prepared"
    audited = read(
        recipe(privacy={**PRIVACY, "scope": "record"}, audit={"secrets": 2, "in_out": 2, "exceed_cap": True}, optim="sgd", max_steps=2)
    )
    masked = space.state.resolve("clinic@masked")
    blind = canaries_of(space, audited, masked)
    refuse_prepared(space, plant(space, masked, blind, check=lambda _: None))
    looked = plant(space, masked, blind.model_copy(update={"blind": False}), check=lambda _: None)
    with pytest.raises(PlanImpossible, match="languages of its rows"):
        refuse_prepared(space, looked)
    with pytest.raises(BadArgument, match="taught"):
        deidentify(space, "clinic", settings=alone, taggers=["ours"])

    deidentify(space, "clinic", settings=alone.model_copy(update={"reach": "set"}))
    with pytest.raises(PlanImpossible, match="--reach record"):
        ask(space, wanted)

    scan(space, "clinic", settings=ScanSettings(parts=("unicode.v1",)))
    refuse_prepared(space, space.state.resolve("clinic@cleared"))
    hidden = [*notes(), {"prompt": "rest\u2066\u2067\u2066 now\u202e\u202e", "completion": "\u202e\u202e fine", "patient_id": "P99"}]
    import_notes(space, tmp_path, hidden, name="more")
    assert scan(space, "more", settings=ScanSettings(parts=("unicode.v1",)))[1].flagged == 1
    known, blind_to = (
        ask(space, read(recipe(dataset="more", privacy={**PRIVACY, "scope": s}, optim="sgd"))).order.plan for s in ("prepared", "record")
    )
    assert (known.units, blind_to.units) == (20, 21)  # whether a patient's only row was taken out is the patient's to keep
    delete(space, [space.state.resolve("more@sealed")])
    with pytest.raises(PlanImpossible, match="deleted"):
        ask(space, read(recipe(dataset="more", privacy={**PRIVACY, "scope": "record"}, optim="sgd")))

    scan(space, "clinic", settings=ScanSettings())
    with pytest.raises(PlanImpossible, match=r"the scan compared them \(bursts.v1\)"):
        refuse_prepared(space, space.state.resolve("clinic@cleared"))
