"""Which rows each step reads: shuffled epochs, or whoever the Poisson sampler draws, as long as the host grants steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ringfence.core.errors import PlanUnfit
from ringfence.privacy.plan import DPPlan
from ringfence.privacy.sampler import PoissonSampler
from ringfence.train.data import Corpus, Example
from ringfence.train.schedule import rows_of_step, steps_of, steps_per_epoch
from ringfence.train.settings import TrainSettings


class Batches(Protocol):
    """Where a run's rows come from."""

    @property
    def steps(self) -> int:
        """How many steps the run has, if none is lost."""
        ...

    @property
    def epoch(self) -> int:
        """How many steps read every row once, on average where they are drawn."""
        ...

    def rows(self, step: int) -> Sequence[Example] | None:
        """Return the rows of one step, counted from 0; None when no step may be made any more."""
        ...


class Shuffled:
    """Each epoch reads every row once, in an order that follows from the seed: a resumed run reads what it would have read."""

    def __init__(self, settings: TrainSettings, corpus: Corpus) -> None:
        self._settings, self._examples = settings, corpus.examples
        self.steps = steps_of(settings, len(self._examples))
        self.epoch = steps_per_epoch(settings, len(self._examples))

    def rows(self, step: int) -> Sequence[Example] | None:
        """Return the rows of one step."""
        return [self._examples[i] for i in rows_of_step(self._settings, len(self._examples), step)]


class Sampled:
    """Each step reads all rows of the units that it draws; it is drawn only after the host has put it on record."""

    def __init__(self, plan: DPPlan, corpus: Corpus, *, lease: Callable[[int], int]) -> None:
        """Draw from the units of the whole set, those whose rows have no answer included: their number is public, what is in them is not.

        A promise about imported records covers units of whom preparation left no row: they are drawn like all others, and read nothing.

        Raises: PlanUnfit when the set has another number of units than the plan.
        """
        if corpus.units != plan.units and not (plan.scope == "record" and corpus.units < plan.units):
            raise PlanUnfit(units=corpus.units, planned=plan.units)
        self.steps = plan.steps
        self.epoch = max(1, round(1 / plan.sampling_rate))
        self._plan, self._lease = plan, lease
        self._sampler = PoissonSampler(units=plan.units, rate=plan.sampling_rate, most=plan.max_batch or plan.units)
        self._left = 0  # steps that were granted and not made
        self._of_unit: list[list[Example]] = [[] for _ in range(plan.units)]
        for example in corpus.examples:
            self._of_unit[example.unit].append(example)

    def rows(self, step: int) -> Sequence[Example] | None:  # noqa: ARG002  a draw depends on nothing
        """Return the rows of one step, perhaps none; None when the plan is spent."""
        if not self._left:
            self._left = self._lease(self._plan.leases())
            if not self._left:
                return None
        self._left -= 1
        return [example for unit in self._sampler.draw() for example in self._of_unit[unit]]
