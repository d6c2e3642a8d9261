"""Frames: how the two halves talk over the inherited socket. Four bytes of length, then one JSON object."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from typing import Any

FRAME_LIMIT = 1 << 20  # bytes; a longer frame ends the conversation
_HEADER = struct.Struct(">I")


class FrameError(ValueError):
    """The other side sent bytes that are no frame."""


class FrameSocket:
    """One end of the conversation."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = bytearray()

    def send(self, kind: str, **body: Any) -> None:  # noqa: ANN401  JSON values
        """Send one frame; raise BrokenPipeError when the other side is gone."""
        data = json.dumps({"type": kind, **body}, ensure_ascii=False).encode()
        if len(data) > FRAME_LIMIT:
            raise FrameError("frame too long")
        self._end.sendall(_HEADER.pack(len(data)) + data)

    def receive(self, seconds: float | None = None) -> dict[str, Any] | None:
        """Return the next frame; None when `seconds` pass without one.

        Raises: EOFError when the other side closed; FrameError for bytes that are no frame.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            if (frame := self._take()) is not None:
                return frame
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                if not select.select([self._end], [], [], wait)[0]:
                    return None
                data = self._end.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError
            self._buffer += data

    def _take(self) -> dict[str, Any] | None:
        if len(self._buffer) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._buffer)
        if length > FRAME_LIMIT:
            raise FrameError("frame too long")
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        try:
            frame = json.loads(body)
        except (ValueError, RecursionError) as cause:
            raise FrameError("not JSON") from cause
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            raise FrameError("not a frame")
        return frame
