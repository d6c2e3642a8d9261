"""The card says what the statements say, and says what was not done."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from ringfence.core.policy import evaluate
from ringfence.release.card import model_card
from ringfence.release.manifest import BaseRef
from tests.unit.release.release_parts import BASE, POLICY, chain_of


def card_of(chain) -> str:
    return model_card("model", base=BASE, licence="apache-2.0", chain=chain, verdicts=evaluate(POLICY, chain, moment="release"))


def test_the_front_matter_is_what_hugging_face_reads(space):
    _, front, _ = card_of(chain_of(space, seed=0)).split("---\n", 2)
    value = yaml.safe_load(front)
    assert (value["base_model"], value["library_name"], value["license"]) == ("smollm2", "peft", "apache-2.0")


def test_it_says_what_was_done_and_what_was_not(space):
    card = card_of(chain_of(space, seed=0))
    for sentence in (
        BASE.digest,
        "rank 2",
        "| rows imported | 300 |",
        "| label of the data | sensitive |",
        "tier T1",
        "for poisoned rows, by `invisible.v1`",
        "profile `medical-zh`; 0 originals survived",
        "memorisation: not audited",
        "ordinary run, no differential privacy guarantee",
        "| deid survivors | pass |",
        "ringfence verify model --keys",
        "model_signing verify key model --signature model/model.sig --public_key release.pem",
        "未经审计",
        "没有差分隐私保证",
    ):
        assert sentence in card


def test_absent_steps_and_figures_are_said_to_be_absent(space):
    chain = chain_of(space, seed=0)
    bare = chain[0].model_copy(update={"predicate": chain[0].predicate.model_copy(update={"figures": {"rows": "many"}})})
    card = card_of([bare, chain[-1]])
    for sentence in ("not recorded", "not scanned", "not de-identified", "未扫描", "未脱敏", "| scan missing | fail |"):
        assert sentence in card
    assert "many" not in card


def test_an_unknown_number_of_survivors_is_not_none(space):
    chain = chain_of(space, seed=0)
    chain[3] = chain[3].model_copy(update={"predicate": chain[3].predicate.model_copy(update={"figures": {}})})
    assert "an unrecorded number of originals survived" in card_of(chain)


@pytest.mark.parametrize("name", ["/srv/models/base", "../base", "a/b/c", "a b", "", "a\nb"])
def test_the_base_model_is_named_and_never_a_path(name):
    with pytest.raises(ValidationError):
        BaseRef(name=name, digest=BASE.digest)
