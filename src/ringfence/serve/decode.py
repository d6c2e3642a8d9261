"""Several conversations answered at once, one token each a turn. Child halves only: this module imports torch."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError

from ringfence.guard.replay import ReplayGuard
from ringfence.models.load import Loaded
from ringfence.serve.answer import Answer
from ringfence.serve.filter import Filters
from ringfence.serve.wire import Ask, Orders, Said, Turn


class Decoder:
    """Computes one answer, a forward a token."""

    def __init__(self, loaded: Loaded, ask: Ask, filters: Filters | None = None, guard: ReplayGuard | None = None) -> None:
        """Lay the prompt out; nothing is computed yet.

        Raises: jinja2.TemplateError where the model's chat template refuses the conversation.
        """
        self._answer, self._model = Answer(loaded, ask, filters, guard), loaded.model
        self._next, self._cache = self._answer.prompt, None
        self._last_only = _last_only(loaded.model)

    def step(self) -> Said:
        """Return what one more token brought."""
        with torch.inference_mode():
            output = self._model(input_ids=self._next, past_key_values=self._cache, use_cache=True, **self._last_only)
            self._cache = output.past_key_values
            token = self._answer.choose(output.logits[0, -1].float())
        if token is not None:
            self._next = torch.tensor([[token]], device=self._next.device)
        return self._answer.take(token)


def _last_only(model: Any) -> dict[str, int]:  # noqa: ANN401  transformers is untyped
    """Return the argument that has a model compute the last position's logits alone, where it knows one: a prompt's need much memory."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(base.forward).parameters else {}


class Voice(NamedTuple):
    """Who answers: a model under an adapter of its own, and the replay guard of what that learned."""

    loaded: Loaded
    guard: ReplayGuard | None = None


class Round:
    """The conversations that are being answered, each by the voice whose number it names."""

    def __init__(self, voices: Sequence[Voice], filters: Filters | None = None) -> None:
        self._voices, self._filters = voices, filters
        self._running: dict[int, Decoder] = {}
        self.answers = 0
        self.tokens = 0
        self.masked: Counter[str] = Counter()  # identifiers in answers, by kind
        self.blocked = 0  # tokens that the replay guard refused

    def warm(self) -> None:
        """Answer once by each voice, which counts for nothing: what is set up once delays nobody."""
        for number in range(len(self._voices)):
            said = self.turn(Orders(ask=Ask(id=0, bundle=number, messages=(Turn(role="user", content="-"),), max_tokens=1)))
            while not any(one.finish for one in said):
                said = self.turn(Orders())
        self.answers = self.tokens = self.blocked = 0
        self.masked.clear()

    def turn(self, orders: Orders) -> tuple[Said, ...]:
        """Take the front's orders, give every conversation one token, and return what there is to show."""
        for cancelled in orders.cancel:
            self._drop(cancelled)
        said: list[Said] = []
        if (ask := orders.ask) is not None:
            try:
                self._begin(ask)
            except TemplateError:  # its text may quote the conversation
                said.append(Said(id=ask.id, finish="unfit"))
        for piece in self._step():
            self.tokens += 1
            self.masked.update(piece.masked)
            if piece.finish is not None:
                self._drop(piece.id)
                self.answers += 1
                self.blocked += piece.blocked
            if piece.text or piece.finish is not None:
                said.append(piece)
        return tuple(said)

    def _begin(self, ask: Ask) -> None:
        loaded, guard = self._voices[ask.bundle]
        self._running[ask.id] = Decoder(loaded, ask, self._filters, guard)

    def _drop(self, id_: int) -> None:
        self._running.pop(id_, None)

    def _step(self) -> Iterator[Said]:
        """Yield what one more token brought to each conversation that got one."""
        for answer in list(self._running.values()):
            yield answer.step()
