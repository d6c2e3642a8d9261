"""What a joined set takes from those that it was made of, on statements alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ringfence.flows.audit import _are_masked, _originals
from ringfence.flows.join import label_of
from tests.unit.core.test_gates import BOTH, joined


@pytest.mark.parametrize(
    ("labels", "strictest"),
    [
        (("public",), "public"),
        (("public", "internal"), "internal"),
        (("sensitive", "public"), "sensitive"),
        (("internal", "sensitive"), "sensitive"),
    ],
)
def test_the_label_is_the_strictest(labels, strictest):
    assert label_of([SimpleNamespace(made=SimpleNamespace(label=label)) for label in labels]) == strictest


def test_an_audit_gets_the_originals_of_every_set_or_of_none():
    def given(masked, gone=""):
        live = {mark * 64: mark for mark in BOTH.values() if mark != gone}
        return _originals(SimpleNamespace(state=SimpleNamespace(live=lambda: live)), joined(masked=masked))

    assert given((1, 1)) == BOTH
    for mark in BOTH.values():
        assert given((1, 1), gone=mark) == {}
    assert given((1, 0)) == given((0, 0)) == {}  # nobody looked in one of them: nothing is tried, and so it is told
    assert [_are_masked(joined(masked=masked)) for masked in ((1, 1), (1, 0), (0, 1))] == [True, False, False]
