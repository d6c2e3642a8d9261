"""CPU seconds of what a private run computes beside its gradients: the noise that its plan needs, the price of plans, and normal numbers.

Run: python benchmarks/dp_account.py [--quick]

One thread. Plans are sought anew each time (nothing is remembered between them); goals: 2 s for a plan, 0.5 s for 20 million numbers of noise.
The peer of the noise is torch's own generator, which anybody who knows its seed repeats. Ends with 1 where a goal is missed, but for --quick.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from frame import tell

if TYPE_CHECKING:
    from ringfence.privacy.plan import DPPlan

PLANS = (  # epsilon, delta, units, units of a step, steps, the most of a step; None: what is hardly ever exceeded
    (8.0, 1e-5, 4_234, 48, 88, None),
    (8.0, 1e-6, 10_000, 100, 1_000, None),
    (1.0, 1e-6, 100_000, 1_000, 3_000, None),
    (8.0, 1e-7, 1_000_000, 1_000, 20_000, None),
    (3.0, 1e-5, 400, 100, 24, None),
    (0.5, 1e-5, 5_000, 100, 500, None),
    (8.0, 1e-6, 10_000, 100, 1_000, 150),  # so that steps may be cut
)
NUMBERS = 20_000_000


def seconds(work: Callable[[], object], *, rounds: int) -> float:
    """Return the median CPU time of a call."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return statistics.median(found)


def forget() -> None:
    """Let the accountant begin anew."""
    from ringfence.privacy import accountant

    for one in (accountant.noise_for, accountant._loss, accountant._divergence):  # noqa: SLF001
        one.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    import torch

    from ringfence.privacy.accountant import calibrate, epsilon_spent
    from ringfence.privacy.noise import SecureNoise
    from ringfence.privacy.plan import PrivacySettings

    torch.set_num_threads(1)
    rounds, met = 1 if options.quick else 5, True
    for epsilon, delta, units, batch, steps, most in PLANS[:2] if options.quick else PLANS:
        wanted = PrivacySettings(epsilon=epsilon, delta=delta, max_batch=most)
        made = calibrate(wanted, units=units, batch=batch, steps=steps, epochs=1.0)

        def sought(wanted: PrivacySettings = wanted, units: int = units, batch: int = batch, steps: int = steps) -> None:
            forget()
            calibrate(wanted, units=units, batch=batch, steps=steps, epochs=1.0)

        def priced(made: DPPlan = made) -> None:
            forget()
            epsilon_spent([made.event()], delta=made.delta)

        case = f"epsilon {epsilon:g}, delta {delta:g}, {steps} steps of {batch} of {units} units" + (f", at most {most}" if most else "")
        common = {"bench": "dp_account", "case": case, "unit": "s", "peer": None}
        took = seconds(sought, rounds=rounds)
        tell({**common, "metric": "CPU time of finding the noise", "ours": round(took, 3), "goal": 2.0, "noise": made.noise_multiplier})
        tell({**common, "metric": "CPU time of the price of the plan", "ours": round(seconds(priced, rounds=rounds), 3)})
        met = met and took <= 2.0
    count = NUMBERS // 10 if options.quick else NUMBERS
    noise = SecureNoise()
    ours = seconds(lambda: noise.normal(count), rounds=rounds)
    theirs = seconds(lambda: torch.randn(count, dtype=torch.float64), rounds=rounds)
    tell({
        "bench": "dp_account", "case": f"{count} normal numbers, float64", "metric": "CPU time", "unit": "s", "ours": round(ours, 3),
        "peer": "torch.randn", "peer_value": round(theirs, 3), "ratio": round(ours / theirs, 2), "goal_s": 0.5,
    })  # fmt: skip
    sys.exit(0 if options.quick or (met and ours <= 0.5) else 1)


if __name__ == "__main__":
    main()
