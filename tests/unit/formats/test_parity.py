"""Parity: a format that is the adapter agrees everywhere, one that is not does not."""

import pytest
import torch

from ringfence.formats.parity import PROMPTS, TOKENS, answers, compare
from ringfence.models.load import Loaded, load
from ringfence.models.tiny import tiny_tokenizer, write_tiny_model
from ringfence.release.formats import Parity


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("parity") / "model", words=("patient",))


@pytest.fixture(scope="module")
def reference(model):
    return answers(load(model, dtype=torch.float32, device="cpu"))


def test_a_model_agrees_with_itself(model, reference):
    found = compare("merged", load(model, dtype=torch.float32, device="cpu"), reference)
    assert found.same == found.tokens == sum(len(one.answer) for one in reference)
    assert len(PROMPTS) < found.tokens <= len(PROMPTS) * TOKENS
    assert found.divergence < 1e-6
    assert found.is_faithful


def test_the_divergence_is_that_of_the_distributions(model, reference):
    """Oracle: Σ p · (ln p − ln q) in float64, place by place."""
    other = load(model, dtype=torch.float32, device="cpu")
    with torch.no_grad():
        for weight in other.model.parameters():
            weight.mul_(1 + 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    total, places = 0.0, 0
    for one in reference:
        with torch.inference_mode():
            logits = other.model(input_ids=torch.tensor([one.ids + one.answer])).logits[0, len(one.ids) - 1 : -1].double()
        p, q = one.said.double(), logits - logits.logsumexp(-1, keepdim=True)
        total += float((p.exp() * (p - q)).sum())
        places += len(one.answer)
    found = compare("merged", other, reference)
    assert found.divergence == pytest.approx(total / places, rel=1e-3)
    assert found.divergence > 1e-4


def test_other_weights_are_unfaithful(tmp_path, reference):
    other = write_tiny_model(tmp_path / "other", seed=1, words=("patient",))
    found = compare("gguf-q4_1", load(other, dtype=torch.float32, device="cpu"), reference)
    assert found.agreement < 0.5
    assert not found.is_faithful


def test_a_tokeniser_that_reads_otherwise_is_unfaithful(model, reference):
    loaded = load(model, dtype=torch.float32, device="cpu")
    tokenizer = tiny_tokenizer()
    found = compare("merged", Loaded(loaded.model, tokenizer), reference)
    assert found.same == found.tokens
    assert not found.same_ids
    assert not found.is_faithful


def test_nothing_compared_is_not_faithful():
    assert not Parity(format="merged", tokens=0, same=0, divergence=0.0, same_ids=True).is_faithful
