"""TRL's SFTTrainer makes the steps of a run and writes their losses. Usage: python -I trl_side.py ORDER.json; no ringfence in sight."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


class Recorder(SFTTrainer):
    """Keeps every loss unrounded: the log rounds."""

    losses: list[float]

    def training_step(self, *arguments, **named):
        """Return the micro batch's share of the step's loss."""
        loss = super().training_step(*arguments, **named)
        self.losses.append(float(loss))
        return loss


def trainer_of(order):
    settings = order["settings"]
    accumulate = settings["gradient_accumulation_steps"]
    config = SFTConfig(
        output_dir=order["folder"],
        per_device_train_batch_size=settings["per_device_train_batch_size"],
        gradient_accumulation_steps=accumulate,
        max_steps=settings["max_steps"],
        learning_rate=settings["learning_rate"],
        lr_scheduler_type=settings["lr_scheduler_type"],
        warmup_steps=order["warmup_steps"],
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        max_length=settings["cutoff_len"],
        optim="adamw_torch",
        completion_only_loss=True,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
        train_sampling_strategy="sequential",
        dataloader_num_workers=0,
        disable_tqdm=True,
    )
    lora = LoraConfig(r=settings["lora_rank"], lora_alpha=order["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")
    return Recorder(
        model=AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32),
        args=config,
        train_dataset=Dataset.from_list(order["rows"]),
        processing_class=AutoTokenizer.from_pretrained(order["model"]),
        peft_config=lora,
    )


def begin_from(model, path):
    """Put in the initial weights; the names must be those that peft itself gives to all linear layers."""
    wanted = load_file(path)
    found = {name.replace(".default.", "."): weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert found.keys() == wanted.keys(), sorted(found.keys() ^ wanted.keys())[:4]
    with torch.no_grad():
        for name, weight in found.items():
            weight.copy_(wanted[name])


def main():
    assert importlib.util.find_spec("ringfence") is None
    order = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    trainer = trainer_of(order)
    trainer.losses = []
    begin_from(trainer.model, order["adapter"])
    trainer.train()
    many = order["settings"]["gradient_accumulation_steps"]
    losses = [sum(trainer.losses[at : at + many]) for at in range(0, len(trainer.losses), many)]
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    Path(order["out"]).write_text(json.dumps({"losses": losses, "logged": logged}))


if __name__ == "__main__":
    main()
