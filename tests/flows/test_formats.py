"""A release with every format: what stock tools load answers like the adapter, and nothing in it can be altered."""

import json
import shutil

import pytest
import torch
import yaml

from ringfence.cli.main import run
from ringfence.core.errors import BundleBroken, FormatUnfaithful, ModelUnknown
from ringfence.flows import chat as chat_flow
from ringfence.flows.chat import chat
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.train import train
from ringfence.formats.parity import PROMPTS
from ringfence.models.store import find, register
from ringfence.models.tiny import write_tiny_model
from ringfence.recipe.read import read
from ringfence.release.formats import FORMATS
from ringfence.release.verify import verify_bundle
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, RECIPE, anything_goes, import_notes

ASKED = PROMPTS[:3]


@pytest.fixture(scope="module")
def formed(tmp_path_factory, model_store):
    """A workspace whose run was released, with other formats beside the adapter: (workspace, run, what release returned)."""
    folder = tmp_path_factory.mktemp("formed")
    register(write_tiny_model(folder / "model", words=("patient", "rest")), "tiny-words")  # a tokeniser with merges, as every real one has
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    set_policy(space, anything_goes())
    import_notes(space, folder)
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump(RECIPE | {"model_name_or_path": "tiny-words", "learning_rate": 1e-2, "default_system": "Be brief."})
    )
    run_id = train(space, read(folder / "recipe.yaml")).committed.run
    return space, run_id, release(space, run_id, name="门诊", formats=FORMATS[:2])


@pytest.mark.full
def test_what_is_made_of_a_base_model_ends_answers_where_they_were_learned_to_end(tmp_path, model_store):
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    register(write_tiny_model(tmp_path / "model", words=("patient", "rest"), end="<|endoftext|>"), "tiny-base")
    space = init(tmp_path / "ws", Passphrase(PASSPHRASE.encode()))
    set_policy(space, anything_goes())
    import_notes(space, tmp_path)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | {"model_name_or_path": "tiny-base"}))
    run_id = train(space, read(tmp_path / "recipe.yaml")).committed.run
    bundle = release(space, run_id, name="clinic", formats=FORMATS[:2]).path
    verify_bundle(bundle, space.public)
    for one in (bundle, bundle / "merged"):
        assert AutoTokenizer.from_pretrained(one).eos_token == "<|im_end|>"
        assert GenerationConfig.from_pretrained(one).eos_token_id == [2, 0]
    assert AutoModelForCausalLM.from_pretrained(bundle / "merged").generation_config.eos_token_id == [2, 0]
    assert AutoTokenizer.from_pretrained(bundle / "gguf", gguf_file="model-f16.gguf").eos_token == "<|im_end|>"
    assert "--generation-config clinic`" in (bundle / "README.md").read_text(encoding="utf-8")


