"""The private run in its child: granted before drawn, noise that never repeats, a promise that no setting of speed can change."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load as load_tensors
from scipy.stats import binom
from transformers import LlamaForCausalLM
from transformers.modeling_layers import GradientCheckpointingLayer

from ringfence.core.errors import Interrupted, NotPerExample, PlanUnfit
from ringfence.core.records import Record
from ringfence.models.folder import ARCHITECTURES
from ringfence.models.tiny import tiny_config
from ringfence.privacy import clip as clipping
from ringfence.privacy.plan import DPPlan
from ringfence.train import adapter, job, price, private, setup
from ringfence.train.batches import Sampled
from ringfence.train.data import Corpus, Example, Tokens, collate
from ringfence.train.private import PrivateTrainer, passes
from ringfence.train.settings import PriceOrder, RuntimeHints, TrainOrder, TrainSettings
from ringfence.train.trainer import Trainer
from ringfence.vault.files import read_file
from tests.unit.train.train_parts import Memory, Vault, child, pair, pairs

PLAIN = RuntimeHints(device="cpu", dtype="float32")
SETTINGS = TrainSettings(lora_rank=4, cutoff_len=96, learning_rate=0.5, optim="sgd", momentum=0.9, max_grad_norm=0.0)


def plan_of(*, units=20, rate=0.5, steps=8, noise=0.5, clip=1.0):
    return DPPlan(
        epsilon=8,
        delta=1e-3,
        unit=None,
        units=units,
        clip_norm=clip,
        sampling_rate=rate,
        max_batch=units,
        steps=steps,
        noise_multiplier=noise,
    )


def start(folder, model, *, plan=None, left=None, settings=SETTINGS, records=None, checkpoint=None, stop_at=None, hints=PLAIN):
    plan = plan or plan_of()
    vault = Vault(folder)
    channel = Memory(vault, stop_at=stop_at, left=plan.steps if left is None else left)
    inputs = {"set": vault.write_set(pairs(20) if records is None else records)}
    if checkpoint:
        slot, key = checkpoint
        inputs["checkpoint"], vault.keys[slot.slot] = vault.as_input(slot), key
    outputs = {"adapter": vault.output("adapter"), "checkpoint": vault.output("checkpoint")}
    order = PriceOrder(train=settings, hints=hints, plan=plan)
    return child(vault, channel, order, inputs=inputs, outputs=outputs, files={"model": str(model)}), channel


def weights_of(made):
    slot = made.order.outputs["adapter"]
    return load_tensors(read_file(Vault(None).as_input(slot), made.keys.data[slot.slot], adapter.WEIGHTS))


def test_a_private_run_makes_its_steps_and_learns(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder, plan=plan_of(rate=0.8, steps=60, noise=0.3), records=pairs(20))
    figures = job.run(made)
    assert figures.steps == 60 == sum(channel.leases)
    assert channel.leases == [1] * 60
    assert np.mean(figures.losses[-5:]) < np.mean(figures.losses[:5]) - 0.3
    assert 0 < figures.seconds_noise < figures.seconds
    assert 0 < figures.seconds_clip < figures.seconds


def test_no_step_is_made_that_was_not_granted(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder, left=3)
    assert job.run(made).steps == 3
    assert channel.leases == [1, 1, 1, 0]
    made, channel = start(tmp_path, tiny_folder, left=0)
    figures = job.run(made)
    assert (figures.steps, figures.loss_first) == (0, None)
    assert not any(weights_of(made)[name].any() for name in weights_of(made) if "lora_B" in name)  # nothing was learned


def test_a_long_plan_asks_for_a_hundredth_at_a_time():
    assert (plan_of(steps=100).leases(), plan_of(steps=101).leases(), plan_of(steps=5_000).leases()) == (1, 2, 50)
    asked = []
    batches = Sampled(plan_of(units=2, steps=250), Corpus([], 2, 0, units=2), lease=lambda steps: asked.append(steps) or steps)
    for step in range(7):
        assert batches.rows(step) == []
    assert asked == [3, 3, 3]


def test_the_kernel_of_a_private_run_is_chosen_by_its_recipe_and_not_by_its_longest_row(tmp_path, tiny_folder, monkeypatch):
    asked = []
    monkeypatch.setattr(setup, "choose_attention", lambda _, **given: asked.append(given["longest"]) or "eager")
    job.run(start(tmp_path, tiny_folder, plan=plan_of(steps=1))[0])
    assert asked == [SETTINGS.cutoff_len]


def test_two_runs_of_one_recipe_never_share_noise(tmp_path, tiny_folder):
    made = [start(tmp_path, tiny_folder, plan=plan_of(rate=1.0, steps=1))[0] for _ in range(2)]
    for one in made:
        job.run(one)
    a, b = (weights_of(one) for one in made)
    for name in a:
        if "lora_B" in name:
            assert not torch.equal(a[name], b[name])
            assert float((a[name] == b[name]).float().mean()) < 0.01


def test_a_resumed_run_goes_on_from_its_checkpoint_with_what_is_left(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder, stop_at=3)
    with pytest.raises(Interrupted):
        job.run(made)
    _, slot = channel.checkpoints[-1]
    again, later = start(tmp_path, tiny_folder, left=2, checkpoint=(slot, made.keys.data[slot.slot]))
    figures = job.run(again)
    assert (figures.steps, figures.resumed_from) == (5, 3)
    assert later.leases == [1, 1, 0]


def test_a_checkpoint_holds_nothing_of_the_noise_and_going_on_from_it_twice_draws_it_twice(tmp_path, tiny_folder):
    """Who holds a checkpoint and what came of it would subtract the noise of a stream that goes on where it was."""
    calm = SETTINGS.model_copy(update={"learning_rate": 0.01})
    made, channel = start(tmp_path, tiny_folder, plan=plan_of(rate=1.0, steps=2), settings=calm, stop_at=1)
    with pytest.raises(Interrupted):
        job.run(made)
    _, slot = channel.checkpoints[-1]
    checkpoint = (slot, made.keys.data[slot.slot])
    vault = Vault(tmp_path)
    vault.keys[slot.slot] = checkpoint[1]
    held = vault.as_input(slot)
    kept = load_tensors(read_file(held, checkpoint[1], "state.safetensors"))
    assert {name.split("/")[0] for name in kept} == {"weight", "momentum_buffer"}
    told = {"format", "settings", "rows", "step", "losses", "tokens", "eval_before", "evals"}
    assert json.loads(read_file(held, checkpoint[1], "state.json")).keys() == told
    again = [
        start(tmp_path / name, tiny_folder, plan=plan_of(rate=1.0, steps=2), settings=calm, left=1, checkpoint=checkpoint)[0]
        for name in "ab"
    ]
    for one in again:
        assert job.run(one).steps == 2
    a, b = (weights_of(one) for one in again)
    for name in a:
        assert float((a[name] == b[name]).float().mean()) < 0.01


def test_units_of_whom_nothing_is_left_are_drawn_like_others_where_imported_records_are_promised_something():
    plan = plan_of(units=30, rate=0.5)
    corpus = Corpus([Example(np.array([5, 6], dtype=np.int32), np.array([False, True]), unit) for unit in range(10)], 0, 0, 10)
    with pytest.raises(PlanUnfit):
        Sampled(plan, corpus, lease=lambda steps: steps)
    batches = Sampled(plan.model_copy(update={"scope": "record"}), corpus, lease=lambda steps: steps)
    sizes = [len(batches.rows(step)) for step in range(400)]
    assert abs(np.mean(sizes) - 5) < 0.5  # each of the ten at one half, whatever the other twenty are
    assert max(sizes) <= 10
    more = Corpus(corpus.examples, 0, 0, 31)
    with pytest.raises(PlanUnfit):
        Sampled(plan.model_copy(update={"scope": "record"}), more, lease=lambda steps: steps)


def test_a_set_of_other_units_is_refused(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder, plan=plan_of(units=19))
    with pytest.raises(PlanUnfit):
        job.run(made)
    assert channel.leases == []


def test_rows_of_one_unit_are_drawn_together_and_silent_units_count():
    rows = [Example(np.arange(5, dtype=np.int32), np.ones(5, bool), unit) for unit in (0, 1, 1, 3)]
    batches = Sampled(plan_of(units=4, rate=1.0), Corpus(rows, 1, 0, units=4), lease=lambda steps: steps)
    assert [row.unit for row in batches.rows(0)] == [0, 1, 1, 3]
    some = Sampled(plan_of(units=4, rate=0.5), Corpus(rows, 1, 0, units=4), lease=lambda steps: steps)
    for step in range(30):
        assert [row.unit for row in some.rows(step)].count(1) in (0, 2)


def test_a_run_draws_at_the_rate_of_its_plan_and_never_more_than_its_largest_batch():
    """What was priced is what is drawn: a step of everybody at a higher rate would cost more than is told."""
    rows = [Example(np.arange(5, dtype=np.int32), np.ones(5, bool), unit) for unit in range(2_000)]
    corpus = Corpus(rows, 0, 0, units=2_000)
    batches = Sampled(plan_of(units=2_000, rate=0.25), corpus, lease=lambda steps: steps)
    drawn = sum(len(batches.rows(step)) for step in range(20))
    assert 1e-6 < binom.cdf(drawn, 40_000, 0.25) < 1 - 1e-6
    cut = Sampled(plan_of(units=2_000, rate=0.25).model_copy(update={"max_batch": 7}), corpus, lease=lambda steps: steps)
    assert [len({row.unit for row in cut.rows(step)}) for step in range(5)] == [7] * 5


def test_units_of_the_corpus_are_those_of_the_records(tmp_path, tiny_folder):
    shared = pair("one?", "two")
    records = [shared, Record("f" * 32, shared.unit, "test", "pair", ("user", "assistant"), ("three?", "four")), pair("five?", "")]
    made, _ = start(tmp_path, tiny_folder, plan=plan_of(units=2, rate=1.0, steps=1), records=records)
    assert job.run(made).steps == 1


# ── the step ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def model_of():
    torch.manual_seed(5)
    return LlamaForCausalLM(tiny_config()).requires_grad_(requires_grad=False)


def trainer_of(plan, *, settings=SETTINGS, hints=PLAIN):
    return PrivateTrainer(model_of(), settings, plan=plan, hints=hints, padding=2, device="cpu")


def examples_of(lengths, units=None):
    drawn = np.random.default_rng(3)
    found = []
    for at, length in enumerate(lengths):
        learn = np.arange(length) > 1
        found.append(Example(drawn.integers(3, 259, length).astype(np.int32), learn, at if units is None else units[at]))
    return found


@pytest.mark.parametrize("changes", [{}, {"noise": 60.0}, {"units": 60}, {"rate": 0.9}, {"clip": 0.7}, {"steps": 40}])
@pytest.mark.parametrize("settings", [{}, {"lora_rank": 16}, {"momentum": 0.0, "lr_scheduler_type": "cosine", "warmup_ratio": 0.3}])
def test_an_open_rate_lets_the_noise_of_a_run_move_the_weights_equally_far(changes, settings):
    settings = SETTINGS.model_copy(update={"learning_rate": None, **settings})
    plan = plan_of(**{"noise": 90.0, "units": 20, "steps": 8, **changes})
    trainer = trainer_of(plan, settings=settings)
    before = {name: weight.detach().clone() for name, weight in trainer.method.parameters().items()}
    for step in range(plan.steps):
        trainer.step([], step=step, steps=plan.steps)  # nobody was drawn: what moves is noise
    moved = sum(float((weight.detach() - before[name]).square().sum()) for name, weight in trainer.method.parameters().items())
    assert math.sqrt(moved) == pytest.approx(60, rel=0.06)
    assert trainer.rate < 0.4


def test_a_rate_that_is_named_is_taken_and_an_open_one_has_a_limit():
    assert trainer_of(plan_of()).rate == 0.5
    settings = SETTINGS.model_copy(update={"learning_rate": None})
    assert trainer_of(plan_of(units=20_000, noise=0.4), settings=settings).rate == 0.4
    assert trainer_of(plan_of(units=20_000, noise=0.4, clip=0.1), settings=settings).rate == 4.0  # the same step
    warm = settings.model_copy(update={"warmup_ratio": 0.3})
    assert trainer_of(plan_of(steps=1), settings=warm).rate == 0.4  # its only step is at no rate at all


def test_no_other_optimiser_may_leave_its_rate_open():
    with pytest.raises(ValidationError, match="adamw_torch"):
        TrainSettings(learning_rate=None)
    assert TrainSettings(learning_rate=None, optim="sgd").learning_rate is None


def gradient_of(trainer, examples):
    """Return what the optimiser is given, as one vector."""
    seen = {}
    trainer.optimiser.assign = lambda grads: seen.update({name: grad.clone() for name, grad in grads.items()})
    trainer.optimiser.step = lambda _: 0.0
    trainer.step(examples, step=0, steps=9)
    return torch.cat([seen[name].flatten() for name in sorted(seen)])


def test_the_gradient_is_the_clipped_sum_plus_noise_of_the_planned_size_over_a_public_constant():
    """σ·C on the sum, then division by q·N: a wrong factor anywhere shows in the spread of an empty step, whose sum is zero."""
    plan = plan_of(units=1_000, rate=0.05, noise=1.7, clip=0.3)
    drawn = gradient_of(trainer_of(plan, settings=SETTINGS.model_copy(update={"lora_rank": 64})), [])
    expected = 1.7 * 0.3 / 50
    assert len(drawn) > 50_000
    assert float(drawn.std()) == pytest.approx(expected, rel=5 / np.sqrt(2 * len(drawn)))
    assert abs(float(drawn.mean())) < 5 * expected / np.sqrt(len(drawn))


def test_noise_is_never_rounded_to_less_than_float32():
    drawn = gradient_of(trainer_of(plan_of(units=16, rate=0.5)), [])  # divided by 8, which rounds nothing
    for narrow in (torch.bfloat16, torch.float16):
        assert float((drawn.to(narrow).float() == drawn).float().mean()) < 0.01


def test_a_plan_chooses_how_units_are_clipped():
    one = examples_of([8])
    flat = gradient_of(trainer_of(plan_of(units=10, noise=1e-9, clip=0.25)), one)
    automatic, by_layer = (
        gradient_of(trainer_of(plan_of(units=10, noise=1e-9, clip=0.25).model_copy(update={"clipping": clipping})), one)
        for clipping in ("automatic", "per-layer")
    )
    assert 0.9 < float(automatic.norm() / flat.norm()) < 1
    assert float((automatic / automatic.norm() - flat / flat.norm()).norm()) < 1e-5
    assert float(by_layer.norm()) <= float(flat.norm()) * (1 + 1e-5)
    assert float((by_layer / by_layer.norm() - flat / flat.norm()).norm()) > 0.1


def test_a_private_run_may_freeze_a_factor(tmp_path, tiny_folder):
    frozen = SETTINGS.model_copy(update={"lora_freeze_a": True})
    made, other = (start(tmp_path / name, tiny_folder, settings=frozen)[0] for name in "ab")
    figures = [job.run(one) for one in (made, other)]
    a, b = weights_of(made), weights_of(other)
    assert figures[0].trainable == sum(tensor.numel() for name, tensor in a.items() if ".lora_B." in name)
    assert all(torch.equal(a[name], b[name]) is (".lora_A." in name) for name in a)


def test_a_step_may_learn_every_weight_and_how_it_is_computed_changes_nothing():
    whole = SETTINGS.model_copy(update={"method": "full.v1"})
    plan, rows = plan_of(units=10, noise=1e-12, clip=0.25), examples_of([20, 19, 21, 20, 8], units=[0, 0, 0, 1, 2])
    wanted = gradient_of(trainer_of(plan, settings=whole), rows)
    assert len(wanted) == sum(weight.numel() for weight in LlamaForCausalLM(tiny_config()).parameters())
    assert 0 < float(wanted.norm()) <= 3 * 0.25 / plan.expected_units
    for changed in ({"micro_batch": 2}, {"checkpointing": True}, {"head_chunk": 3}):
        assert torch.allclose(
            gradient_of(trainer_of(plan, settings=whole, hints=PLAIN.model_copy(update=changed)), rows), wanted, atol=1e-7
        )


def test_the_gradient_without_noise_is_bounded_by_one_unit():
    quiet = plan_of(units=10, rate=0.5, noise=1e-9, clip=0.25)
    one = gradient_of(trainer_of(quiet), examples_of([8]))
    assert float(one.norm()) == pytest.approx(0.25 / 5, rel=1e-4)
    three = gradient_of(trainer_of(quiet), examples_of([8, 9, 12], units=[4, 4, 4]))
    assert float(three.norm()) == pytest.approx(0.25 / 5, rel=1e-4)


def pairs_of(lengths, units=None):
    """Return pairs that begin with half of the shorter sequence."""
    rows = examples_of([one for both in lengths for one in both])
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        alike = min(len(first.ids), len(second.ids)) // 2
        second.ids[:alike] = first.ids[:alike]
    return [
        rows[2 * at]._replace(
            unit=at if units is None else units[at],
            other=Tokens(rows[2 * at + 1].ids, rows[2 * at + 1].learn),
            reference=(-2.0 - at, -1.0),
        )
        for at in range(len(lengths))
    ]


PAIRS = [(8, 9), (30, 7), (12, 12), (5, 21)]


COMPARED = [
    ("dpo.v1", "pissa.v1"),
    ("dpo.v1", "full.v1"),
    ("orpo.v1", "freeze.v1"),
    ("rm.v1", "pissa.v1"),
    *((one, "lora.v1") for one in ("dpo.v1", "apo-zero.v1", "orpo.v1", "simpo.v1", "ipo.v1", "hinge.v1", "rm.v1")),
]


@pytest.mark.parametrize(("objective", "method"), COMPARED)
@pytest.mark.parametrize("hints", [{}, {"micro_batch": 1}, {"micro_batch": 3}, {"checkpointing": True}], ids=str)
def test_both_answers_of_a_pair_and_all_pairs_of_a_unit_are_clipped_as_one(objective, method, hints):
    """The oracle goes through the units one by one with ordinary gradients."""
    settings = SETTINGS.model_copy(update={"objective": objective, "method": method, "pref_beta": 0.5, "pref_ftx": 0.1})
    plan, rows = plan_of(units=10, rate=0.5, noise=1e-9, clip=0.05), pairs_of(PAIRS, units=[0, 1, 1, 2])
    got = gradient_of(trainer_of(plan, settings=settings, hints=PLAIN.model_copy(update=hints)), rows)
    plain = Trainer(model_of(), settings, hints=PLAIN, padding=2, device="cpu")
    plain.model.eval()
    wanted = torch.zeros_like(got)
    for unit in range(3):
        for row in (row for row in rows if row.unit == unit):
            plain.objective.losses(plain.model, collate([row], padding=2, device="cpu"))[0].sum().backward()
        found = torch.cat([weight.grad.flatten() for _, weight in sorted(plain.method.parameters().items())])
        assert float(found.norm()) > 0.05  # it is clipped
        wanted += found * min(1.0, 0.05 / float(found.norm()))
        plain.optimiser.take()
    assert float((got - wanted / 5).norm() / (wanted / 5).norm()) < 1e-5


def apart_pair(length):
    """Return a pair that has nothing in common."""
    (found,) = pairs_of([(length, length)], units=[99])
    found.other.ids[0] = found.ids[0] + 1
    return found


LEFT_OUT = {  # objective, method, rank; the rows that stay and the one that goes; what is taken for thin
    "a pair that is read apart": ("dpo.v1", "lora.v1", 4, pairs_of([(40, 40)] * 12), apart_pair(44), 64),
    "a longer row, rank 64": ("sft.v1", "lora.v1", 64, examples_of([30, 31] * 8), examples_of([33], [99])[0], 64),
    "a longer row, all weights": ("sft.v1", "full.v1", 4, examples_of([78, 79] * 5), examples_of([84], [99])[0], 0),
    "the only row beside another, all weights": ("sft.v1", "full.v1", 4, examples_of([20]), examples_of([20], [99])[0], 0),
    "longer answers, a trained head": ("sft.v1", "full.v1", 4, examples_of([60] * 3), examples_of([63], [99])[0], 0),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_in_bfloat16_no_row_adds_something_else_because_another_unit_is_there(case, monkeypatch):
    """Each of those that go lets what a pass does with the others cross one of our thresholds; rounded in two ways they moved by up to 0.03 clip norms."""
    objective, method, rank, rows, odd, thin = LEFT_OUT[case]
    monkeypatch.setattr(clipping, "_THIN", thin)
    settings = SETTINGS.model_copy(update={"objective": objective, "method": method, "lora_rank": rank})
    hints = PLAIN.model_copy(update={"dtype": "bfloat16", "micro_batch": 64})
    trainer = PrivateTrainer(model_of().bfloat16(), settings, plan=plan_of(clip=0.01), hints=hints, padding=2, device="cpu")
    with torch.no_grad():
        drawn = torch.Generator().manual_seed(4)
        for weight in trainer.method.parameters().values():
            weight.add_(torch.randn(weight.shape, generator=drawn) * 0.05)

    def summed(examples):
        for share in trainer.shares(examples):
            trainer.clip(share)
        return torch.cat([total.flatten().double() for _, total in sorted(trainer._sums.result().items())])

    everyone, without, alone = summed([*rows, odd]), summed(rows), summed([odd])
    assert float(alone.norm()) == pytest.approx(0.01, rel=1e-5)  # it is clipped
    assert float((everyone - without).norm()) <= 0.01 * (1 + 1e-5)
    assert float((everyone - without - alone).norm()) <= 0.01 * 1e-5


SPEED = [
    {"micro_batch": 1},
    {"micro_batch": 3},
    {"head_chunk": 5},
    {"pad_multiple": 8},
    {"attention": "sdpa"},
    {"checkpointing": True},
    {"threads": 2},
    {"packing": True},  # which a private trainer does not do
]
ELSEWHERE = {
    "dtype",
    "device",
    "processes",
    "shard",
    "packing",
}  # test_clip.py, on a GPU, test_train_team.py, test_train_shard.py, and refused


@pytest.mark.parametrize("clip", [1.0, 1e4], ids=["clipped", "as they are"])
@pytest.mark.parametrize("hints", SPEED, ids=str)
def test_no_setting_of_speed_changes_the_gradient_or_the_promise(hints, clip):
    """What is clipped hides a factor that depends on the micro batch; what is not shows it."""
    quiet, examples = plan_of(units=10, noise=1e-12, clip=clip), examples_of([8, 30, 9, 12, 21], units=[0, 1, 1, 2, 2])
    wanted = gradient_of(trainer_of(quiet), examples)
    got = gradient_of(trainer_of(quiet, hints=PLAIN.model_copy(update=hints)), examples)
    assert float((got - wanted).norm() / wanted.norm()) < 1e-5


def test_every_setting_of_speed_is_tried_and_none_is_part_of_the_promise():
    assert {key for hints in SPEED for key in hints} | ELSEWHERE == set(RuntimeHints.model_fields)
    assert set(RuntimeHints.model_fields).isdisjoint(DPPlan.model_fields)


def test_where_activations_are_computed_again_a_pass_has_fewer_rows_if_their_gradients_are_large(monkeypatch):
    """Or they would take the memory that this saves; and the promise and the sums are what they were."""
    settings = SETTINGS.model_copy(update={"lora_rank": 16})
    quiet, examples = plan_of(units=10, noise=1e-12), examples_of([30, 29, 31, 30, 28, 30, 31, 29])
    again = PLAIN.model_copy(update={"checkpointing": True})

    def rows_of_passes(hints):
        return [len(one.rows) for one in trainer_of(quiet, settings=settings, hints=hints).passes(examples)]

    assert rows_of_passes(again) == rows_of_passes(PLAIN) == [8]  # 240 tokens: fewer would take more time
    wanted = gradient_of(trainer_of(quiet, settings=settings), examples)
    monkeypatch.setattr(private, "_TOKENS", 60)
    assert rows_of_passes(PLAIN) == [8]
    assert rows_of_passes(again) == [2, 2, 2, 2]
    got = gradient_of(trainer_of(quiet, settings=settings, hints=again), examples)
    assert float((got - wanted).norm() / wanted.norm()) < 1e-5
    monkeypatch.setattr(private, "_TOKENS", 0)
    trainer = trainer_of(quiet, settings=settings.model_copy(update={"lora_rank": 4}), hints=again)
    made, kept = 4 * trainer.trainable, 2 * 31 * 64 * 4  # bytes of a row: its gradient; two layers' inputs of 31 tokens
    assert [len(one.rows) for one in trainer.passes(examples)] == [4, 4]
    assert 3 < 8 * kept / made <= 4
    monkeypatch.setattr(private, "_TOKENS", 124)  # a pass of 248 tokens holds all rows
    for rank, ratio, rows in ((4, 2.06, [8]), (8, 4.13, [4, 4])):
        trainer = trainer_of(quiet, settings=settings.model_copy(update={"lora_rank": rank}), hints=again)
        assert 4 * trainer.trainable / kept == pytest.approx(ratio, abs=0.01)
        assert [len(one.rows) for one in trainer.passes(examples)] == rows


def test_an_objective_that_couples_rows_is_refused(monkeypatch):
    from ringfence.train.objectives.sft import SupervisedFineTuning

    monkeypatch.setattr(SupervisedFineTuning, "per_example", False)
    with pytest.raises(NotPerExample):
        trainer_of(plan_of())


def test_dropout_is_refused_under_a_plan():
    """Its masks follow from a public seed and a row's place: leaving one unit out would move everybody's gradient."""
    dropping = SETTINGS.model_copy(update={"lora_dropout": 0.1})
    with pytest.raises(ValueError, match="lora_dropout"):
        TrainOrder(train=dropping, plan=plan_of())
    assert TrainOrder(train=dropping).plan is None


def dropping(checkpointing, kernel):
    torch.manual_seed(5)
    config = tiny_config()
    config.attention_dropout = 0.5
    model = LlamaForCausalLM._from_config(config, attn_implementation=kernel).requires_grad_(requires_grad=False)
    plan, hints = plan_of(units=10, noise=1e-12, clip=1e-3), PLAIN.model_copy(update={"checkpointing": checkpointing})
    return PrivateTrainer(model, SETTINGS, plan=plan, hints=hints, padding=2, device="cpu")


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_a_model_that_was_made_with_dropout_learns_privately_without_it(kernel, checkpointing):
    """Masks fall on places in a pass: whoever goes away moves everybody after them."""
    rows = examples_of([9, 12, 8, 11, 10, 14, 7, 9])
    everyone, without = (gradient_of(dropping(checkpointing, kernel), some) for some in (rows, rows[1:]))
    assert 0.5 < float((everyone - without).norm()) * 5 / 1e-3 <= 1 + 1e-4  # times the 5 units of a step, over the clip norm
    trainer = dropping(checkpointing, kernel)
    before = trainer.evaluate(rows).loss
    assert trainer.step(rows, step=0, steps=9) == pytest.approx(before, abs=0.1)
    computed = []
    trainer = dropping(checkpointing, kernel)
    layer = next(module for module in trainer.model.modules() if type(module).__name__ == "LlamaMLP")
    layer.register_forward_pre_hook(lambda *_: computed.append(1))
    gradient_of(trainer, rows)
    assert len(computed) == (8 if checkpointing else 4)  # passes of two rows; layers are still computed again where memory asks for it


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_no_layer_that_must_think_that_it_trains_draws_anything_itself(architecture):
    """Layers that are computed again are in training mode in a private run: their own code may not ask for it."""
    module = importlib.import_module(f"transformers.models.{architecture}.modeling_{architecture}")
    layers = {one for one in vars(module).values() if isinstance(one, type) and issubclass(one, GradientCheckpointingLayer)}
    own = layers - {GradientCheckpointingLayer}
    assert own
    for layer in own:
        assert "training" not in inspect.getsource(layer), layer


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_passes_hold_whole_units_or_parts_of_one(size):
    units = [0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 3, 4]
    examples = examples_of(list(range(5, 17)), units=units)
    made = passes(examples, size)
    assert sorted(id(row) for one in made for row in one.rows) == sorted(map(id, examples))
    complete = []
    for one in made:
        assert len(one.rows) == len(one.places) <= size
        assert set(one.places) == set(range(one.units))
        assert one.units == len({row.unit for row in one.rows})
        assert all((a.unit == b.unit) == (i == j) for (a, i), (b, j) in itertools.product(zip(one.rows, one.places, strict=True), repeat=2))
        complete += {row.unit for row in one.rows} if one.closes else []
        assert one.closes or one.units == 1
    assert sorted(complete) == [0, 1, 2, 3, 4]  # each unit is closed exactly once


# ── pricing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_private_run_is_priced_without_a_grant(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder, plan=plan_of(steps=500))
    found = price.run(made)
    assert (found.steps, found.rows, channel.leases) == (500, 20, [])
    assert found.seconds > 0
