"""The child half on real sealed objects, in this process: what it counts, what it refuses before the model works, and both forms of an adapter."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save

from ringfence.core.errors import NothingToEvaluate
from ringfence.core.records import Record
from ringfence.evaluate import job, sides
from ringfence.evaluate.settings import EvalOrder, EvalSettings
from ringfence.models.folder import check_folder
from ringfence.models.load import load_model
from ringfence.models.tiny import write_tiny_model
from ringfence.train import adapter
from ringfence.train.method import METHODS
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.vault.files import write_files
from tests.unit.train.train_parts import Memory, Vault, child, pair

SETTINGS = TrainSettings(lora_rank=2, cutoff_len=60)
PLAIN = RuntimeHints(dtype="float32", micro_batch=3)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A model folder, a vault, a sealed adapter that changes what the model says, and the same as a bundle's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("eval")
    model = write_tiny_model(folder / "model")
    method = METHODS.create("lora.v1", settings=SETTINGS)
    method.attach(load_model(model, dtype=torch.float32, device="cpu"))
    torch.manual_seed(4)
    with torch.no_grad():
        for weight in method.parameters().values():
            weight.copy_(torch.randn_like(weight) * 0.3)
    weights = save(method.export(), metadata={"format": "pt"})
    vault = Vault(folder / "vault")
    slot = vault.output("adapter")
    write_files(slot, vault.keys[slot.slot], {adapter.WEIGHTS: weights})
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / adapter.WEIGHTS).write_bytes(weights)
    predicted = adapter.predict(check_folder(model), SETTINGS)
    (bundle / adapter.CONFIG).write_text(json.dumps(adapter.peft_config(SETTINGS, "tiny", predicted)))
    return model, vault, vault.as_input(slot), bundle


def evaluated(tuned, records, *, bundle=False, train=SETTINGS, **asked):
    model, vault, slot, folder = tuned
    channel = Memory(vault)
    inputs = {"rows": vault.write_set(records)} | ({} if bundle else {"adapter": slot})
    files = {"model": str(model)} | ({"bundle": str(folder)} if bundle else {})
    order = EvalOrder(asked=EvalSettings(**{"max_new_tokens": 4} | asked), train=train, hints=PLAIN)
    return job.run(child(vault, channel, order, inputs=inputs, files=files)), channel


def rows(count):
    return [pair(f"number {i}?", f"{i * 37 % 101}") for i in range(count)]


def test_rows_without_a_system_message_are_evaluated_under_that_of_the_run(tuned):
    def under(system):
        return [Record("0" * 32, "0" * 32, "test", "messages", ("system", "user", "assistant"), (system, "number 3?", "10"))]

    told = SETTINGS.model_copy(update={"default_system": "Be brief."})
    found, _ = evaluated(tuned, [pair("number 3?", "10")], train=told, generates=False)
    assert found.loss.tuned.value == evaluated(tuned, under("Be brief."), generates=False)[0].loss.tuned.value
    assert found.loss.tuned.value != evaluated(tuned, under("Be long."), generates=False)[0].loss.tuned.value


def test_it_counts_what_it_read_and_says_how_far_it_is(tuned):
    text = Record("a" * 32, "b" * 32, "test", "text", ("text",), ("No question.",))
    long = pair(
        "why? " * 90, "never read"
    )  # no token of its answer is within cutoff_len, nor is there room for another in the model's window of 512
    cut = pair("why?", "because " * 20)
    found, channel = evaluated(tuned, [*rows(5), text, long, cut])
    assert (found.rows, found.rows_scored, found.units_scored, found.rows_cut) == (8, 7, 7, 2)
    assert (found.rows_answered, found.units_answered, found.rows_unasked) == (7, 7, 1)
    assert found.bleu_tokens == "13a"
    assert found.rouge_l.tuned.upper is not None
    assert found.loss.base != found.loss.tuned
    assert [(frame.phase, frame.done) for frame in channel.frames if frame.done and frame.done == frame.total] == [
        ("evaluate", 7),
        ("answer", 7),
    ]
    assert found.seconds > found.seconds_loss > 0


def test_a_bundles_folder_says_what_the_sealed_adapter_says(tuned):
    records = rows(6)
    sealed, released = (evaluated(tuned, records, bundle=bundle)[0] for bundle in (False, True))
    times = dict.fromkeys(("seconds", "seconds_loss", "seconds_answers", "peak_memory"), 0)
    assert sealed.model_copy(update=times) == released.model_copy(update=times)


def test_without_answers_there_are_two_figures_and_of_the_first_rows_alone_where_asked(tuned):
    found, channel = evaluated(tuned, rows(6), generates=False, max_samples=4)
    assert (found.rows, found.rows_scored, found.rows_answered, found.bleu, found.exact_match) == (4, 4, 0, None, None)
    assert "answer" not in {frame.phase for frame in channel.frames}


def test_rows_of_one_person_have_no_interval(tuned):
    records = [Record(f"{n:032x}", "f" * 32, "test", "pair", ("user", "assistant"), (f"{n}?", "yes")) for n in range(4)]
    found, _ = evaluated(tuned, records)
    assert (found.units_scored, found.loss.base.lower, found.bleu.difference.upper) == (1, None, None)


@pytest.mark.parametrize(
    ("records", "asked"),
    [
        ([pair("why? " * 30, "never read")], {"generates": False}),
        ([Record("a" * 32, "b" * 32, "test", "feedback", ("user", "disliked"), ("why?", "no"))], {}),
        ([pair("short?", "yes")], {"max_new_tokens": 490}),
    ],
    ids=["nothing within cutoff_len", "no good answer", "no room for an answer"],
)
def test_what_cannot_be_evaluated_is_refused_before_the_model_works(tuned, monkeypatch, records, asked):
    def works(*_, **__):
        raise AssertionError("the model works")

    monkeypatch.setattr(sides, "losses_of", works)
    with pytest.raises(NothingToEvaluate) as refused:
        evaluated(tuned, records, **asked)
    assert refused.value.facts == {"rows": 1, "most": asked.get("max_new_tokens", 4)}
