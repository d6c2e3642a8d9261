"""The one way to hold Ctrl-C back: while something is made true, and until a run has saved itself."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_is_late = False  # a Ctrl-C came while a final block was finished


@contextlib.contextmanager
def answered(answer: Callable[[int, FrameType | None], Any]) -> Iterator[Any]:
    """Have `answer` called for every Ctrl-C within the block, and yield who answered before; None outside the main thread, which alone can hear it."""
    try:
        before = signal.signal(signal.SIGINT, answer)
    except ValueError:
        yield None
        return
    try:
        yield before
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def uninterrupted(*, final: bool = False) -> Iterator[None]:
    """Hold Ctrl-C back until the block is through: it is short, and half of it is worse than none or all.

    final: the block is what a command came for. A Ctrl-C within it came too late: told of an interrupt, its reader would take for undone what
    is done. Only `stop_if_late` raises it, before a next step.

    Raises: KeyboardInterrupt at its end, if there was one and the block is not final; an error of the block itself goes first.
    """
    global _is_late  # noqa: PLW0603  as the signal itself, it belongs to the process
    came: list[FrameType | None] = []
    with answered(lambda _, frame: came.append(frame)) as before:
        yield
    if came and final and before is signal.default_int_handler:
        _is_late = True
    elif callable(before):
        for frame in came:
            before(signal.SIGINT, frame)


def stop_if_late() -> None:
    """Raise the KeyboardInterrupt that came too late for the step before."""
    global _is_late  # noqa: PLW0603  as above
    if _is_late:
        _is_late = False
        raise KeyboardInterrupt
