"""Errors say a run's state in the language that is asked for."""

from __future__ import annotations

import pytest

from ringfence.core.errors import RUN_STATES, NotReleasable, NotResumable, RunNotRunning


@pytest.mark.parametrize("cls", [NotReleasable, NotResumable, RunNotRunning])
@pytest.mark.parametrize("state", RUN_STATES)
def test_a_state_is_a_word_of_the_readers_language(cls, state):
    error = cls(run="train-1", state=state)
    assert error.sentences("en")[0].endswith(f": it is {state}")
    assert error.sentences("zh")[0].endswith(f"，状态：{RUN_STATES[state].zh}")
    assert error.facts["state"] == state


def test_other_words_stay():
    assert "some other reason" in NotResumable(run="train-1", state="some other reason").sentences("zh")[0]
