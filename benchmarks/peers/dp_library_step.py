"""One step of LoRA under another library of private training, or of the same loop without it; runs in the environment that tests/environments.sh makes.

A line of the input is a step; the answer is a line of JSON, as of benchmarks/dp_step.py. Called by it, not by hand. What a library draws as noise,
one number for each weight, is part of its step.
"""

from __future__ import annotations

import ctypes
import json
import random
import resource
import sys
import time
from collections.abc import Callable

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

CLIP, NOISE = 1e5, 1e-15  # neither matters, so that every side sees the same losses

Step = Callable[[Tensor, Tensor], Tensor]  # token ids and targets of all rows -> the sum of their losses, the weights having moved


class RowMeans:
    """The mean loss per predicted token of each row; the sum of these is what a private step descends."""

    reduction = "sum"

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return one loss a row, or their sum. logits: [rows, tokens, vocabulary].  targets: [rows, tokens], -100 where nothing is learned."""
        each = cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")
        rows = each.sum(1) / (targets != -100).sum(1)
        return rows if self.reduction == "none" else rows.sum()


def descent(net: torch.nn.Module, rule: torch.optim.Optimizer, criterion: Callable[[Tensor, Tensor], Tensor]) -> Step:
    """Return a step forward and backward, as all make it but those that compose functions."""

    def step(ids: Tensor, targets: Tensor) -> Tensor:
        loss = criterion(net(input_ids=ids, use_cache=False).logits[:, :-1], targets)
        loss.backward()
        rule.step()
        rule.zero_grad(set_to_none=True)
        return loss

    return step


def plain(net: torch.nn.Module, rule: torch.optim.Optimizer, rows: int) -> Step:
    """No privacy."""
    step = descent(net, rule, lambda logits, targets: RowMeans()(logits, targets) / rows)
    return lambda ids, targets: step(ids, targets) * rows


def opacus_hooks(net: torch.nn.Module, rule: torch.optim.Optimizer, rows: int) -> Step:
    """Opacus, which keeps every row's gradient."""
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    net = GradSampleModule(net, loss_reduction="sum")
    rule = DPOptimizer(rule, noise_multiplier=NOISE, max_grad_norm=CLIP, expected_batch_size=rows, loss_reduction="sum")
    return descent(net, rule, RowMeans())


def opacus_ghost(net: torch.nn.Module, rule: torch.optim.Optimizer, rows: int) -> Step:
    """Opacus's ghost clipping, which finds the norms first and goes backward twice."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

    net = GradSampleModuleFastGradientClipping(net, max_grad_norm=CLIP, use_ghost_clipping=True, loss_reduction="sum")
    rule = DPOptimizerFastGradientClipping(rule, noise_multiplier=NOISE, max_grad_norm=CLIP, expected_batch_size=rows, loss_reduction="sum")
    return descent(net, rule, DPLossFastGradientClipping(net, rule, RowMeans(), loss_reduction="sum"))


def fast_dp(net: torch.nn.Module, rule: torch.optim.Optimizer, rows: int) -> Step:
    """The book-keeping of fastDP (arXiv:2210.00038), each layer's way chosen by its shape."""
    from contextlib import redirect_stdout

    from fastDP import PrivacyEngine

    way = {"clipping_mode": "MixOpt", "clipping_fn": "Abadi", "loss_reduction": "sum"}
    with redirect_stdout(sys.stderr):  # it prints what it wraps
        engine = PrivacyEngine(
            net, batch_size=rows, sample_size=100 * rows, num_steps=100, noise_multiplier=NOISE, max_grad_norm=CLIP, **way
        )
    engine.attach(rule)
    return descent(net, rule, RowMeans())


def opake(net: torch.nn.Module, rule: torch.optim.Optimizer, rows: int) -> Step:
    """opake, which maps the gradient of one row over all."""
    from opake.dpsgd.clipping import clipped_grad
    from opake.dpsgd.noise import gaussian_noise
    from opake.functional import make_functional
    from opake.patches import apply_model_patches, apply_runtime_patches
    from opake.random import key

    apply_runtime_patches()
    apply_model_patches(net)
    weights = {name: weight for name, weight in net.named_parameters() if weight.requires_grad}
    forward, _, _ = make_functional(net, partition_trainable=True)

    def loss_of_row(values: dict[str, Tensor], ids: Tensor, targets: Tensor) -> Tensor:
        return RowMeans()(forward(values, input_ids=ids[None], use_cache=False).logits[:, :-1], targets[None])

    gradient, clipping = clipped_grad(loss_of_row, clipping_norm=CLIP, normalize_by=rows, batch_argnums=(1, 2), return_aux=True)
    noised, state = gaussian_noise(noise_multiplier=NOISE, key=key(42))

    def step(ids: Tensor, targets: Tensor) -> Tensor:
        nonlocal clipping, state
        values = {name: weight.detach() for name, weight in weights.items()}
        (clipped, seen), clipping = gradient(values, ids, targets, state=clipping)
        private, state = noised(clipped, state)
        for name, weight in weights.items():
            weight.grad = private.pytree[name]
        rule.step()
        rule.zero_grad(set_to_none=True)
        return seen.loss_values.sum()

    return step


SIDES = {"plain": plain, "opacus hooks": opacus_hooks, "opacus ghost": opacus_ghost, "fastDP": fast_dp, "opake": opake}


def main(side: str, model: str, rank: int, tokens: int, rows: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(42)
    drawn = random.Random(7)
    ids = torch.tensor([[drawn.randrange(100, 40_000) for _ in range(tokens)] for _ in range(rows)])
    targets = ids.clone()
    targets[:, : tokens // 2] = -100
    targets = targets[:, 1:]
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    net = get_peft_model(base, lora).train()
    rule = torch.optim.AdamW([weight for weight in net.parameters() if weight.requires_grad], lr=1e-4, weight_decay=0.0, foreach=True)
    step = SIDES[side](net, rule, rows)
    print(json.dumps({"ready": side}), flush=True)
    for _ in sys.stdin:
        began = time.process_time()
        loss = step(ids, targets)
        seconds = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "noise": None, "loss": float(loss.detach()) / rows, "peak": peak}), flush=True)
        del loss
        ctypes.CDLL(None).malloc_trim(0)  # the sides need not fit into memory beside each other


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
