"""Several processes hold one frozen base together: the same gradients and weights, less memory, and nothing of a pass that only keeps pace."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import save as save_tensors
from torch.distributed import device_mesh
from transformers import LlamaForCausalLM

from ringfence.core.errors import DeviceMissing, Interrupted, ModelUnsupported, RankLost
from ringfence.core.failure import Relayed
from ringfence.core.order import Limits
from ringfence.core.work import Input, Work
from ringfence.jobs.start import Handlers
from ringfence.jobs.start import start as start_job
from ringfence.models.load import load_model
from ringfence.models.tiny import tiny_config
from ringfence.train import adapter, job, price, setup, team
from ringfence.train.data import Tokens, levelled
from ringfence.train.device import Placement
from ringfence.train.method import METHODS as METHODS_OF
from ringfence.train.objective import OBJECTIVES
from ringfence.train.settings import DrawnSettings, RuntimeHints, TrainFigures, TrainOrder, TrainSettings
from ringfence.train.setup import peaks_of
from ringfence.train.shard import return_memory, share_out
from ringfence.train.team import assembled
from ringfence.train.trainer import Peak
from ringfence.train.usage import measure_anew, peak_memory
from tests.unit.sandbox.sandbox_cages import needs_bwrap
from tests.unit.train.test_train_team import (
    HINTS,
    ORDINARY,
    SETTINGS,
    STEPS,
    Open,
    OpenPrivate,
    OpenTrainer,
    build,
    children,
    end_a_rank,
    examples_of,
    gradient_of,
    plan_of,
    start,
    together,
    weights_of,
)
from tests.unit.train.train_parts import TENANT, Memory, Vault, child, pairs

SHARD = HINTS.model_copy(update={"shard": True})
RANKS = {
    "two, ordinary": (2, {}, {}),
    "three, computed again": (3, {}, {"checkpointing": True}),
    "two, private, computed again": (2, {"plan": plan_of()}, {"checkpointing": True}),
    "three, private": (3, {"plan": plan_of()}, {}),
}


class Divided(Open):
    """What a test asks every rank besides."""

    def held(self):
        """Return the numbers of layers that this rank holds, those of a fair part, and whether all that is trained is whole."""
        base = [weight for name, weight in self.model.named_parameters() if ".layers." in name and not weight.requires_grad]
        parts = [weight.to_local().numel() if hasattr(weight, "to_local") else weight.numel() for weight in base]
        fair = [-(-weight.shape[0] // self.team.size) * weight.numel() // weight.shape[0] for weight in base]  # whole rows of a matrix
        return sum(parts), sum(fair), all(type(weight) is torch.nn.Parameter for weight in self.method.parameters().values())

    def spoil(self, factor):
        """Let every loss of a pass that counts for nothing be so many times what it is."""
        losses = self.objective.losses

        def spoiled(model, batch):
            found, weights = losses(model, batch)
            return (found * factor if bool((batch.ids == 1).all()) else found), weights

        self.objective.losses = spoiled

    def seen(self):
        """Return what is kept of weights' gradients between steps: it should be nothing."""
        return [name for name, weight in self.method.parameters().items() if weight.grad is not None]


class DividedTrainer(Divided, OpenTrainer):
    pass


class DividedPrivate(Divided, OpenPrivate):
    pass


@pytest.fixture(autouse=True)
def divided(monkeypatch):
    monkeypatch.setattr("tests.unit.train.test_train_team.OpenTrainer", DividedTrainer)
    monkeypatch.setattr("tests.unit.train.test_train_team.OpenPrivate", DividedPrivate)


def apart(got, wanted):
    return float((got - wanted).norm() / wanted.norm())


