"""The one-run audit of the mechanism itself: what 5,000 canaries give away stays below the claim, and noise of half the size is caught."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from ringfence.audit.statistics import one_run_epsilon, one_run_guesses
from ringfence.models.tiny import tiny_config
from ringfence.privacy.accountant import calibrate, epsilon_spent
from ringfence.privacy.clip import UnitSums
from ringfence.privacy.noise import SecureNoise
from ringfence.privacy.plan import DPPlan, PrivacySettings
from ringfence.privacy.sampler import PoissonSampler
from ringfence.train.batches import Sampled, Shuffled
from ringfence.train.data import Corpus, Example, collate
from ringfence.train.private import PrivateTrainer
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer
from tests.privacy.one_run import least_epsilon

CANARIES, EACH_SIDE = 5_000, 250
PLAN = DPPlan(
    epsilon=5, delta=1e-5, unit=None, units=CANARIES, clip_norm=0.7, sampling_rate=1.0, max_batch=CANARIES, steps=20, noise_multiplier=4.0
)


def shown(noise, *, level, canaries=CANARIES, each_side=EACH_SIDE):
    """Return the lower bound of ε that a run of the plan shows to somebody who sees every noised gradient and wrote the canaries.

    level: chance that it is above the truth.

    Each canary pulls at a direction of its own, three times as hard as the clip norm allows, so that none hides behind another.
    """
    is_in = np.random.default_rng().random(canaries) < 0.5
    layer = nn.Linear(canaries, 1, bias=False)
    sums = UnitSums(layer, {"w": layer.weight}, clip_norm=PLAN.clip_norm)
    drawn = PoissonSampler(units=canaries, rate=PLAN.sampling_rate, most=canaries).draw()
    for some in np.array_split(drawn[is_in[drawn]], canaries // 500):
        rows = torch.zeros(len(some), 1, canaries)
        rows[torch.arange(len(some)), 0, torch.from_numpy(some)] = 3.0
        layer(rows).sum().backward()
        sums.gather(torch.arange(len(some)), units=len(some))
    total = sums.result()["w"]  # every step adds the same: the loss is linear
    trainer = SimpleNamespace(_plan=PLAN, _noise=noise)
    scores = sum(PrivateTrainer._noised(trainer, total.clone()) for _ in range(PLAN.steps))
    return least_epsilon(scores[0].double().numpy(), is_in, delta=PLAN.delta, level=level, sides=[each_side])


def shown_by_a_run(epsilon):
    """Return two lower bounds of ε, each at 99.9 %, that a trained model shows to somebody who may only ask it: the tool's own and the tighter one.

    epsilon: of the run's promise; None: it makes none. 400 canaries, each in by a fair coin: four tokens by chance, and one more that is learned.
    """
    count, delta = 400, 1e-5
    drawn = np.random.default_rng()
    canaries = [Example(drawn.integers(3, 259, 5).astype(np.int32), np.arange(5) == 4) for _ in range(count)]
    is_in = drawn.random(count) < 0.5
    corpus = Corpus(
        [row._replace(unit=unit) for unit, row in enumerate(row for row, there in zip(canaries, is_in, strict=True) if there)], 0, 0
    )
    corpus = replace(corpus, units=len(corpus.examples))
    model = LlamaForCausalLM(tiny_config()).requires_grad_(requires_grad=False)
    common = {"hints": RuntimeHints(), "padding": 0, "device": "cpu"}
    settings = TrainSettings(lora_rank=16, cutoff_len=8, learning_rate=0.01, per_device_train_batch_size=32, max_steps=200)
    if epsilon is None:
        trainer, batches = Trainer(model, settings, **common), Shuffled(settings, corpus)
    else:
        settings = settings.model_copy(update={"optim": "sgd", "momentum": 0.9, "learning_rate": 0.5, "max_grad_norm": 0.0})
        promise = calibrate(PrivacySettings(epsilon=epsilon, delta=delta), units=corpus.units, batch=32, steps=60, epochs=1.0)
        trainer, batches = PrivateTrainer(model, settings, plan=promise, **common), Sampled(promise, corpus, lease=lambda steps: steps)

    def losses():
        with torch.no_grad():
            return trainer.objective.losses(trainer.model, collate(canaries, padding=0, device="cpu"))[0].double().numpy()

    before = losses()
    for step in range(batches.steps):
        trainer.step(batches.rows(step), step=step, steps=batches.steps)
    scores = before - losses()
    guesses, right = one_run_guesses(scores, is_in, each_side=50)
    return [
        one_run_epsilon(canaries=count, guesses=guesses, right=right, delta=delta, level=1e-3),
        least_epsilon(scores, is_in, delta=delta, level=1e-3, sides=[50]),
    ]


@pytest.mark.full
def test_a_trained_model_shows_less_than_its_run_claims_and_without_a_claim_it_shows_more():
    assert max(shown_by_a_run(1.0)) <= 1.0
    assert min(shown_by_a_run(None)) > 1.0


def test_the_mechanism_shows_less_than_it_claims_and_not_nothing():
    claimed = epsilon_spent([PLAN.event()], delta=PLAN.delta)
    assert claimed == pytest.approx(4.98, abs=0.01)
    assert 1.0 < shown(SecureNoise(), level=1e-3) <= claimed


class Half(SecureNoise):
    def normal(self, count):
        return super().normal(count) / 2


def test_noise_of_half_the_size_is_caught():
    assert shown(Half(), level=0.05) > epsilon_spent([PLAN.event()], delta=PLAN.delta)


@pytest.mark.full
def test_noise_of_half_the_size_is_caught_at_999_of_1000_by_more_canaries():
    """5,000 canaries catch it at that confidence two times out of three, 20,000 in 150 of 150 draws."""
    claimed, many = epsilon_spent([PLAN.event()], delta=PLAN.delta), {"canaries": 20_000, "each_side": 1_000}
    assert shown(SecureNoise(), level=1e-3, **many) <= claimed < shown(Half(), level=1e-3, **many)


def test_rows_that_are_not_clipped_are_caught(monkeypatch):
    monkeypatch.setattr(UnitSums, "_scale", lambda _, norms: torch.ones_like(norms))
    assert shown(SecureNoise(), level=0.05) > epsilon_spent([PLAN.event()], delta=PLAN.delta)


def test_the_estimator_gives_the_published_size():
    """Expected for this mechanism at level 5 %: 3.1 where the noise is right, 7.1 where it is half (measured independently on a prototype)."""
    drawn = np.random.default_rng(3)
    is_in = drawn.random(CANARIES) < 0.5
    for noise, low, high in ((4.0, 2.7, 3.8), (2.0, 6.5, 8.5)):
        scores = 20 * is_in + drawn.normal(0, noise * 20**0.5, CANARIES)
        assert low < least_epsilon(scores, is_in, delta=1e-5, level=0.05, sides=[EACH_SIDE]) < high
