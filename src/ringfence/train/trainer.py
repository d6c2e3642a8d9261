"""One step and one evaluation of any method under any objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ringfence.core.errors import LossNotFinite
from ringfence.models.load import numbers
from ringfence.train.answers import losses_of
from ringfence.train.data import Batch, Example, Pass, collate, deal, fill, levelled, split
from ringfence.train.held_out import HeldOut, held_out
from ringfence.train.joined import is_worth, join, may_join, tokens_of
from ringfence.train.method import METHODS
from ringfence.train.objective import OBJECTIVES
from ringfence.train.optimiser import Optimiser
from ringfence.train.schedule import learning_rate
from ringfence.train.settings import RuntimeHints, TrainSettings
from ringfence.train.shard import share_out
from ringfence.train.team import Team
from ringfence.train.usage import measure_anew, peak_memory

Said = TypeVar("Said")

_STRIDE = 1_000_003  # keeps the random streams of neighbouring seeds apart
_RANK = 2_654_435_761  # and those of ranks: 2^32 over the golden ratio, as the CPU's generator reads 32 bits of a seed
PACKED = 512  # tokens of a shared sequence: every token of it is compared with every other
_PAD = 16  # tokens. On a CPU, bfloat16 kernels are generated for each shape and kept; tensor cores like multiples of 8


def _noised(embedding: torch.nn.Module, _: object, output: Tensor, *, alpha: float) -> Tensor:
    """Return embeddings [rows, seq, d] with uniform noise of alpha / √(seq · d) at the most, in training alone.

    Source: Jain et al. 2023 (arXiv:2310.05914), section 2; seq is with padding, as transformers has it.
    """
    if not embedding.training:
        return output
    most = alpha / math.sqrt(output.shape[1] * output.shape[2])
    return output + torch.empty_like(output).uniform_(-most, most)


def _optimiser(weights: Mapping[str, Tensor], settings: TrainSettings) -> Optimiser:
    if not settings.use_galore:
        return Optimiser(weights, settings)
    from ringfence.train.galore import Galore  # noqa: PLC0415  of an extra

    return Galore(weights, settings)


class Peak(NamedTuple):
    """The largest memory that a rank held, in bytes."""

    memory: int  # of the machine; where the base is shared out, since then
    loading: int  # and before, when ranks load one after the other; 0 where it is not
    gpu_memory: int  # of its GPU; 0 on a CPU


def _tokens(rows: Sequence[Example]) -> int:
    return sum(row.tokens for row in rows)


class Trainer:
    """A model with its method attached, ready to step.

    On rank 0 of a team it makes every step and evaluation together with the trainers of the other ranks, whose methods it calls.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401  transformers is untyped
        settings: TrainSettings,
        *,
        hints: RuntimeHints,
        padding: int,
        device: str,
        team: Team | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.team = team or Team()
        self.method = METHODS.create(settings.method, settings=settings)
        self.objective = OBJECTIVES.create(settings.objective, settings=settings, head_chunk=hints.head_chunk)
        base = {id(weight) for weight in model.parameters()}  # nobody may hold on to what is going to be divided
        self.model = self.method.attach(model)
        if hints.checkpointing:
            self.model.enable_input_require_grads()  # or nothing before the first adapter would be differentiated again
            self.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        if settings.neftune_noise_alpha:
            self.model.get_input_embeddings().register_forward_hook(partial(_noised, alpha=settings.neftune_noise_alpha))
        self._head_chunk = hints.head_chunk
        self._micro_batch = hints.micro_batch or settings.per_device_train_batch_size
        self._multiple = hints.pad_multiple or (_PAD if model.dtype == torch.bfloat16 else 1)
        self._padding, self._device, self._packs = padding, device, hints.packing
        self._joins = self.joins and settings.reads == "preference" and not settings.neftune_noise_alpha and may_join(self.model)
        self._is_shared_out = hints.shard and self.team.size > 1
        self.numbers = sum(map(numbers, self.model.parameters()))  # while they are whole: a part of 4 bits does not say what it stands for
        self._peak_loading = 0  # bytes
        if self._is_shared_out:
            self.team.meet(device)
            share_out(self.model, base, device=device)
            self._peak_loading = measure_anew()
        self.optimiser = _optimiser(self.method.parameters(), settings)
        self.seconds_clip = self.seconds_noise = 0.0  # of privacy, over all steps, on this rank

    @property
    def trainable(self) -> int:
        """Return the number of trained weights."""
        return sum(weight.numel() for weight in self.method.parameters().values())

    @property
    def rate(self) -> float:
        """Return the highest learning rate."""
        assert self.settings.learning_rate is not None  # noqa: S101  no recipe leaves it open but a private one
        return self.settings.learning_rate

    @property
    def joins(self) -> bool:
        """Return whether two answers may share their question."""
        return True

    def most_rows(self, examples: Sequence[Example]) -> int:
        """Return the most rows of a micro batch: no more than what gives every rank one."""
        return max(1, min(self._micro_batch, -(-len(examples) // self.team.size)))

    def passes(self, examples: Sequence[Example]) -> list[Pass]:
        """Return the micro batches of these rows: where a row's loss depends on those beside it, the recipe alone says which these are."""
        if self._packs:
            return [self._packed(shared) for shared in self._shared(examples)]
        if self.objective.per_example:
            groups = split(examples, self.most_rows(examples))
        else:
            size = self.settings.per_device_train_batch_size
            groups = [list(examples[at : at + size]) for at in range(0, len(examples), size)]
        return [Pass(rows, list(range(len(rows))), len(rows)) for rows in groups]

    def _shared(self, examples: Sequence[Example]) -> list[list[list[Example]]]:
        """Return the rows of each sequence of each pass: no more tokens than without packing, and none padded to a row that is longer than `PACKED`."""
        total, longest = sum(example.tokens for example in examples), max((example.tokens for example in examples), default=0)
        sequences = fill(examples, min(PACKED, -(-total // self.team.size)))
        found: list[list[list[Example]]] = []
        width = 0  # tokens of the longest sequence of the pass that is filling
        for rows in sorted(sequences, key=_tokens, reverse=True):
            tokens = _tokens(rows)
            is_fitting = found and (len(found[-1]) + 1) * width <= max(self._micro_batch * longest, width)
            if is_fitting and len(found[-1]) < -(-len(sequences) // self.team.size) and not tokens <= PACKED < width:
                found[-1].append(rows)
            else:
                found.append([rows])
                width = tokens
        return found

    def _packed(self, shared: Sequence[Sequence[Example]]) -> Pass:
        rows = [row for sequence in shared for row in sequence]
        return Pass(rows, list(range(len(rows))), len(rows), packed=tuple(map(len, shared)))

    def shares(self, examples: Sequence[Example]) -> list[list[Pass]]:
        """Return what each rank does of a step or an evaluation; as many passes each, where they gather the base together."""
        shares = deal(self.passes(examples), self.team.size)
        return levelled(shares) if self._is_shared_out else shares

    def shape(self, one: Pass) -> tuple[int, int]:
        """Return (sequences, tokens of one with padding) that the model reads of a micro batch."""
        if self._is_joined(one):
            return len(one.rows), self._rounded(max(map(tokens_of, one.rows)))
        sizes = iter([example.tokens for example in one.rows])
        tokens = max(sum(islice(sizes, count)) for count in one.packed) if one.packed else max(row.longest for row in one.rows)
        rounded = self._rounded(tokens)
        if one.packed:
            return len(one.packed), rounded
        return sum(len(example.sequences) for example in one.rows), max(tokens, min(rounded, self.settings.cutoff_len))

    def _is_joined(self, one: Pass) -> bool:
        return self._joins and is_worth(one.rows)

    def _rounded(self, tokens: int) -> int:
        return -(-tokens // self._multiple) * self._multiple

    # ── rank 0 ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def each(self, what: str, of_each: Sequence[tuple[Any, ...]] | None = None) -> list[Any]:
        """Call a method on every rank and return what they answer; see `Team.each`."""
        return self.team.each(self, what, of_each)

    def start(self) -> None:
        """Meet the other ranks, and give them the weights."""
        self.each("meet")
        self.each("take_over")

    def restore(self, state: Mapping[str, Tensor], *, step: int) -> None:
        """Continue from the optimiser's state after `step` steps."""
        self.optimiser.restore(state, step=step)
        self.each("take_over")

    def weights(self) -> dict[str, Tensor]:
        """Return float32 copies of the weights that are stepped, on the CPU, by name."""
        return {name: master.detach().cpu().clone() for name, master in self.optimiser.masters.items()}

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Go on with what `weights` returned earlier.

        Raises: RankLost.
        """
        with torch.no_grad():
            for name, master in self.optimiser.masters.items():
                master.copy_(weights[name])
        self.optimiser.copy_down()
        self.each("take_over")

    def step(self, examples: Sequence[Example], *, step: int, steps: int) -> float | None:
        """Learn from the rows of one step (counted from 0) and return their mean loss, per predicted token or per pair, before the update.

        The gradient is that of Σ loss / Σ weight over all rows, however they are grouped into micro batches and dealt to ranks.

        Raises: LossNotFinite, RankLost.
        """
        weight = sum(map(self.objective.weight, examples))
        total: float = sum(self.each("learn", [(share, step, weight) for share in self.shares(examples)]))
        if not math.isfinite(total):
            raise LossNotFinite(step=step + 1)
        self.each("add_up")
        if not math.isfinite(self.optimiser.step(self._learning_rate(step, steps))):
            raise LossNotFinite(step=step + 1)
        self.each("take_over")
        return total

    def evaluate(self, examples: Sequence[Example]) -> HeldOut:
        """Return the mean loss, per predicted token or per pair, with its standard error.

        Raises: RankLost.
        """
        rows, losses = self._of_each_row(examples, "losses")
        return held_out(losses, [self.objective.weight(row) for row in rows], [row.unit for row in rows])

    def refer(self, examples: Sequence[Example]) -> list[Example]:
        """Return the rows with how likely their answers are now, where the objective asks for what the model was before training.

        Raises: RankLost.
        """
        if not self.objective.needs_reference:
            return list(examples)
        rows, found = self._of_each_row(examples, "log_probabilities")
        of_row = {id(row): reference for row, reference in zip(rows, found, strict=True)}
        return [row._replace(reference=of_row[id(row)]) for row in examples]

    def _of_each_row(self, examples: Sequence[Example], what: str) -> tuple[list[Example], list[Any]]:
        """Return rows in another order, and what that method of all ranks says of each."""
        shares = self.shares(examples)
        found = self.each(what, [(share,) for share in shares])
        rows = [row for share in shares for one in share if one.counts for row in one.rows]
        return rows, [said for of_rank in found for said in of_rank]

    # ── every rank ────────────────────────────────────────────────────────────────────────────────────────────────────

    def meet(self) -> None:
        """Return once all ranks are there."""
        self.team.meet(self._device)

    def learn(self, share: Sequence[Pass], step: int, weight: int) -> float:
        """Go through this rank's share of a step, keep the gradient of its losses and return their sum; both are divided by the step's weight."""
        seed = self.settings.seed * _STRIDE + step + self.team.rank * _RANK
        torch.manual_seed(seed)  # dropout, too, depends on the step alone: a resumed run repeats it
        self.model.train()
        total = 0.0
        for one in share:
            losses, _ = self.objective.losses(self.model, self._collate(one))
            if not one.counts:
                self.keep_pace(losses)
                continue
            loss = losses.sum() / weight
            loss.backward()
            self.optimiser.collect()
            total += float(loss.detach())
        return total

    def keep_pace(self, losses: Tensor) -> None:
        """Go back through the model with the others, from the losses of a pass that counts for nothing, and keep no gradient.

        It goes back as far as theirs do: gradients of the trained weights alone would end at the lowest of them, and layers below that are computed again
        would be waited for.
        """
        weights = list(self.method.parameters().values())
        kept = [weight.grad for weight in weights]
        for weight in weights:
            weight.grad = None
        losses.sum().backward()
        for weight, gradient in zip(weights, kept, strict=True):
            weight.grad = gradient

    def add_up(self) -> None:
        """Hand this rank's gradient over; rank 0 goes on with the sum of all."""
        if self.team.size == 1:
            return
        totals = self.team.add_up(self.optimiser.take())
        if self.team.leads:
            self.optimiser.assign(totals)

    def take_over(self) -> None:
        """Go on with the weights of rank 0."""
        self.team.take_over(self.optimiser.masters)
        if not self.team.leads:
            self.optimiser.copy_down()

    def losses(self, share: Sequence[Pass]) -> list[float]:
        """Return the summed loss of each row, in order."""
        return self._read(share, lambda batch, _: self.objective.losses(self.model, batch)[0].tolist())

    def log_probabilities(self, share: Sequence[Pass]) -> list[tuple[float, ...]]:
        """Return the natural log probability of what is predicted of each sequence of each row, in order."""

        def of_rows(batch: Batch, rows: int) -> list[tuple[float, ...]]:
            found = -losses_of(self.model, batch, chunk=self._head_chunk)[0]  # [sequences], the first ones of all rows first
            return [tuple(of_row) for of_row in found.view(-1, rows).T.tolist()]

        return self._read(share, of_rows)

    def _read(self, share: Sequence[Pass], look: Callable[[Batch, int], list[Said]]) -> list[Said]:
        """Return what `look` says of each row, in order, without learning from any. look: is given a batch and how many rows it has."""
        self.model.eval()
        found: list[Said] = []
        with torch.no_grad():
            for one in share:
                said = look(self._collate(one), len(one.rows))
                found += said if one.counts else []
        return found

    def memory(self) -> Peak:
        """Return the largest memory that this rank held so far."""
        return Peak(peak_memory(), self._peak_loading, torch.cuda.max_memory_allocated() if self._device == "cuda" else 0)

    def _learning_rate(self, step: int, steps: int) -> float:
        return learning_rate(self.settings, steps, step, highest=self.rate)

    def _collate(self, one: Pass) -> Batch:
        common: dict[str, Any] = {"padding": self._padding, "device": self._device, "length": self.shape(one)[1]}
        if not self._is_joined(one):
            return collate(one.rows, packed=one.packed, **common)
        return collate(one.rows, **common | {"length": 0})._replace(packed=join(one.rows, dtype=self.model.dtype, **common))