def adapter_logits(bundle):
    """Return what stock transformers and peft say to the prompts: the ids of each, and its logits."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(find("tiny-words").path)
    model, tokenizer = PeftModel.from_pretrained(base, bundle), AutoTokenizer.from_pretrained(bundle)
    return logits_of(model, tokenizer)


def logits_of(model, tokenizer):
    found = []
    for prompt in ASKED:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.inference_mode():
            found.append((ids, model(input_ids=ids).logits[0]))
    return found


def furthest(one, other):
    assert all(torch.equal(a[0], b[0]) for a, b in zip(one, other, strict=True))
    return max(float((a[1] - b[1]).abs().max()) for a, b in zip(one, other, strict=True))


def test_the_merged_folder_answers_like_the_adapter(formed):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = formed[2].path / "merged"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    told = adapter_logits(formed[2].path)
    assert furthest(logits_of(model, tokenizer), told) < 1e-4
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(formed[2].path).chat_template  # it travels
    question = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    assert "system\nBe brief.<|im_end|>" in question
    base = AutoModelForCausalLM.from_pretrained(find("tiny-words").path)
    assert furthest(logits_of(base, tokenizer), told) > 1e-3  # what was learned is in it


def test_a_gguf_file_is_read_by_its_own_library_and_answers_like_the_adapter(formed):
    import gguf

    path = formed[2].path / "gguf" / "model-f16.gguf"
    reader = gguf.GGUFReader(path)
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert types["blk.1.ffn_up.weight"] == "F16"
    assert types["output_norm.weight"] == "F32"
    assert reader.fields["general.name"].contents() == "门诊"
    assert "Be brief." in reader.fields["tokenizer.chat_template"].contents()
    assert 0 < furthest(logits_of(*opened_gguf(path)), adapter_logits(formed[2].path)) < 5e-2


def opened_gguf(path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def test_the_bundle_says_how_each_format_compares(formed, capsys):
    space, _, made = formed
    assert [one.format for one in made.parity] == ["merged", "gguf-f16"]
    assert all(one.tokens > len(PROMPTS) and one.same_ids for one in made.parity)
    statement = verify_bundle(made.path, space.public).chain[-1]
    assert [one["same"] for one in statement.predicate.figures["formats"]] == [one.same for one in made.parity]
    assert statement.predicate.sandbox.self_test is not None
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert "| gguf-f16 | `gguf/model-f16.gguf` |" in card
    assert "| merged | `merged/` |" in card
    assert "--max-lora-rank 8" in card
    assert not list(space.path.glob("vault/incoming/*"))


def test_a_dry_run_says_what_the_formats_will_take_on_the_disk(formed, cli, tmp_path, capsys):
    space, run_id, made = formed
    command = ("release", run_id, "--name", "门诊", "--dry-run", "--format", "merged", "--format", "gguf-f16")
    code, told = cli(*command, workspace=space.path)
    foretold = told["bytes"]
    assert code == 0
    assert foretold["gguf-f16"] == (made.path / "gguf" / "model-f16.gguf").stat().st_size
    assert foretold["merged"] == pytest.approx(sum(one.stat().st_size for one in (made.path / "merged").iterdir()), rel=0.001)
    assert run(["-w", str(space.path), "--passphrase-file", str(tmp_path / "passphrase"), *command]) == 0
    said = capsys.readouterr().out
    assert [f"  {name} takes {size / 2**20:.1f} MiB on the disk" in said for name, size in foretold.items()] == [True, True]
    assert f"  together {sum(foretold.values()) / 2**20:.1f} MiB" in said


def altered(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("path", ["merged/model.safetensors", "gguf/model-f16.gguf", "merged/config.json"])
def test_one_altered_byte_is_named(formed, tmp_path, path):
    space, _, made = formed
    copy = tmp_path / "门诊"
    shutil.copytree(made.path, copy)
    altered(copy / path)
    with pytest.raises(BundleBroken, match=path):
        verify_bundle(copy, space.public)


def test_a_file_beside_the_formats_is_refused(formed, tmp_path):
    space, _, made = formed
    copy = tmp_path / "门诊"
    shutil.copytree(made.path, copy)
    (copy / "gguf" / "notes.txt").write_text("x")
    with pytest.raises(BundleBroken, match=r"gguf/notes\.txt"):
        verify_bundle(copy, space.public)


def test_a_format_that_answers_otherwise_stops_the_release(formed):
    space, run_id, _ = formed
    with pytest.raises(FormatUnfaithful, match="gguf-q4_1"):  # four bits are too few for weights as random as these
        release(space, run_id, name="poor", formats=("merged", "gguf-q4_1"))
    assert [path.name for path in (space.path / "releases").iterdir()] == ["门诊"]
    assert not list(space.path.glob("vault/incoming/*"))
    assert list(space.state.runs.values())[-1].code == "RF-RELEASE-007"


def test_an_unknown_format_is_a_usage_error(formed, capsys):
    space, run_id, _ = formed
    code = run(["-w", str(space.path), "--json", "release", run_id, "--name", "x", "--format", "gptq"])
    assert code == 2
    assert "gguf-q8_0" in json.loads(capsys.readouterr().out)["error"]["message"]


# ── a run that trains the base's own weights ──────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def whole(formed, tmp_path_factory):
    """A run of full fine-tuning in the same workspace, released: (workspace, run, what release returned)."""
    space = formed[0]
    recipe = {key: value for key, value in RECIPE.items() if not key.startswith("lora_")}
    path = tmp_path_factory.mktemp("whole") / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe | {"model_name_or_path": "tiny-words", "finetuning_type": "full", "max_steps": 60}))
    run_id = train(space, read(path)).committed.run
    return space, run_id, release(space, run_id, name="whole")


@pytest.mark.full
def test_a_model_leaves_instead_of_an_adapter(whole):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    space, _, made = whole
    names = {path.name for path in made.path.iterdir()}
    assert "merged" in names
    assert not names & {"adapter_model.safetensors", "adapter_config.json"}
    assert [(one.format, one.is_faithful) for one in made.parity] == [("merged", True)]
    report = verify_bundle(made.path, space.public)
    assert report.chain[-1].subjects[0].name == "merged/model.safetensors"
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert "library_name: transformers" in card
    assert "A fine-tuned copy of" in card
    assert "LoRA" not in card
    model, tokenizer = AutoModelForCausalLM.from_pretrained(made.path / "merged"), AutoTokenizer.from_pretrained(made.path / "merged")
    base = AutoModelForCausalLM.from_pretrained(find("tiny-words").path)
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, base.state_dict()[name])}
    assert moved == {name for name, _ in base.named_parameters()}  # the embedding and the norms, too
    assert furthest(logits_of(model, tokenizer), logits_of(base, tokenizer)) > 0.1


@pytest.mark.full
def test_run_and_bundle_answer_alike(whole):
    space, run_id, made = whole
    asked = "Patient 3: cough for 4 days, mail p3@clinic.internal, 手机13800138003"

    def said(speaker):
        questions, pieces = iter([asked, None]), []
        chat(speaker, hear=lambda: next(questions), say=lambda piece, **_: pieces.append(piece), max_new_tokens=24)
        return "".join(pieces)

    of_run = said(chat_flow.from_workspace(space, run_id))
    assert "case" in of_run  # learned from the rows
    assert said(chat_flow.from_bundle(made.path, space.public)) == of_run


@pytest.mark.full
def test_what_the_policy_says_of_a_model_needs_no_base(whole, tmp_path, monkeypatch):
    space, run_id, _ = whole
    known = judge(space, run_id)
    assert known.sizes["merged"] > 0
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path))
    told = judge(space, run_id)
    assert (told.verdicts, told.sizes) == (known.verdicts, {})
    with pytest.raises(ModelUnknown):
        judge(space, run_id, formats=("gguf-f16",))


@pytest.mark.full
def test_a_bundle_of_the_other_kind_is_refused(whole, formed, tmp_path):
    space, _, made = whole
    copy = tmp_path / "whole"
    shutil.copytree(made.path, copy)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copy(formed[2].path / name, copy / name)
    with pytest.raises(BundleBroken, match="adapter_"):
        verify_bundle(copy, space.public)
