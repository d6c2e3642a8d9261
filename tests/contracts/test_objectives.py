"""Every registered objective: one loss a row, each from its own row; SFT equals transformers' own loss and its gradient, the others their formulas."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForSequenceClassification

from ringfence.core.records import Record
from ringfence.models.chat import Chat
from ringfence.models.folder import ARCHITECTURES
from ringfence.models.load import Loaded, load_tokenizer
from ringfence.models.tiny import tiny_config, write_tiny_model
from ringfence.train.data import Batch, Example, Tokens, collate, read_corpus
from ringfence.train.head import cross_entropy
from ringfence.train.judge import Judge, add_head
from ringfence.train.objective import OBJECTIVES
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.team import Team
from ringfence.train.trainer import Trainer

torch.set_num_threads(1)
SIZES = tiny_config().to_dict()
KEPT = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim")


def model_of(family, *, tied=True):
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **{name: SIZES[name] for name in KEPT}, tie_word_embeddings=tied, pad_token_id=2)
    return AutoModelForCausalLM.from_config(config).eval()


MODEL = model_of("llama").requires_grad_(requires_grad=False)
add_head(MODEL, seed=4)


def objective_of(name, *, head_chunk=5, **changes):
    return OBJECTIVES.create(name, settings=TrainSettings(objective=name, **changes), head_chunk=head_chunk)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(write_tiny_model(tmp_path_factory.mktemp("m") / "model"))


def examples_of(rows, name="sft.v1"):
    """Return random rows of these lengths; of an objective over pairs each with another answer, and with what was said of both before training."""
    drawn = np.random.default_rng(rows)
    found = []
    for length in rows:
        learn = drawn.random(length) < 0.6
        learn[0], learn[-1] = False, True
        found.append(Example(drawn.integers(3, 259, length).astype(np.int32), learn))
        reads = TrainSettings(objective=name).reads
        if reads == "feedback":
            found[-1] = found[-1]._replace(is_liked=bool(drawn.integers(2)), reference=(-50 * drawn.random(),))
        if reads == "preference" or name == "kto.v1":
            other = int(drawn.integers(2, 24))
            tokens = Tokens(drawn.integers(3, 259, other).astype(np.int32), np.arange(other) > other // 3)
            found[-1] = found[-1]._replace(other=tokens, reference=tuple(-50 * drawn.random(2)))
    return found


ROWS = st.lists(st.integers(2, 24), min_size=2, max_size=5)
PER_EXAMPLE = [name for name in OBJECTIVES.names() if objective_of(name).per_example]


@pytest.mark.parametrize("name", PER_EXAMPLE)
@settings(max_examples=15, deadline=None)
@given(rows=ROWS, at=st.data())
def test_row_i_depends_on_example_i_alone(name, rows, at):
    objective = objective_of(name, pref_ftx=0.5)
    examples = examples_of(rows, name)
    i = at.draw(st.integers(0, len(rows) - 1))
    losses, weights = objective.losses(MODEL, collate(examples, padding=2, device="cpu"))
    assert losses.shape == weights.shape == (len(rows),)
    assert losses.dtype == weights.dtype == torch.float32
    others = [
        row if k == i else example
        for k, (row, example) in enumerate(zip(examples, reversed(examples_of([*rows, 9], name)[1:]), strict=True))
    ]
    for changed in (others, [examples[i]]):
        where = i if len(changed) > 1 else 0
        again, weight = objective.losses(MODEL, collate(changed, padding=5, device="cpu"))
        assert float(again[where]) == pytest.approx(float(losses[i]), rel=1e-5, abs=1e-5)
        assert weight[where] == weights[i]


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_the_weight_is_known_before_the_model_runs(name):
    objective, examples = objective_of(name), examples_of([5, 9, 14], name)
    _, weights = objective.losses(MODEL, collate(examples, padding=2, device="cpu"))
    assert weights.tolist() == [objective.weight(example) for example in examples]


@pytest.mark.parametrize("name", ["sft.v1", "pt.v1"])
def test_the_weight_is_the_number_of_predicted_tokens_and_no_row_learns_nothing(name):
    objective = objective_of(name)
    examples = examples_of([5, 9])
    silent = Example(examples[0].ids, np.zeros(5, dtype=np.bool_))
    losses, weights = objective.losses(MODEL, collate([silent, examples[1]], padding=2, device="cpu"))
    assert (float(losses[0]), float(weights[0])) == (0.0, 0.0)
    assert float(weights[1]) == examples[1].weight


def said_by(model, tokens):
    """Return the log probability of a sequence's predicted tokens in float64, from all logits, and their number."""
    logits = model(input_ids=torch.from_numpy(tokens.ids).long()[None]).logits[0].double().log_softmax(-1)
    at = [t for t in range(1, len(tokens.ids)) if tokens.learn[t]]
    return sum(float(logits[t - 1, int(tokens.ids[t])]) for t in at), len(at)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def odds(p):
    return p / (1 - p)