# ── sums ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", [pytest.param(name, marks=pytest.mark.full if "again" in name else ()) for name in RANKS])
def test_sums_over_parts_are_those_of_the_whole_base(case):
    size, options, hints = RANKS[case]
    whole = build(None, hints=HINTS.model_copy(update=hints), **options)
    steps = {name: examples for name, examples in STEPS.items() if examples}
    wanted = {name: gradient_of(whole, examples) for name, examples in steps.items()}
    with together(size, hints=SHARD.model_copy(update=hints), **options) as trainer:
        assert any(not one.counts for examples in steps.values() for share in trainer.shares(examples) for one in share)
        for name, examples in steps.items():
            assert apart(gradient_of(trainer, examples), wanted[name]) < 1e-6, name
        if options:
            assert float(gradient_of(trainer, []).norm()) < 1e-12
        assert trainer.evaluate(steps["uneven shares"]) == pytest.approx(whole.evaluate(steps["uneven shares"]), rel=1e-6)
        for held, fair, is_whole in trainer.each("held"):
            assert 0 < held <= fair < 74_000 / size + 1_000  # all layers of the model have 73,984
            assert is_whole
    assert children() == []


def compared(objective, lengths=(9, 14, 11)):
    """Return rows of two sequences that begin alike, or of one that was judged."""
    rows = examples_of(lengths)
    if not objective.startswith(("dpo", "rm")):
        rows = OBJECTIVES.create(objective, settings=TrainSettings(objective=objective)).complete(rows)
        return [row._replace(is_liked=bool(at % 2)) for at, row in enumerate(rows)]
    others = examples_of([length + 3 for length in lengths])
    return [
        row._replace(other=Tokens(np.concatenate([row.ids[:3], other.ids[3:]]), other.learn))
        for row, other in zip(rows, others, strict=True)
    ]


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        pytest.param("dpo.v1", {}, marks=pytest.mark.full),
        ("dpo.v1", {"plan": plan_of()}),
        ("kto.v1", {}),
        pytest.param("rm.v1", {}, marks=pytest.mark.full),
        pytest.param("rm.v1", {"plan": plan_of()}, marks=pytest.mark.full),
        pytest.param("apo-zero-unpaired.v1", {"plan": plan_of()}, marks=pytest.mark.full),
    ],
    ids=lambda one: one if isinstance(one, str) else "private" if one else "ordinary",
)
def test_compared_and_judged_answers_keep_pace_too(objective, options):
    """A pass that counts for nothing goes through the model as often as any other: twice under kto."""
    settings = ORDINARY.model_copy(update={"objective": objective, "per_device_train_batch_size": 1})  # of kto, whatever the hints say
    hints = {"micro_batch": 1}
    whole = build(None, settings=settings, hints=HINTS.model_copy(update=hints), **options)
    rows = whole.refer(compared(objective))
    wanted = gradient_of(whole, rows)
    with together(2, settings=settings, hints=SHARD.model_copy(update=hints), **options) as trainer:
        again = trainer.refer(compared(objective))
        assert [row.reference for row in again] == [pytest.approx(row.reference, rel=1e-6) for row in rows]
        assert [[one.counts for one in share] for share in trainer.shares(again)] in (
            [[True] * 2, [True, False]],
            [[True, False], [True] * 2],
        )
        assert apart(gradient_of(trainer, again), wanted) < 1e-6
        assert trainer.evaluate(again) == pytest.approx(whole.evaluate(rows), rel=1e-5)


@pytest.mark.parametrize("shard", [False, True])
def test_rows_that_are_compared_with_their_neighbours_are_not_divided_among_processes(shard):
    settings = ORDINARY.model_copy(update={"objective": "kto.v1", "per_device_train_batch_size": 3})

    def rows_of(trainer):  # the answers of other rows have gained something, and not all of them alike
        rows = trainer.refer(compared("kto.v1", (14, 14, 14)))
        return [row._replace(reference=(row.reference[0], row.reference[1] - 5.0 * at)) for at, row in enumerate(rows)]

    hints = HINTS.model_copy(update={"micro_batch": 3, "shard": shard})
    whole = build(None, settings=settings, hints=hints)
    wanted, loss = gradient_of(whole, rows_of(whole)), whole.evaluate(rows_of(whole)).loss
    with together(2, settings=settings, hints=hints) as trainer:
        rows = rows_of(trainer)
        assert apart(gradient_of(trainer, rows), wanted) < 1e-6
        assert trainer.evaluate(rows).loss == pytest.approx(loss, rel=1e-6)
    assert loss != pytest.approx(0.5, abs=0.01)


