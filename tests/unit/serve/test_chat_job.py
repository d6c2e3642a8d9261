"""The engine answers what it learned, in pieces, from a sealed adapter and from a bundle folder alike."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save

from ringfence.core.errors import AdapterUnexpected
from ringfence.core.records import Record
from ringfence.models.folder import check_folder
from ringfence.models.prelude import TEMPLATE
from ringfence.serve import job
from ringfence.serve.settings import END_OF_TURN, ChatSettings
from ringfence.train import adapter
from ringfence.train.settings import TrainSettings
from ringfence.vault.files import read_file, write_files
from tests.unit.serve.learned import by_heart
from tests.unit.train.train_parts import Memory, child, pair

SETTINGS = TrainSettings(max_steps=50, per_device_train_batch_size=2, learning_rate=1e-2, lora_rank=8)
ROWS = [pair("code?", "七 412 \x04!"), pair("name?", "Ada")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return by_heart(tmp_path_factory, ROWS, SETTINGS)


def talk(vault, folder, questions, *, settings=None, inputs=None, files=None):
    channel = Memory(vault, questions=questions)
    made = child(
        vault, channel, settings or ChatSettings(train=SETTINGS), inputs=inputs or {}, files={"model": str(folder), **(files or {})}
    )
    return job.run(made), channel.said


def test_a_sealed_adapter_answers_in_pieces_and_ends_each_turn_once(trained):
    folder, vault, slot = trained
    figures, said = talk(
        vault, folder, ["code?", "name?"], settings=ChatSettings(train=SETTINGS, keep_history=False), inputs={"adapter": slot}
    )
    assert "".join(said) == f"七 412 !{END_OF_TURN}Ada{END_OF_TURN}"
    assert len(said) > 4
    assert figures.turns == 2
    assert figures.tokens > 8


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A model that answers the same question by its system message: its folder, the vault, the sealed adapter."""
    rows = [
        Record(2 * f"{i}" * 16, "1" * 32, "test", "messages", ("system", "user", "assistant"), (system, "code?", answer))
        for i, (system, answer) in enumerate({"A.": "七", "B.": "412"}.items())
    ]
    return by_heart(tmp_path_factory, rows, SETTINGS.model_copy(update={"max_steps": 80}))


@pytest.mark.parametrize(("system", "answer"), [("A.", "七"), ("B.", "412")])
def test_a_conversation_without_a_system_message_has_that_of_the_run(told, tmp_path, system, answer):
    folder, vault, slot = told
    settings = SETTINGS.model_copy(update={"default_system": system})
    _, said = talk(vault, folder, ["code?"], settings=ChatSettings(train=settings), inputs={"adapter": slot})
    assert "".join(said) == f"{answer}{END_OF_TURN}"
    (tmp_path / adapter.WEIGHTS).write_bytes(read_file(slot, vault.keys[slot.slot], adapter.WEIGHTS))
    model = check_folder(folder)._replace(prelude=settings.prelude)
    (tmp_path / adapter.CONFIG).write_text(json.dumps(adapter.peft_config(settings, "tiny", adapter.predict(model, settings))))
    several = [{"name": name, "template": model.spoken_template()} for name in ("default", "tool_use")]
    for name, text in ((TEMPLATE, model.spoken_template()), ("tokenizer_config.json", json.dumps({"chat_template": several}))):
        (tmp_path / name).write_text(text)
        _, said = talk(vault, folder, ["code?"], settings=ChatSettings(), files={"bundle": str(tmp_path)})
        assert "".join(said) == f"{answer}{END_OF_TURN}"
        (tmp_path / name).unlink()


def test_a_bundle_folder_answers_alike(trained, tmp_path):
    folder, vault, slot = trained
    (tmp_path / adapter.WEIGHTS).write_bytes(read_file(slot, vault.keys[slot.slot], adapter.WEIGHTS))
    predicted = adapter.predict(check_folder(folder), SETTINGS)
    (tmp_path / adapter.CONFIG).write_text(json.dumps(adapter.peft_config(SETTINGS, "tiny", predicted)))
    _, said = talk(vault, folder, ["code?"], files={"bundle": str(tmp_path)})
    assert "".join(said) == f"七 412 !{END_OF_TURN}"


def test_the_base_model_answers_without_an_adapter_and_the_length_is_limited(trained):
    folder, vault, _ = trained
    figures, said = talk(vault, folder, ["code?"], settings=ChatSettings(max_new_tokens=3))
    assert figures.tokens <= 3
    assert said[-1] == END_OF_TURN


def test_a_seed_fixes_what_is_sampled(trained):
    folder, vault, slot = trained
    settings = ChatSettings(train=SETTINGS, temperature=1.5, max_new_tokens=12, seed=7)
    one, two = (talk(vault, folder, ["who?"], settings=settings, inputs={"adapter": slot})[1] for _ in range(2))
    assert one == two


def test_a_long_conversation_drops_its_oldest_turns(trained):
    folder, vault, slot = trained
    figures, _ = talk(vault, folder, ["x" * 150] * 5, settings=ChatSettings(train=SETTINGS, max_new_tokens=40), inputs={"adapter": slot})
    assert figures.turns == 5


def test_an_adapter_of_another_shape_is_refused(trained):
    folder, vault, _ = trained
    slot = vault.output("adapter")
    write_files(slot, vault.keys[slot.slot], {adapter.WEIGHTS: save({"x": torch.ones(2)})})
    with pytest.raises(AdapterUnexpected):
        talk(vault, folder, ["code?"], inputs={"adapter": vault.as_input(slot)})
