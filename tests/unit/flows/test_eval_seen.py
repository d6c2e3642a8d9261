"""Rows that a run was trained on are known by their ids, and by their text where they were imported twice; people by their units."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ringfence.evaluate.settings import EvalSettings
from ringfence.flows import eval as module
from ringfence.vault.index import RowIndex


def index(rows):
    """Return the index of rows, each a record, a unit and a content, named by one letter; contents may be missing."""
    found = RowIndex()
    records, units, contents = (
        [letter.encode() * 16 for letter in column] for column in zip(*(row.ljust(3, "-") for row in rows), strict=True)
    )
    found.add(records, units, None if all(len(row) == 2 for row in rows) else contents)
    return found


@pytest.mark.parametrize(
    ("here", "learned", "most", "seen"),
    [
        (("apx", "bqy", "crz"), ("aPX",), None, (1, 0)),  # by its id, although its text was masked since
        (("apx", "bqy", "crz"), ("APx", "BQy"), None, (2, 0)),  # by its text
        (("apx", "bpy", "crz"), ("ApX",), None, (0, 2)),  # other rows of the same person
        (("apx", "bqy", "crz"), ("apx", "bqy", "crz"), 2, (2, 2)),  # of the first two rows that were read
        (("ap", "bq"), ("aq",), None, (1, 1)),  # sets without keyed contents
        (("apx",), ("bqy",), None, (0, 0)),
    ],
)
def test_rows_and_people_of_the_training_are_counted(monkeypatch, here, learned, most, seen):
    indexes = {"rows": index(here), "learned": index(learned)}
    monkeypatch.setattr(module, "read_index", lambda _, key: indexes[key])
    space = SimpleNamespace(
        state=SimpleNamespace(live=lambda: {"digest": "learned"}),
        input=lambda thing: SimpleNamespace(slot=SimpleNamespace(slot=thing)),
        keys=SimpleNamespace(data_key=lambda slot: slot),
    )
    tuned = SimpleNamespace(trained=SimpleNamespace(inputs={"set": "digest"}))
    assert module._seen(space, "rows", tuned, EvalSettings(max_samples=most)) == seen


def test_of_a_run_whose_training_set_is_not_here_nobody_can_tell():
    space = SimpleNamespace(state=SimpleNamespace(live=dict))
    assert module._seen(space, "rows", SimpleNamespace(trained=SimpleNamespace(inputs={"set": "digest"})), EvalSettings()) is None
