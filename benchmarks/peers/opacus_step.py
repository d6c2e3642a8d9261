"""One step of LoRA under Opacus, or of the same loop without it; runs in an environment of its own, which tests/environments.sh makes.

A line of the input is a step; the answer is a line of JSON, as of benchmarks/dp_step.py. Called by it, not by hand.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM


class RowMeans:
    """The mean loss per predicted token of each row; the sum of these is what a private step descends."""

    reduction = "sum"

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return one loss a row, or their sum. logits: [rows, tokens, vocabulary].  targets: [rows, tokens], -100 where nothing is learned."""
        each = cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")
        rows = each.sum(1) / (targets != -100).sum(1)
        return rows if self.reduction == "none" else rows.sum()


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
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    rule = torch.optim.AdamW(weights, lr=1e-4, weight_decay=0.0, foreach=True)
    criterion = RowMeans()
    common = {"noise_multiplier": 1e-15, "max_grad_norm": 1e5, "expected_batch_size": rows, "loss_reduction": "sum"}
    if side == "hooks":
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer

        net = GradSampleModule(net, loss_reduction="sum")
        rule = DPOptimizer(rule, **common)
    elif side == "ghost":
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizerFastGradientClipping
        from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

        net = GradSampleModuleFastGradientClipping(net, max_grad_norm=1e5, use_ghost_clipping=True, loss_reduction="sum")
        rule = DPOptimizerFastGradientClipping(rule, **common)
        criterion = DPLossFastGradientClipping(net, rule, criterion, loss_reduction="sum")
    print(json.dumps({"ready": side}), flush=True)
    for _ in sys.stdin:
        began = time.process_time()
        logits = net(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = criterion(logits, targets)
        loss.backward()
        if side == "plain":
            for weight in weights:
                weight.grad.div_(rows)
        rule.step()
        rule.zero_grad(set_to_none=True)
        seconds = time.process_time() - began
        told = float(loss.item()) / rows
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "noise": 0.0, "loss": told, "peak": peak}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