class Heard(NamedTuple):
    """One answer of a pair, by the oracle."""

    log_p: float
    tokens: int
    before: float

    @property
    def gain(self):
        return self.log_p - self.before

    @property
    def mean(self):
        return self.log_p / self.tokens


FORMULAS = {  # by the papers' own equations; w: preferred, v: the other
    "dpo.v1": lambda b, w, v: -math.log(sigmoid(b * (w.gain - v.gain))),
    "hinge.v1": lambda b, w, v: max(0.0, 1 - b * (w.gain - v.gain)),
    "ipo.v1": lambda b, w, v: (w.gain / w.tokens - v.gain / v.tokens - 1 / (2 * b)) ** 2,
    "apo-zero.v1": lambda b, w, v: 1 - sigmoid(b * w.gain) + sigmoid(b * v.gain),
    "orpo.v1": lambda b, w, v: -w.mean - b * math.log(sigmoid(math.log(odds(math.exp(w.mean)) / odds(math.exp(v.mean))))),
    "simpo.v1": lambda b, w, v: -math.log(sigmoid(b * (w.mean - v.mean) - 0.5)),
}


@pytest.mark.parametrize("beta", [0.1, 1.7])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_pair_loses_what_its_paper_says(name, beta):
    examples = examples_of([5, 17, 9, 12], name)
    losses, _ = objective_of(name, pref_beta=beta).losses(MODEL, collate(examples, padding=2, device="cpu"))
    mixed, _ = objective_of(name, pref_beta=beta, pref_ftx=0.7).losses(MODEL, collate(examples, padding=2, device="cpu"))
    for i, example in enumerate(examples):
        chosen, other = (Heard(*said_by(MODEL, one), before) for one, before in zip(example.sequences, example.reference, strict=True))
        assert float(losses[i]) == pytest.approx(FORMULAS[name](beta, chosen, other), rel=2e-5, abs=2e-5)
        assert float(mixed[i] - losses[i]) == pytest.approx(-0.7 * chosen.mean, rel=1e-4)


def test_every_objective_over_pairs_is_held_to_a_paper():
    compared = {name for name in OBJECTIVES.names() if TrainSettings(objective=name).reads == "preference"}
    assert compared == {*FORMULAS, "rm.v1"}  # whose paper is below


def stock_of(model):
    """Return the model as transformers has it for one label, with the head of ours."""
    config = LlamaConfig(**model.config.to_dict() | {"num_labels": 1, "pad_token_id": 2})
    stock = LlamaForSequenceClassification(config).eval()
    stock.model.load_state_dict(model.model.state_dict())
    stock.score.load_state_dict(model.score.state_dict())
    return stock


def test_a_pair_of_a_reward_model_loses_what_its_paper_says_of_the_rewards_of_stock_transformers():
    examples = examples_of([5, 17, 9, 12], "rm.v1")
    losses, _ = objective_of("rm.v1").losses(MODEL, collate(examples, padding=2, device="cpu"))
    stock = stock_of(MODEL)
    with torch.no_grad():
        for loss, example in zip(losses.tolist(), examples, strict=True):
            chosen, other = (float(stock(input_ids=torch.from_numpy(one.ids).long()[None]).logits.double()) for one in example.sequences)
            assert loss == pytest.approx(-math.log(sigmoid(chosen - other)), rel=1e-5, abs=1e-6)
    assert float(losses.max() - losses.min()) > 1e-3


