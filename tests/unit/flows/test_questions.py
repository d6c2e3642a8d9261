"""What a person asks is checked before it goes to the sandbox."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ringfence.core.errors import BadArgument
from ringfence.flows import chat as module
from ringfence.serve.settings import ChatFigures


@pytest.mark.parametrize(("length", "is_refused"), [(100_000, False), (100_001, True)])
def test_a_question_longer_than_any_model_takes_is_refused(monkeypatch, length, is_refused):
    heard = []

    def started(work, figures, *, handlers):
        heard.append(handlers.hear())
        return SimpleNamespace(figures=figures(turns=1, tokens=1))

    monkeypatch.setattr(module, "start", started)
    speaker = module.Speaker(SimpleNamespace(path="/"))
    go = lambda: module.chat(speaker, hear=lambda: "x" * length, say=lambda *_, **__: None)
    if is_refused:
        with pytest.raises(BadArgument):
            go()
        return
    assert go() == ChatFigures(turns=1, tokens=1)
    assert [len(one) for one in heard] == [length]
