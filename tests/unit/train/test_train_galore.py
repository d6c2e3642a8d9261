"""GaLore: steps along few directions, equal to those of its own library, of which a resumed run forgets nothing."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from galore_torch import GaLoreAdamW
from pydantic import ValidationError

from ringfence.core.errors import LayersUnfit
from ringfence.models.folder import check_folder
from ringfence.privacy.plan import DPPlan
from ringfence.train.adapter import predict, projected_names
from ringfence.train.galore import Galore
from ringfence.train.private import PrivateTrainer
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer
from tests.unit.privacy.test_clip import LENGTHS, rows_of
from tests.unit.train.test_train_private import model_of

SHAPES = {"model.layers.0.mlp.up_proj.weight": (24, 12), "model.layers.0.mlp.down_proj.weight": (12, 24), "model.norm.weight": (12,)}
SETTINGS = TrainSettings(method="full.v1", use_galore=True, galore_rank=3, galore_update_interval=2, weight_decay=0.1, max_grad_norm=0.0)


def with_settings(**changes):
    return TrainSettings.model_validate(SETTINGS.model_dump() | changes)


def drawn(seed=0):
    torch.manual_seed(seed)
    return {name: torch.nn.Parameter(torch.randn(shape)) for name, shape in SHAPES.items()}


def gradients(step):
    torch.manual_seed(1000 + step)
    return {name: torch.randn(shape) for name, shape in SHAPES.items()}


def stepped(optimiser, steps, *, first=0):
    for step in range(first, first + steps):
        optimiser.assign(gradients(step))
        optimiser.step(0.01 * (1 + step))


@pytest.mark.parametrize("kind", get_args(TrainSettings.model_fields["galore_proj_type"].annotation))
def test_every_step_is_that_of_its_library(kind):
    settings = with_settings(galore_proj_type=kind, adam_beta1=0.8, adam_epsilon=1e-6)
    ours, theirs = drawn(), drawn()
    stepped(Galore(ours, settings), 5)
    two = [theirs[name] for name in SHAPES if "_proj" in name]
    group = {"params": two, "rank": 3, "update_proj_gap": 2, "scale": 2.0, "proj_type": kind}
    rule = GaLoreAdamW(
        [group, {"params": [theirs["model.norm.weight"]], "weight_decay": 0.0}],
        betas=(0.8, 0.999),
        eps=1e-6,
        weight_decay=0.1,
        no_deprecation_warning=True,
    )
    for step in range(5):
        for name, grad in gradients(step).items():
            theirs[name].grad = grad
        for one in rule.param_groups:
            one["lr"] = 0.01 * (1 + step)
        rule.step()
    for name, weight in theirs.items():
        assert torch.allclose(ours[name], weight, atol=1e-6), name


def test_a_step_moves_a_layer_along_so_many_directions_and_others_along_all():
    before, after = drawn(), drawn()
    stepped(Galore(after, with_settings(weight_decay=0.0)), 1)
    moved = {name: (after[name] - before[name]).detach() for name in SHAPES}
    assert [int(torch.linalg.matrix_rank(moved[name], rtol=1e-4)) for name in list(SHAPES)[:2]] == [3, 3]
    assert bool(moved["model.norm.weight"].all())


@pytest.mark.parametrize("kind", get_args(TrainSettings.model_fields["galore_proj_type"].annotation))
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_what_is_saved_is_all_that_a_step_depends_on(kind, at):
    settings = with_settings(galore_proj_type=kind)
    whole, cut, resumed = drawn(), drawn(), drawn(seed=7)
    stepped(Galore(whole, settings), 6)
    first, second = Galore(cut, settings), Galore(resumed, settings)
    stepped(first, at)
    second.restore(first.state(), step=at)
    stepped(second, 6 - at, first=at)
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())


def test_moments_are_as_small_as_what_is_projected():
    optimiser = Galore(drawn(), SETTINGS)
    stepped(optimiser, 1)
    up, down = list(SHAPES)[:2]
    shapes = {name: tuple(one.shape) for name, one in optimiser.state().items()}
    assert (shapes[f"exp_avg/{up}"], shapes[f"exp_avg_sq/{down}"]) == ((24, 3), (3, 24))
    assert (shapes[f"directions0/{up}"], shapes[f"directions0/{down}"]) == ((3, 12), (12, 3))


def test_layers_are_named_as_adapters_name_them(tiny_folder):
    shapes = {name: info.shape for name, info in check_folder(tiny_folder).weights.items()}
    assert len(projected_names(shapes, SETTINGS)) == 14
    assert projected_names(shapes, with_settings(galore_target=("q_proj",)))[0] == "model.layers.0.self_attn.q_proj.weight"
    assert len(projected_names(shapes, with_settings(galore_target=("mlp", "q_proj")))) == 8
    assert projected_names(shapes, TrainSettings()) == []


@pytest.mark.parametrize(("changes", "why"), [({"galore_target": ("c_attn",)}, "c_attn"), ({"galore_rank": 32}, "k_proj has a side of 32")])
def test_what_does_not_fit_the_model_is_refused_by_the_host(tiny_folder, changes, why):
    with pytest.raises(LayersUnfit, match=why):
        predict(check_folder(tiny_folder), with_settings(**changes))
    assert predict(check_folder(tiny_folder), SETTINGS)


@pytest.mark.parametrize(("changes", "why"), [({"method": "lora.v1"}, "full or freeze"), ({"optim": "sgd"}, "adamw_torch")])
def test_what_it_does_not_go_with_is_refused(changes, why):
    with pytest.raises(ValidationError, match=why):
        with_settings(**changes)


def test_directions_that_are_kept_are_found_once():
    anew, kept = Galore(drawn(), SETTINGS), Galore(drawn(), SETTINGS)
    kept.keep()
    first, later = [], []
    for optimiser in (anew, kept):
        stepped(optimiser, 2)
        first.append(directions_of(optimiser))
        stepped(optimiser, 2, first=2)
        later.append(directions_of(optimiser))
    assert all(torch.equal(one, other) for one, other in zip(*first, strict=True))
    assert [torch.equal(one, other) for one, other in zip(first[0], later[0], strict=True)] == [False, False]
    assert all(torch.equal(one, other) for one, other in zip(first[1], later[1], strict=True))


def test_finding_directions_for_the_time_of_it_changes_nothing():
    plain, timed = Galore(drawn(), SETTINGS), Galore(drawn(), SETTINGS)
    stepped(plain, 1)
    assert timed.alike == [["model.layers.0.mlp.down_proj.weight"], ["model.layers.0.mlp.up_proj.weight"]]
    for (name,) in timed.alike:
        timed.find(name)
    stepped(timed, 1)
    assert all(torch.equal(one, timed.state()[key]) for key, one in plain.state().items())


def directions_of(optimiser):
    return [one for key, one in sorted(optimiser.state().items()) if key.startswith("directions")]


def test_it_learns(tiny_folder):
    trainer = Trainer(model_of(), with_settings(learning_rate=0.02, galore_rank=8), hints=RuntimeHints(), padding=2, device="cpu")
    losses = [trainer.step(rows_of(LENGTHS), step=step, steps=20) for step in range(12)]
    assert losses[-1] < losses[0] - 0.5


def test_a_private_step_projects_what_is_noised_already():
    """The directions are found in the noised sum, so that they are post-processing: what is learned from two sets of rows lies in the span of each one's own."""
    plan = DPPlan(epsilon=8, delta=1e-3, unit=None, units=10, clip_norm=1.0, sampling_rate=0.5, max_batch=10, steps=4, noise_multiplier=1.0)
    settings = with_settings(learning_rate=0.01, galore_rank=4, weight_decay=0.0)
    trainer = PrivateTrainer(model_of(), settings, plan=plan, hints=RuntimeHints(), padding=2, device="cpu")
    name = "model.layers.0.mlp.up_proj.weight"
    before = trainer.method.parameters()[name].detach().clone()
    seen = []
    real = trainer.optimiser.assign
    trainer.optimiser.assign = lambda grads: seen.append(grads[name].clone()) or real(grads)
    trainer.step(rows_of(LENGTHS), step=0, steps=4)
    moved = (trainer.method.parameters()[name] - before).detach()
    directions = torch.linalg.svd(seen[0], full_matrices=False)[2][:4]  # [4, in], of the noised gradient
    assert float((moved - moved @ directions.T @ directions).norm() / moved.norm()) < 1e-4
    assert np.isfinite(float(moved.norm()))
