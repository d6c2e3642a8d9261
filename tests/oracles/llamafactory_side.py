"""LLaMA-Factory loads sets and writes their rows as token ids. Usage: python -I llamafactory_side.py ORDER.json; no ringfence in sight."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

os.environ["DISABLE_VERSION_CHECK"] = "1"  # it asks for an older transformers and trl
sys.modules["torchaudio"] = ModuleType("torchaudio")  # imported for sound, which no set here has
sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)

from llamafactory.data.loader import get_dataset  # noqa: E402
from llamafactory.data.template import get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import get_train_args  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

SEQUENCES = {"pt": ("",), "sft": ("",), "kto": ("",), "rm": ("chosen_", "rejected_")}  # by stage: how its columns begin


def rows_of(order, name, stage, template):
    """Return the rows of a set: each its sequences, as ids and which of them are learned, and whether people liked it."""
    given = {
        "stage": stage,
        "do_train": True,
        "model_name_or_path": order["model"],
        "dataset": name,
        "dataset_dir": order["dataset_dir"],
        "template": template,
        "cutoff_len": 1 << 20,
        "output_dir": order["folder"],
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "packing": False,  # else it packs the rows of stage "pt"
    }
    model, data, training, *_ = get_train_args(given)
    tokenizer = AutoTokenizer.from_pretrained(order["model"])
    spoken = get_template_and_fix_tokenizer(tokenizer, data)
    found = get_dataset(spoken, model, data, training, stage=stage, tokenizer=tokenizer)["train_dataset"]
    return [
        {
            "sequences": [
                [row[f"{which}input_ids"], [label != -100 for label in row.get(f"{which}labels", row[f"{which}input_ids"])]]
                for which in SEQUENCES[stage]
            ],
            "liked": row.get("kto_tags", True),
        }
        for row in found
    ]


def main():
    assert importlib.util.find_spec("ringfence") is None
    order = json.loads(Path(sys.argv[1]).read_text())
    found = {name: rows_of(order, name, stage, template) for name, (stage, template) in order["sets"].items()}
    Path(order["out"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
