"""Attacks on the scores of a reward model: ranks against brute force, chance ranks against theory, and a model that learned its canaries by heart."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from ringfence.audit import rewards
from ringfence.audit.canaries import pair_of
from ringfence.audit.findings import BITS, findings
from ringfence.audit.forward import Forward
from ringfence.audit.rewards import Rank, RewardScorer
from ringfence.audit.settings import AuditSettings, Canary, Register
from ringfence.audit.statistics import exposure_p_value
from ringfence.models.chat import chat_of
from ringfence.models.load import Loaded, load
from ringfence.models.tiny import write_tiny_model
from ringfence.train.data import read_corpus
from ringfence.train.judge import Judge
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer

torch.set_num_threads(1)
SETTINGS = TrainSettings(objective="rm.v1", lora_rank=8, learning_rate=5e-3, cutoff_len=128, per_device_train_batch_size=16)
AUDIT = AuditSettings(secrets=8, in_out=25)


def register_of(settings):
    """Return the same canaries every time: what a model learns of them must not differ from run to run."""
    chance, found = random.Random(11), []
    kinds = [("secret", 2 * settings.secrets), ("row", 2 * settings.in_out), ("control", 4)]
    for number, kind in enumerate(kind for kind, count in kinds for _ in range(count)):
        code, other = (f"{chance.randrange(10**6):06}" for _ in range(2))
        before = "Ref: " if kind == "row" else ""
        found.append(
            Canary(
                id=f"{number:032x}",
                kind=kind,
                language="en",
                who=f"N{number}",
                prompt=f"Code of N{number * 7919 % 9973}?",
                completion=f"{before}{code}",
                span=(len(before), len(before) + 6),
                is_in=kind == "control" or number % 2 == 0,
                other=other,
                times=16 if kind == "control" else 1,
            )
        )
    return Register(audit=settings, canaries=tuple(found))


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A register, and a reward model that met what was planted of it, many times."""
    found = load(write_tiny_model(tmp_path_factory.mktemp("m") / "model"), dtype=torch.float32, device="cpu", attention="eager")
    register = register_of(AUDIT)
    trainer = Trainer(found.model, SETTINGS, hints=RuntimeHints(), padding=0, device="cpu")
    fresh = score(register, Loaded(trainer.model, found.tokenizer))
    planted = [pair_of(one) for one in register.canaries if one.is_in for _ in range(one.times)]
    rows = read_corpus(planted, lambda one: trainer.objective.read(one, found.tokenizer), cutoff=128).examples
    steps = 40
    for step in range(steps):
        trainer.step([rows[at % len(rows)] for at in range(16 * step, 16 * step + 16)], step=step, steps=steps)
    return register, Loaded(trainer.model, found.tokenizer), fresh


def score(register, loaded):
    scorer = RewardScorer(Forward(loaded), SETTINGS)
    scores = scorer.score(register.canaries, show=(told := []).append)
    assert told[-1] == len(register.canaries)
    return findings(register, {one.id: found for one, found in zip(register.canaries, scores, strict=True)}, delta=1e-5)


def test_what_was_learned_by_heart_shows_and_what_was_held_out_does_not(learned):
    register, loaded, fresh = learned
    found = score(register, loaded)
    assert found.auc.lower > 0.65
    assert (found.validity, found.blind) == ("valid", "ok")
    assert found.control_p < 5e-3
    assert found.exposure_p < 0.05
    assert found.held_out_exposure_p > 0.05
    assert (fresh.auc.value, fresh.extracted, fresh.epsilon_lower) == (0.5, 0, 0.0)  # a fresh head is the base's
    assert fresh.exposure_p > 1e-3
    assert fresh.validity == "positive control shows nothing"


