"""The host's side of a job: open a sandbox, hand over order and keys, answer the child, accept figures."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

import ringfence
from ringfence.core.errors import JobDied, JobMisbehaved, JobTimeout, OutOfMemory, RingfenceError, error_classes
from ringfence.core.order import CheckpointGrant, CheckpointReady, Failure, Figures, Keys, Lease, Limits, Order, Progress, Slot
from ringfence.core.settings import Settings
from ringfence.core.text import t
from ringfence.core.work import Done, Work
from ringfence.jobs.frames import FrameError, FrameSocket
from ringfence.jobs.table import JOBS, JobRow
from ringfence.sandbox.cage import Cage, Mounts, gpu_nodes, open_cage
from ringfence.sandbox.python import Python

S = TypeVar("S", bound=Settings)
F = TypeVar("F", bound=Figures)

_ENTRY = "ringfence.jobs.__main__:main"
_TICK = 0.25  # s between looks at the clock and the stop flag
_FRAMES = 2_000_000  # of one job without a text channel: more would be a wide channel of numbers
_GRACE = 10.0  # s for a child to exit after its result
_PACKAGE = Path(ringfence.__file__).parent
_ERRORS = {cls.__name__ for cls in error_classes()}
_CROSSING = {cls.__name__: cls for cls in error_classes() if cls.crosses}


@dataclass
class Handlers:
    """How the host answers. Every absent handler means that the child may not ask."""

    progress: Callable[[Progress], None] = lambda _: None
    checkpoint: Callable[[CheckpointReady], tuple[CheckpointGrant, bytes]] | None = None
    lease: Callable[[int], int] | None = None
    say: Callable[[str], None] | None = None
    hear: Callable[[], str | None] | None = None
    stop: Callable[[], bool] = lambda: False  # asked about four times a second


def start(
    work: Work[S],
    figures: type[F],
    *,
    handlers: Handlers | None = None,
    entry: str = _ENTRY,
    roots: Sequence[Path] | None = None,
    python: Python | None = None,
) -> Done[F]:
    """Run one job to its end and return its figures.

    entry, roots: another child half and where it lies; tests put hostile ones there.  python: under which it runs, where that is not ringfence's own.

    Raises: TierMissing, CageOpen, JobTimeout, JobDied, JobMisbehaved, OutOfMemory, and every error whose class crosses.
    """
    row = JOBS[work.job]
    if row.figures is not figures:
        raise TypeError(f"{work.job} returns {row.figures.__name__}")
    _only_its_keys(row, work)
    handlers = handlers or Handlers()
    limits = work.limits or row.limits
    began = time.monotonic()
    mounts = Mounts(
        read={**{role: source.folder for role, source in work.inputs.items()}, **work.files},
        write=work.incoming,
        gpus=gpu_nodes() if row.loads_model else (),
    )
    with open_cage(tier=work.tier, mounts=mounts, limits=limits, entry=entry, import_roots=roots, python=python) as cage:
        opened = time.monotonic()
        order = _order(work, cage, limits)
        cage.hand_over(order.model_dump_json().encode(), _keys(work.keys))
        conversation = _Conversation(cage, row, order, handlers, deadline=began + limits.seconds)
        result = conversation.run(figures)
        conversation.wait()
        ended = time.monotonic()
        return Done(
            figures=result,
            sandbox=cage.report,
            seconds={"sandbox": round(opened - began, 4), "job": round(ended - opened, 4)},
            cpu_seconds={"job": round(cage.cpu_seconds(), 3)},
        )


def _order(work: Work[S], cage: Cage, limits: Limits) -> Order[S]:
    return Order(
        job=work.job,
        run=work.run,
        tenant=work.tenant,
        settings=work.settings,
        inputs={role: source.slot.model_copy(update={"path": cage.inside(role)}) for role, source in work.inputs.items()},
        outputs={role: placed(slot, cage.inside_out) for role, slot in work.outputs.items()},
        files={role: cage.inside(role) for role in work.files} | ({"target": cage.inside_out} if JOBS[work.job].plain_output else {}),
        digests=work.digests,
        vocabulary=work.vocabulary,
        limits=limits,
    )


def placed(slot: Slot, folder: str) -> Slot:
    """Return an output slot with its path below the folder that the child may write."""
    return slot.model_copy(update={"path": f"{folder}/{slot.slot}"})


def _only_its_keys(row: JobRow, work: Work[S]) -> None:
    """Raise TypeError unless the work brings the purpose keys of its row, and data keys of its own inputs and outputs alone."""
    own = {source.slot.slot for source in work.inputs.values()} | {slot.slot for slot in work.outputs.values()}
    if set(work.keys.purpose) != set(row.purpose) or not work.keys.data.keys() <= own:
        raise TypeError(f"{work.job} brings keys that are not its own")


def _keys(keys: Keys) -> bytes:
    return json.dumps(
        {"data": {slot: key.hex() for slot, key in keys.data.items()}, "purpose": {name: key.hex() for name, key in keys.purpose.items()}}
    ).encode()


class _Conversation:
    """Answers a child until it is done. Every frame type is closed; anything else ends the child."""

    def __init__(self, cage: Cage, row: JobRow, order: Order[Any], handlers: Handlers, *, deadline: float) -> None:
        self._cage, self._row, self._order, self._deadline = cage, row, order, deadline
        cage.socket.settimeout(_GRACE)  # for sending: a child that never reads must not hold the host
        self._frames = FrameSocket(cage.socket)
        self._handlers = handlers
        self._stop_sent = False
        self._frames_left = _FRAMES

    def run(self, figures: type[F]) -> F:
        while True:
            frame = self._next()
            kind, body = frame["type"], {key: value for key, value in frame.items() if key != "type"}
            try:
                if kind == "done":
                    return figures.model_validate(body["figures"], context={"vocabulary": self._order.vocabulary})
                self._answer(kind, body)
            except (ValidationError, KeyError, TypeError) as cause:
                raise self._misbehaved(t("a {kind} frame outside its schema", "{kind} 帧不符合其格式", kind=_known(kind))) from cause

    def wait(self) -> None:
        """Wait for the child to exit: only then is nothing left that could still write."""
        self._cage.wait(_GRACE)
        self._cage.kill()

    def _next(self) -> dict[str, Any]:
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise JobTimeout(job=self._order.job, seconds=round(self._order.limits.seconds))
            if not self._stop_sent and self._handlers.stop():
                self._send("stop")
                self._stop_sent = True
            try:
                frame = self._frames.receive(min(_TICK, left))
            except (EOFError, BrokenPipeError, ConnectionResetError) as cause:
                raise self._died() from cause
            except FrameError as cause:
                raise self._misbehaved(t("bytes that are no frame", "不成帧的字节")) from cause
            if frame is not None:
                self._frames_left -= not self._row.text_channel
                if self._frames_left < 0:
                    raise self._misbehaved(t("too many frames", "帧过多"))
                return frame

    def _answer(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "progress":
            self._handlers.progress(Progress.model_validate(body))
        elif kind == "failed":
            raise self._failed(Failure.model_validate(body))
        elif kind == "checkpoint" and self._row.checkpoints and self._handlers.checkpoint:
            grant, key = self._handlers.checkpoint(CheckpointReady.model_validate(body))
            grant = grant.model_copy(update={"next": placed(grant.next, self._cage.inside_out)})
            self._send("grant", grant=grant.model_dump(mode="json"), key=key.hex())
        elif kind == "lease" and self._row.checkpoints and self._handlers.lease:
            self._send("leased", lease=Lease(steps=self._handlers.lease(Lease.model_validate(body).steps)).model_dump(mode="json"))
        elif kind == "say" and self._row.text_channel and self._handlers.say:
            if not isinstance(body["text"], str):
                raise self._misbehaved(t("text that is no text", "不是文本的文本"))
            self._handlers.say(body["text"])
        elif kind == "ask" and self._row.text_channel and self._handlers.hear:
            self._send("hear", text=self._handlers.hear())
        else:
            raise self._misbehaved(t("a {kind} frame that this job may not send", "本任务无权发送的 {kind} 帧", kind=_known(kind)))

    def _send(self, kind: str, **body: Any) -> None:  # noqa: ANN401  JSON values
        try:
            self._frames.send(kind, **body)
        except TimeoutError as cause:
            raise self._misbehaved(t("it does not read its answers", "它不读取给它的回答")) from cause
        except OSError:  # it ended; what it said before, its failure perhaps, is still there to be read, and then the end of the socket
            self._cage.wait(_GRACE)

    def _failed(self, failure: Failure) -> RingfenceError:
        if failure.error in _CROSSING:
            error = _CROSSING[failure.error](**failure.facts)
            try:
                error.sentences()
            except (KeyError, IndexError, ValueError):
                return self._misbehaved(t("an error without its facts", "缺少事实的错误"))
            return error
        module, _, line = failure.at.partition(":")
        at = f"{module}:{line}" if _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py").is_file() else "-"
        known = failure.error in _ERRORS or hasattr(builtins, failure.error)  # a hostile child could spell anything
        return JobDied(job=self._order.job, status=failure.error if known else "Exception", at=at)

    def _died(self) -> RingfenceError:
        status = self._cage.wait(_GRACE)
        if status in (137, -9):
            return OutOfMemory()
        return JobDied(job=self._order.job, status=status, at="-")

    def _misbehaved(self, problem: str) -> JobMisbehaved:
        return JobMisbehaved(job=self._order.job, problem=problem)


def _known(kind: str) -> str:
    """Return the frame's type if it is one of ours, so that a hostile type is never printed."""
    return kind if kind in {"progress", "failed", "checkpoint", "lease", "say", "ask", "done"} else "strange"
