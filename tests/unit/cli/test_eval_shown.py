"""What people see of an evaluation: every figure with its bounds, what they must know of the rows, and whether it may leave."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ringfence.cli.commands.eval_ import _show
from ringfence.core import text
from ringfence.evaluate.settings import Compared, Estimate, EvalFigures


def compared(base, tuned, reach=None):
    values = {"base": base, "tuned": tuned, "difference": tuned - base}
    bounds = {name: {} if reach is None else {"lower": value - reach, "upper": value + reach} for name, value in values.items()}
    return Compared(**{name: Estimate(value=value, **bounds[name]) for name, value in values.items()})


def found(inside=None, is_seen=False, **more):
    fields = {
        "rows": 50,
        "rows_scored": 48,
        "units_scored": 24,
        "rows_cut": 3,
        "tokens_scored": 900,
        "loss": compared(5.5, 1.25, 0.125),
        "perplexity": compared(244.69, 3.49),
        "device": "cpu",
        "dtype": "float32",
    }
    figures = EvalFigures(**fields | more)
    return SimpleNamespace(run="train-1", committed=SimpleNamespace(run="eval-1"), figures=figures, inside=inside, is_seen=is_seen)


def shown(capsys, **more):
    _show(found(**more), "ward")
    return capsys.readouterr().out


ANSWERS = {
    "rows_answered": 40,
    "rows_unasked": 10,
    "unended": 4,
    "exact_match": compared(0.0, 0.25, 0.0625),
    "rouge_l": compared(0.5, 0.75),
    "bleu": compared(10.0, 8.5, 1.0),
    "bleu_tokens": "zh",
}


def test_figures_stand_with_their_bounds_and_a_difference_with_its_sign(capsys):
    lines = shown(capsys, **ANSWERS)
    for part in (
        "5.5000 [5.3750, 5.6250]",
        "-4.2500 [-4.3750, -4.1250]",
        "900 tokens of 48 rows",
        "+25.0% [+18.8%, +31.2%]",
        "BLEU (zh)",
        "-1.50 [-2.50, -0.50]",
        "40 answers",
        "2 rows had no answer within cutoff_len; 3 were cut",
        "10 rows were not answered",
        "4 answers ended at --max-new-tokens",
    ):
        assert part in lines
    assert "stays inside" not in lines
    assert "trained on" not in lines
    assert "BLEU" not in shown(capsys)  # nobody asked for answers


def test_a_reward_model_has_pairs_and_no_perplexity(capsys):
    lines = shown(capsys, perplexity=None, accuracy=compared(0.5, 0.75, 0.125), margin=compared(0.25, 1.5))
    for part in ("48 pairs", "pairs in order", "75.0% [62.5%, 87.5%]", "+25.0%", "+1.2500"):
        assert part in lines
    assert "perplexity" not in lines
    assert "tokens of" not in lines


@pytest.mark.parametrize(
    ("more", "en", "zh"),
    [
        ({"inside": "private run"}, "not covered by epsilon and stays inside", "不受 epsilon 保护，须留在内部"),
        ({"inside": "private rows"}, "a private run was made on these people's rows", "这批人的数据上有过隐私运行"),
        ({"inside": "few people"}, "fewer than 20 people: this evaluation stays inside", "不足 20 人：本次评估须留在内部"),
        ({"is_seen": True, "rows_seen": 7}, "trained on 7 of the 50 rows", "训练过 50 行中的 7 行"),
        ({"rows_of_seen_units": 9}, "9 rows are of people of whom", "9 行所属的人"),
        ({"is_seen": None}, "is not known here", "此处无从得知"),
    ],
)
def test_what_must_be_known_of_the_rows_is_said_in_both_languages(capsys, more, en, zh):
    assert en in shown(capsys, **more)
    text.choose("zh")
    assert zh in shown(capsys, **more)