def test_a_fresh_head_is_drawn_from_the_seed_alone_and_judges_like_stock_transformers(tokenizer):
    made = [model_of("llama") for _ in range(3)]
    for model, seed, narrow in zip(made, (4, 4, 5), (False, True, False), strict=True):
        torch.manual_seed(seed + 7)
        add_head(model.bfloat16() if narrow else model, seed=seed)
    first, same, other = (model.score.weight for model in made)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert first.dtype == same.dtype == torch.float32
    wide = model_of("llama")
    wide.config.hidden_size = 40_000
    add_head(wide, seed=1)
    assert float(wide.score.weight.std()) == pytest.approx(wide.config.initializer_range, rel=0.03)

    judge = Judge(Loaded(made[0], tokenizer), most=60, batch=2)
    turns = [[{"role": "user", "content": "why?"}, {"role": "assistant", "content": said}] for said in ("so", "because " * 9, "no", "a")]
    texts = [judge.read(Chat(one)) for one in turns]
    for ids, one in zip(texts, turns, strict=True):
        assert ids.tolist() == tokenizer.apply_chat_template(one, tokenize=True, return_dict=False)
    stock = stock_of(made[0])
    with torch.no_grad():
        theirs = [float(stock(input_ids=torch.from_numpy(ids[:60]).long()[None]).logits) for ids in texts]
    assert max(map(len, texts)) > 60
    assert judge.rewards(texts).tolist() == pytest.approx(theirs, abs=1e-5)


def test_a_pair_is_read_to_where_stock_transformers_scores_it_and_is_cut_where_nothing_tells_its_answers_apart(tokenizer):
    record = Record("0" * 32, "0" * 32, "s", "preference", ("user", "chosen", "rejected"), ("why not?", "so it is", "so be it"))
    example = objective_of("rm.v1").read(record, tokenizer)
    begin = tokenizer("<|im_start|>user\nwhy not?<|im_end|>\n<|im_start|>assistant\nso ", add_special_tokens=False).input_ids
    for one, answer in zip(example.sequences, ("so it is", "so be it"), strict=True):
        turns = [{"role": "user", "content": "why not?"}, {"role": "assistant", "content": answer}]
        assert one.ids.tolist() == tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)
        assert one.learn.tolist() == [at >= len(begin) for at in range(len(one.ids))]
    for most, is_kept in ((len(begin), False), (len(begin) + 1, True)):
        corpus = read_corpus([record], lambda one: objective_of("rm.v1").read(one, tokenizer), cutoff=most)
        assert (len(corpus.examples), corpus.truncated) == (is_kept, 1)
    ends = copy.deepcopy(tokenizer)  # a template that ends with the token that fills rows up: transformers does not see it
    ends.chat_template = "{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}"
    ends.pad_token = ends.eos_token
    said = objective_of("rm.v1").read(record, ends)
    assert [ends.decode(one.ids) for one in said.sequences] == ["why not?<|im_end|>so it is", "why not?<|im_end|>so be it"]


@pytest.mark.parametrize("beta", [0.1, 1.7])
def test_a_judged_answer_loses_what_its_paper_says(beta):
    examples = examples_of([5, 17, 9, 12, 7], "apo-zero-unpaired.v1")
    weighed = {"kto_chosen_weight": 2.0, "kto_rejected_weight": 0.5}
    losses, _ = objective_of("apo-zero-unpaired.v1", pref_beta=beta, **weighed).losses(MODEL, collate(examples, padding=2, device="cpu"))
    assert {example.is_liked for example in examples} == {True, False}
    for loss, example in zip(losses.tolist(), examples, strict=True):
        gain = said_by(MODEL, example)[0] - example.reference[0]
        assert loss == pytest.approx(2 * (1 - sigmoid(beta * gain)) if example.is_liked else 0.5 * sigmoid(beta * gain), rel=2e-5, abs=2e-5)


def test_kto_compares_with_the_mean_gain_of_mismatched_answers():
    read = [row._replace(other=None, reference=()) for row in examples_of([5, 17, 9, 12], "kto.v1")]
    kto = objective_of("kto.v1", pref_beta=0.5, cutoff_len=20)
    complete = kto.complete(read)
    for row, one, before in zip(complete, read, [read[-1], *read[:-1]], strict=True):
        asked, answer = one.ids[~one.learn], before.ids[before.learn]
        assert row.other.ids.tolist() == [*asked, *answer][:20]
        assert row.other.learn.tolist() == [n >= len(asked) for n in range(len(row.other.ids))]
    for shift in (-30.0, 30.0):  # the mean gain above zero, or below
        rows = [
            row._replace(reference=(said_by(MODEL, row)[0] - 1.0, said_by(MODEL, row.other)[0] + shift + n))
            for n, row in enumerate(complete)
        ]
        losses, _ = kto.losses(MODEL, collate(rows, padding=2, device="cpu"))
        zero = max(0.0, sum(-shift - n for n in range(4)) / 4)
        for loss, row in zip(losses.tolist(), rows, strict=True):
            above = 0.5 * (1.0 - zero)
            assert loss == pytest.approx(1 - sigmoid(above) if row.is_liked else 1 - sigmoid(-above), abs=1e-4)