METHODS = {
    "dora": {"method": "dora.v1"},
    "oft": {"method": "oft.v1", "oft_block_size": 16},
    "pissa": {"method": "pissa.v1", "pissa_iter": -1},
    "frozen A": {"lora_freeze_a": True},
    "some layers": {"layers_to_transform": (1,), "lora_target": ("q_proj", "down_proj")},
    "noise on embeddings": {"neftune_noise_alpha": 1e-6},
}


@pytest.mark.full
@pytest.mark.parametrize("name", METHODS)
def test_what_is_trained_beside_a_divided_base_is_what_is_trained_beside_a_whole_one(name):
    settings = ORDINARY.model_copy(update={"lora_rank": 4, **METHODS[name]})
    whole = build(None, settings=settings, hints=HINTS)
    wanted = gradient_of(whole, STEPS["uneven shares"])
    with together(2, settings=settings, hints=SHARD) as trainer:
        assert apart(gradient_of(trainer, STEPS["uneven shares"]), wanted) < 1e-5
        assert {name: tuple(one.shape) for name, one in trainer.method.export().items()} == {
            name: tuple(one.shape) for name, one in whole.method.export().items()
        }


@pytest.mark.parametrize("options", [{}, {"plan": plan_of()}], ids=["ordinary", "private"])
def test_passes_that_count_for_nothing_go_back_as_far_as_others(options, monkeypatch):
    """Where activations are computed again, that is to the first layer, below all that is trained."""
    monkeypatch.setattr(team, "_TOGETHER", timedelta(seconds=15))  # who waits for a part that nobody sends
    settings = ORDINARY.model_copy(update={"lora_rank": 4, "layers_to_transform": (3,), "lora_target": ("q_proj", "down_proj")})
    common = {"settings": settings, "layers": 4, **options}
    hints, rows = {"checkpointing": True, "micro_batch": 1}, examples_of((9, 14, 11))
    wanted = gradient_of(build(None, hints=HINTS.model_copy(update=hints), **common), rows)
    with together(2, hints=SHARD.model_copy(update=hints), **common) as trainer:
        assert not all(one.counts for share in trainer.shares(rows) for one in share)
        for _ in range(3):
            assert apart(gradient_of(trainer, rows), wanted) < 1e-6
            assert trainer.each("seen") == [[], []]


@pytest.mark.full
@pytest.mark.parametrize("method", ["lora.v1", "dora.v1"])
def test_a_base_in_4_bits_is_divided_too(method, tiny_folder):
    """bitsandbytes finds what it needs of a gathered weight on its layer."""
    settings = ORDINARY.model_copy(update={"quantization_bit": 4, "method": method})

    def make(crew, hints=SHARD):
        model = load_model(tiny_folder, dtype=torch.float32, device="cpu", quantised=settings.quantised)
        return DividedTrainer(model, settings, hints=hints, padding=2, device="cpu", team=crew)

    whole = make(None, HINTS)
    wanted = gradient_of(whole, STEPS["uneven shares"])
    with assembled(2, make) as crew:
        crew.ask("build", [()] * 2)
        trainer = make(crew)
        crew.answers()
        trainer.start()
        assert apart(gradient_of(trainer, STEPS["uneven shares"]), wanted) < 1e-5
        assert all(held <= fair for held, fair, _ in trainer.each("held"))
        assert trainer.numbers == whole.numbers  # what a step is priced by
        assert price._cost(STEPS["uneven shares"], trainer) < price._cost(STEPS["uneven shares"], whole)


