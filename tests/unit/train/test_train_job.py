"""The whole child half on real sealed objects: figures, adapter, checkpoints, resume, refusals."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from galore_torch.galore_projector import GaLoreProjector
from peft import PeftModel
from safetensors.torch import load as load_tensors
from transformers import AutoModelForCausalLM

from ringfence.core.errors import CheckpointUnfit, Interrupted, LossNotFinite, NothingToTrain
from ringfence.core.records import Record
from ringfence.models.folder import check_folder
from ringfence.models.load import Loaded, load_model
from ringfence.train import adapter, job, price
from ringfence.train.data import Example
from ringfence.train.restore import with_sealed
from ringfence.train.settings import PriceOrder, RuntimeHints, TrainFigures, TrainSettings
from ringfence.train.trainer import Trainer
from ringfence.vault.files import file_names, read_file
from tests.unit.train.train_parts import Memory, Vault, child, pair, pairs

GALORE = {"method": "full.v1", "use_galore": True, "galore_update_interval": 3}
FAST = TrainSettings(
    max_steps=6, per_device_train_batch_size=3, gradient_accumulation_steps=2, learning_rate=1e-2, lora_rank=4, cutoff_len=96
)
PLAIN = RuntimeHints(device="cpu", dtype="float32")  # the same figures on every machine


def start(tmp_path, tiny_folder, settings=FAST, *, records=None, evaluation=None, checkpoint=None, stop_at=None, hints=None):
    vault = Vault(tmp_path)
    channel = Memory(vault, stop_at=stop_at)
    inputs = {"set": vault.write_set(pairs(20) if records is None else records)}
    if evaluation:
        inputs["evaluation"] = vault.write_set(evaluation)
    if checkpoint:
        slot, key = checkpoint
        inputs["checkpoint"], vault.keys[slot.slot] = vault.as_input(slot), key
    outputs = {"adapter": vault.output("adapter"), "checkpoint": vault.output("checkpoint")}
    order = PriceOrder(train=settings, hints=hints or PLAIN)
    return child(vault, channel, order, inputs=inputs, outputs=outputs, files={"model": str(tiny_folder)}), channel


def adapter_bytes(made) -> bytes:
    slot = made.order.outputs["adapter"]
    return read_file(Vault(None).as_input(slot), made.keys.data[slot.slot], adapter.WEIGHTS)


def test_a_run_learns_and_says_what_it_did(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder, FAST.model_copy(update={"max_steps": 30, "eval": True}), evaluation=pairs(5, start=100))
    figures = job.run(made)
    assert figures.steps == 30
    assert (figures.rows, figures.dropped, figures.eval_rows) == (20, 0, 5)
    assert figures.loss_last < figures.loss_first - 0.5
    assert figures.eval_after < figures.eval_before - 0.5
    assert 0 < figures.eval_error < figures.eval_after
    assert figures.eval_units == 5
    assert len(figures.losses) == 30
    assert (figures.device, figures.dtype, figures.resumed_from) == ("cpu", "float32", None)
    assert figures.peak_memory > 50e6
    work = [frame for frame in channel.frames if frame.phase == "work"]
    assert [frame.done for frame in work] == list(range(1, 31))
    assert TrainFigures.public().isdisjoint({"losses", "loss_first", "loss_last", "eval_before", "eval_after", "eval_error"})


def test_the_adapter_is_what_the_host_predicts_and_stock_peft_gives_the_same_logits(tmp_path, tiny_folder):
    made, _ = start(tmp_path, tiny_folder)
    job.run(made)
    slot = made.order.outputs["adapter"]
    assert file_names(Vault(None).as_input(slot), made.keys.data[slot.slot]) == (adapter.WEIGHTS,)
    data = adapter_bytes(made)
    predicted = adapter.predict(check_folder(tiny_folder), FAST)
    adapter.check(data, predicted)

    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / adapter.WEIGHTS).write_bytes(data)
    (bundle / adapter.CONFIG).write_text(json.dumps(adapter.peft_config(FAST, "tiny", predicted)))
    ids = torch.tensor([[1, 87, 85, 71, 84, 201, 74]])
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    before = base(ids).logits
    stock = PeftModel.from_pretrained(base, str(bundle))(ids).logits
    wanted = by_hand(tiny_folder, load_tensors(data), scale=2.0)(ids).logits
    assert torch.allclose(stock, wanted, atol=2e-4)
    assert not torch.allclose(stock, before, atol=1e-3)


def test_a_frozen_factor_stays_as_it_was_drawn_and_is_saved_with_the_other(tmp_path, tiny_folder):
    frozen = FAST.model_copy(update={"lora_freeze_a": True})
    made, _ = start(tmp_path / "frozen", tiny_folder, frozen)
    figures = job.run(made)
    other, _ = start(tmp_path / "short", tiny_folder, frozen.model_copy(update={"max_steps": 1}))
    job.run(other)
    plain, _ = start(tmp_path / "plain", tiny_folder)
    both = job.run(plain)
    long, short, usual = (load_tensors(adapter_bytes(one)) for one in (made, other, plain))
    adapter.check(adapter_bytes(made), adapter.predict(check_folder(tiny_folder), frozen))
    for name in long:
        assert torch.equal(long[name], short[name]) is (".lora_A." in name)
        assert not torch.equal(long[name], usual[name])
    assert figures.trainable == sum(tensor.numel() for name, tensor in long.items() if ".lora_B." in name) < both.trainable
    model = load_model(tiny_folder, dtype=torch.float32, device="cpu", attention="eager")
    loaded = with_sealed(Loaded(model, None), frozen, adapter_bytes(made)).model
    ids = torch.tensor([[1, 87, 85, 71, 84, 201, 74]])
    assert torch.allclose(loaded(ids).logits, by_hand(tiny_folder, long, scale=2.0)(ids).logits, atol=2e-4)


def by_hand(folder, tensors, *, scale):
    """The adapter merged into the weights by the formula W + scale * B A."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            key = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{key}.lora_A.weight" in tensors:
                weight.add_(scale * tensors[f"{key}.lora_B.weight"] @ tensors[f"{key}.lora_A.weight"])
    return model


