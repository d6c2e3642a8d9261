"""Interleaved sets give the rows that the datasets library gives LLaMA-Factory."""

from __future__ import annotations

import pytest

from ringfence.recipe.read import recipe_of
from ringfence.train.join import mixed
from ringfence.train.settings import Cut


@pytest.mark.parametrize("shares", [(), (0.7, 0.2, 0.1), (0.5, 0.0, 0.5), (1 / 3, 1 / 3, 1 / 3)], ids=str)
@pytest.mark.parametrize("lengths", [(3, 4, 5), (40, 1, 9), (3_000, 2_000, 1_500), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("seed", [42, 7])
def test_mixed_sets_give_the_rows_that_interleaving_them_gives(lengths, shares, seed):
    """Which of them they are; their order is the seed's of the run."""
    datasets = pytest.importorskip("datasets")
    sets = [datasets.Dataset.from_dict({"row": [(number, row) for row in range(length)]}) for number, length in enumerate(lengths)]
    whole = datasets.interleave_datasets(sets, probabilities=list(shares) or None, seed=seed, stopping_strategy="first_exhausted")
    taken = mixed(lengths, Cut(is_mixed=True, shares=shares, seed=seed))
    assert sorted(map(tuple, whole["row"])) == [(number, row) for number, rows in enumerate(taken) for row in range(rows)]


@pytest.mark.parametrize("shares", [None, (0.7, 0.2, 0.1)], ids=str)
def test_interleaving_once_takes_every_row_once_whatever_the_shares(shares):
    """Which a join does that cuts nothing."""
    datasets = pytest.importorskip("datasets")
    lengths = (3, 1, 40)
    rows = [(number, row) for number, length in enumerate(lengths) for row in range(length)]
    sets = [datasets.Dataset.from_dict({"row": [one for one in rows if one[0] == number]}) for number in range(len(lengths))]
    once = datasets.interleave_datasets(
        sets, probabilities=list(shares) if shares else None, seed=42, stopping_strategy="all_exhausted_without_replacement"
    )
    assert sorted(map(tuple, once["row"])) == rows
    asked = {"mix_strategy": "interleave_once"} | ({"interleave_probs": ",".join(map(str, shares))} if shares else {})
    assert recipe_of({"model_name_or_path": "tiny", "dataset": "a,b,c", **asked}).cut.is_whole