@pytest.mark.full
def test_packed_rows_and_narrow_numbers_keep_pace():
    hints = {"packing": True}
    whole = build(None, hints=HINTS.model_copy(update=hints), dtype=torch.bfloat16)
    wanted = gradient_of(whole, STEPS["uneven shares"])
    with together(3, hints=SHARD.model_copy(update=hints), dtype=torch.bfloat16) as trainer:
        assert apart(gradient_of(trainer, STEPS["uneven shares"]), wanted) < 2e-2
        trainer.step(STEPS["uneven shares"], step=0, steps=9)
        assert len(set(trainer.each("weights"))) == 1


# ── passes that count for nothing ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("options", [{}, {"plan": plan_of()}], ids=["ordinary", "private"])
def test_a_pass_that_counts_for_nothing_leaves_nothing_whatever_it_finds(options):
    wanted = gradient_of(build(None, hints=HINTS, **options), STEPS["an empty share"])
    with together(2, hints=SHARD, **options) as trainer:
        for factor in (1.0, 1e6, math.inf, math.nan):
            trainer.each("spoil", [(factor,)] * 2)
            assert apart(gradient_of(trainer, STEPS["an empty share"]), wanted) < 1e-6
            assert trainer.evaluate(STEPS["an empty share"]).units == 1
            assert trainer.each("seen")[1] == []
        loss = trainer.step(STEPS["an empty share"], step=0, steps=9)
        assert loss is not None
        assert math.isfinite(loss)


def test_shares_are_filled_up_to_the_longest_with_rows_of_nobody():
    trainer = build(None, hints=HINTS)
    passes = trainer.passes(STEPS["uneven shares"])[:4]
    shares = levelled([passes[:3], passes[3:], []])
    assert [[one.counts for one in share] for share in shares] == [[True] * 3, [True, False, False], [False] * 3]
    assert [one for share in shares for one in share if one.counts] == passes
    (row,) = shares[2][0].rows
    assert (row.ids.tolist(), row.learn.tolist(), row.other, row.reference) == ([1, 1], [False, True], None, ())
    assert levelled([[], []]) == [[], []]
    pair = compared("dpo.v1")[0]._replace(reference=(-3.0, -4.0))
    (_, (idle,)) = levelled([trainer.passes([pair]), []])
    assert idle.rows[0].reference == (0.0, 0.0)
    assert len(idle.rows[0].sequences) == 2


# ── the job ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def started(folder, model, settings, *, size, shard, **more):
    made, channel = start(folder, model, settings, size=size, **more)
    made.order.settings.hints.__dict__["shard"] = shard
    return made, channel


@pytest.mark.full
def test_a_run_that_shares_its_base_learns_what_one_process_does(tmp_path, tiny_folder):
    settings = ORDINARY.model_copy(
        update={"max_steps": 6, "per_device_train_batch_size": 5, "eval": True, "eval_strategy": "steps", "eval_steps": 2}
    )
    settings = settings.model_copy(update={"load_best_model_at_end": True, "early_stopping_steps": 2})
    found = []
    for size in (1, 3):
        made, _ = started(tmp_path / str(size), tiny_folder, settings, size=size, shard=size > 1, evaluation=pairs(5, start=100))
        found.append((job.run(made), weights_of(made)))
    (one, weights), (three, again) = found
    assert three.processes == 3
    assert three.losses == pytest.approx(one.losses, abs=2e-5)
    assert three.eval_losses == pytest.approx(one.eval_losses, abs=2e-5)
    assert (three.eval_before, three.eval_after, three.steps) == pytest.approx((one.eval_before, one.eval_after, one.steps), abs=2e-5)
    for name, weight in weights.items():
        assert torch.allclose(again[name], weight, atol=2e-4)
    made, channel = started(tmp_path / "stopped", tiny_folder, settings, size=3, shard=True, evaluation=pairs(5, start=100), stop_at=3)
    with pytest.raises(Interrupted):
        job.run(made)
    _, slot = channel.checkpoints[-1]
    more, _ = started(
        tmp_path / "more",
        tiny_folder,
        settings,
        size=2,  # another number of parts than before
        shard=True,
        evaluation=pairs(5, start=100),
        checkpoint=(slot, made.keys.data[slot.slot]),
    )
    assert job.run(more).losses == pytest.approx(one.losses, abs=2e-5)
    assert children() == []


