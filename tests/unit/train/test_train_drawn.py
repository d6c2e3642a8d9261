"""GRPO and RLOO on real sealed objects, by TRL: what is learned, what is measured, what is left on the disk and what is called."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load as load_tensors
from safetensors.torch import load_file
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer

from ringfence.core.errors import NothingToTrain, NotKept, TooFewQuestions
from ringfence.models.folder import check_folder
from ringfence.models.load import load_tokenizer
from ringfence.train import adapter, job, price, questions
from ringfence.train.data import encode
from ringfence.train.settings import DrawnSettings, PriceOrder, RuntimeHints, TrainSettings
from ringfence.vault.files import read_file
from tests.unit.train.train_parts import Memory, Vault, child, pair

PLAIN = RuntimeHints(device="cpu", dtype="float32")
DRAWN = DrawnSettings(reward=("concise.v1",), num_generations=2, max_completion_length=8)
FAST = TrainSettings(
    objective="grpo.v1", drawn=DRAWN, max_steps=2, per_device_train_batch_size=4, learning_rate=1e-2, lora_rank=4, cutoff_len=96
)


def asked(count):
    return [pair(f"number {i}?", f"yes {i}") for i in range(count)]


def start(tmp_path, tiny_folder, settings=FAST, *, records=None, stop_at=None, hints=PLAIN):
    vault = Vault(tmp_path)
    channel = Memory(vault, stop_at=stop_at)
    inputs = {"set": vault.write_set(asked(6) if records is None else records)}
    outputs = {"adapter": vault.output("adapter")}
    order = PriceOrder(train=settings, hints=hints)
    return child(vault, channel, order, inputs=inputs, outputs=outputs, files={"model": str(tiny_folder)}), channel


def learned(made):
    slot = made.order.outputs["adapter"]
    return load_tensors(read_file(Vault(None).as_input(slot), made.keys.data[slot.slot], adapter.WEIGHTS))


def test_a_run_draws_answers_and_says_what_they_were_worth(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder)
    figures = job.run(made)
    assert (figures.steps, figures.rows, figures.dropped) == (2, 6, 0)
    assert len(figures.rewards) == len(figures.answer_tokens) == 2
    assert any(weight.abs().max() > 0 for name, weight in learned(made).items() if ".lora_B." in name)
    assert [frame.reward for frame in channel.frames if frame.phase == "work"] == list(figures.rewards)


def by_stock_trl(folder, settings):
    """Return the adapter that TRL makes of the same rows by itself: its own wrapping of messages, and peft's own layers."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    drawn, is_grpo = settings.drawn, settings.objective == "grpo.v1"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    torch.manual_seed(settings.seed)
    lora = LoraConfig(r=settings.lora_rank, lora_alpha=settings.alpha, target_modules="all-linear", task_type="CAUSAL_LM")

    def short(completions, answer, **_):
        texts = [one[0]["content"] for one in completions]
        return [
            min(1.0, max(0.0, 2 - len(text.strip()) / len(known))) if text.strip() else 0.0
            for text, known in zip(texts, answer, strict=True)
        ]

    rows = [{"prompt": [{"role": "user", "content": one.texts[0]}], "answer": one.texts[1]} for one in asked(6)]
    config = (GRPOConfig if is_grpo else RLOOConfig)(
        output_dir=str(folder.parent / "stock"),
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        seed=settings.seed,
        max_steps=settings.max_steps,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        warmup_steps=1,
        optim="adamw_torch",
        num_generations=drawn.num_generations,
        max_completion_length=drawn.max_completion_length,
        beta=drawn.beta,
        temperature=drawn.temperature,
    )
    trainer = (GRPOTrainer if is_grpo else RLOOTrainer)(
        model=get_peft_model(model, lora),
        reward_funcs=short,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    trainer.train()
    return get_peft_model_state_dict(trainer.model, adapter_name="default")


@pytest.mark.parametrize("objective", ["grpo.v1", "rloo.v1"])
def test_nothing_is_lost_on_the_way_to_trl(objective, tmp_path, tiny_folder):
    """The same seed and rows make the same adapter as TRL does without us."""
    drawn = DRAWN.model_copy(update={"beta": 0.1, "temperature": 0.9})
    settings = FAST.model_copy(
        update={"objective": objective, "drawn": drawn, "max_steps": 4, "warmup_ratio": 0.25, "gradient_accumulation_steps": 2}
    )
    made, _ = start(tmp_path, tiny_folder, settings)
    figures = job.run(made)
    ours, stock = learned(made), by_stock_trl(tiny_folder, settings)
    assert ours.keys() == stock.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, stock[name], atol=1e-5, rtol=1e-5, msg=name)  # layers are computed in one step here
    assert any(weight.abs().max() > 1e-3 for name, weight in ours.items() if ".lora_B." in name)
    assert len(figures.kls) == 4
    assert figures.kls[0] == pytest.approx(0, abs=1e-6)  # it is the base still
    assert figures.kls[-1] != 0


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "dora.v1"},
        {"method": "pissa.v1"},
        {"method": "oft.v1"},
        {"method": "lora.v1", "lora_freeze_a": True},
        {"method": "full.v1", "learning_rate": 1e-3},
        {"method": "freeze.v1", "learning_rate": 1e-3, "freeze_trainable_layers": 1},
    ],
    ids=lambda changes: changes["method"],
)
def test_every_method_learns_what_it_says_and_leaves_the_rest(changes, tmp_path, tiny_folder):
    settings = FAST.model_copy(update={**changes, "drawn": DRAWN.model_copy(update={"beta": 0.1}), "max_steps": 3})
    made, _ = start(tmp_path, tiny_folder, settings)
    figures = job.run(made)
    found = learned(made)
    assert set(found) == set(adapter.predict(check_folder(tiny_folder), settings))
    assert figures.kls[0] == pytest.approx(0, abs=1e-5)
    assert abs(figures.kls[-1]) > 0
    if settings.lora_freeze_a:
        torch.manual_seed(settings.seed)
        model = AutoModelForCausalLM.from_pretrained(tiny_folder)
        from ringfence.train.methods.lora import Lora

        torch.manual_seed(settings.seed)
        fresh = Lora(settings=settings)
        fresh.attach(model)
        began = fresh.export()
        assert all(torch.equal(found[name], began[name]) for name in found if ".lora_A." in name)
        assert any(not torch.equal(found[name], began[name]) for name in found if ".lora_B." in name)
    if settings.is_whole:
        base = load_file(tiny_folder / "model.safetensors")
        assert any(not torch.equal(weight, base[name]) for name, weight in found.items())


