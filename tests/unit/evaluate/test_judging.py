"""A reward model as a judge: accuracy, margin and loss of pairs against sums made by hand, and what it cannot be asked."""

from __future__ import annotations

import math
import secrets

import pytest
import torch
from safetensors.torch import save

from ringfence.core.errors import NothingToEvaluate
from ringfence.core.records import Record
from ringfence.evaluate import job
from ringfence.evaluate.settings import EvalOrder, EvalSettings
from ringfence.models.chat import chat_of
from ringfence.models.load import Loaded, load
from ringfence.models.tiny import write_tiny_model
from ringfence.train import adapter
from ringfence.train.judge import Judge
from ringfence.train.method import METHODS
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.vault.files import write_files
from tests.unit.train.train_parts import Memory, Vault, child, pair

SETTINGS = TrainSettings(objective="rm.v1", lora_rank=2, cutoff_len=90, seed=3)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A model folder, a vault, a sealed reward model that says something, and the same, open."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("judging")
    model = write_tiny_model(folder / "model")
    base = load(model, dtype=torch.float32, device="cpu")
    method = METHODS.create("lora.v1", settings=SETTINGS)
    attached = method.attach(base.model)
    torch.manual_seed(4)
    with torch.no_grad():
        for weight in method.parameters().values():
            weight.copy_(torch.randn_like(weight) * 0.3)
    vault = Vault(folder / "vault")
    slot = vault.output("adapter")
    write_files(slot, vault.keys[slot.slot], {adapter.WEIGHTS: save(method.export(), metadata={"format": "pt"})})
    return model, vault, vault.as_input(slot), Loaded(attached, base.tokenizer)


def compared(number, unit):
    texts = (f"Patient {number}?", f"Rest {number * 7 % 10}.", f"Rest {(number * 7 + 4) % 10}.")
    return Record(secrets.token_hex(16), f"{unit:032x}", "test", "preference", ("user", "chosen", "rejected"), texts)


def evaluated(tuned, records):
    model, vault, slot, _ = tuned
    order = EvalOrder(asked=EvalSettings(), train=SETTINGS, hints=RuntimeHints(dtype="float32", micro_batch=3))
    inputs = {"rows": vault.write_set(records), "adapter": slot}
    return job.run(child(vault, Memory(vault), order, inputs=inputs, files={"model": str(model)}))


def test_accuracy_margin_and_loss_are_those_of_the_pairs_before_training_and_after(tuned):
    records = [compared(number, number // 2) for number in range(14)]
    found = evaluated(tuned, records)
    judge = Judge(tuned[3], most=90)
    chosen, rejected = ([judge.read(chat_of(("user", "assistant"), (one.texts[0], one.texts[at]))) for one in records] for at in (1, 2))

    def told(side):
        margins = (judge.rewards(chosen) - judge.rewards(rejected)).tolist()
        assert side("margin") == pytest.approx(sum(margins) / 14, rel=1e-4)
        assert side("accuracy") == pytest.approx(sum(one > 0 for one in margins) / 14, rel=1e-5)
        assert side("loss") == pytest.approx(sum(math.log1p(math.exp(-one)) for one in margins) / 14, rel=1e-4)
        return side("accuracy")

    tuned_share = told(lambda name: getattr(found, name).tuned.value)
    with tuned[3].model.disable_adapter():
        base_share = told(lambda name: getattr(found, name).base.value)
    assert {tuned_share, base_share}.isdisjoint({0.0, 1.0})
    assert tuned_share != base_share
    assert (found.rows, found.rows_scored, found.units_scored, found.rows_unasked) == (14, 14, 7, 0)
    assert (found.perplexity, found.rouge_l, found.exact_match, found.bleu) == (None, None, None, None)
    assert found.accuracy.tuned.lower < found.accuracy.tuned.value < found.accuracy.tuned.upper
    assert found.tokens_scored == sum(map(len, (*chosen, *rejected)))


def test_rows_without_two_answers_are_nothing_to_judge(tuned):
    with pytest.raises(NothingToEvaluate):
        evaluated(tuned, [pair("why?", "so")])