def test_no_row_of_kto_is_its_own_which_is_why_no_private_run_may_have_it():
    """With the flag set, the property above does not hold of it."""
    assert "kto.v1" not in PER_EXAMPLE
    rows = [
        row._replace(reference=(said_by(MODEL, row)[0], said_by(MODEL, row.other)[0] - 10.0 * n))
        for n, row in enumerate(examples_of([5, 17, 9], "kto.v1"))
    ]
    together, alone = (objective_of("kto.v1").losses(MODEL, collate(some, padding=2, device="cpu"))[0] for some in (rows, rows[:1]))
    assert float(alone[0]) == pytest.approx(0.5, abs=1e-4)
    assert abs(float(together[0]) - 0.5) == pytest.approx(sigmoid(0.1 * 10) - 0.5, abs=1e-4)


@pytest.mark.parametrize("name", sorted(set(OBJECTIVES.names()) - set(PER_EXAMPLE)))
def test_rows_that_depend_on_each_other_go_together_as_the_recipe_writes_whatever_their_length_memory_or_processes(name):
    made = TrainSettings(objective=name, per_device_train_batch_size=3, gradient_accumulation_steps=2, lora_rank=2)
    trainer = Trainer(model_of("llama"), made, hints=RuntimeHints(micro_batch=1), padding=2, device="cpu")
    rows = [  # the mean gain of mismatched answers is above zero, and another one in each micro batch
        row._replace(reference=(said_by(MODEL, row)[0], said_by(MODEL, row.other)[0] - 3.0 * n))
        for n, row in enumerate(examples_of([5, 24, 9, 3, 17, 12, 20, 4], name))
    ]
    groups = [rows[:3], rows[3:6], rows[6:]]
    wanted = [
        float(loss)
        for group in groups
        for loss in trainer.objective.losses(trainer.model.eval(), collate(group, padding=2, device="cpu"))[0].detach()
    ]
    assert trainer.evaluate(rows).loss == pytest.approx(sum(wanted) / 8, abs=1e-6)
    assert trainer.step(rows[:6], step=0, steps=9) == pytest.approx(sum(wanted[:6]) / 6, abs=1e-6)
    trainer.team = Team(3)
    assert [[id(row) for row in one.rows] for one in trainer.passes(rows)] == [[id(row) for row in group] for group in groups]


def test_label_smoothing_takes_a_share_of_the_preferences_for_swapped():
    examples = examples_of([5, 17], "dpo.v1")
    swapped = [Example(*one.other, other=Tokens(one.ids, one.learn), reference=one.reference[::-1]) for one in examples]
    plain, other = (objective_of("dpo.v1").losses(MODEL, collate(rows, padding=2, device="cpu"))[0] for rows in (examples, swapped))
    smooth, _ = objective_of("dpo.v1", dpo_label_smoothing=0.2).losses(MODEL, collate(examples, padding=2, device="cpu"))
    assert torch.allclose(smooth, 0.8 * plain + 0.2 * other, atol=1e-5)


def test_an_answer_that_is_as_good_as_certain_has_a_loss_and_a_gradient():
    from ringfence.train.preference import Said

    log_p = torch.tensor([0.0, -1e-9, -2.0, -700.0], requires_grad=True)
    chosen, rejected = (Said(one, torch.ones(4), torch.zeros(4)) for one in (log_p, torch.tensor([-1.0, -1e-9, -700.0, 0.0])))
    objective_of("orpo.v1").loss(chosen, rejected).sum().backward()
    assert torch.isfinite(log_p.grad).all()


