"""GGUF files of small models, read back by the format's own library and by transformers."""

import json

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from ringfence.core.errors import ModelUnsupported
from ringfence.formats.gguf_file import write_head
from ringfence.formats.job import _opened, _write
from ringfence.models.folder import PLAIN_TEMPLATE, check_folder
from ringfence.models.prelude import Prelude
from ringfence.models.tiny import tiny_config, tiny_tokenizer, write_tiny_model
from ringfence.release.formats import gguf_file
from tests.unit.models.test_prelude import with_several

WORDS = ("patient", "rest")
SHAPE = {
    "vocab_size": 256 + 3 + 9,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}


def written(model, folder, format_):
    """Write a model's weights as they are and return the file."""
    opened = AutoModelForCausalLM.from_pretrained(model)
    _write(format_, check_folder(model), opened.state_dict(), folder, name="tiny")
    return folder / gguf_file(format_)


def logits(model, tokenizer):
    ids = tokenizer("patient 7: 咳嗽 rest", return_tensors="pt").input_ids
    with torch.inference_mode():
        return ids, model(input_ids=ids).logits[0]


def family(kind, folder):
    """A model of each architecture that can be said in GGUF, with what sets it apart: biases, norms of queries, heads of another size."""
    if kind == "llama":
        return write_tiny_model(folder, words=WORDS)
    torch.manual_seed(0)
    model = {"qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)), "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE))}[kind]()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(".bias"):
                weight.normal_()
    model.save_pretrained(folder)
    tiny_tokenizer(WORDS).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_transformers_reads_the_same_model(tmp_path, kind):
    model = family(kind, tmp_path / "model")
    path = written(model, tmp_path, "gguf-f16")
    ids, told = logits(AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model))
    assert path.is_file()
    ids_again, told_again = logits(*_opened("gguf-f16", check_folder(model), tmp_path, device="cpu"))
    assert torch.equal(ids, ids_again)
    assert float((told - told_again).abs().max()) < 0.02 * float(told.abs().max())
    assert len(ids[0]) == len("patient 7: 咳嗽 rest".encode()) - 6 - 3  # both words are one token each


@pytest.mark.parametrize(("format_", "most"), [("gguf-f16", 1e-3), ("gguf-q8_0", 1e-2), ("gguf-q4_1", 0.1)])
def test_every_weight_is_there_as_exactly_as_its_bits_allow(tmp_path, format_, most):
    model = write_tiny_model(tmp_path / "model", words=WORDS)
    state = AutoModelForCausalLM.from_pretrained(model).state_dict()
    reader = gguf.GGUFReader(written(model, tmp_path, format_))
    found = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    assert len(found) == len(state) - 1  # the head is the embedding
    for ours, theirs in [
        ("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"),
        ("token_embd.weight", "model.embed_tokens.weight"),
    ]:
        wanted = state[theirs].numpy()
        assert 0 < np.linalg.norm(found[ours] - wanted) < most * np.linalg.norm(wanted)
    assert np.array_equal(found["output_norm.weight"], state["model.norm.weight"].numpy())


def test_the_head_follows_from_public_files_alone(tmp_path):
    model = write_tiny_model(tmp_path / "model", words=WORDS)
    (tmp_path / "a").mkdir()
    whole = written(model, tmp_path / "a", "gguf-q8_0").read_bytes()
    other = write_tiny_model(tmp_path / "other", seed=1, words=WORDS)
    planned = write_head(tmp_path / "head", check_folder(other), "gguf-q8_0", name="tiny")
    assert whole.startswith((tmp_path / "head").read_bytes())
    assert len(whole) == (tmp_path / "head").stat().st_size + sum(-(-one.size // 32) * 32 for one in planned)


def changed(folder, file, **changes):
    path = folder / file
    value = json.loads(path.read_text())
    value.update(changes)
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config.json", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}}, "llama3"),
        ("config.json", {"sliding_window": 64}, "sliding window"),
        ("config.json", {"model_type": "smollm3"}, "smollm3"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, "its own way"),
        ("tokenizer.json", {"model": {"type": "Unigram", "vocab": []}}, "byte-level"),
        ("tokenizer_config.json", {"eos_token": None}, "end token"),
    ],
)
def test_what_gguf_cannot_say_is_refused(tmp_path, file, changes, says):
    model = write_tiny_model(tmp_path / "model", words=WORDS)
    changed(model, file, **changes)
    with pytest.raises(ModelUnsupported, match=says):
        write_head(tmp_path / "head", check_folder(model), "gguf-f16", name="tiny")


def test_a_tokeniser_without_merges_is_refused(tmp_path):
    model = write_tiny_model(tmp_path / "model")
    with pytest.raises(ModelUnsupported, match="merges"):
        write_head(tmp_path / "head", check_folder(model), "gguf-f16", name="tiny")


