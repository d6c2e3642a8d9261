"""Where the front's requests and the engine meet: a queue, the answers that are running, and what becomes of both when the engine ends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ringfence.core.errors import EngineLost, QueueFull, RingfenceError
from ringfence.serve.wire import Ask, Orders, Said, Told

_IDLE = 0.25  # s that an engine with nothing to do waits for a request; then the host looks whether it still lives
_SPARE = 2  # pieces of an answer besides one for each token: its end, and what a stop sequence withheld

Event = Said | RingfenceError  # an error ends the answer


@dataclass(eq=False)
class Ticket:
    """One request on its way."""

    ask: Ask
    notify: Callable[[Event], None]  # called from the engine's thread; returns at once
    pieces: int = 0


@dataclass
class Desk:
    """Hands requests to whichever engine is running. Every method may be called from any thread and none waits but `hear` and `wait`.

    active: answers that run at once. waiting: requests that may wait; one more is refused.
    kinds: under a filter, what it may say that it masked: an engine of hostile weights could say anything. guarded: the numbers of the bundles whose replay
    guard it may say refused tokens.
    """

    active: int = 4
    waiting: int = 64
    kinds: frozenset[str] | None = None
    guarded: frozenset[int] = frozenset()
    _queue: deque[Ticket] = field(default_factory=deque)
    _begun: dict[int, Ticket] = field(default_factory=dict)
    _cancelled: list[int] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_closed: bool = False
    _is_ready: bool = False
    _end: BaseException | None = None

    # ── the front's side ──────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, ask: Ask, notify: Callable[[Event], None]) -> Ticket:
        """Return the ticket of a request that now waits for the engine.

        Raises: QueueFull; EngineLost when no engine will come.
        """
        ticket = Ticket(ask, notify)
        with self._changed:
            if self._is_closed:
                raise EngineLost
            if len(self._queue) >= self.waiting:
                raise QueueFull(waiting=self.waiting)
            self._queue.append(ticket)
            self._changed.notify_all()
        return ticket

    def drop(self, ticket: Ticket) -> None:
        """Forget a request: nobody waits for its answer any more. Nothing happens when it is over."""
        with self._changed:
            if ticket in self._queue:
                self._queue.remove(ticket)
            elif self._begun.pop(ticket.ask.id, None):
                self._cancelled.append(ticket.ask.id)
                self._changed.notify_all()

    def close(self, end: BaseException | None = None) -> None:
        """Let nothing begin any more, end what runs, and have the engine stop. end: why, where it was no wish."""
        with self._changed:
            self._is_closed = True
            self._end = self._end or end
            ended = [*self._begun.values(), *self._queue]
            self._begun.clear()
            self._queue.clear()
            self._changed.notify_all()
        for ticket in ended:
            ticket.notify(EngineLost())

    def has_closed(self) -> bool:
        """Return True when nothing begins any more."""
        return self._is_closed

    @property
    def end(self) -> BaseException | None:
        """Why it was closed, where it was no wish."""
        return self._end

    def wait(self, seconds: float | None = None, *, until_closed: bool = False) -> bool:
        """Wait until an engine is ready, or until the desk is closed; return False when `seconds` pass before."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_closed or (self._is_ready and not until_closed), seconds)

    # ── the engine's side ─────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self) -> str | None:
        """Return the next orders as JSON, "" where there are none, or None when the engine shall end.

        It returns at once while answers are running, and waits a moment for a request otherwise.
        """
        with self._changed:
            self._is_ready = True
            self._changed.notify_all()
            if not self._begun:
                self._changed.wait_for(lambda: self._is_closed or self._queue or self._cancelled, _IDLE)
            if self._is_closed:
                return None
            ticket = self._queue.popleft() if self._queue and len(self._begun) < self.active else None
            if ticket:
                self._begun[ticket.ask.id] = ticket
            cancel, self._cancelled = tuple(self._cancelled), []
        return Orders(ask=ticket.ask if ticket else None, cancel=cancel).model_dump_json() if ticket or cancel else ""

    def say(self, text: str) -> None:
        """Pass on what an engine said; what it says of nobody's answer is dropped.

        Raises: ValidationError, TypeError for what no engine of ours says.
        """
        for said in Told.model_validate_json(text).said:
            with self._changed:
                ticket = self._begun.get(said.id)
                if ticket is None:
                    continue
                self._check(said, ticket)  # while whoever waits for it is still told when that ends the engine
                if said.finish is not None:
                    del self._begun[said.id]
            ticket.notify(said)

    def _check(self, said: Said, ticket: Ticket) -> None:
        """Count a piece; raise TypeError for what no engine of ours says.

        That is one piece too many, text that no filter saw, where there is one, words that are no kind, and what a guard did that there is not.
        """
        ticket.pieces += 1
        if ticket.pieces > ticket.ask.max_tokens + _SPARE:
            raise TypeError("more pieces than tokens")
        if (self.kinds is None) != (said.shown is None) and (said.text or said.shown):
            raise TypeError("text that no filter saw, or a filter that there is not")
        if not said.masked.keys() <= (self.kinds or frozenset()):
            raise TypeError("a kind that there is not")
        if ticket.ask.bundle not in self.guarded and (said.blocked or said.finish == "blocked"):
            raise TypeError("tokens that were refused, and no guard that could")

    def lost(self) -> bool:
        """End the answers that an engine left unfinished, and return whether it ever was ready. What had not begun waits for the next one."""
        with self._changed:
            was_ready, self._is_ready = self._is_ready, False
            ended = list(self._begun.values())
            self._begun.clear()
            self._cancelled.clear()
            if not was_ready:  # the next one may fare no better
                ended += self._queue
                self._queue.clear()
        for ticket in ended:
            ticket.notify(EngineLost())
        return was_ready
