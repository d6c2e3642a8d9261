"""A run that an earlier version trained, whose statement knows fewer settings, can be audited and released by this one."""

from __future__ import annotations

import pytest

from ringfence.audit.settings import AuditOrder
from ringfence.flows.train import Saved
from ringfence.train.settings import DrawnSettings, TrainSettings
from tests.unit.core.test_gates import audit, chain, outcomes

NEWER = ("quantization_bit", "use_galore", "default_system", "enable_thinking", "drawn")


def written(train, *, without):
    """The settings of a run as a version without some of them wrote them down."""
    return {key: value for key, value in train.model_dump(mode="json").items() if key not in without}


def audited(train, **changes):
    """The verdict on an audit that this version makes of such a run. changes: what the audit reads in another way."""
    saved = Saved.model_validate({"model": "7" * 64, "order": {"train": train}})
    order = AuditOrder(train=saved.order.train.model_copy(update=changes), delta=1e-5)
    assert AuditOrder.model_validate_json(order.model_dump_json()) == order  # the child reads every setting
    return outcomes(audit(train=order.model_dump(mode="json")["train"]), links=chain(train=train))["audit unrelated"]


@pytest.mark.parametrize("without", [(), NEWER])
def test_its_audit_is_of_it(without):
    assert audited(written(TrainSettings(lora_rank=4), without=without)) == "pass"


def test_so_it_is_where_a_setting_within_another_is_newer():
    drawn = DrawnSettings(reward=("number.v1",))
    train = written(TrainSettings(objective="grpo.v1", drawn=drawn), without=("quantization_bit",))
    del train["drawn"]["loss_type"]
    assert audited(train) == "pass"


@pytest.mark.parametrize("changes", [{"enable_thinking": False}, {"lora_rank": 8}])
def test_an_audit_that_read_it_in_another_way_is_not(changes):
    assert audited(written(TrainSettings(lora_rank=4), without=NEWER), **changes) == "fail"
