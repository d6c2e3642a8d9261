"""TRL makes the steps of a run and writes their losses, or those of one batch. Usage: python -I trl_side.py ORDER.json; no ringfence in sight.

Rows are token ids already, but for what SFTTrainer does with them itself. "loss_type" chooses the trainer; CPO's and ORPO's losses are those of one batch,
as their trainers would tokenise anew.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference


class Recorder:
    """Keeps every loss unrounded: the log rounds."""

    losses: list[float]

    def training_step(self, *arguments, **named):
        """Return the micro batch's share of the step's loss."""
        loss = super().training_step(*arguments, **named)
        self.losses.append(float(loss))
        return loss


class Tokenised:
    """Takes rows as they are."""

    def _prepare_dataset(self, dataset, *_, **__):
        return dataset


class Supervised(Recorder, SFTTrainer):
    """Of answers."""


class Pairs(Recorder, Tokenised, DPOTrainer):
    """Of two compared answers."""


class Rewarded(Recorder, RewardTrainer):
    """Of two compared answers, scored: its own preparation leaves rows of token ids as they are."""


class Judged(Recorder, Tokenised, KTOTrainer):
    """Of one judged answer."""


def kind_of(order):
    """Return a trainer, its configuration, and what else is configured."""
    settings, loss_type = order["settings"], order["loss_type"]
    both = {"beta": settings["pref_beta"], "disable_dropout": True, "remove_unused_columns": False}
    weights = {"desirable_weight": settings["kto_chosen_weight"], "undesirable_weight": settings["kto_rejected_weight"]}
    if loss_type == "sft":
        return Supervised, SFTConfig, {"completion_only_loss": True}
    if loss_type in ("kto", "apo_zero_unpaired"):
        return Judged, KTOConfig, {**both, **weights, "loss_type": loss_type}
    if loss_type == "rm":
        return Rewarded, RewardConfig, {"disable_dropout": True, "remove_unused_columns": False}
    return Pairs, DPOConfig, {**both, "loss_type": [loss_type]}


def model_of(order):
    if order["loss_type"] == "rm":
        return AutoModelForSequenceClassification.from_pretrained(order["model"], num_labels=1, dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32)


def lora_of(order):
    """Return what is trained beside the base; None where the base's own weights are."""
    if order["settings"]["method"] == "full.v1":
        return None
    kind = {"task_type": "CAUSAL_LM"}
    if order["loss_type"] == "rm":
        kind = {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    return LoraConfig(r=order["settings"]["lora_rank"], lora_alpha=order["alpha"], target_modules="all-linear", **kind)


def trainer_of(order):
    settings = order["settings"]
    trainer, configured, more = kind_of(order)
    config = configured(
        output_dir=order["folder"],
        per_device_train_batch_size=settings["per_device_train_batch_size"],
        gradient_accumulation_steps=settings["gradient_accumulation_steps"],
        max_steps=settings["max_steps"],
        learning_rate=settings["learning_rate"],
        lr_scheduler_type=settings["lr_scheduler_type"],
        warmup_steps=order["warmup_steps"],
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        max_length=settings["cutoff_len"],
        optim="adamw_torch",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
        train_sampling_strategy="sequential",
        dataloader_num_workers=0,
        disable_tqdm=True,
        **more,
    )
    tokenizer = AutoTokenizer.from_pretrained(order["model"])
    rows = Dataset.from_list(order["rows"])
    return trainer(model=model_of(order), args=config, train_dataset=rows, processing_class=tokenizer, peft_config=lora_of(order))


def begin_from(model, path):
    """Put in the initial weights; the names must be those that peft itself gives to all linear layers, or transformers to its own."""
    wanted = load_file(path)
    found = {
        name.replace(".modules_to_save.default.", ".").replace(".default.", "."): weight
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }
    assert found.keys() == wanted.keys(), sorted(found.keys() ^ wanted.keys())[:4]
    with torch.no_grad():
        for name, weight in found.items():
            weight.copy_(wanted[name])


def steps(order):
    """Return the loss of each step, and what the trainer logged."""
    trainer = trainer_of(order)
    trainer.losses = []
    begin_from(trainer.model, order["adapter"])
    trainer.train()
    many = order["settings"]["gradient_accumulation_steps"]
    losses = [sum(trainer.losses[at : at + many]) for at in range(0, len(trainer.losses), many)]
    return {"losses": losses, "logged": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]}


def batch(order):
    """Return the loss of each pair by the trainers without a reference."""
    settings = order["settings"]
    model = get_peft_model(model_of(order), lora_of(order)).eval()
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
        return {"losses": CPOTrainer.cpo_loss(itself, chosen, rejected)[0].tolist()}
    # Of a question of one token, which nothing predicts, the whole row that TRL's supervised part counts is the answer.
    every = made["input_ids"].masked_fill(made["attention_mask"] == 0, -100)
    assert ((every == labels) | (torch.arange(every.shape[1]) == 0)).all()
    supervised = [
        float(torch.nn.functional.cross_entropy(logits[row, :-1], every[row, 1:], ignore_index=-100)) for row in range(len(order["rows"]))
    ]
    ratios = ORPOTrainer.odds_ratio_loss(itself, chosen, rejected)[0].tolist()
    return {"losses": [a - b for a, b in zip(supervised, ratios, strict=True)]}


def main():
    assert importlib.util.find_spec("ringfence") is None
    order = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    found = (batch if order["loss_type"] in ("simpo", "orpo") else steps)(order)
    Path(order["out"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
