"""A base model whose turns end otherwise than its texts do: what it learned to say ends where it was learned to end, whoever asks."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ringfence.core.errors import ModelUnsupported
from ringfence.core.records import Record
from ringfence.evaluate.rows import read
from ringfence.evaluate.sides import Sides
from ringfence.formats.parity import answers
from ringfence.models.folder import check_folder
from ringfence.models.load import Loaded, ends_of, load, load_tokenizer
from ringfence.serve.decode import Round, Voice
from ringfence.serve.wire import Ask, Orders, Turn
from ringfence.train.adapter import WEIGHTS
from ringfence.train.data import encode
from ringfence.train.restore import with_sealed
from ringfence.train.settings import TrainSettings
from ringfence.vault.files import read_file
from tests.unit.serve.learned import by_heart
from tests.unit.train.train_parts import pair

SETTINGS = TrainSettings(max_steps=30, per_device_train_batch_size=2, learning_rate=1e-2, lora_rank=8)
ROWS = [pair("code?", "七 412"), pair("name?", "Ada")]
TEXT_END, CLOSING = 0, 2  # <|endoftext|>, <|im_end|>


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return by_heart(tmp_path_factory, ROWS, SETTINGS, end="<|endoftext|>")


@pytest.fixture
def loaded(trained):
    folder, vault, slot = trained
    base = load(folder, dtype=torch.float32, device="cpu")
    return with_sealed(base, SETTINGS, read_file(slot, vault.keys[slot.slot], WEIGHTS))


def said(loaded, **asked):
    served, texts = Round([Voice(loaded)]), []
    pieces = served.turn(Orders(ask=Ask(id=0, max_tokens=40, temperature=0, **asked)))
    while True:
        texts += [one.text for one in pieces]
        if (finish := next((one.finish for one in pieces if one.finish), None)) is not None:
            return "".join(texts), finish
        pieces = served.turn(Orders())


@pytest.mark.parametrize("row", ROWS)
def test_an_answer_stops_where_its_turn_is_closed(loaded, row):
    question, answer = row.texts
    assert said(loaded, messages=(Turn(role="user", content=question),)) == (answer, "stop")


def test_an_evaluation_reads_the_answer_and_no_turn_after_it(loaded):
    questions = read(ROWS, loaded.tokenizer, SETTINGS).questions
    _, tuned = Sides(loaded, batch=2, head_chunk=16).answers(questions, most=40)
    assert tuned.texts == [row.texts[1] for row in ROWS]
    assert tuned.unended == 0


def test_formats_are_compared_on_answers_that_end_there(loaded):
    found = answers(loaded)
    assert any(CLOSING in one.answer for one in found)
    assert all(CLOSING not in one.answer[:-1] for one in found)


def test_a_text_that_is_no_conversation_ends_as_the_base_model_ends_its_own(loaded):
    row = Record("0" * 32, "1" * 32, "test", "text", ("text",), ("A page.",))
    assert encode(row, loaded.tokenizer, SETTINGS).ids[-1] == TEXT_END


@pytest.mark.parametrize(("named", "ends"), [(None, [0, 2]), (5, [0, 2, 5]), ([5, 7, 2], [0, 2, 5, 7])])
def test_the_tokens_that_a_models_own_file_names_end_an_answer_too(trained, tmp_path, named, ends):
    folder = shutil.copytree(trained[0], tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": named}))
    base = load(folder, dtype=torch.float32, device="cpu")
    assert ends_of(Loaded(base.model, base.tokenizer)) == ends


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("generation", [False, True])
def test_stock_tools_end_at_the_token_that_the_files_of_a_release_name(trained, tmp_path, special, generation):
    folder = shutil.copytree(trained[0], tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["pad_token"]
    if special:
        told = {"content": config.pop("eos_token"), "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": told}))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if generation:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 5], "top_k": 3}))
    else:
        (folder / "generation_config.json").unlink(missing_ok=True)
    files = check_folder(folder)._replace(closing=CLOSING).written_files()
    assert files.keys() == {"tokenizer_config.json", "generation_config.json", *(["special_tokens_map.json"] if special else [])}
    before = load_tokenizer(folder)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    for made in (before, AutoTokenizer.from_pretrained(folder)):
        assert (made.eos_token, made.pad_token) == ("<|im_end|>", "<|endoftext|>")
    ends = AutoModelForCausalLM.from_pretrained(folder).generation_config
    assert (ends.eos_token_id, ends.top_k) == (([CLOSING, 0, 5], 3) if generation else ([CLOSING, TEXT_END], ends.top_k))
    assert check_folder(folder).written_files() == {}


def test_no_token_that_is_none_of_the_tokenisers_special_ones_is_written(trained):
    with pytest.raises(ModelUnsupported, match="no special token 65"):
        check_folder(trained[0])._replace(closing=65).written_files()


def test_an_answer_ends_at_each_of_them(loaded):
    (token,) = loaded.tokenizer("d").input_ids
    loaded.model.generation_config.eos_token_id = [token]
    assert said(loaded, messages=(Turn(role="user", content="name?"),)) == ("A", "stop")
    assert all(token not in one.answer[:-1] for one in answers(loaded))
    _, tuned = Sides(loaded, batch=2, head_chunk=16).answers(read(ROWS, loaded.tokenizer, SETTINGS).questions, most=2)
    assert tuned.unended == 1  # "Ad" ended with the last token that it could have
