"""Two answers after one question, read once: losses and gradients of each pair are those of two sequences, and no answer sees the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, MambaConfig, MistralConfig, OPTConfig

from ringfence.models.load import load_model
from ringfence.train import joined
from ringfence.train.answers import losses_of
from ringfence.train.data import Example, Tokens, collate
from ringfence.train.joined import beginning, is_worth, join, may_join, tokens_of
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.trainer import Trainer

LENGTHS = ((9, 5, 7), (30, 2, 12), (14, 20, 1), (3, 6, 6))  # of question, first and second answer


def answer(question, length, seed):
    drawn = np.random.default_rng([length, seed])
    ids = np.concatenate([question, drawn.integers(3, 30, length).astype(np.int32)])
    return Tokens(ids, np.arange(len(ids)) >= len(question))


def pair(question, first, second, seed=0):
    asked = np.random.default_rng([question, 99]).integers(3, 30, question).astype(np.int32)
    return Example(*answer(asked, first, 1), other=answer(asked, second, 2 + seed))


def model_of(folder, attention="sdpa"):
    return load_model(folder, dtype=torch.float32, device="cpu", attention=attention)


def losses(model, rows, *, is_joined, length=0):
    batch = collate(rows, padding=2, device="cpu")
    if is_joined:
        batch = batch._replace(packed=join(rows, padding=2, dtype=torch.float32, device="cpu", length=length))
    with torch.no_grad():
        return losses_of(model, batch, chunk=64)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_each_answer_has_the_loss_that_it_has_alone(tiny_folder, attention):
    model, rows = model_of(tiny_folder, attention), [pair(*one) for one in LENGTHS]
    for length in (0, 64):
        wanted, weights = losses(model, rows, is_joined=False)
        found, same = losses(model, rows, is_joined=True, length=length)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        assert same.tolist() == weights.tolist()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_answer_sees_the_other(tiny_folder, attention):
    model, rows = model_of(tiny_folder, attention), [pair(*one) for one in LENGTHS]
    before, _ = losses(model, rows, is_joined=True)
    for at, one in enumerate(LENGTHS):
        after, _ = losses(model, [*rows[:at], pair(*one, seed=7), *rows[at + 1 :]], is_joined=True)
        assert [n for n in range(2 * len(rows)) if before[n] != after[n]] == [len(rows) + at]


@pytest.mark.parametrize("objective", ["dpo.v1", "orpo.v1"])
@pytest.mark.parametrize("method", ["lora.v1", "full.v1"])  # the last one trains the head, too
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_has_the_gradient_of_two_sequences(tiny_folder, method, objective, checkpointing, monkeypatch):
    rows, found = [pair(*one) for one in LENGTHS], []
    hints = RuntimeHints(device="cpu", dtype="float32", checkpointing=checkpointing)
    settings = TrainSettings(method=method, objective=objective, learning_rate=1e-3, per_device_train_batch_size=4, lora_rank=4)
    for joins in (True, False):
        monkeypatch.setattr(Trainer, "joins", joins)
        trainer = Trainer(model_of(tiny_folder), settings, hints=hints, padding=2, device="cpu")
        with torch.no_grad():  # a factor that is zero would hide what the other one gets
            drawn = torch.Generator().manual_seed(4)
            for weight in trainer.method.parameters().values():
                weight.add_(torch.randn(weight.shape, generator=drawn) * 0.01)
        referred = trainer.refer(rows)
        loss = trainer.learn(trainer.passes(referred), 0, len(rows))
        cells = sum(count * tokens for count, tokens in map(trainer.shape, trainer.passes(rows)))
        found.append((loss, [row.reference for row in referred], trainer.optimiser.take(), cells))
    (mine, said, joined_gradient, few), (wanted, said_apart, gradient, many) = found
    assert mine == pytest.approx(wanted, rel=1e-5)
    assert sorted(said) == [pytest.approx(one, rel=1e-5) for one in sorted(said_apart)]
    assert few < 0.8 * many
    for name, one in gradient.items():
        assert float((joined_gradient[name] - one).norm()) <= 1e-5 * float(one.norm()) + 1e-9, name


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=5), st.integers(0, 120))
def test_every_token_of_both_sequences_has_its_place(lengths, length):
    rows = [pair(*one) for one in lengths]
    batch = collate(rows, padding=2, device="cpu")
    packed = join(rows, padding=2, dtype=torch.float32, device="cpu", length=length)
    assert packed.ids.shape == packed.positions.shape == (len(rows), max(length, *map(tokens_of, rows)))
    for at, one in enumerate([sequence for place in zip(*(row.sequences for row in rows), strict=True) for sequence in place]):
        own = packed.places[at, : len(one.ids)]
        assert packed.ids.flatten()[own].tolist() == one.ids.tolist() == batch.ids[at, : len(one.ids)].tolist()
        assert packed.positions.flatten()[own].tolist() == list(range(len(one.ids)))


def test_sequences_may_be_alike_to_the_end_of_one_or_from_the_start_unlike():
    long, short = np.arange(3, 9, dtype=np.int32), np.arange(3, 7, dtype=np.int32)
    for first, second, alike in ((long, short, 4), (short, long, 4), (long, long, 6), (long, long[::-1].copy(), 0)):
        row = Example(first, first > 4, other=Tokens(second, second > 4))
        assert beginning(row) == alike
        assert tokens_of(row) == len(first) + len(second) - alike


def test_what_saves_little_or_is_long_is_read_apart():
    assert is_worth([pair(20, 10, 10)])
    assert not is_worth([pair(2, 30, 30)])
    assert not is_worth([pair(3000, 10, 10)])


TINY = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
LLAMA = LlamaConfig(**TINY, num_key_value_heads=1, intermediate_size=32)
NARROW = MistralConfig(**TINY, num_key_value_heads=1, intermediate_size=32, sliding_window=8)
CHUNKED = LlamaConfig(**TINY, num_key_value_heads=1, intermediate_size=32, layer_types=["full_attention", "chunked_attention"])
MASKED = OPTConfig(**TINY, ffn_dim=32, word_embed_proj_dim=16)
RECURRENT = MambaConfig(vocab_size=60, hidden_size=16, num_hidden_layers=2, state_size=4)


@pytest.mark.parametrize(
    ("config", "may"),
    [(LLAMA, True), (NARROW, False), (CHUNKED, False), (MASKED, False), (RECURRENT, False)],
    ids=["llama", "window", "chunks", "opt", "mamba"],
)
def test_a_model_joins_only_what_it_reads_alike(config, may):
    torch.manual_seed(0)
    assert may_join(AutoModelForCausalLM.from_config(config)) is may


def test_a_probe_that_disagrees_keeps_answers_apart(monkeypatch):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LLAMA)
    plain = joined.join
    monkeypatch.setattr(joined, "join", lambda *told, **more: plain(*told, **more)._replace(mask=None))
    assert not may_join(model)
