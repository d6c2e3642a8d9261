"""A child that breaks its contract inside a real arrow: a coded error, and a workspace as sound as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ringfence.core.order import Limits
from ringfence.flows import scan as scanning
from ringfence.sandbox.python import own
from ringfence.workspace.fsck import fsck
from tests.flows.conftest import import_notes, notes, reopen
from tests.unit import jobs

CHILDREN = {
    "hangs": (21, "RF-SANDBOX-003"),
    "dies": (1, "RF-SANDBOX-004"),
    "leaves_without_a_word": (1, "RF-SANDBOX-004"),
    "text_in_figures": (12, "RF-SANDBOX-005"),
    "text_in_progress": (12, "RF-SANDBOX-005"),
    "garbage": (12, "RF-SANDBOX-005"),
}


@pytest.mark.parametrize("child", CHILDREN)
def test_a_hostile_child_leaves_the_workspace_sound(space, cli, tmp_path, monkeypatch, child):
    really = scanning.start

    def start(work, figures, **more):
        roots = [*own().roots, Path(jobs.__path__[0])]
        work = replace(work, limits=Limits(seconds=3.0, memory=1 << 30))
        return really(work, figures, entry=f"hostile_children:{child}", roots=roots, **more)

    import_notes(space, tmp_path, notes(4))
    monkeypatch.setattr(scanning, "start", start)
    code, answer = cli("scan", "clinic", workspace=space.path)
    assert (code, answer["error"]["code"]) == CHILDREN[child]
    assert answer["error"]["remedy"]
    after = reopen(space.path)
    assert {thing.made.stage for thing in after.state.live().values() if thing.made.kind == "set"} == {"sealed"}
    assert [run.state for run in after.state.runs.values() if run.intent.arrow == "scan"] == ["failed"]
    assert fsck(after).broken == []
    assert cli("log", "verify", workspace=space.path)[0] == 0
    monkeypatch.setattr(scanning, "start", really)
    assert cli("scan", "clinic", workspace=space.path)[0] == 0
