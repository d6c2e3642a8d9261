"""Bundles of runs on several sets: every set has its steps there, in its place; a branch too few, too many or changed is found."""

from __future__ import annotations

import re

import pytest

from ringfence.core.errors import BundleBroken
from ringfence.core.policy import evaluate
from ringfence.release.bundle import write_bundle
from ringfence.release.card import model_card
from ringfence.release.verify import verify_bundle
from tests.unit.release.release_parts import (
    BASE,
    POLICY,
    chain_of,
    digest_of,
    joined_chain_of,
    lora,
    parts_of,
    read,
    release_of,
    reseal,
    safetensors,
)

STEPS = ["import", "scan", "keep", "deid"]


def test_a_bundle_of_joined_sets_verifies_and_its_card_names_each(space, tmp_path):
    chain = joined_chain_of(space)
    order = [0, 4, 5, 1, 6, 2, 3, 7, 8, 9]  # how it went: both sets were worked on at the same time
    places = {at: space.record(chain[at]) for at in order}
    write_bundle(tmp_path / "model", space.signers, **parts_of(space, chain=chain, indices=[places[at] for at in range(len(chain))]))
    report = verify_bundle(tmp_path / "model", space.public)
    assert [one.step for one in report.chain] == [*STEPS, *STEPS, "join", "train", "release"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| rows imported | `clinic`: 300; `ward`: 300 |" in card
    assert re.search(r"scan: `clinic`: for poisoned rows, by `invisible.v1`; `ward`: for", card)
    assert "脱敏：`clinic`：方案 `medical-zh`；复扫后残留原文 0 处；`ward`：方案" in card
    assert "导入 `clinic`：300 行；`ward`：300 行，" in card


def test_the_card_of_one_set_names_none(space):
    chain = chain_of(space, seed=0)
    card = model_card("model", base=BASE, licence="apache-2.0", chain=chain, verdicts=evaluate(POLICY, chain, moment="release"))
    assert "| rows imported | 300 |" in card
    assert "导入 300 行，" in card


def refused(space, chain, tmp_path, *, indices=None):
    """Return why a bundle over these statements is refused; everything is signed, recorded, proven, and judged by the same policy."""
    indices, adapter = indices or [space.record(statement) for statement in chain], safetensors(lora())
    parts = parts_of(space) | {
        "adapter": adapter,
        "evidence": [space.prove(statement, index) for statement, index in zip(chain, indices, strict=True)],
        "release": space.envelope(release_of(space, chain, adapter=adapter)),
    }
    with pytest.raises(BundleBroken) as caught:
        write_bundle(tmp_path / "model", space.signers, **parts)
    assert not list(tmp_path.glob("**/*"))
    return str(caught.value)


def test_every_statement_is_needed(space, tmp_path):
    whole = joined_chain_of(space)
    for at in range(len(whole) - 1):
        message = refused(space, [*whole[:at], *whole[at + 1 :]], tmp_path)
        assert re.search("did not read|begin at an import|its steps are not", message), (at, message)


def test_a_branch_is_neither_missing_nor_swapped_nor_another(space, tmp_path):
    first, second, rest = (joined_chain_of(space)[part] for part in (slice(4), slice(4, 8), slice(8, None)))
    assert "whose steps are not here" in refused(space, [*first, *rest], tmp_path)
    assert "did not read" in refused(space, [*second, *rest], tmp_path)
    assert "did not read" in refused(space, [*second, *first, *rest], tmp_path)
    assert "did not read" in refused(space, [*first, *chain_of(space, seed=0, source="other")[:-1], *rest], tmp_path)


def test_no_statement_is_there_that_nobody_read(space, tmp_path):
    whole, other = joined_chain_of(space), chain_of(space, seed=0, source="other")
    for at in (0, 4, 8):
        assert refused(space, [*whole[:at], *other[:-1], *whole[at:]], tmp_path)
        assert refused(space, [*whole[:at], other[0], *whole[at:]], tmp_path)
    assert "whose steps are not here" in refused(space, [*whole[:8], with_more(space, whole[8]), whole[9]], tmp_path)


def with_more(space, join):
    more = join.predicate.model_copy(update={"inputs": {**join.predicate.inputs, "set3": digest_of("other", "masked")}})
    return join.model_copy(update={"predicate": more})


def test_each_branch_stands_in_the_order_of_the_ledger(space, tmp_path):
    chain = joined_chain_of(space)
    for early, late, named in ((4, 5, "06-scan"), (7, 8, "09-join"), (3, 8, "09-join"), (8, 9, "10-train")):
        order = list(range(len(chain)))
        order[early], order[late] = order[late], order[early]
        places = {at: space.record(chain[at]) for at in order}
        indices = [places[at] for at in range(len(chain))]
        assert f"{named}.proof does not follow" in refused(space, chain, tmp_path, indices=indices)


def test_a_branch_that_stands_there_twice_is_one(space, tmp_path):
    twice = joined_chain_of(space, sources=("clinic", "clinic"))
    places = [space.record(one) for one in twice]
    assert "does not follow" in refused(space, twice, tmp_path, indices=[*places[:4], *places[:4], *places[8:]])


def test_what_one_branch_lacks_refuses_the_release(space, tmp_path):
    chain = joined_chain_of(space)
    chain[7] = chain[7].model_copy(update={"predicate": chain[7].predicate.model_copy(update={"figures": {"survivors": 2}})})
    assert "deid survivors" in refused(space, chain, tmp_path)


def test_whoever_changes_a_signed_bundle_is_found(space, tmp_path):
    folder = tmp_path / "model"
    write_bundle(folder, space.signers, **parts_of(space, chain=joined_chain_of(space)))
    files = read(folder)
    swapped = {path: files[path.replace("01-import", "05-import") if "01-import" in path else path] for path in files}
    reseal(folder, space.signers, swapped)
    with pytest.raises(BundleBroken):
        verify_bundle(folder, space.public)
