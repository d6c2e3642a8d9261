"""What `ringfence budget simulate` prints is a bound: never below what is spent, and a word where there is none."""

from __future__ import annotations

import pytest

from ringfence.cli.main import run
from ringfence.privacy.accountant import epsilon_spent
from ringfence.privacy.plan import Mechanism


@pytest.mark.parametrize(
    ("noise", "rate", "steps", "told"),
    [
        ("1.5", "0.25", 24, "epsilon 5.289 at delta 1e-06 with noise 1.5 "),
        ("1.5000004", "0.25", 24, "with noise 1.5000004 "),
        ("0.3", "1", 1000, "epsilon over 1000 at delta 1e-06 with noise 0.3 "),
    ],
)
def test_a_simulated_epsilon_is_rounded_up_and_no_number_where_it_is_beyond_every_use(capsys, noise, rate, steps, told):
    assert run(["budget", "simulate", "--noise", noise, "--rate", rate, "--steps", str(steps)]) == 0
    said = capsys.readouterr().out
    assert told in said
    spent = epsilon_spent([Mechanism(noise_multiplier=float(noise), sampling_rate=float(rate), steps=steps)], delta=1e-6)
    assert "over 1000" in said or float(said.split()[1]) >= spent
