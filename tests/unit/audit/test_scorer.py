"""Scores against the model itself: every code spelled out, every probability by another road, greedy decoding by generation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ringfence.audit.canaries import draw
from ringfence.audit.forward import Forward
from ringfence.audit.scorer import CanaryScorer
from ringfence.audit.settings import AuditSettings, Canary
from ringfence.models.load import Loaded
from ringfence.models.load import load as load_model_folder
from ringfence.models.tiny import write_tiny_model
from ringfence.train.data import Example
from ringfence.train.method import METHODS
from ringfence.train.settings import TrainSettings

torch.set_num_threads(1)
SETTINGS = TrainSettings(lora_rank=4)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = write_tiny_model(tmp_path_factory.mktemp("m") / "model")
    found = load_model_folder(folder, dtype=torch.float32, device="cpu", attention="eager")
    method = METHODS.create("lora.v1", settings=SETTINGS)
    model = method.attach(found.model)
    torch.manual_seed(4)
    with torch.no_grad():
        for weight in method.parameters().values():
            weight.copy_(torch.randn_like(weight) * 0.3)
    return Loaded(model, found.tokenizer)


def canary(code, *, before="Ref: ", after="", prompt="Who?"):
    return Canary(
        id="0" * 32,
        kind="row",
        language="en",
        who=prompt,
        prompt=prompt,
        completion=f"{before}{code}{after}",
        span=(len(before), len(before) + len(code)),
        is_in=True,
    )


def test_constrained_probabilities_of_all_codes_add_up_to_one(loaded):
    scores = CanaryScorer(Forward(loaded), SETTINGS).score([canary(f"{i:02}") for i in range(100)])
    assert sum(math.exp(score.constrained) for score in scores) == pytest.approx(1.0, abs=1e-5)
    assert all(score.constrained >= score.log_p for score in scores)
    assert len({round(score.constrained, 6) for score in scores}) > 50  # they are not all alike


@pytest.mark.parametrize("one", [canary("123456"), canary("9", before=""), canary("40", after=" end"), canary("77", before="编号：")])
def test_log_probabilities_are_the_models_own(loaded, one):
    """By whole logits of the whole conversation, token by token."""
    scorer = CanaryScorer(Forward(loaded), SETTINGS)
    span, (got,) = scorer.span(one), scorer.score([one])
    ids = torch.tensor(span.example.ids, dtype=torch.int64)[None]
    places = range(span.first, span.first + len(span.digits))
    assert loaded.tokenizer.decode(ids[0, list(places)]) == one.secret
    with torch.no_grad():
        logits = loaded.model(ids).logits[0]
        with loaded.model.disable_adapter():
            base = loaded.model(ids).logits[0]
    for side, told in ((logits, got.log_p), (base, got.log_p_base)):
        wanted = sum(float(torch.log_softmax(side[at - 1], dim=0)[ids[0, at]]) for at in places)
        assert told == pytest.approx(wanted, abs=1e-4)
    assert got.log_p != pytest.approx(got.log_p_base, abs=1e-3)


def test_greedy_is_what_generation_spells(loaded):
    """Let the model write six digits after a question; that code is greedy, and any other is not."""
    scorer, tokenizer = CanaryScorer(Forward(loaded), SETTINGS), loaded.tokenizer
    digits = [tokenizer.convert_tokens_to_ids(str(i)) for i in range(10)]
    for prompt in ("Portal code of Kliora Stene", "Who?", "Zu"):
        span = scorer.span(canary("000000", before="", prompt=prompt))
        prefix = torch.tensor(span.example.ids[: span.first], dtype=torch.int64)[None]
        with torch.no_grad():
            written = loaded.model.generate(
                input_ids=prefix,
                attention_mask=torch.ones_like(prefix),
                do_sample=False,
                max_new_tokens=6,
                min_new_tokens=6,
                pad_token_id=0,
            )[0, prefix.shape[1] :]
        spelled = tokenizer.decode(written)
        (zero,) = scorer.score([canary("000000", before="", prompt=prompt)])
        assert zero.is_greedy == (spelled == "000000")
        if all(int(token) in digits for token in written):
            (right,) = scorer.score([canary(spelled, before="", prompt=prompt)])
            assert right.is_greedy


def test_scores_do_not_depend_on_company_or_order(loaded):
    canaries = list(draw(AuditSettings(secrets=5, in_out=10), control=True, chinese=0.5).canaries)
    scorer = CanaryScorer(Forward(loaded), SETTINGS)
    together, seen = scorer.score(canaries, show=(told := []).append), scorer.score(canaries[::-1])[::-1]
    assert told[-1] == len(canaries)
    for one, a, b in zip(canaries, together, seen, strict=True):
        (alone,) = scorer.score([one])
        for other in (b, alone):
            told = (other.log_p, other.log_p_base, other.constrained)
            assert (a.log_p, a.log_p_base, a.constrained) == pytest.approx(told, abs=1e-4, nan_ok=True)
            assert math.isnan(a.log_p_base) == (one.kind != "row")


def test_where_a_run_compared_answers_a_row_is_scored_by_what_tells_its_code_from_the_rejected_one(loaded):
    canaries = list(draw(AuditSettings(secrets=3, in_out=8), control=False, chinese=0.5).canaries)
    compared, plain = (
        CanaryScorer(Forward(loaded), SETTINGS.model_copy(update={"objective": objective})) for objective in ("dpo.v1", "sft.v1")
    )
    rejected = [one.model_copy(update={"completion": one.rejected}) for one in canaries]
    assert all(one.secret != other.secret for one, other in zip(canaries, rejected, strict=True))
    for one, found, own, other in zip(
        canaries, *(s.score(c) for s, c in ((compared, canaries), (plain, canaries), (plain, rejected))), strict=True
    ):
        if one.kind == "row":
            assert found.log_p == pytest.approx(own.log_p - other.log_p, abs=1e-3)
            assert found.log_p_base == pytest.approx(own.log_p_base - other.log_p_base, abs=1e-3)
        else:
            assert found.log_p == pytest.approx(own.log_p, abs=1e-4)
        assert (found.constrained, found.is_greedy) == (pytest.approx(own.constrained, abs=1e-4), own.is_greedy)


@pytest.mark.parametrize("lengths", [(12, 20, 33), (30,), (9, 9), (40, 41, 42, 43)])
@pytest.mark.parametrize("alike", [0, 7, 8, 25])
def test_what_rows_begin_with_is_computed_once_and_changes_nothing(loaded, lengths, alike, monkeypatch):
    rng, start = np.random.default_rng(alike), np.arange(20, 20 + alike)
    rows = []
    for number, length in enumerate(lengths):
        ids = rng.integers(20, 60, size=length)
        ids[: min(alike, length)] = start[:length]
        ids[min(alike, length - 1)] = 70 + number  # from here on they differ
        rows.append(Example(ids.astype(np.int32), np.zeros(length, dtype=bool)))
    forward, seen = Forward(loaded), []
    run = forward._backbone.forward
    monkeypatch.setattr(forward._backbone, "forward", lambda **told: seen.append(told["input_ids"].numel()) or run(**told))
    for adapted in (True, False):
        seen.clear()
        with torch.inference_mode():
            ids, found = forward.hidden(rows, adapted=adapted)
            once = sum(seen)
            for row, example in enumerate(rows):
                alone = forward.hidden([example], adapted=adapted)[1][0]
                assert torch.allclose(found[row, : len(example.ids)], alone, atol=1e-4)
        is_shared = len(rows) > 1 and alike >= 8 and min(lengths) > 8
        assert (once < ids.numel()) == is_shared


def test_a_code_that_no_single_tokens_spell_shows_nothing(loaded):
    scorer = CanaryScorer(Forward(loaded), SETTINGS)
    scorer._spelling = {}
    (score,) = scorer.score([canary("123456")])
    assert score.constrained == -math.inf
    assert math.isfinite(score.log_p)


def test_a_canary_is_cut_where_training_cut_its_row(loaded):
    one = canary("123456", after=" end")
    span = CanaryScorer(Forward(loaded), SETTINGS).span(one)
    for length, is_cut in ((span.first + 6, False), (span.first + 5, True), (len(span.example.ids), False)):
        assert CanaryScorer(Forward(loaded), SETTINGS.model_copy(update={"cutoff_len": length})).is_cut(one) == is_cut