def test_a_shared_base_leaves_an_adapter_that_stock_peft_loads(tmp_path, tiny_folder):
    settings = ORDINARY.model_copy(update={"max_steps": 2})
    made, _ = started(tmp_path / "vault", tiny_folder, settings, size=2, shard=True)
    job.run(made)
    weights = weights_of(made)
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / adapter.WEIGHTS).write_bytes(save_tensors(weights, metadata={"format": "pt"}))
    (folder / adapter.CONFIG).write_text(json.dumps(adapter.peft_config(settings, "tiny", weights)))
    ids = torch.tensor([[5, 9, 17, 40, 3]])
    stock = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32), folder)
    whole = METHODS_OF.create(settings.method, settings=settings)
    model = whole.attach(load_model(tiny_folder, dtype=torch.float32, device="cpu"))
    with torch.no_grad():
        before = model(ids).logits
        whole.load(weights)
        assert torch.allclose(stock(ids).logits, model(ids).logits, atol=1e-6)
        assert not torch.allclose(before, model(ids).logits, atol=1e-4)


@pytest.mark.full
def test_a_run_over_parts_is_priced_as_it_is(tmp_path, tiny_folder):
    made, channel = started(tmp_path, tiny_folder, SETTINGS, size=2, shard=True, plan=plan_of(units=20, steps=50))
    found = price.run(made)
    assert (found.processes, found.steps, channel.leases) == (2, 50, [])
    assert found.peak_memory > 0
    assert children() == []


@pytest.mark.full
def test_a_base_is_shared_out_inside_the_sandbox(tmp_path, tiny_folder):
    needs_bwrap()
    vault, incoming = Vault(tmp_path / "vault"), tmp_path / "incoming"
    source = vault.write_set(pairs(20))
    outputs = {"adapter": vault.output("adapter")}
    (incoming / outputs["adapter"].slot).mkdir(parents=True)
    work = Work(
        job="train.v1",
        run="train-0123456789ab",
        tenant=TENANT,
        settings=TrainOrder(train=SETTINGS, plan=plan_of(units=20, steps=4, noise=0.5), hints=SHARD.model_copy(update={"processes": 3})),
        inputs={"set": Input(source, Path(source.path))},
        outputs=outputs,
        incoming=incoming,
        files={"model": tiny_folder},
        keys=child(vault, Memory(vault), TrainOrder()).keys,
        limits=Limits(seconds=120, memory=6 << 30, threads=3),
    )
    done = start_job(work, TrainFigures, handlers=Handlers(lease=lambda steps: steps))
    assert (done.figures.steps, done.figures.processes, done.sandbox.tier) == (4, 3, "T1")
    assert any((incoming / outputs["adapter"].slot).iterdir())


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


def _killed_later(trainer):
    """Return what ends a rank in the middle of its second pass, when the others wait for its parts."""
    passes = iter([None, os.kill])

    def losses(*_):
        if end := next(passes):
            end(os.getpid(), signal.SIGKILL)
        return before(*_)

    before = trainer.objective.losses
    return losses


class Ending(DividedTrainer):
    def end_later(self, is_last):
        if is_last:
            self.objective.losses = _killed_later(self)


def step_in_which_the_last_rank_ends():
    with together(3, hints=SHARD) as trainer:
        trainer.each("end_later", [(False,), (False,), (True,)])
        trainer.step(STEPS["uneven shares"], step=0, steps=9)