def test_a_frozen_factor_has_no_part_in_the_norm_that_is_clipped(tmp_path, tiny_folder, monkeypatch):
    """To ask the base what it would say, TRL switches the adapter off and on again, and peft then lets all of it learn."""
    seen = []
    real = Accelerator.clip_grad_norm_

    def clip(self, parameters, *args, **more):
        weights = list(parameters)
        names = {id(weight): name for name, weight in self._models[0].named_parameters()}
        seen.append({names[id(weight)].split(".lora_")[1][0] for weight in weights if weight.grad is not None})
        return real(self, weights, *args, **more)

    monkeypatch.setattr(Accelerator, "clip_grad_norm_", clip)
    settings = FAST.model_copy(update={"lora_freeze_a": True, "drawn": DRAWN.model_copy(update={"beta": 0.1}), "max_steps": 3})
    job.run(start(tmp_path, tiny_folder, settings)[0])
    assert seen == [{"B"}] * 3


def test_a_worthwhile_answer_becomes_likelier(tmp_path, tiny_folder):
    drawn = DRAWN.model_copy(update={"num_generations": 32, "max_completion_length": 6})
    settings = FAST.model_copy(
        update={
            "max_steps": 14,
            "per_device_train_batch_size": 64,
            "learning_rate": 2e-2,
            "lr_scheduler_type": "constant",
            "lora_rank": 8,
            "drawn": drawn,
        }
    )
    made, _ = start(tmp_path, tiny_folder, settings, records=[pair(f"number {i}?", "abc") for i in range(6)])
    figures = job.run(made)
    assert sum(figures.rewards[:3]) / 3 < 0.2
    assert sum(figures.rewards[-2:]) / 2 > 0.8, figures.rewards
    assert figures.answer_tokens[-1] < figures.answer_tokens[0]  # it learned to be brief


def test_a_run_that_is_stopped_leaves_nothing(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder, FAST.model_copy(update={"max_steps": 9}), stop_at=2)
    with pytest.raises(NotKept, match="after 3 steps"):
        job.run(made)
    assert not channel.checkpoints
    assert not list(Path(made.order.outputs["adapter"].path).iterdir())


def test_rows_without_a_question_are_left_out_and_too_few_are_refused(tmp_path, tiny_folder):
    text = replace(pair("", ""), kind="text", roles=("text",), texts=("a plain text",))
    long = pair("number " + "9" * 100, "yes")
    made, _ = start(tmp_path / "some", tiny_folder, records=[*asked(2), text, long])
    figures = job.run(made)
    assert (figures.rows, figures.dropped) == (2, 2)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    told = [questions.asked(record, tokenizer).question for record in asked(2)]
    assert figures.longest == max(len(tokenizer(one, add_special_tokens=False).input_ids) for one in told)
    made, _ = start(tmp_path / "few", tiny_folder, records=[*asked(1), text])
    with pytest.raises(TooFewQuestions, match="asks 2 questions, and the set has 1"):
        job.run(made)
    made, _ = start(tmp_path / "none", tiny_folder, records=[text, long])
    with pytest.raises(NothingToTrain):
        job.run(made)