def compared(record):
    return replace(record, kind="preference", roles=("user", "chosen", "rejected"), texts=(*record.texts, "no"))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"lora_dropout": 0.3},
        {"lora_freeze_a": True},
        {"method": "dora.v1"},
        {"method": "pissa.v1"},
        {"method": "oft.v1", "oft_block_size": 16},
        {"method": "freeze.v1", "freeze_trainable_layers": 1},
        {"method": "full.v1"},
        {"objective": "dpo.v1"},
        {"quantization_bit": 4},
        GALORE,
    ],
    ids=str,
)
def test_a_resumed_run_repeats_the_uninterrupted_one_bit_for_bit(tmp_path, tiny_folder, more):
    settings = FAST.model_copy(update={"max_steps": 8, "save_steps": 3, "lr_scheduler_type": "cosine", "warmup_ratio": 0.2, **more})
    records = [compared(one) for one in pairs(20)] if "objective" in more else pairs(20)
    whole, channel = start(tmp_path / "a", tiny_folder, settings, records=records)
    figures = job.run(whole)
    assert [ready.step for ready, _ in channel.checkpoints] == [3, 6]

    cut, channel = start(tmp_path / "b", tiny_folder, settings, records=records, stop_at=5)
    with pytest.raises(Interrupted):
        job.run(cut)
    assert [ready.step for ready, _ in channel.checkpoints] == [3, 5]
    slot = channel.checkpoints[-1][1]
    resumed, _ = start(tmp_path / "c", tiny_folder, settings, records=records, checkpoint=(slot, cut.keys.data[slot.slot]))
    again = job.run(resumed)
    assert again.resumed_from == 5
    assert again.losses == figures.losses
    assert again.tokens == figures.tokens
    assert adapter_bytes(resumed) == adapter_bytes(whole)


LOOKING = FAST.model_copy(update={"max_steps": 12, "eval": True, "eval_strategy": "steps", "eval_steps": 2})


