"""Stock transformers and peft open a bundle and write its logits. Usage: python -I peft_side.py ORDER.json; no ringfence in sight."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    assert importlib.util.find_spec("ringfence") is None
    order = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(order["bundle"])
    model = AutoModelForCausalLM.from_pretrained(order["base"], dtype=torch.float32).eval()
    found = {}
    for i, prompt in enumerate(order["prompts"]):
        chat = [{"role": "user", "content": prompt}]
        found[f"ids/{i}"] = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)[
            "input_ids"
        ]
    with torch.no_grad():
        found |= {f"base/{i}": model(found[f"ids/{i}"]).logits for i in range(len(order["prompts"]))}
        adapted = PeftModel.from_pretrained(model, order["bundle"]).eval()
        found |= {f"adapted/{i}": adapted(found[f"ids/{i}"]).logits for i in range(len(order["prompts"]))}
    save_file({name: tensor.contiguous() for name, tensor in found.items()}, order["out"])


if __name__ == "__main__":
    main()
