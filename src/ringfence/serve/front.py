"""The HTTP front: OpenAI's protocol on a loopback socket. It holds no weights and writes no text anywhere.

Imports starlette and uvicorn, of the extra `server`: flows import this module inside a function.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence.core.errors import NoSuchRoute, RequestInvalid, RequestTooLarge, RingfenceError, TokenRefused, UnknownServedModel
from ringfence.core.text import t
from ringfence.serve.desk import Desk, Event
from ringfence.serve.protocol import ChatRequest, Finish, Piece, TextRequest, TextWriter, Writer, error_document

BODY_LIMIT = 400_000  # bytes; escaped twice it still fits into a frame
_DRAINED = 32 << 20  # bytes of a body that is too long which are read and thrown away, so that its sender can read why it was refused
_GONE = 499  # status of a request whose client left, in the log alone
_SHUTDOWN = 3  # s for answers to end

Alarm = Callable[[str, str], Callable[[str], int]]  # conversation, what the model said of it -> answer so far -> canaries told


@dataclass(frozen=True)
class Model:
    """A bundle as clients know it.

    alarm: what looks for its canaries in an answer; it may block.  token: what a request for it must bring in place of the server's own.
    """

    name: str
    alarm: Alarm | None = None
    token: str | None = field(default=None, repr=False)


@dataclass
class Served:
    """What the log may say of a request."""

    model: str = ""  # the name of one that is served, never what a client called it
    status: int = 0
    tokens: int = 0
    seconds: float = 0.0
    masked: Counter[str] = field(default_factory=Counter)  # identifiers in what was shown, by kind
    blocked: int = 0  # tokens that the replay guard refused


@dataclass(frozen=True)
class Front:
    """Answers requests from what the desk brings.

    models: in the order of their numbers. token: what a request must bring for each that has no token of its own. most: tokens of an answer at most.
    on_alarm: told whose answer held how many canaries; may block. on_request: told of every request when it is over.
    """

    desk: Desk
    models: Sequence[Model]
    token: str | None = field(repr=False)
    most: int
    on_alarm: Callable[[str, int], None] = lambda *_: None
    on_request: Callable[[Served], None] = lambda _: None
    created: int = field(default_factory=lambda: int(time.time()))
    _ids: Iterator[int] = field(default_factory=count)

    def app(self) -> ASGIApp:
        """Return the application: four routes behind the door."""
        routes = [
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{name}", self._one_model, methods=["GET"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._complete, methods=["POST"]),
        ]
        handlers: dict[Any, Any] = {RingfenceError: _refused, HTTPException: _no_route, Exception: _failed}
        return _Door(
            Starlette(routes=routes, exception_handlers=handlers), [one.token or self.token for one in self.models], self.on_request
        )

    def _described(self, number: int) -> dict[str, Any]:
        return {"id": self.models[number].name, "object": "model", "created": self.created, "owned_by": "ringfence"}

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._described(number) for number in _opened(request)]})

    async def _one_model(self, request: Request) -> Response:
        return JSONResponse(self._described(self._number(request, request.path_params["name"])))

    def _number(self, request: Request, name: str) -> int:
        """Return the number of the model that a request names: one that its token opens; of the others it learns nothing.

        Raises: UnknownServedModel.
        """
        numbers = {self.models[number].name: number for number in _opened(request)}
        if name not in numbers:
            raise UnknownServedModel(models=", ".join(numbers))
        return numbers[name]

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, ChatRequest.read(await _body(request)), Writer)

    async def _complete(self, request: Request) -> Response:
        return await self._answer(request, TextRequest.read(await _body(request)), TextWriter)

    async def _answer(self, request: Request, asked: ChatRequest | TextRequest, shape: type[Writer]) -> Response:
        number = self._number(request, asked.model)
        note = _note(request)
        note.model = self.models[number].name
        writer = shape(note.model)
        pieces = self._pieces(asked, number, note)
        if asked.stream:
            first = await _while_there(request, anext(pieces))  # before the status is sent: a refusal has its own
            return _Stream(_events(writer, first, pieces, wants_usage=asked.wants_usage, note=note), pieces)
        text, last = await _while_there(request, _whole(pieces))
        return JSONResponse(writer.whole(text, last))

    async def _pieces(self, asked: ChatRequest | TextRequest, number: int, note: Served) -> AsyncGenerator[Piece, None]:
        """Yield an answer as it comes. The piece that would tell a canary is withheld and the answer ends.

        The alarm looks at what the model said, the client sees what a filter left of it. The first piece comes at once, empty if need be.

        Raises: QueueFull, EngineLost, RequestInvalid.
        """
        alarm = self.models[number].alarm
        watch = await asyncio.to_thread(alarm, asked.conversation(), asked.said()) if alarm else None
        answer = ""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def notify(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(queue.put_nowait, event)

        ticket = self.desk.submit(asked.ask(id_=next(self._ids), bundle=number, most=self.most), notify)
        try:
            finish: Finish | None = None
            is_first = True
            while finish is None:
                event = await queue.get()
                if isinstance(event, RingfenceError):
                    raise event
                if event.finish == "unfit":
                    problem = t("the model's chat template takes no such conversation", "该模型的对话模板不接受这样的对话")
                    raise RequestInvalid(where="messages", problem=problem)
                finish = "content_filter" if event.finish == "blocked" else event.finish
                note.tokens, note.blocked = event.tokens, event.blocked
                answer += event.text
                if watch and event.text and (told := await asyncio.to_thread(watch, answer)):
                    await asyncio.to_thread(self.on_alarm, note.model, told)
                    yield Piece("", "content_filter", event.prompt_tokens, event.tokens, is_withdrawn=True)
                    return
                note.masked.update(event.masked)
                shown = event.text if event.shown is None else event.shown
                if shown or finish or is_first:
                    yield Piece(shown, finish, event.prompt_tokens, event.tokens)
                    is_first = False
        finally:
            self.desk.drop(ticket)


async def _whole(pieces: AsyncIterator[Piece]) -> tuple[str, Piece]:
    """Return an answer's text and its last piece; of one that would tell a canary nothing."""
    parts, last = [], Piece("")
    async for last in pieces:
        parts.append(last.text)
    return "" if last.is_withdrawn else "".join(parts), last