def test_a_rank_that_dies_while_others_gather_its_part_ends_the_run(monkeypatch):
    monkeypatch.setattr("tests.unit.train.test_train_team.OpenTrainer", Ending)
    began = time.monotonic()
    with pytest.raises(RankLost) as caught:
        step_in_which_the_last_rank_ends()
    assert caught.value.facts == {"status": 137}
    assert time.monotonic() - began < 20
    assert children() == []


def test_a_dead_rank_of_a_shared_base_leaves_no_adapter(tmp_path, tiny_folder):
    made, channel = started(tmp_path, tiny_folder, ORDINARY.model_copy(update={"max_steps": 8}), size=2, shard=True)
    end_a_rank(made, channel, after=2)


@pytest.mark.full
def test_a_rank_that_cannot_load_ends_the_run_though_others_wait_for_their_turn(tmp_path, tiny_folder, monkeypatch):
    def load(*_, **__):
        if dist.get_rank() == 1:
            raise DeviceMissing
        return load_model(*_, **__)

    monkeypatch.setattr(setup, "load_model", load)
    made, _ = started(tmp_path, tiny_folder, ORDINARY.model_copy(update={"max_steps": 1}), size=3, shard=True)
    began = time.monotonic()
    with pytest.raises(Relayed) as caught:
        job.run(made)
    assert caught.value.failure.error == "DeviceMissing"
    assert time.monotonic() - began < 20
    assert children() == []


def test_a_rank_that_fails_before_its_turn_says_why(tmp_path, tiny_folder, monkeypatch):
    leader = os.getpid()

    def choose(*_, **__):
        if os.getpid() != leader:
            raise DeviceMissing
        return "eager"

    monkeypatch.setattr(setup, "choose_attention", choose)
    monkeypatch.setattr(team, "_TOGETHER", timedelta(seconds=10))
    made, _ = started(tmp_path, tiny_folder, ORDINARY.model_copy(update={"max_steps": 1}), size=2, shard=True)
    with pytest.raises(Relayed) as caught:
        job.run(made)
    assert caught.value.failure.error == "DeviceMissing"
    assert children() == []