def test_held_out_rows_are_evaluated_on_the_way_and_nothing_else_changes(tmp_path, tiny_folder):
    held_out = pairs(5, start=100)
    looked, _ = start(tmp_path / "looked", tiny_folder, LOOKING, evaluation=held_out)
    plain, _ = start(tmp_path / "plain", tiny_folder, LOOKING.model_copy(update={"eval_strategy": "no"}), evaluation=held_out)
    found, usual = job.run(looked), job.run(plain)
    assert (found.eval_at, usual.eval_at) == ((2, 4, 6, 8, 10), ())
    assert (found.losses, found.eval_after) == (usual.losses, usual.eval_after)
    assert adapter_bytes(looked) == adapter_bytes(plain)
    short, _ = start(
        tmp_path / "short", tiny_folder, LOOKING.model_copy(update={"max_steps": 4, "lr_scheduler_type": "constant"}), evaluation=held_out
    )
    long, _ = start(tmp_path / "long", tiny_folder, LOOKING.model_copy(update={"lr_scheduler_type": "constant"}), evaluation=held_out)
    assert job.run(long).eval_losses[1] == job.run(short).eval_after
    epochs, _ = start(tmp_path / "epochs", tiny_folder, LOOKING.model_copy(update={"eval_strategy": "epoch"}), evaluation=held_out)
    assert job.run(epochs).eval_at == (4, 8)  # 20 rows, six a step


FEW = pairs(3)


def overtrained(**more):
    """Settings under which held-out loss falls and rises again."""
    return LOOKING.model_copy(
        update={"max_steps": 23, "learning_rate": 0.03, "lr_scheduler_type": "constant", "load_best_model_at_end": True, **more}
    )


def test_the_best_weights_are_kept_and_survive_an_interruption(tmp_path, tiny_folder):
    held_out = pairs(5, start=100)
    whole, _ = start(tmp_path / "a", tiny_folder, overtrained(), records=FEW, evaluation=held_out)
    found = job.run(whole)
    best = min(found.eval_losses)
    assert found.eval_at[-2:] == (22, 23)
    assert found.best_step == found.eval_at[found.eval_losses.index(best)] < 23
    assert found.eval_after == pytest.approx(best, abs=1e-5)
    alone, _ = start(
        tmp_path / "b", tiny_folder, overtrained(max_steps=found.best_step, load_best_model_at_end=False), records=FEW, evaluation=held_out
    )
    job.run(alone)
    assert adapter_bytes(alone) == adapter_bytes(whole)

    stop = found.best_step + 3
    cut, channel = start(tmp_path / "c", tiny_folder, overtrained(), records=FEW, evaluation=held_out, stop_at=stop)
    with pytest.raises(Interrupted):
        job.run(cut)
    slot = channel.checkpoints[-1][1]
    resumed, _ = start(
        tmp_path / "d", tiny_folder, overtrained(), records=FEW, evaluation=held_out, checkpoint=(slot, cut.keys.data[slot.slot])
    )
    again = job.run(resumed)
    assert (again.eval_losses, again.best_step, again.eval_after) == (found.eval_losses, found.best_step, found.eval_after)
    assert adapter_bytes(resumed) == adapter_bytes(whole)


def test_a_run_ends_early_when_held_out_rows_gain_nothing(tmp_path, tiny_folder):
    made, _ = start(tmp_path / "a", tiny_folder, overtrained(early_stopping_steps=2), records=FEW, evaluation=pairs(5, start=100))
    found = job.run(made)
    assert found.steps == found.eval_at[-1] == found.best_step + 2 * 2 < 23
    assert min(found.eval_losses) == found.eval_losses[-3]


