"""A bundle tells of an evaluation what may leave, and no bundle tells more, whoever signed it."""

from __future__ import annotations

import dataclasses

import pytest

from ringfence.core.digest import canonical, sha256
from ringfence.core.errors import BundleBroken
from ringfence.release.bundle import write_bundle
from ringfence.release.chain import parts
from ringfence.release.verify import verify_bundle
from tests.unit.release.release_parts import chain_of, digest_of, parts_of
from tests.unit.release.test_model_card import card_of, private_chain


def compared(base, tuned, reach=None):
    """A figure as an evaluation tells it; reach: of the interval to either side."""
    return {
        name: {"value": value, "lower": None if reach is None else value - reach, "upper": None if reach is None else value + reach}
        for name, value in {"base": base, "tuned": tuned, "difference": tuned - base}.items()
    }


FIGURES = {
    "rows_scored": 44,
    "units_scored": 22,
    "rows_seen": 3,
    "loss": compared(5.5, 1.25, 0.125),
    "perplexity": compared(244.69, 3.49),
    "exact_match": compared(0.0, 0.25, 0.0625),
    "rouge_l": None,
    "bleu": compared(10.0, 22.5, 1.0),
    "bleu_tokens": "zh",
}
SEALED = canonical({"salt": "0" * 32, "figures": FIGURES})


def look(space, chain, step="eval", **more):
    figures = {"stays_inside": more.pop("stays_inside", False)} if step == "eval" else {}
    inputs = {"adapter": more.pop("adapter", chain[-1].subjects[0].sha256), "rows": digest_of("rows")}
    return space.statement(
        step,
        subjects={"figures": digest_of(step, chain[-1].subjects[0].sha256)},
        inputs=inputs,
        figures=figures,
        sealed_figures=sha256(SEALED),
        **more,
    )


def written(space, folder, chain, evaluation, *, sealed=SEALED):
    indices = [space.record(one) for one in (*chain, evaluation)]
    made = parts_of(space, chain=chain, indices=indices[:-1])
    made["evidence"].append(dataclasses.replace(space.prove(evaluation, indices[-1]), figures=sealed))
    write_bundle(folder, space.signers, **made)
    return verify_bundle(folder, space.public)


def test_a_bundle_with_an_evaluation_verifies_and_its_figures_are_those_that_were_signed(space, tmp_path):
    chain = chain_of(space, seed=10)
    report = written(space, tmp_path / "told", chain, look(space, chain))
    assert [one.step for one in report.chain][-3:] == ["train", "eval", "release"]
    with pytest.raises(BundleBroken, match=r"06-eval\.figures\.json was changed"):
        written(space, tmp_path / "other", chain, look(space, chain), sealed=SEALED.replace(b"44", b"45"))


@pytest.mark.parametrize("is_private", [False, True])
def test_what_was_to_stay_inside_is_in_no_bundle(space, tmp_path, is_private):
    chain = private_chain(space, granted=5) if is_private else chain_of(space, seed=11)
    with pytest.raises(BundleBroken, match="to stay inside"):
        written(space, tmp_path / "model", chain, look(space, chain, stays_inside=not is_private))


def test_an_evaluation_of_another_adapter_is_no_part_of_it(space, tmp_path):
    chain = chain_of(space, seed=12)
    with pytest.raises(BundleBroken, match="did not read the adapter"):
        written(space, tmp_path / "model", chain, look(space, chain, adapter=digest_of("another")))


@pytest.mark.parametrize("steps", [(), ("eval",), ("audit", "eval"), ("eval", "audit")])
def test_audit_and_evaluation_stand_between_training_and_release_in_the_order_of_the_ledger(space, steps):
    chain = chain_of(space, seed=13)
    release = space.statement("release", subjects={"x": digest_of("x")}, inputs={})
    found = parts([*chain, *(look(space, chain, step) for step in steps), release])
    assert (found.train, found.release) == (chain[-1], release)
    assert [one and one.step for one in (found.audit, found.evaluation)] == [step if step in steps else None for step in ("audit", "eval")]


@pytest.mark.parametrize("steps", [("eval", "eval"), ("scan",), ("eval", "train")])
def test_nothing_else_stands_there_nor_twice(space, steps):
    chain = chain_of(space, seed=14)
    release = space.statement("release", subjects={"x": digest_of("x")}, inputs={})
    with pytest.raises(BundleBroken):
        parts([*chain, *(look(space, chain, step) for step in steps), release])


def test_the_card_tells_each_figure_that_there_is_with_its_interval(space):
    chain = chain_of(space, seed=0)
    card = card_of(chain, evaluation=(look(space, chain), FIGURES))
    for line in (
        f"on 44 rows of 22 units of the set `{digest_of('rows')[:16]}`, of which 3 were learned from",
        "| loss per token, nats | 5.5000 [5.3750, 5.6250] | 1.2500 [1.1250, 1.3750] | -4.2500 [-4.3750, -4.1250] |",
        "| perplexity | 244.69 | 3.49 | -241.20 |",
        "| exact match | 0.0% [-6.2%, 6.2%] | 25.0% [18.8%, 31.2%] | 25.0% [18.8%, 31.2%] |",
        "| BLEU (zh) | 10.00 [9.00, 11.00] | 22.50 [21.50, 23.50] | 12.50 [11.50, 13.50] |",
        "22 个单位的 44 行，其中训练过 3 行；基础模型 → 本模型：每词元损失 5.5000 → 1.2500，困惑度 244.69 → 3.49，精确匹配 0.0% → 25.0%，BLEU (zh) 10.00 → 22.50。",
    ):
        assert line in card
    assert "ROUGE-L" not in card  # nobody measured it
    silent = card_of(chain)
    assert "No evaluation that may be told." in silent
    assert "没有可公开的评估。" in silent