def test_a_price_comes_from_two_steps_and_counts_all(tmp_path, tiny_folder):
    settings = FAST.model_copy(update={"max_steps": None, "num_train_epochs": 2.0, "drawn": DRAWN.model_copy(update={"num_iterations": 2})})
    made, channel = start(tmp_path, tiny_folder, settings)
    figures = price.run(made)
    assert figures.steps == 12  # 2 epochs of 6 questions, 2 at a time, each answered once and learned from twice
    assert figures.rows == 6
    assert [frame.done for frame in channel.frames if frame.phase == "work"] == [1, 2, 3, 4]
    assert figures.seconds > figures.seconds_load + 11 * figures.seconds_per_step > figures.seconds_load
    assert figures.tokens == pytest.approx(12 / 2 * 4 * (figures.longest + 8), rel=0.15)
    assert not list(Path(made.order.outputs["adapter"].path).iterdir())


def test_the_same_answers_are_learned_from_again(tmp_path, tiny_folder):
    """With num_iterations the second update is off-policy: there epsilon has something to bound."""
    drawn = DRAWN.model_copy(update={"num_iterations": 2, "beta": 0.0})
    found = []
    for epsilon in (0.2, 1e-4):
        settings = FAST.model_copy(update={"learning_rate": 1e-4, "drawn": drawn.model_copy(update={"epsilon": epsilon})})
        made, _ = start(tmp_path / str(epsilon), tiny_folder, settings)
        figures = job.run(made)
        assert figures.rewards[0] == figures.rewards[1]
        found.append(learned(made))
    assert any(not torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_question_is_read_as_any_other_run_reads_it(tiny_folder):
    """A tokeniser that puts a start token before every text must not put a second one before what the template wrote."""
    from ringfence.train.drawn import _Ours

    tokenizer = load_tokenizer(tiny_folder)
    start_of = tokenizer.bos_token
    tokenizer._tokenizer.post_processor = TemplateProcessing(single=f"{start_of} $A", special_tokens=[(start_of, tokenizer.bos_token_id)])
    assert tokenizer("hi").input_ids[0] == tokenizer.bos_token_id
    record = asked(1)[0]
    read = encode(record, tokenizer, TrainSettings())
    (ids,), _, _ = _Ours._tokenize_prompts(SimpleNamespace(processing_class=tokenizer), [questions.asked(record, tokenizer).question])
    assert ids == read.ids[~read.learn][: len(ids)].tolist()
    assert read.learn[len(ids)]  # the answer begins where the question ends


def test_what_is_learned_is_float32_where_the_base_is_not(tmp_path, tiny_folder):
    made, _ = start(tmp_path, tiny_folder, hints=RuntimeHints(device="cpu", dtype="bfloat16"))
    assert job.run(made).dtype == "bfloat16"
    changed = [weight for name, weight in learned(made).items() if ".lora_B." in name]
    assert any(not torch.equal(weight, weight.bfloat16().float()) for weight in changed)


WATCHED = """
import os, sys, tempfile
from pathlib import Path

folder, model, secret = sys.argv[1:]
calls, written = [], set()


def hook(event, given):
    if event.startswith("socket.") or event in ("subprocess.Popen", "os.posix_spawn"):
        calls.append(event)
    if event == "open" and isinstance(given[0], str) and given[2] & (os.O_WRONLY | os.O_RDWR):
        written.add(given[0])


from ringfence.core.environment import silence_libraries
silence_libraries()
import torch
torch.set_num_threads(1)
sys.addaudithook(hook)
from ringfence.train import job
from ringfence.train.settings import PriceOrder
from tests.privacy.finder import leaks
from tests.unit.train.test_train_drawn import FAST, PLAIN, DRAWN
from tests.unit.train.train_parts import Memory, Vault, child, pair

seen, looks = [], []


class Looking(Memory):
    def progress(self, progress):
        super().progress(progress)
        looks.append(progress.phase)
        seen.extend(leaks(folder, [secret]))


vault = Vault(Path(folder) / "vault")
records = [pair(f"what is {secret} of {i}?", f"it is {secret} {i}") for i in range(6)]
order = PriceOrder(train=FAST, hints=PLAIN)
inputs, outputs = {"set": vault.write_set(records)}, {"adapter": vault.output("adapter")}
channel = Looking(vault)
job.run(child(vault, channel, order, inputs=inputs, outputs=outputs, files={"model": model}))
seen += leaks(folder, [secret])
outside = sorted(name for name in written if not name.startswith((folder, "/dev/null", "/proc/self")))
here = {"socket.__new__", "socket.bind"}  # urllib3 asks at its import whether the machine speaks IPv6
left = [str(path) for path in Path(tempfile.gettempdir()).rglob("*") if path.is_file()]
print("looks", looks.count("work"), "leaks", seen, "calls", sorted(set(calls) - here), "outside", outside, "left", left)
"""


def test_no_word_of_a_row_reaches_the_disk_and_nothing_is_called(tmp_path, tiny_folder):
    """Searched while the run goes on, after every step, and afterwards, in every folder that it can write to."""
    script, place = tmp_path / "watched.py", tmp_path / "place"
    script.write_text(WATCHED)
    (place / "tmp").mkdir(parents=True)
    told = {"TMPDIR": str(place / "tmp"), "HOME": str(place), "PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-B", script, str(place), str(tiny_folder), "Zwqxj-Kestrel"],
        env=told,
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "looks 2 leaks [] calls [] outside [] left []" in done.stdout, done.stdout[-2000:]