def test_noise_on_embeddings_is_that_of_training_alone_and_is_repeated_by_a_resumed_run(tmp_path, tiny_folder):
    noisy = LOOKING.model_copy(update={"neftune_noise_alpha": 5.0, "eval_strategy": "no", "save_steps": 4})
    held_out = pairs(5, start=100)
    runs = [start(tmp_path / str(n), tiny_folder, one, evaluation=held_out)[0] for n, one in enumerate((noisy, noisy, LOOKING))]
    found = [job.run(one) for one in runs]
    assert found[0].losses == found[1].losses != found[2].losses
    assert found[0].eval_before == found[2].eval_before  # held-out rows are read without noise
    assert found[0].loss_first == pytest.approx(found[2].loss_first, rel=0.2)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, tiny_folder):
    records = pairs(20)
    cut, channel = start(tmp_path / "a", tiny_folder, records=records, stop_at=2)
    with pytest.raises(Interrupted):
        job.run(cut)
    slot = channel.checkpoints[-1][1]
    checkpoint = (slot, cut.keys.data[slot.slot])
    other = FAST.model_copy(update={"learning_rate": 2e-2})
    for settings, rows in ((other, records), (FAST, records[:-1])):
        made, _ = start(tmp_path / f"b{len(rows)}", tiny_folder, settings, records=rows, checkpoint=checkpoint)
        with pytest.raises(CheckpointUnfit):
            job.run(made)


def test_hints_change_the_time_and_not_what_is_learned(tmp_path, tiny_folder):
    records = pairs(20)
    runs = [
        job.run(start(tmp_path / str(i), tiny_folder, records=records, hints=hints)[0])
        for i, hints in enumerate(
            [
                PLAIN,
                PLAIN.model_copy(update={"micro_batch": 1, "head_chunk": 5}),
                PLAIN.model_copy(update={"attention": "sdpa", "micro_batch": 6}),
                PLAIN.model_copy(update={"checkpointing": True}),
                PLAIN.model_copy(update={"packing": True}),
            ]
        )
    ]
    for run in runs[1:]:
        assert run.losses == pytest.approx(runs[0].losses, abs=2e-5)


@pytest.mark.parametrize(
    ("dtype", "hints", "shapes"),
    [
        ("bfloat16", {}, [(1, 90), (2, 48)]),  # never past cutoff_len, which the model may not be able to read
        ("bfloat16", {"pad_multiple": 8}, [(1, 88), (2, 40)]),
        ("float32", {}, [(1, 83), (2, 40)]),
    ],
)
def test_bfloat16_rows_are_padded_so_that_few_shapes_need_kernels(tiny_folder, dtype, hints, shapes):
    model = load_model(tiny_folder, dtype=getattr(torch, dtype), device="cpu", attention="eager")
    settings = TrainSettings(cutoff_len=90, per_device_train_batch_size=4)
    trainer = Trainer(model, settings, hints=RuntimeHints(**hints), padding=0, device="cpu")
    rows = [Example(np.zeros(n, dtype=np.int32), np.ones(n, dtype=np.bool_)) for n in (40, 38, 83)]
    assert [trainer.shape(one) for one in trainer.passes(rows)] == shapes


def test_checkpointing_computes_every_layer_again(tiny_folder):
    """Or it would be a name without a thing."""
    seen = {}
    for checkpointing in (False, True):
        model = load_model(tiny_folder, dtype=torch.float32, device="cpu", attention="eager")
        trainer = Trainer(model, FAST, hints=PLAIN.model_copy(update={"checkpointing": checkpointing}), padding=2, device="cpu")
        calls = []
        for layer in model.model.layers:
            layer.mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        row = Example(np.arange(3, 23, dtype=np.int32), np.arange(20) > 9)
        trainer.step([row], step=0, steps=9)
        seen[checkpointing] = len(calls)
    assert seen[True] == 2 * seen[False] > 0


def test_a_bfloat16_run_keeps_float32_masters(tmp_path, tiny_folder):
    settings = FAST.model_copy(update={"max_steps": 12, "learning_rate": 1e-3})
    made, _ = start(tmp_path, tiny_folder, settings, hints=RuntimeHints(dtype="bfloat16"))
    figures = job.run(made)
    assert figures.dtype == "bfloat16"
    assert figures.loss_last < figures.loss_first
    adapter.check(adapter_bytes(made), adapter.predict(check_folder(tiny_folder), settings))