def test_a_rank_without_a_gpu_of_its_own_says_so_after_it_has_met_the_others(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(setup, "return_memory", lambda: None)
    made, _ = started(tmp_path, tiny_folder, ORDINARY, size=2, shard=True)
    met = []
    with pytest.raises(DeviceMissing):
        setup._trainer(made, SimpleNamespace(size=2, rank=1, meet=met.append), Placement("cuda", "float32"), 9, 2)
    assert met == ["cuda"]


def test_on_the_processors_of_a_machine_with_a_gpu_nobody_waits_for_a_rank_whose_turn_has_not_come():
    """For a mesh of processors torch would make a group of its own there, which all ranks must enter."""

    def refuse(*_, **__):
        raise TimeoutError

    def make(crew):
        crew.meet("cpu")
        with crew.in_turn(), pytest.MonkeyPatch.context() as patched:
            patched.setattr(torch.cuda, "is_available", lambda: True)
            patched.setattr(device_mesh, "new_group", refuse)
            return build(crew, hints=SHARD)

    with assembled(2, make) as crew:
        crew.ask("build", [()] * 2)
        trainer = make(crew)
        crew.answers()
        trainer.start()
        assert all(held <= fair for held, fair, _ in trainer.each("held"))


REFUSED = {
    "full": ({"method": "full.v1"}, "leave --shard out"),
    "freeze": ({"method": "freeze.v1"}, "leave --shard out"),
    "galore": ({"method": "full.v1", "use_galore": True}, "leave --shard out"),
    "8 bits": ({"quantization_bit": 8}, "write quantization_bit: 4"),
    "drawn": ({"objective": "grpo.v1", "drawn": DrawnSettings(reward=("number.v1",))}, "one process"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_divided_is_refused_before_anything(name):
    changed, told = REFUSED[name]
    settings = TrainSettings(**changed)
    assert TrainOrder(train=settings).train == settings
    with pytest.raises(ValidationError, match=re.escape(told)):
        TrainOrder(train=settings, hints=RuntimeHints(shard=True))


def test_a_model_whose_layers_are_not_known_is_refused():
    model = torch.nn.Module()
    model.base_model_prefix, model.body = "body", torch.nn.Linear(4, 4)
    with pytest.raises(ModelUnsupported):
        share_out(model, set(), device="cpu")


def test_one_process_holds_the_whole_base_whatever_the_hints_say():
    trainer = build(None, hints=SHARD)
    assert not any(hasattr(weight, "to_local") for weight in trainer.model.parameters())


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ranks_load_one_after_the_other(tmp_path):
    log = tmp_path / "log"

    def build_in_turn(crew):
        with crew.in_turn():
            for word in ("begins", "ends"):
                with log.open("a") as file:
                    file.write(f"{crew.rank} {word}\n")
                time.sleep(0.05)  # long enough for another rank to come between, if it could
        return crew

    with assembled(3, build_in_turn) as crew:
        crew.ask("build", [()] * 3)
        build_in_turn(crew)
        crew.answers()
    assert log.read_text().splitlines() == [f"{rank} {word}" for rank in range(3) for word in ("begins", "ends")]


def test_a_turn_that_does_not_come_is_a_rank_that_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(team, "_PATIENCE", 0.1)
    with pytest.raises(RankLost) as caught, team.Team(2, 1, meeting=tmp_path / "meeting").in_turn():
        pass
    assert caught.value.facts == {"status": 124}


def test_only_one_rank_at_a_time_counts_as_loading():
    peaks = [Peak(memory=50, loading=90, gpu_memory=3), Peak(memory=60, loading=80, gpu_memory=4), Peak(memory=70, loading=0, gpu_memory=0)]
    assert peaks_of(SimpleNamespace(each=lambda _: peaks)) == (50 + 60 + 70 + 40, 4)
    peaks = [peak._replace(loading=10) for peak in peaks]
    assert peaks_of(SimpleNamespace(each=lambda _: peaks)).memory == 180


def test_a_peak_can_be_measured_anew(tmp_path):
    large = torch.ones(64 << 20, dtype=torch.uint8)
    before = peak_memory()
    del large
    assert measure_anew() > 0.99 * before  # the kernel counts pages in batches
    assert peak_memory() < before - (32 << 20)
    assert measure_anew(tmp_path) == 0  # where nothing can be written, the peak stays


@pytest.mark.full
def test_parts_take_less_memory_than_the_whole():
    """The two layers of this model are 63 MiB; two processes hold half of them each."""
    config = tiny_config()
    config.hidden_size, config.intermediate_size, config.num_attention_heads, config.num_key_value_heads = 768, 2560, 12, 12
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as fresh:  # what earlier tests left free would take the parts in unseen
        found = [fresh.submit(_residents, config, shard=shard).result() for shard in (False, True)]
    for whole, part in zip(*found, strict=True):
        assert whole - part > 20 * 2**20  # some MiB go to what knows of the parts


def _residents(config, *, shard):
    with assembled(2, partial(_large, config, shard)) as crew:
        crew.ask("build", [()] * 2)
        trainer = _large(config, shard, crew)
        crew.answers()
        trainer.start()
        return trainer.each("resident")


class Resident(DividedTrainer):
    def resident(self):
        return int(re.search(r"Anonymous:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text())[1]) * 1024


def _large(config, shard, crew):
    return_memory()
    torch.manual_seed(5)
    model = LlamaForCausalLM(config).requires_grad_(requires_grad=False)
    return Resident(model, ORDINARY, hints=HINTS.model_copy(update={"shard": shard}), padding=2, device="cpu", team=crew)
