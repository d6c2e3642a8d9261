"""What the terminal can take: readers that leave, narrow encodings, and text that would steer it."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, TextIO

from ringfence.core.errors import Interrupted
from ringfence.core.text import t

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_UNSHOWN = {"Cc", "Cf", "Cs"}  # Unicode categories: control, format (bidirectional overrides, zero width), surrogate


def printable(text: str) -> str:
    """Return text without control characters but line ends and tabs: a model must not steer the terminal."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _UNSHOWN)


class _Pipe(io.FileIO):
    """A descriptor that drops what nobody reads any more, as in `ringfence data list | head -1`."""

    is_given_up = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, and return how many bytes are done with."""
        if self.is_given_up:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def prepare_streams() -> None:
    """Make printing a thing that cannot fail for the reader's sake.

    A command ends its work and gives its own exit code, whether or not somebody still reads; a character that the terminal's encoding
    does not have is shown as a question mark (escaped on standard error). A BrokenPipeError from elsewhere stays an error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started us: the next file that is opened would take its place
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8", closefd=False))
    sys.stdout = _prepared(sys.stdout, "replace")
    sys.stderr = _prepared(sys.stderr, "backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")


def finished(code: int) -> int:
    """Write out what is still buffered and return the exit code.

    1 when the result could not be written, on a full disk for one; 130 when Ctrl-C came before all of it was.
    """
    try:
        sys.stdout.flush()
    except (OSError, KeyboardInterrupt) as error:
        raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
        if isinstance(raw, _Pipe):
            raw.is_given_up = True  # the interpreter tries once more at its end
        if isinstance(error, KeyboardInterrupt):
            print(
                t("✖ stopped while printing; what it did is in ringfence run list", "✖ 打印时被停止；已完成的内容见 ringfence run list"),
                file=sys.stderr,
            )
            return code or Interrupted.exit_code
        why = error.strerror or type(error).__name__
        print(t("✖ the result could not be written: {why}", "✖ 结果无法写出：{why}", why=why), file=sys.stderr)
        return code or 1
    return code


def _prepared(stream: TextIO, errors: str) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