def test_rows_without_an_answer_are_counted_and_none_at_all_is_an_error(tmp_path, tiny_folder):
    long = [pair("q" * 200, "never reached")]
    made, _ = start(tmp_path / "a", tiny_folder, records=[*pairs(6), *long])
    figures = job.run(made)
    assert (figures.rows, figures.dropped, figures.truncated) == (6, 1, 1)
    assert figures.tokens_cut > 200 - FAST.cutoff_len > 0
    assert 0 < figures.longest < FAST.cutoff_len
    made, _ = start(tmp_path / "cut", tiny_folder, records=[*pairs(6), pair("why?", "a" * 200)])
    assert job.run(made).longest == FAST.cutoff_len
    made, _ = start(tmp_path / "b", tiny_folder, records=long)
    with pytest.raises(NothingToTrain) as caught:
        job.run(made)
    assert caught.value.facts == {"rows": 1}


def test_rows_without_a_system_message_are_read_under_that_of_the_recipe(tmp_path, tiny_folder):
    own = [Record("0" * 32, "0" * 32, "test", "messages", ("system", "user", "assistant"), ("Be brief.", "?", "412"))]

    def losses(name, records, **change):
        made, _ = start(tmp_path / name, tiny_folder, FAST.model_copy(update={"max_steps": 2, **change}), records=records)
        return job.run(made).losses

    assert losses("default", [pair("?", "412")], default_system="Be brief.") == losses("own", own) != losses("none", [pair("?", "412")])


@pytest.mark.parametrize(("interval", "times"), [(200, 1), (6, 4), (7, 3)])
def test_a_price_counts_how_often_galore_finds_its_directions_and_what_each_time_takes(tmp_path, tiny_folder, monkeypatch, interval, times):
    """Timed steps find none anew: a slow search would else stand in the time of every step."""
    found = []
    real = GaLoreProjector.get_orthogonal_matrix

    def slow(projector, weights, *args, **more):
        found.append(tuple(weights.shape))
        time.sleep(0.02)
        return real(projector, weights, *args, **more)

    monkeypatch.setattr(GaLoreProjector, "get_orthogonal_matrix", slow)
    settings = FAST.model_copy(update={**GALORE, "galore_update_interval": interval, "galore_rank": 8, "max_steps": 20})
    made, _ = start(tmp_path, tiny_folder, settings)
    priced = price.run(made)
    weights = len(adapter.projected_names({name: info.shape for name, info in check_folder(tiny_folder).weights.items()}, settings))
    assert priced.directions == times
    assert priced.seconds_directions >= 0.02 * weights
    assert len(found) == weights + 2 * len(set(found))  # in the first step, and of each shape to warm up and to time
    assert priced.seconds_per_step * 20 > times * priced.seconds_directions


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, tiny_folder):
    made, _ = start(tmp_path, tiny_folder, FAST.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 0.0}))
    with pytest.raises(LossNotFinite):
        job.run(made)


def test_a_price_counts_the_canaries_that_are_not_there_yet(tmp_path, tiny_folder):
    settings = FAST.model_copy(update={"max_steps": None, "num_train_epochs": 3.0})
    made, _ = start(tmp_path / "a", tiny_folder, settings, records=pairs(20))
    order = made.order.model_copy(update={"settings": made.order.settings.model_copy(update={"to_plant": 12})})
    few, many = price.run(made), price.run(replace(made, order=order))
    assert (few.rows, many.rows) == (20, 32)
    assert (few.steps, many.steps) == (12, 18)  # three epochs of batches of six
    assert many.tokens > few.tokens


def test_the_price_of_a_run_counts_its_steps_and_tokens(tmp_path, tiny_folder):
    settings = FAST.model_copy(update={"max_steps": 20, "eval": True})
    records = [*pairs(19), pair("why?", "a" * 200)]
    made, _ = start(tmp_path / "a", tiny_folder, settings, records=records, evaluation=pairs(4))
    priced = price.run(made)
    ran, _ = start(tmp_path / "b", tiny_folder, settings, records=records, evaluation=pairs(4))
    figures = job.run(ran)
    assert (priced.steps, priced.rows, priced.tokens, priced.longest) == (20, 20, figures.tokens, figures.longest)
    assert priced.tokens_cut == figures.tokens_cut > 0
    assert priced.seconds > priced.seconds_load
    assert (
        0.1 < priced.seconds_per_step / figures.seconds_per_step < 10
    )  # of the right size: a tenth of a second is all overhead on a busy machine
    assert list((tmp_path / "a" / made.order.outputs["adapter"].slot).iterdir()) == []
