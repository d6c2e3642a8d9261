"""Pricing: the arithmetic, on a machine that keeps exactly to the model of costs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ringfence.train import price
from ringfence.train.data import Example, Pass

RATE, GENERATE, START = 0.25, 3.0, 11.0  # s an operation, s a new shape, s of the very first piece


class Machine:
    """Takes RATE seconds a token and GENERATE seconds for each shape that it has not met."""

    def __init__(self):
        self.now, self.met, self.made = 0.0, set(), []

    def perf_counter(self):
        return self.now

    def make(self, rows):
        shape = (len(rows), len(rows[0].ids))
        self.now += RATE * shape[0] * shape[1] + GENERATE * (shape not in self.met) + START * (not self.made)
        self.met.add(shape)
        self.made.append(shape)


@pytest.fixture
def machine(monkeypatch):
    made = Machine()
    monkeypatch.setattr(price, "time", made)
    monkeypatch.setattr(price, "_cost", lambda rows, _: float(sum(len(row.ids) for row in rows)))
    return made


def piece(count, tokens):
    return [Example(np.zeros(tokens, dtype=np.int32), np.ones(tokens, dtype=np.bool_))] * count


TRAINER = SimpleNamespace(passes=lambda rows: [Pass(rows, [], 1)], shape=lambda one: (len(one.rows), len(one.rows[0].ids)))
CHANNEL = SimpleNamespace(progress=lambda _: None)


@pytest.mark.parametrize("scale", [1.0, 2.0, 12.5])
def test_the_price_is_every_piece_at_its_cost_and_every_shape_once(machine, scale):
    pieces = [piece(1 + i % 4, 16 * (1 + i % 5)) for i in range(40)]
    tokens = sum(len(row.ids) for rows in pieces for row in rows)
    priced = price._seconds(price._Work(pieces, machine.make, TRAINER), CHANNEL, scale=scale)
    assert priced == pytest.approx(RATE * tokens * scale + GENERATE * 20)  # 4 × 5 shapes
    assert len(machine.made) == 7  # one to warm up, three timed twice
    assert machine.made[0] == (4, 80)


def test_an_evaluation_without_rows_costs_nothing(machine):
    assert price._seconds(price._Work([], machine.make, TRAINER), CHANNEL, scale=2.0) == 0.0


def test_one_piece_alone_can_be_priced(machine):
    priced = price._seconds(price._Work([piece(2, 32)], machine.make, TRAINER), CHANNEL, scale=1.0)
    assert priced == pytest.approx(RATE * 64)  # its only shape was generated while warming up