@pytest.mark.parametrize(
    ("cut", "name"),
    [
        ({"type": "ByteLevel", "use_regex": True}, "gpt-2"),
        (
            {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": True}],
            },
            "smollm",
        ),
        (
            {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": {
                            "Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
                        },
                    },
                    {"type": "ByteLevel", "use_regex": False},
                ],
            },
            "qwen2",
        ),
    ],
)
def test_llama_cpp_is_told_how_words_are_cut(tmp_path, cut, name):
    model = write_tiny_model(tmp_path / "model", words=WORDS)
    changed(model, "tokenizer.json", pre_tokenizer=cut)
    write_head(tmp_path / "head", check_folder(model), "gguf-f16", name="tiny")
    data = (tmp_path / "head").read_bytes()
    at = data.index(b"tokenizer.ggml.pre") + len(b"tokenizer.ggml.pre") + 4
    size = int.from_bytes(data[at : at + 8], "little")
    assert data[at + 8 : at + 8 + size] == name.encode()


@pytest.mark.parametrize(("closing", "ends"), [(None, 0), (2, 2)])
def test_llama_cpp_is_told_of_the_token_that_closes_answers(tmp_path, closing, ends):
    model = write_tiny_model(tmp_path / "model", words=WORDS, end="<|endoftext|>")
    write_head(tmp_path / "head", check_folder(model)._replace(closing=closing), "gguf-f16", name="tiny")
    data = (tmp_path / "head").read_bytes()
    for key, wanted in ((b"tokenizer.ggml.eos_token_id", ends), (b"tokenizer.ggml.padding_token_id", 0)):
        at = data.index(key) + len(key) + 4
        assert int.from_bytes(data[at : at + 4], "little") == wanted


def test_a_tied_head_is_not_written_twice(tmp_path):
    torch.manual_seed(0)
    LlamaForCausalLM(tiny_config(tokens=268)).save_pretrained(tmp_path / "model")
    tiny_tokenizer(WORDS).save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = load_file(path)
    save_file(
        tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}, path, metadata={"format": "pt"}
    )  # as some exports do
    planned = write_head(tmp_path / "head", check_folder(tmp_path / "model"), "gguf-f16", name="tiny")
    assert "output.weight" not in {one.name for one in planned}


def test_tables_beside_the_weights_are_left_out(tmp_path):
    model = with_table(write_tiny_model(tmp_path / "model", words=WORDS))
    planned = write_head(tmp_path / "head", check_folder(model), "gguf-f16", name="tiny")
    assert not [one for one in planned if "rot" in one.name]
    opened = AutoModelForCausalLM.from_pretrained(model)
    _write("merged", check_folder(model), opened.state_dict(), tmp_path, name="tiny")
    assert load_file(tmp_path / "merged" / "model.safetensors").keys() == load_file(model / "model.safetensors").keys()


def with_table(model):
    """Put in what files of some older models hold."""
    path = model / "model.safetensors"
    save_file(load_file(path) | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}, path, metadata={"format": "pt"})
    return model


def test_a_model_without_a_template_gets_the_one_by_which_it_answers(tmp_path):
    model = write_tiny_model(tmp_path / "model", words=WORDS)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        path = model / name
        if name.endswith(".json"):
            told = json.loads(path.read_text())
            told.pop("chat_template", None)
            path.write_text(json.dumps(told))
        else:
            path.unlink(missing_ok=True)
    assert check_folder(model).chat_template() == ""
    reader = gguf.GGUFReader(written(model, tmp_path, "gguf-f16"))
    assert reader.fields["tokenizer.chat_template"].contents() == PLAIN_TEMPLATE
    opened = AutoModelForCausalLM.from_pretrained(model)
    _write("merged", check_folder(model), opened.state_dict(), tmp_path, name="tiny")
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template == PLAIN_TEMPLATE


def test_every_template_of_a_model_with_several_is_in_what_is_made_of_it(tmp_path):
    model = with_several(write_tiny_model(tmp_path / "model", words=WORDS))
    begun = check_folder(model)._replace(prelude=Prelude("Be brief."))
    opened = AutoModelForCausalLM.from_pretrained(model)
    for format_ in ("merged", "gguf-f16"):
        _write(format_, begun, opened.state_dict(), tmp_path, name="tiny")
    told = AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template
    assert told == begun.spoken_templates()
    assert told.keys() == {"default", "tool_use"}
    fields = gguf.GGUFReader(tmp_path / "gguf" / "model-f16.gguf").fields
    assert fields["tokenizer.chat_template"].contents() == told["default"]
    assert fields["tokenizer.chat_template.tool_use"].contents() == told["tool_use"]
    assert fields["tokenizer.chat_templates"].contents() == ["tool_use"]
