"""Several adapters on one base model: each answers as stock peft has it answer alone, whatever the others are, and the base's weights are there once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, OFTConfig, PeftModel, get_peft_model

from ringfence.core.lineage import numbered
from ringfence.guard.replay import FILE, build
from ringfence.guard.settings import GuardSettings
from ringfence.models.load import beside, load
from ringfence.models.tiny import write_tiny_model
from ringfence.serve import job
from ringfence.serve.decode import Round, Voice
from ringfence.serve.engine import as_it_stands, fitted
from ringfence.serve.settings import ServeSettings
from ringfence.serve.wire import Ask, Orders, Told, Turn
from ringfence.train.restore import with_bundle
from ringfence.train.settings import RuntimeHints
from ringfence.vault import files as files_of
from ringfence.vault.files import read_file, write_files
from tests.unit.train.train_parts import Memory, Vault, child

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS = {
    "lora": LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"]),
    "rslora": LoraConfig(r=8, lora_alpha=16, use_rslora=True, target_modules=ALL),
    "one layer": LoraConfig(r=4, target_modules=["down_proj"], layers_to_transform=[1]),
    "dora": LoraConfig(r=4, use_dora=True, target_modules=ALL),
    "oft": OFTConfig(r=4, oft_block_size=0, target_modules=["q_proj", "o_proj"]),
}
TOKENS = 20


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return write_tiny_model(tmp_path_factory.mktemp("m") / "model")


def opened(base):
    return load(base, dtype=torch.float32, device="cpu")


def _is_learned(name):
    return "lora_" in name or "oft_" in name


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    """An adapter of each kind that changes every answer, as peft saves it."""
    folder = tmp_path_factory.mktemp("adapters")
    for seed, (name, config) in enumerate(KINDS.items(), start=1):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            model = get_peft_model(opened(base).model, config)
            for where, weight in model.named_parameters():
                if _is_learned(where):
                    weight.add_(0.3 * torch.randn(weight.shape))
        model.save_pretrained(str(folder / name))
    return folder


def alone(base, folder, ask):
    """The answer of stock peft, on a base model of its own."""
    loaded = opened(base)
    model = PeftModel.from_pretrained(loaded.model, str(folder)) if folder else loaded.model
    chat = [turn.model_dump() for turn in ask.messages]
    ids = fitted(loaded, chat, room=400) if chat else as_it_stands(loaded, ask.prompt, room=400)
    with torch.inference_mode():
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=ask.max_tokens,
            eos_token_id=loaded.tokenizer.eos_token_id,
            pad_token_id=0,
        )
    return loaded.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True).removesuffix("\ufffd")


def asks():
    """Two requests for each, in turns: a conversation and a text."""
    both = ({"messages": (Turn(role="user", content="code?"),)}, {"prompt": "The patient"})
    every = [(bundle, one) for one in both for bundle in range(len(KINDS))]
    return [Ask(id=n, bundle=bundle, max_tokens=TOKENS, temperature=0, **one) for n, (bundle, one) in enumerate(every)]


def answered(served, waiting):
    """All answers; each begins one turn after the one before, so that every turn steps several voices."""
    texts, open_ = {one.id: "" for one in waiting}, len(waiting)
    waiting = list(waiting)
    while open_:
        for one in served.turn(Orders(ask=waiting.pop(0) if waiting else None)):
            texts[one.id] += one.text
            open_ -= one.finish is not None
    return texts


def test_each_answers_beside_the_others_what_stock_peft_answers_alone(base, adapters):
    loaded = opened(base)
    served = Round([Voice(with_bundle(beside(loaded), adapters / name)) for name in KINDS])
    wanted = {one.id: alone(base, adapters / list(KINDS)[one.bundle], one) for one in asks()}
    assert answered(served, asks()) == wanted
    first = [wanted[n] for n in range(len(KINDS))]
    assert len({*first, alone(base, None, asks()[0])}) == len(KINDS) + 1  # no two say the same, and none what the base says


def test_the_weights_of_the_base_are_there_once_and_stay_what_they_are(base, adapters):
    loaded = opened(base)
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    voices = [with_bundle(beside(loaded), adapters / name).model for name in KINDS]
    own = {weight.data_ptr(): weight.numel() for weight in loaded.model.parameters()}
    every = {weight.data_ptr(): weight.numel() for model in (loaded.model, *voices) for weight in model.parameters()}
    learned = [weight.numel() for model in voices for name, weight in model.named_parameters() if _is_learned(name)]
    assert sum(every.values()) - sum(own.values()) == sum(learned)
    answered(Round([Voice(loaded._replace(model=model)) for model in voices]), asks())
    assert all(torch.equal(weight, before[name]) for name, weight in loaded.model.state_dict().items())


def test_a_guard_looks_at_its_own_adapter_alone(base, adapters):
    """Both guards are of the same text, which only the second adapter says: it is refused there, and so is nothing of the first."""
    loaded, names = opened(base), list(KINDS)
    ask = asks()[1]
    text = alone(base, adapters / names[1], ask)
    settings = GuardSettings(words=3)
    guard, _ = build([("a", [text])], settings)
    other, _ = build([("b", ["nothing that anybody would say here at all"])], settings)
    assert len(guard)
    voices = [with_bundle(beside(loaded), adapters / name) for name in names[:2]]

    def said(*guards):
        served = Round([Voice(one, guard) for one, guard in zip(voices, guards, strict=True)])
        return answered(served, [asks()[0], ask]), served.blocked

    free = {0: alone(base, adapters / names[0], asks()[0]), 1: text}
    assert said(None, None) == (free, 0)
    assert said(guard, other)[0][1] == text  # the first one's guard is none of the second's
    kept, blocked = said(other, guard)
    assert kept[0] == free[0]
    assert kept[1] != text
    assert guard.runs_in(kept[1]) == 0
    assert blocked


# ── the job ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Front(Memory):
    """The front's end of the channel: says its requests, hears the answers."""

    def __init__(self, vault, asks):
        super().__init__(vault, questions=[Orders(ask=one).model_dump_json() for one in asks])
        self.texts, self.open = {one.id: "" for one in asks}, len(asks)

    def hear(self):
        return super().hear() or ("" if self.open else None)

    def say(self, text):
        for one in Told.model_validate_json(text).said:
            self.texts[one.id] += one.text
            self.open -= one.finish is not None


