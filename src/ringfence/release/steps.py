"""The numbered list that a verification leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ringfence.core.errors import LedgerError, NotCanonical, ReleaseError
from ringfence.core.policy import Policy
from ringfence.core.statement import Statement
from ringfence.core.text import Text
from ringfence.core.verdict import Verdict
from ringfence.release.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was checked, in the order of checking."""

    number: int
    title: Text
    outcome: Literal["pass", "fail"]
    detail: str = ""  # what was found, in the chosen language


@dataclass(frozen=True, slots=True)
class Report:
    """What a verified bundle is. It exists only when every step passed."""

    steps: tuple[Step, ...]
    manifest: Manifest
    chain: tuple[Statement, ...]  # from import to the release
    policy: Policy
    verdicts: tuple[Verdict, ...]
    fingerprint: str  # of the public keys that the verifier brought


class Progress:
    """Collects steps and tells a listener about each one, the failing one included."""

    def __init__(self, listener: Callable[[Step], None] | None) -> None:
        self.steps: list[Step] = []
        self.detail = ""
        self._listener = listener

    @contextmanager
    def step(self, title: Text) -> Iterator[None]:
        """Number what happens inside, and record whether it passed; set `detail` inside to say what was found."""
        self.detail = ""
        try:
            yield
        except (ReleaseError, LedgerError, NotCanonical) as error:
            self._add(title, "fail", error.sentences()[0])
            raise
        self._add(title, "pass", self.detail)

    def _add(self, title: Text, outcome: Literal["pass", "fail"], detail: str) -> None:
        step = Step(len(self.steps) + 1, title, outcome, detail)
        self.steps.append(step)
        if self._listener is not None:
            self._listener(step)
