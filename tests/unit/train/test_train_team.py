"""Several processes make one run: the same sums, the same weights to the bit, one draw of noise, and no rank that can hold the others up."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from transformers import LlamaForCausalLM

from ringfence.core.errors import DeviceMissing, Interrupted, RankLost
from ringfence.core.failure import Relayed
from ringfence.core.order import Limits
from ringfence.core.work import Input, Work
from ringfence.jobs.start import Handlers
from ringfence.jobs.start import start as start_job
from ringfence.models.tiny import tiny_config
from ringfence.privacy.keystream import Keystream
from ringfence.privacy.plan import DPPlan
from ringfence.sandbox.devices import gpus
from ringfence.train import adapter, job, price, setup, team
from ringfence.train.data import Example, Pass, deal
from ringfence.train.device import processes
from ringfence.train.private import PrivateTrainer, passes
from ringfence.train.settings import PriceOrder, RuntimeHints, TrainFigures, TrainOrder, TrainSettings
from ringfence.train.setup import peaks_of
from ringfence.train.team import assembled
from ringfence.train.trainer import Trainer
from ringfence.vault.files import read_file
from tests.unit.sandbox.sandbox_cages import needs_bwrap
from tests.unit.train.train_parts import TENANT, Memory, Vault, child, pairs

PLAIN = RuntimeHints(device="cpu", dtype="float32")
SETTINGS = TrainSettings(lora_rank=4, cutoff_len=96, learning_rate=0.5, optim="sgd", momentum=0.9, max_grad_norm=0.0)
ORDINARY = SETTINGS.model_copy(update={"optim": "adamw_torch", "momentum": 0.0, "max_grad_norm": 1.0, "learning_rate": 1e-2})


def plan_of(*, units=10, rate=0.5, steps=8, noise=1e-14, clip=0.25):
    return DPPlan(
        epsilon=8,
        delta=1e-3,
        unit=None,
        units=units,
        clip_norm=clip,
        sampling_rate=rate,
        max_batch=units,
        steps=steps,
        noise_multiplier=noise,
    )


class Open:
    """What a test asks every rank."""

    def weights(self):
        data = b"".join(weight.detach().float().numpy().tobytes() for weight in self.method.parameters().values())
        return hashlib.sha256(data).hexdigest()

    def secrets(self):
        return Keystream.made, Keystream.drawn

    def found(self):
        return self.rate

    def threads(self):
        return torch.get_num_threads()

    def end_at(self, what, how):
        """From now on this rank does `how` instead of `what`, if it is given one."""
        if how:
            setattr(self, what, how)


class OpenTrainer(Open, Trainer):
    pass


class OpenPrivate(Open, PrivateTrainer):
    pass


def build(crew, *, plan=None, settings=None, hints=PLAIN, dtype=torch.float32, layers=2):
    torch.manual_seed(5)
    model = LlamaForCausalLM(tiny_config(layers)).to(dtype).requires_grad_(requires_grad=False)
    common = {"hints": hints, "padding": 2, "device": "cpu", "team": crew}
    if plan is None:
        return OpenTrainer(model, settings or ORDINARY, **common)
    return OpenPrivate(model, settings or SETTINGS, plan=plan, **common)


@contextlib.contextmanager
def together(size, **options):
    make = partial(build, **options)
    with assembled(size, make) as crew:
        crew.ask("build", [()] * size)
        trainer = make(crew)
        crew.answers()
        trainer.start()
        yield trainer


def examples_of(lengths, units=None):
    drawn = np.random.default_rng(3)
    found = []
    for at, length in enumerate(lengths):
        learn = np.arange(length) > 1
        found.append(Example(drawn.integers(3, 259, length).astype(np.int32), learn, at if units is None else units[at]))
    return found


def gradient_of(trainer, examples):
    """Return what the optimiser is given, as one vector."""
    seen, kept = {}, trainer.optimiser.step

    def step(_rate):
        seen.update(trainer.optimiser.take())
        return 0.0

    trainer.optimiser.step = step
    try:
        trainer.step(examples, step=0, steps=9)
    finally:
        trainer.optimiser.step = kept
    return torch.cat([seen[name].flatten() for name in sorted(seen)])


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.fixture(scope="module")
def counted():
    """Count, in each process, the secure streams that were opened and the words that were drawn."""
    patched = pytest.MonkeyPatch()
    patched.setattr(Keystream, "made", 0, raising=False)
    patched.setattr(Keystream, "drawn", 0, raising=False)
    begin, words = Keystream.__init__, Keystream.words

    def made(self):
        Keystream.made += 1
        begin(self)

    def drawn(self, count):
        Keystream.drawn += 1
        return words(self, count)

    patched.setattr(Keystream, "__init__", made)
    patched.setattr(Keystream, "words", drawn)
    yield
    patched.undo()


# ── sums ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = {
    "uneven shares": examples_of([8, 30, 9, 12, 21, 70, 6]),
    "an empty share": examples_of([17]),
    "nobody": [],
    "a unit larger than a micro batch": examples_of([8, 30, 9, 12, 21, 25, 11], units=[3, 3, 3, 1, 3, 3, 1]),
    "one unit alone": examples_of([8, 9, 10, 11, 12], units=[2] * 5),
}
HINTS = PLAIN.model_copy(update={"micro_batch": 2})


@pytest.fixture(scope="module")
def alone():
    trainer = build(None, plan=plan_of(), hints=HINTS)
    return {name: gradient_of(trainer, examples) for name, examples in STEPS.items()}


@pytest.mark.parametrize("size", [2, 3])
def test_clipped_sums_of_several_ranks_are_those_of_one(size, alone):
    with together(size, plan=plan_of(), hints=HINTS) as trainer:
        for name, examples in STEPS.items():
            got, wanted = gradient_of(trainer, examples), alone[name]
            assert float((got - wanted).norm()) <= 1e-6 * max(float(wanted.norm()), 1e-3), name
            assert examples == [] or float(wanted.norm()) > 1e-3
    assert children() == []


@pytest.mark.parametrize("size", [2, 3])
def test_gradients_of_ordinary_steps_are_those_of_one(size):
    trainer = build(None, hints=HINTS)
    steps = [examples for examples in STEPS.values() if examples]
    wanted = [gradient_of(trainer, examples) for examples in steps]
    with together(size, hints=HINTS) as trainer:
        for examples, one in zip(steps, wanted, strict=True):
            assert float((gradient_of(trainer, examples) - one).norm() / one.norm()) < 1e-6
        assert trainer.evaluate(steps[0]) == pytest.approx(build(None).evaluate(steps[0]), rel=1e-6)


def test_a_unit_moves_the_sum_of_all_ranks_by_the_clip_norm_at_most():
    """Without it the others are dealt and grouped anew; what they add stays what it was."""
    plan = plan_of(clip=0.02)  # so that every unit is clipped
    with together(3, plan=plan, hints=HINTS) as trainer:
        for seed in range(4):
            drawn = np.random.default_rng(seed)
            examples = examples_of(drawn.integers(4, 40, 9), units=[int(unit) for unit in drawn.integers(0, 4, 9)])
            whole = gradient_of(trainer, examples)
            for unit in {row.unit for row in examples}:
                moved = whole - gradient_of(trainer, [row for row in examples if row.unit != unit])
                assert float(moved.norm()) * plan.expected_units == pytest.approx(0.02, rel=1e-4)


# ── weights and noise ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("plan", [None, plan_of(noise=1.0)])
def test_all_ranks_hold_the_same_weights_to_the_bit(plan, dtype):
    with together(3, plan=plan, dtype=dtype) as trainer:
        seen = []
        for step, examples in enumerate([STEPS["uneven shares"], STEPS["an empty share"], STEPS["uneven shares"]]):
            trainer.step(examples, step=step, steps=9)
            first, *others = trainer.each("weights")
            assert others == [first, first]
            seen.append(first)
        assert len(set(seen)) == 3
        state = trainer.optimiser.state()
        trainer.restore({name: torch.ones_like(value) for name, value in state.items()}, step=7)
        first, *others = trainer.each("weights")
        assert others == [first, first]
        assert first not in seen


def test_noise_is_drawn_once_a_step_and_by_rank_0_alone(counted):
    plan = plan_of(noise=1.0)
    with together(3, plan=plan) as trainer:
        before = trainer.each("secrets")
        assert [made - before[0][0] for made, _ in before[1:]] == [-1, -1]  # rank 0 opened one after the others were made
        draws = []
        for step, examples in enumerate([STEPS["uneven shares"], [], STEPS["an empty share"]]):
            trainer.step(examples, step=step, steps=9)
            draws.append(trainer.each("secrets"))
        assert all(of_rank == before[rank] for rank in (1, 2) for of_rank in [after[rank] for after in draws])
        counts = [before[0], *(after[0] for after in draws)]
        assert [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(counts)] == [(0, len(trainer.method.parameters()))] * 3


def test_the_noise_of_several_ranks_is_that_of_one():
    """An empty step is nothing but noise: its spread would grow with the ranks if each of them drew."""
    plan = plan_of(units=1_000, rate=0.05, noise=1.7, clip=0.3)
    with together(3, plan=plan, settings=SETTINGS.model_copy(update={"lora_rank": 64})) as trainer:
        drawn = gradient_of(trainer, [])
    assert float(drawn.std()) == pytest.approx(1.7 * 0.3 / 50, rel=5 / np.sqrt(2 * len(drawn)))


def test_several_ranks_find_the_rate_that_one_finds_and_its_noise_moves_them_as_far():
    plan = plan_of(units=1_000, rate=0.05, noise=17.0, clip=0.3, steps=6)
    settings = SETTINGS.model_copy(update={"lora_rank": 64, "learning_rate": None, "lr_scheduler_type": "linear"})
    wanted = build(None, plan=plan, settings=settings).rate
    with together(2, plan=plan, settings=settings) as trainer:
        assert trainer.each("found") == [wanted, wanted]
        before = [weight.detach().clone() for weight in trainer.method.parameters().values()]
        for step in range(plan.steps):
            trainer.step([], step=step, steps=plan.steps)
        after = [weight.detach() for weight in trainer.method.parameters().values()]
        moved = torch.cat([(b - a).flatten() for a, b in zip(before, after, strict=True)])
    assert float(moved.norm()) == pytest.approx(60, rel=0.05)


def test_ranks_drop_out_different_weights():
    with together(2, settings=ORDINARY.model_copy(update={"lora_dropout": 0.5})) as trainer:
        trainer.step(STEPS["uneven shares"], step=0, steps=9)  # B is no longer zero
        share = trainer.passes(STEPS["one unit alone"])
        weight = sum(row.weight for row in STEPS["one unit alone"])
        first, second = trainer.each("learn", [(share, 1, weight)] * 2)
        assert first != second
        assert trainer.each("learn", [(share, 1, weight)] * 2) == [first, second]


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


def _killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def _stopped(*_):
    os.kill(os.getpid(), signal.SIGSTOP)


def _failing(*_):
    raise DeviceMissing


def _telling(*_):
    raise ValueError("Wang Xiaoming")


def step_in_which_the_last_rank(does, at, *, size=2):
    """Make one step; the last rank does something else when it comes to `at`."""
    with together(size, plan=plan_of()) as trainer:
        trainer.each("end_at", [*[(at, None)] * (size - 1), (at, does)])
        trainer.step(STEPS["uneven shares"], step=0, steps=9)


@pytest.mark.parametrize("at", ["clip", "add_up", "take_over"])
def test_a_killed_rank_ends_the_run_at_once(at):
    began = time.monotonic()
    with pytest.raises(RankLost) as caught:
        step_in_which_the_last_rank(_killed, at, size=3)
    assert caught.value.facts == {"status": 137}
    assert time.monotonic() - began < 20
    assert children() == []


@pytest.mark.parametrize("at", ["clip", "add_up"])
def test_a_rank_that_fails_says_why(at):
    with pytest.raises(Relayed) as caught:
        step_in_which_the_last_rank(_failing, at)
    assert caught.value.failure.error == "DeviceMissing"
    with pytest.raises(Relayed) as caught:
        step_in_which_the_last_rank(_telling, at)
    assert caught.value.failure.error == "ValueError"
    assert "Wang" not in repr(caught.value)


def test_a_rank_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(team, "_PATIENCE", 1.0)
    with pytest.raises(RankLost) as caught:
        step_in_which_the_last_rank(_stopped, "clip")
    assert caught.value.facts == {"status": 124}
    assert children() == []


# ── the job ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def start(folder, model, settings, *, size, plan=None, evaluation=None, checkpoint=None, stop_at=None):
    vault = Vault(folder)
    channel = Memory(vault, stop_at=stop_at, left=plan.steps if plan else 0)
    inputs = {"set": vault.write_set(pairs(20))}
    if evaluation:
        inputs["evaluation"] = vault.write_set(evaluation)
    if checkpoint:
        slot, key = checkpoint
        inputs["checkpoint"], vault.keys[slot.slot] = vault.as_input(slot), key
    outputs = {"adapter": vault.output("adapter"), "checkpoint": vault.output("checkpoint")}
    order = PriceOrder(train=settings, hints=PLAIN.model_copy(update={"processes": size}), plan=plan)
    return child(vault, channel, order, inputs=inputs, outputs=outputs, files={"model": str(model)}), channel


def weights_of(made):
    slot = made.order.outputs["adapter"]
    return load_tensors(read_file(Vault(None).as_input(slot), made.keys.data[slot.slot], adapter.WEIGHTS))


def test_a_run_shared_by_two_learns_what_one_does(tmp_path, tiny_folder):
    settings = ORDINARY.model_copy(update={"max_steps": 8, "per_device_train_batch_size": 5, "eval": True})
    found = []
    for size in (1, 2):
        made, _ = start(tmp_path / str(size), tiny_folder, settings, size=size, evaluation=pairs(5, start=100))
        figures = job.run(made)
        assert figures.processes == size
        found.append((figures, weights_of(made)))
    (one, weights), (two, again) = found
    assert two.losses == pytest.approx(one.losses, abs=2e-5)
    assert (two.eval_before, two.eval_after) == pytest.approx((one.eval_before, one.eval_after), abs=2e-5)
    assert (two.steps, two.tokens, two.rows) == (one.steps, one.tokens, one.rows)
    for name, weight in weights.items():
        assert torch.allclose(again[name], weight, atol=2e-4)
    made, channel = start(tmp_path / "stopped", tiny_folder, settings, size=2, evaluation=pairs(5, start=100), stop_at=3)
    with pytest.raises(Interrupted):
        job.run(made)
    _, slot = channel.checkpoints[-1]
    more, _ = start(
        tmp_path / "more", tiny_folder, settings, size=2, evaluation=pairs(5, start=100), checkpoint=(slot, made.keys.data[slot.slot])
    )
    assert job.run(more).losses == pytest.approx(one.losses, abs=2e-5)
    assert children() == []


def test_rank_0_alone_draws_rows_and_asks_the_host(tmp_path, tiny_folder, counted, monkeypatch):
    plan = plan_of(units=20, rate=0.3, steps=5, noise=1.0)
    monkeypatch.setattr("ringfence.train.setup.PrivateTrainer", OpenPrivate)
    seen = []
    monkeypatch.setattr(
        job, "_figures", lambda _child, ready, _outcome: seen.extend([ready.trainer.each("secrets"), ready.trainer.each("weights")])
    )
    made, channel = start(tmp_path, tiny_folder, SETTINGS, size=3, plan=plan)
    before = Keystream.made, Keystream.drawn
    job.run(made)
    secrets, weights = seen
    assert channel.leases == [1] * 5
    assert secrets[1] == secrets[2] == before
    assert secrets[0][0] == before[0] + 2  # the sampler's and the noise's
    assert len(set(weights)) == 1


def end_a_rank(made, channel, *, after):
    """Run, kill a rank after so many steps, and see the run end there without an adapter."""

    def progress(frame):
        channel.frames.append(frame)
        if frame.done == after:
            os.kill(int(children()[0]), signal.SIGKILL)

    channel.progress = progress
    with pytest.raises(RankLost):
        job.run(made)
    assert [frame.done for frame in channel.frames if frame.phase == "work"] == list(range(1, after + 1))
    assert list(Path(made.order.outputs["adapter"].path).iterdir()) == []


def test_a_killed_rank_leaves_no_adapter(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr("ringfence.train.setup.Trainer", OpenTrainer)
    made, channel = start(tmp_path, tiny_folder, ORDINARY.model_copy(update={"max_steps": 8}), size=2)
    end_a_rank(made, channel, after=3)


def test_ranks_listen_on_the_loopback_alone(monkeypatch):
    """Where a host has a network, as under tier T0, nobody from outside can reach a rank."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0")  # whatever the environment asks for
    with together(2) as trainer:
        trainer.step(STEPS["uneven shares"], step=0, steps=9)
        ours = {link.readlink().name for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
        listening = []
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in ours:
                    listening.append(fields[1].partition(":")[0])
    assert set(listening) <= {"0100007F", "00000000000000000000000001000000"}
    assert listening


def test_the_memory_of_all_ranks_is_counted():
    with together(3) as trainer:
        of_each = trainer.each("memory")
        found = peaks_of(trainer)
    assert sum(one.memory for one in of_each) <= found.memory < 2 * sum(one.memory for one in of_each)
    assert found.gpu_memory == 0


def test_threads_are_divided(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr("ringfence.train.setup.Trainer", OpenTrainer)
    monkeypatch.setattr(job, "_figures", lambda _child, ready, _outcome: ready.trainer.each("threads"))
    made, _ = start(tmp_path, tiny_folder, ORDINARY.model_copy(update={"max_steps": 1}), size=2)
    made.order.settings.hints.__dict__["threads"] = 5
    assert job.run(made) == [2, 2]


def test_a_shared_run_is_priced_by_its_own_processes(tmp_path, tiny_folder):
    made, channel = start(tmp_path, tiny_folder, SETTINGS, size=2, plan=plan_of(units=20, steps=50))
    found = price.run(made)
    assert (found.processes, found.steps, channel.leases) == (2, 50, [])
    assert found.seconds > 0
    assert children() == []


def test_a_run_is_shared_inside_the_sandbox(tmp_path, tiny_folder):
    needs_bwrap()
    vault, incoming = Vault(tmp_path / "vault"), tmp_path / "incoming"
    source = vault.write_set(pairs(20))
    outputs = {"adapter": vault.output("adapter")}
    (incoming / outputs["adapter"].slot).mkdir(parents=True)
    plan = plan_of(units=20, steps=4, noise=0.5)
    work = Work(
        job="train.v1",
        run="train-0123456789ab",
        tenant=TENANT,
        settings=TrainOrder(train=SETTINGS, plan=plan, hints=PLAIN.model_copy(update={"processes": 2})),
        inputs={"set": Input(source, Path(source.path))},
        outputs=outputs,
        incoming=incoming,
        files={"model": tiny_folder},
        keys=child(vault, Memory(vault), TrainOrder()).keys,
        limits=Limits(seconds=120, memory=4 << 30, threads=4),
    )
    granted = []
    done = start_job(work, TrainFigures, handlers=Handlers(lease=lambda steps: granted.append(steps) or steps))
    assert (done.figures.steps, done.figures.processes, granted) == (4, 2, [1] * 4)
    assert done.sandbox.tier == "T1"
    assert any((incoming / outputs["adapter"].slot).iterdir())


# ── who does what ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_a_step_is_dealt_fairly_and_no_unit_is_torn(ranks):
    drawn = np.random.default_rng(ranks)
    examples = examples_of(drawn.integers(4, 90, 60), units=[int(unit) for unit in drawn.integers(0, 25, 60)])
    made = passes(examples, 2)
    shares = deal(made, ranks)
    assert len(shares) == ranks
    assert sorted(id(one.rows) for share in shares for one in share) == sorted(id(one.rows) for one in made)
    of_unit = {}
    for rank, share in enumerate(shares):
        is_open = None
        for one in share:
            units = {row.unit for row in one.rows}
            assert is_open is None or units == {is_open}  # parts of a unit follow each other
            is_open = None if one.closes else units.pop()
            for row in one.rows:
                assert of_unit.setdefault(row.unit, rank) == rank
        assert is_open is None
    work = [sum(len(one.rows) * max(len(row.ids) for row in one.rows) for one in share) for share in shares]
    largest = max(sum(len(row.ids) for row in examples if row.unit == unit) for unit in range(25))
    assert max(work) - min(work) <= 4 * largest
    assert deal([], ranks) == [[] for _ in range(ranks)]


def test_few_rows_are_shared_row_by_row():
    trainer = build(team.Team(3))
    assert [sum(len(one.rows) for one in share) for share in trainer.shares(examples_of([9] * 6))] == [2, 2, 2]
    assert trainer.shares(examples_of([9, 9]))[2] == []
    assert all(isinstance(one, Pass) for share in trainer.shares(examples_of([9] * 6)) for one in share)


@pytest.mark.parametrize(
    ("hints", "gpus", "wanted"),
    [
        ({}, 0, 1),
        ({"processes": 3}, 0, 3),
        ({}, 4, 4),
        ({"processes": 2}, 4, 2),
        ({"processes": 9}, 4, 4),
        ({"device": "cpu"}, 4, 1),
        ({"device": "cpu", "processes": 2}, 4, 2),
    ],
)
def test_there_is_one_process_for_each_gpu_unless_the_hints_say_otherwise(hints, gpus, wanted):
    assert processes(RuntimeHints(**hints), gpus) == wanted


def test_one_gpu_is_given_one_process_whatever_control_nodes_lie_beside_it(tmp_path, tiny_folder, monkeypatch):
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"):
        (tmp_path / name).touch()
    monkeypatch.setattr(setup, "gpus", partial(gpus, tmp_path))
    made, _ = start(tmp_path / "vault", tiny_folder, ORDINARY, size=4)
    made.order.settings.hints.__dict__["device"] = "auto"
    sizes = []

    @contextlib.contextmanager
    def assembled(size, _):
        sizes.append(size)
        yield

    monkeypatch.setattr(setup, "assembled", assembled)
    monkeypatch.setattr(setup, "_prepare", lambda *_: None)
    with setup.prepared(made):
        assert sizes == [1]


@pytest.mark.full
def test_a_run_of_galore_shared_by_two_learns_what_one_does(tmp_path, tiny_folder):
    """Rank 0 alone finds directions and keeps moments. Directions of nearly the same length are found in another order where sums round otherwise."""
    galore = {"method": "full.v1", "use_galore": True, "galore_rank": 16, "galore_update_interval": 2, "learning_rate": 1e-3}
    settings = ORDINARY.model_copy(update={"max_steps": 5, "lora_dropout": 0.0, **galore})
    made = [start(tmp_path / str(size), tiny_folder, settings, size=size)[0] for size in (1, 2)]
    one, two = map(job.run, made)
    assert two.processes == 2
    assert two.losses == pytest.approx(one.losses, abs=2e-2)
    assert one.losses[-1] < one.losses[0]