def test_the_job_gives_every_folder_its_number_and_every_guard_its_adapter(base, adapters, tmp_path, monkeypatch):
    names = ["lora", "rslora", "dora"]
    requests = [one for one in asks() if one.bundle < 2]
    requests += [requests[2].model_copy(update={"id": 90, "bundle": 2})]
    texts = {one.id: alone(base, adapters / names[one.bundle], one) for one in requests}
    vault = Vault(tmp_path)
    slot = vault.output("guard")
    guard, _ = build([("a", [texts[0], texts[1]])], GuardSettings(words=3))
    assert guard.runs_in(texts[0])  # the first adapter has no guard, and may say it
    write_files(slot, vault.keys[slot.slot], {FILE: list(guard.blocks())})
    slots = dict.fromkeys(("guard2", "guard3"), vault.as_input(slot))  # two adapters of one training set
    files = {"model": str(base)} | {numbered("bundle", at): str(adapters / name) for at, name in enumerate(names)}
    front = Front(vault, requests)
    read = []
    monkeypatch.setattr(files_of, "read_file", lambda slot, *more: read.append(slot.slot) or read_file(slot, *more))
    figures = job.serve(child(vault, front, ServeSettings(hints=RuntimeHints(dtype="float32")), inputs=slots, files=files))
    assert read == [slot.slot]  # in memory once
    assert front.texts[0] == texts[0]
    assert front.texts[90] == texts[90]
    assert front.texts[1] != texts[1]
    assert figures.answers == len(requests)
    assert figures.blocked > 0
