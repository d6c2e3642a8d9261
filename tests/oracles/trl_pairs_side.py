"""TRL's trainers over compared or judged answers: the steps of its DPOTrainer and KTOTrainer, one batch of its CPO and ORPO losses.

Usage: python -I trl_pairs_side.py ORDER.json.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference


class Recorder:
    """Takes rows that are token ids already, and keeps every loss unrounded."""

    losses: list[float]

    def _prepare_dataset(self, dataset, *_, **__):
        return dataset

    def training_step(self, *arguments, **named):
        """Return the micro batch's share of the step's loss."""
        loss = super().training_step(*arguments, **named)
        self.losses.append(float(loss))
        return loss


class Pairs(Recorder, DPOTrainer):
    """Of two answers."""


class Judged(Recorder, KTOTrainer):
    """Of one."""


def lora_of(order):
    settings = order["settings"]
    return LoraConfig(r=settings["lora_rank"], lora_alpha=order["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")


def begin_from(model, path):
    wanted = load_file(path)
    found = {name.replace(".default.", "."): weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert found.keys() == wanted.keys(), sorted(found.keys() ^ wanted.keys())[:4]
    with torch.no_grad():
        for name, weight in found.items():
            weight.copy_(wanted[name])


def steps(order):
    """Return the losses of the steps of DPOTrainer, or of KTOTrainer."""
    settings = order["settings"]
    accumulate = settings["gradient_accumulation_steps"]
    is_judged = order["loss_type"] in ("kto", "apo_zero_unpaired")
    weights = (
        {"desirable_weight": settings["kto_chosen_weight"], "undesirable_weight": settings["kto_rejected_weight"]} if is_judged else {}
    )
    config = (KTOConfig if is_judged else DPOConfig)(
        output_dir=order["folder"],
        loss_type=order["loss_type"] if is_judged else [order["loss_type"]],
        beta=settings["pref_beta"],
        per_device_train_batch_size=settings["per_device_train_batch_size"],
        gradient_accumulation_steps=accumulate,
        max_steps=settings["max_steps"],
        learning_rate=settings["learning_rate"],
        lr_scheduler_type=settings["lr_scheduler_type"],
        max_grad_norm=settings["max_grad_norm"],
        max_length=settings["cutoff_len"],
        optim="adamw_torch",
        bf16=False,
        gradient_checkpointing=False,
        disable_dropout=True,
        remove_unused_columns=False,
        **weights,
        use_cpu=True,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
        train_sampling_strategy="sequential",
        dataloader_num_workers=0,
        disable_tqdm=True,
    )
    trainer = (Judged if is_judged else Pairs)(
        model=AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32),
        args=config,
        train_dataset=Dataset.from_list(order["rows"]),
        processing_class=AutoTokenizer.from_pretrained(order["model"]),
        peft_config=lora_of(order),
    )
    trainer.losses = []
    begin_from(trainer.model, order["adapter"])
    trainer.train()
    return [sum(trainer.losses[at : at + accumulate]) for at in range(0, len(trainer.losses), accumulate)]


def batch(order):
    """Return the loss of each pair by the trainers without a reference."""
    settings = order["settings"]
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32), lora_of(order)).eval()
    assert isinstance(model, PeftModel)
    begin_from(model, order["adapter"])
    made = DataCollatorForPreference(pad_token_id=2)(order["rows"])
    labels = made["input_ids"].masked_fill(made["completion_mask"] == 0, -100)
    with torch.no_grad():
        logits = model(input_ids=made["input_ids"], attention_mask=made["attention_mask"]).logits
    chosen, rejected = CPOTrainer.get_batch_logps(logits, labels, average_log_prob=True).chunk(2)
    itself = SimpleNamespace(
        beta=settings["pref_beta"],
        simpo_gamma=settings["simpo_gamma"],
        label_smoothing=0.0,
        alpha=0.0,
        loss_type="simpo",
        accelerator=SimpleNamespace(device="cpu"),
    )
    if order["loss_type"] == "simpo":
        return CPOTrainer.cpo_loss(itself, chosen, rejected)[0].tolist()
    # Of a question of one token, which nothing predicts, the whole row that TRL's supervised part counts is the answer.
    every = made["input_ids"].masked_fill(made["attention_mask"] == 0, -100)
    assert ((every == labels) | (torch.arange(every.shape[1]) == 0)).all()
    supervised = [
        float(torch.nn.functional.cross_entropy(logits[row, :-1], every[row, 1:], ignore_index=-100)) for row in range(len(order["rows"]))
    ]
    return [a - b for a, b in zip(supervised, ORPOTrainer.odds_ratio_loss(itself, chosen, rejected)[0].tolist(), strict=True)]


def main():
    assert importlib.util.find_spec("ringfence") is None
    order = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    found = (batch if order["loss_type"] in ("simpo", "orpo") else steps)(order)
    Path(order["out"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