def test_a_margin_is_that_of_the_judge(learned):
    register, loaded, _ = learned
    row = register.of("row")[0]
    (got,) = RewardScorer(Forward(loaded), SETTINGS).score([row])
    judge = Judge(loaded, most=128)
    texts = [judge.read(chat_of(("user", "assistant"), (row.prompt, said))) for said in (row.completion, row.rejected)]
    own, other = judge.rewards(texts).tolist()
    assert got.log_p == pytest.approx(own - other, abs=1e-4)
    with loaded.model.disable_adapter():
        own, other = judge.rewards(texts).tolist()
    assert got.log_p_base == pytest.approx(own - other, abs=1e-4)
    assert got.log_p != pytest.approx(got.log_p_base, abs=1e-3)


def test_a_rank_is_the_number_of_codes_that_score_as_high_up_to_the_eighth(learned):
    register, loaded, _ = learned
    judge, scorer = Judge(loaded, most=128), RewardScorer(Forward(loaded), SETTINGS)
    seen = set()
    for secret in (*register.of("secret")[:3], *register.of("control")[:2]):
        codes = rewards._codes(secret)[:100]
        assert len(set(codes)) == 100
        assert secret.secret not in codes
        texts = [secret.completion.replace(secret.secret, code) for code in (secret.secret, *codes)]
        own, *others = judge.rewards([judge.read(chat_of(("user", "assistant"), (secret.prompt, text))) for text in texts]).tolist()
        worse = np.cumsum([other >= own for other in others])
        wanted = Rank(8, int(np.argmax(worse == 8)) + 1) if worse[-1] >= 8 else Rank(int(worse[-1]), 100)
        assert scorer._rank(secret, codes) == wanted
        seen.add(wanted.better == 8)
    assert seen == {True, False}


class Chance(RewardScorer):
    """A model that knows nothing: every text scores by chance, the canary's own once and for all."""

    def __init__(self, drawn):
        self.drawn, self.own = drawn, drawn.random()

    def _rewards(self, _, texts, **__):
        return [self.own, *self.drawn.random(len(texts) - 1)]


def test_by_chance_no_rank_is_as_rare_as_it_looks():
    """P(p ≤ u) ≤ u for every u, whenever the drawing stops."""
    drawn, secret = np.random.default_rng(6), register_of(AUDIT).of("secret")[0]
    values = []
    for _ in range(4_000):
        values.append(Chance(drawn)._rank(secret, ["000000"] * 1_023).p_value)
    values = np.array(values)
    for u in (1 / 1024, 0.01, 0.05, 0.2, 0.5):
        assert np.mean(values <= u) <= u + 4 * math.sqrt(u / len(values))
        assert np.mean(values <= u) > 0.3 * u  # nor much rarer
    assert exposure_p_value(-np.log2(values)) > 1e-4


def test_a_secret_that_stays_the_best_is_looked_at_more_deeply_and_no_more_than_four_of_them(monkeypatch):
    monkeypatch.setattr(rewards, "CODES", 20)
    monkeypatch.setattr(rewards, "DEEP_CODES", 60)
    asked = []

    class First(RewardScorer):
        def __init__(self):
            pass

        def _rank(self, canary, codes, *, before=0):
            asked.append((canary.id, len(codes), before))
            return Rank(0, before + len(codes))

    register = register_of(AuditSettings(secrets=3, in_out=0))
    found = First().score(register.canaries)
    deep = [one for one in asked if one[2]]
    assert [one[1:] for one in deep] == [(40, 20)] * 4
    assert {one[0] for one in deep} <= {one.id for one in register.of("secret")}
    bits = sorted((BITS + one.constrained / math.log(2)) for one in found)
    assert bits == pytest.approx([math.log2(21)] * (len(found) - 4) + [math.log2(61)] * 4)
    assert all(one.is_greedy for one in found)


def test_a_canary_is_cut_where_either_of_its_answers_is(learned):
    register, loaded, _ = learned
    one = register.canaries[0]
    length = len(Judge(loaded, most=999).read(chat_of(("user", "assistant"), (one.prompt, one.completion))))
    for most, is_cut in ((length, False), (length - 1, True)):
        assert RewardScorer(Forward(loaded), SETTINGS.model_copy(update={"cutoff_len": most})).is_cut(one) is is_cut