def test_what_a_pair_was_before_training_is_the_model_that_training_began_with():
    made = TrainSettings(objective="dpo.v1", learning_rate=0.05, lora_rank=2)
    rows = [row._replace(reference=()) for row in examples_of([5, 17, 9, 12, 3], "dpo.v1")]
    base = model_of("llama").requires_grad_(requires_grad=False)
    trainer = Trainer(base, made, hints=RuntimeHints(micro_batch=2), padding=2, device="cpu")
    referred = trainer.refer(rows)
    assert all(a.ids is b.ids for a, b in zip(rows, referred, strict=True))
    for row in referred:
        assert row.reference == pytest.approx([said_by(MODEL, one)[0] for one in row.sequences], abs=1e-4)
    first = trainer.step(referred, step=0, steps=9)
    assert first == pytest.approx(math.log(2), abs=1e-5)  # no margin yet
    assert trainer.step(referred, step=1, steps=9) < first - 0.01
    none = Trainer(model_of("llama"), made.model_copy(update={"objective": "simpo.v1"}), hints=RuntimeHints(), padding=2, device="cpu")
    assert none.refer(rows) == rows


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_the_host_knows_which_rows_an_objective_reads_without_loading_it(name, tokenizer):
    reads = TrainSettings(objective=name).reads
    for kind, roles in (("any", ("user", "assistant")), ("preference", ("user", "chosen", "rejected")), ("feedback", ("user", "liked"))):
        record = Record("0" * 32, "0" * 32, "s", "pair" if kind == "any" else kind, roles, ("a", "b", "c")[: len(roles)])
        assert (objective_of(name).read(record, tokenizer) is not None) == (reads in ("any", kind))
    disliked = Record("0" * 32, "0" * 32, "s", "feedback", ("user", "disliked"), ("a", "b"))
    assert (objective_of(name).read(disliked, tokenizer) is not None) == (reads == "feedback")


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
@pytest.mark.parametrize("tied", [True, False])
def test_sft_equals_the_loss_of_transformers(family, tied):
    model = model_of(family, tied=tied).requires_grad_(requires_grad=False)
    batch = collate(examples_of([7, 12, 3]), padding=2, device="cpu")
    losses, weights = objective_of("sft.v1", head_chunk=4).losses(model, batch)
    labels = batch.ids.masked_fill(~batch.learn, -100)
    mask = torch.tensor([[1] * n + [0] * (12 - n) for n in (7, 12, 3)])
    wanted = model(input_ids=batch.ids, attention_mask=mask, labels=labels).loss
    assert float(losses.sum() / weights.sum()) == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 40), chunk=st.integers(1, 40))
def test_the_chunked_head_has_the_gradient_of_the_plain_one(dtype, tolerance, n, chunk):
    torch.manual_seed(n)
    hidden, head, targets = torch.randn(n, 6, dtype=dtype, requires_grad=True), torch.randn(11, 6, dtype=dtype), torch.randint(0, 11, (n,))
    scale = torch.rand(n)
    got = cross_entropy(hidden, head, targets, chunk=chunk)
    (gradient,) = torch.autograd.grad((got * scale).sum(), hidden)
    wanted = torch.nn.functional.cross_entropy((hidden @ head.T).float(), targets, reduction="none")
    (naive,) = torch.autograd.grad((wanted * scale).sum(), hidden)
    assert got.shape == (n,)
    assert torch.allclose(got, wanted, atol=tolerance)
    assert torch.allclose(gradient, naive, atol=tolerance)


def test_a_trained_head_is_refused_rather_than_left_without_gradient():
    with pytest.raises(ValueError, match="head"):
        cross_entropy(torch.randn(2, 3), torch.randn(5, 3, requires_grad=True), torch.tensor([0, 1]), chunk=2)


def test_one_step_has_the_gradient_of_the_naive_path_whatever_the_micro_batches():
    examples = examples_of([4, 15, 9, 9, 20])
    gradients = []
    for micro in (1, 2, 5):
        trainer = trainer_of(micro)
        remember(trainer, gradients)
        trainer.step(examples, step=0, steps=2)
    trainer = trainer_of(5)
    batch: Batch = collate(examples, padding=2, device="cpu")
    labels = batch.ids.masked_fill(~batch.learn, -100)
    trainer.model(input_ids=batch.ids, labels=labels).loss.backward()
    naive = {name: weight.grad for name, weight in trainer.method.parameters().items()}
    for found in gradients:
        assert all(torch.allclose(found[name], naive[name], atol=1e-6) for name in naive)
    assert any(float(grad.norm()) > 1e-4 for grad in naive.values())


def trainer_of(micro):
    made = TrainSettings(lora_rank=2, max_grad_norm=0.0)
    return Trainer(
        model_of("llama").requires_grad_(requires_grad=False), made, hints=RuntimeHints(micro_batch=micro), padding=2, device="cpu"
    )


def remember(trainer, gradients):
    """Keep the gradients that the optimiser is given."""
    inner = trainer.optimiser.step

    def step(learning_rate):
        gradients.append({name: weight.grad.clone() for name, weight in trainer.method.parameters().items()})
        return inner(learning_rate)

    trainer.optimiser.step = step
