"""A run beside a quantised base: whoever meets its adapter meets it on that base, in the sandbox, up to the bundle and what is made of it."""

from __future__ import annotations

import pytest
import yaml

from ringfence.core.errors import LowMemoryMissing
from ringfence.flows import audit as audit_flow
from ringfence.flows import chat as chat_flow
from ringfence.flows import eval as eval_flow
from ringfence.flows import extras
from ringfence.flows import train as train_flow
from ringfence.flows.audit import audit
from ringfence.flows.chat import chat
from ringfence.flows.eval import evaluate
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.release import release
from ringfence.flows.train import price, train
from ringfence.models.settings import Quantisation
from ringfence.models.store import find, register
from ringfence.models.tiny import write_tiny_model
from ringfence.recipe.read import read
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, RECIPE, anything_goes, import_notes

QLORA = RECIPE | {
    "model_name_or_path": "tiny-words",
    "learning_rate": 1e-2,
    "quantization_bit": 4,
    "quantization_method": "bnb",
}
CANARIES = {"audit": {"secrets": 6, "in_out": 4, "exceed_cap": True}}


@pytest.fixture(scope="module")
def quantised(tmp_path_factory, model_store):
    """A workspace with a run of QLoRA, released with its merged weights: (workspace, run, what release returned, the recipe)."""
    folder = tmp_path_factory.mktemp("quantised")
    register(write_tiny_model(folder / "model", words=("patient", "rest")), "tiny-words")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    set_policy(space, anything_goes())
    import_notes(space, folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(QLORA))
    run_id = train(space, read(folder / "recipe.yaml")).committed.run
    return space, run_id, release(space, run_id, name="q", formats=("merged",)), folder / "recipe.yaml"


def with_stock_libraries(bundle, **held):
    """Return the logits [tokens, vocabulary] that stock transformers and peft give a prompt, beside a base held as asked. No gradient is wanted, so bitsandbytes packs."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    path = find("tiny-words").path
    config = {"quantization_config": BitsAndBytesConfig(**held), "device_map": {"": "cpu"}} if held else {}
    model = AutoModelForCausalLM.from_pretrained(path, **config)
    ids = AutoTokenizer.from_pretrained(path)("patient: rest?", return_tensors="pt").input_ids
    return PeftModel.from_pretrained(model, bundle).train()(input_ids=ids).logits[0].detach()


def test_the_bundle_says_on_which_base_it_answers_and_its_merged_weights_are_of_that_one(quantised):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = quantised[2]
    card = (made.path / "README.md").read_text(encoding="utf-8")
    config = 'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)'
    assert card.count(config) == 2  # in English and in Chinese
    assert "Let vLLM serve the merged weights" in card
    told = with_stock_libraries(made.path, load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    merged = AutoModelForCausalLM.from_pretrained(made.path / "merged")
    ids = AutoTokenizer.from_pretrained(made.path / "merged")("patient: rest?", return_tensors="pt").input_ids
    assert float((merged(input_ids=ids).logits[0].detach() - told).abs().max()) < 1e-3
    assert float((with_stock_libraries(made.path) - told).abs().max()) > 0.1
    assert made.parity[0].agreement == 1.0


def answered(speaker):
    """Return what is answered to one question."""
    asked, said = iter(["patient?", None]), []

    def say(piece, *, is_end):
        said.append(piece)

    chat(speaker, hear=lambda: next(asked), say=say, max_new_tokens=8)
    return "".join(said)


@pytest.mark.full
def test_a_run_is_audited_evaluated_and_asked_on_the_base_that_it_learned_beside(quantised, monkeypatch, tmp_path):
    space, run_id, _, _ = quantised
    asked = []
    real = chat_flow.start
    monkeypatch.setattr(chat_flow, "start", lambda work, *rest, **more: asked.append(work.settings) or real(work, *rest, **more))
    assert answered(chat_flow.from_workspace(space, run_id)) == answered(chat_flow.from_workspace(space, "q"))
    assert [one.quantised for one in asked] == [Quantisation(bits=4)] * 2
    ordered = spied(monkeypatch, audit_flow, eval_flow)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(QLORA | CANARIES))
    audited = train(space, read(tmp_path / "recipe.yaml")).committed.run
    assert audit(space, audited, Passphrase(PASSPHRASE.encode())).figures.secrets == 6
    found = evaluate(space, run_id, "clinic@sealed").figures
    assert found.loss.tuned.value < found.loss.base.value
    assert [one.train.quantised for one in ordered] == [Quantisation(bits=4)] * 2


def spied(monkeypatch, *flows):
    """Return the list in which the settings of every job of these flows will stand."""
    ordered = []
    for flow in flows:
        real = flow.start
        monkeypatch.setattr(
            flow, "start", lambda work, *rest, _real=real, **more: ordered.append(work.settings) or _real(work, *rest, **more)
        )
    return ordered


@pytest.mark.full
def test_its_price_is_measured_on_the_same_base(quantised, monkeypatch):
    space, _, _, recipe = quantised
    ordered = spied(monkeypatch, train_flow)
    assert price(space, read(recipe)).figures.peak_memory > 0
    assert [one.train.quantised for one in ordered] == [Quantisation(bits=4)]


def test_what_is_missing_is_said_before_any_work(quantised, monkeypatch):
    space, run_id, _, recipe = quantised
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    before = len(space.state.runs)
    for work in (
        lambda: train(space, read(recipe)),
        lambda: evaluate(space, run_id, "clinic@sealed"),
        lambda: release(space, run_id, name="again", formats=("merged",)),
        lambda: chat_flow.from_workspace(space, run_id),
        lambda: chat_flow.from_workspace(space, "q"),
    ):
        with pytest.raises(LowMemoryMissing, match=r"\.\[low-memory\]"):
            work()
    assert len(space.state.runs) == before