async def _events(
    writer: Writer, first: Piece, rest: AsyncIterator[Piece], *, wants_usage: bool, note: Served
) -> AsyncGenerator[bytes, None]:
    """Yield a stream's events; an answer that breaks off ends with an error event, as OpenAI's do."""
    last = first
    yield _event(writer.chunk(first, is_first=True))
    try:
        async for last in rest:
            yield _event(writer.chunk(last))
        if wants_usage:
            yield _event(writer.usage(last))
        yield b"data: [DONE]\n\n"
    except RingfenceError as error:
        note.status = error.http_status
        yield _event(error_document(error))


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class _Stream(Response):
    """Sends events as they come, and lets go of the answer when the client leaves."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], pieces: AsyncGenerator[Piece, None]) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._events, self._pieces = events, pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""

        async def pump() -> None:
            async for event in self._events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        async with contextlib.aclosing(self._pieces), contextlib.aclosing(self._events):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _while_there(Request(scope, receive), pump())


async def _while_there(request: Request, work: Any) -> Any:  # noqa: ANN401  what the work returns
    """Return what the work returns; it is ended when the client leaves before.

    Raises: ClientDisconnect, and what the work raises.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_leaving(request.receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for one in (task, leaving):
            one.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _leaving(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    """Return the body.

    Raises: RequestTooLarge.
    """
    body, seen = bytearray(), 0
    async for part in request.stream():
        seen += len(part)
        if seen <= BODY_LIMIT:
            body += part
        elif seen > _DRAINED:
            break
    if seen > BODY_LIMIT:
        raise RequestTooLarge(limit=BODY_LIMIT)
    return bytes(body)


# ── the door ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Door:
    """Lets in who brings a token, answers for what goes wrong inside, and reports every request without a word of its text."""

    def __init__(self, inside: ASGIApp, tokens: Sequence[str | None], on_request: Callable[[Served], None]) -> None:
        """tokens: of each model in the order of their numbers. None opens nothing."""
        self._inside, self._on_request = inside, on_request
        self._tokens = [(number, hashlib.sha256(token.encode()).digest()) for number, token in enumerate(tokens) if token]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        note = scope["ringfence"] = Served()
        began = time.monotonic()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                note.status = note.status or message["status"]
            await send(message)

        try:
            scope["ringfence.models"] = opened = self._opened_by(scope)
            inside = self._inside if opened else _error_response(TokenRefused())
            await inside(scope, receive, noted)
        except (ClientDisconnect, OSError):
            note.status = _GONE
        except Exception:  # noqa: BLE001  the request handler; the answer was given by `_failed`, or had begun and breaks off here
            note.status = RingfenceError.http_status
        finally:
            note.seconds = time.monotonic() - began
            self._on_request(note)

    def _opened_by(self, scope: Scope) -> list[int]:
        """Return the numbers of the models that a request's token opens."""
        brought = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, token = brought.partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        found = [number for number, own in self._tokens if hmac.compare_digest(digest, own)]
        return found if kind.lower() == b"bearer" else []


def _note(request: Request) -> Served:
    note: Served = request.scope["ringfence"]
    return note


def _opened(request: Request) -> list[int]:
    opened: list[int] = request.scope["ringfence.models"]
    return opened


def _error_response(error: RingfenceError) -> Response:
    headers = {"retry-after": "1"} if error.http_status in (429, 503) else {}
    if error.http_status == TokenRefused.http_status:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error_document(error), status_code=error.http_status, headers=headers)


async def _refused(_: Request, error: RingfenceError) -> Response:
    return _error_response(error)


async def _no_route(_: Request, error: HTTPException) -> Response:
    response = _error_response(NoSuchRoute())
    response.status_code = error.status_code  # 405 where only the method is wrong
    return response


async def _failed(_: Request, __: Exception) -> Response:
    return _error_response(RingfenceError())  # nothing of the exception: its text may quote a prompt


# ── the socket ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Server(uvicorn.Server):
    """A server whose signals are ours: uvicorn would raise them again at its end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def run(front: Front, listener: socket.socket, *, on_ready: Callable[[], None]) -> signal.Signals | None:
    """Serve until SIGINT, SIGTERM or the end of the desk; return the signal. All answers are ended and the socket is closed by then."""
    config = uvicorn.Config(
        front.app(),
        log_config=None,
        log_level="critical",  # its errors come with a traceback
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN,
        backlog=2048,
    )
    return asyncio.run(_run(_Server(config), front.desk, listener, on_ready))


async def _run(server: _Server, desk: Desk, listener: socket.socket, on_ready: Callable[[], None]) -> signal.Signals | None:
    came: list[signal.Signals] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # it would print what went wrong, text and all

    def end(number: signal.Signals) -> None:
        came.append(number)
        desk.close()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, RuntimeError):  # outside the main thread no signal is heard
            loop.add_signal_handler(number, end, number)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    on_ready()
    while not serving.done() and not desk.has_closed():
        await asyncio.wait({serving}, timeout=0.1)
    server.should_exit = True
    await serving
    return came[0] if came else None
