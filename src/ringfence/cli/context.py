"""What every command shares: the workspace, the passphrase, and how results and progress are shown."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ringfence.core.errors import BadArgument, Interrupted
from ringfence.core.text import Text, t

if TYPE_CHECKING:
    from ringfence.core.order import Progress
    from ringfence.vault.keys import Passphrase
    from ringfence.workspace.space import Secret, Workspace


@dataclass(frozen=True)
class Options:
    """The global options of one call."""

    workspace: str | None = None
    passphrase_file: str | None = None
    passphrase_fd: int | None = None
    key_file: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False


_options = Options()
_held: Secret | None = None  # what opened the workspace
_SECONDS_A_LINE = 30.0  # of progress, where no bar can be drawn
_PHASES = {  # of a job; its main part needs no word
    "load": Text("load", "加载"),
    "read": Text("read", "读取"),
    "work": Text("", ""),
    "rows": Text("real rows", "真实数据行"),
    "spans": Text("replaced identifiers", "被替换的标识符"),
    "reference": Text("reference", "参照"),
    "evaluate": Text("evaluate", "评估"),
    "answer": Text("answer", "作答"),
    "write": Text("write", "写入"),
}


def options() -> Options:
    """Return the global options of this call."""
    return _options


def set_options(chosen: Options) -> None:
    """Set the global options of this call."""
    global _options  # noqa: PLW0603  one process, one command line
    _options = chosen


# ── the workspace ─────────────────────────────────────────────────────────────────────────────────────────────────────


def workspace(*, unlock: bool = True) -> Workspace:
    """Return the workspace that the user means; unlocked with their secret where the command needs it.

    Raises: NotAWorkspace, WrongPassphrase.
    """
    from ringfence.workspace.space import Workspace, find

    global _held  # noqa: PLW0603  one process, one command line
    path = Path(_options.workspace) if _options.workspace else find(Path.cwd())
    _held = secret() if unlock else None
    return Workspace.open(path.resolve(), _held)


def secret(*, new: bool = False) -> Secret:
    """Return the passphrase or key file of the workspace: from the options, else from a prompt on the terminal.

    new: ask twice.

    Raises: BadArgument.
    """
    from ringfence.vault.keys import KeyFile

    if _options.key_file is not None:
        return KeyFile(_read(_options.key_file, "--key-file"))
    if _options.passphrase_file is not None:
        return _passphrase(_read(_options.passphrase_file, "--passphrase-file"), "--passphrase-file")
    if _options.passphrase_fd is not None:
        try:
            with os.fdopen(_options.passphrase_fd, "rb") as handle:
                return _passphrase(handle.read(1 << 16), "--passphrase-fd")
        except OSError as cause:
            raise BadArgument(option="--passphrase-fd", problem=t("the descriptor cannot be read", "描述符无法读取"), verb="") from cause
    return _asked(t("Passphrase", "口令"), "--passphrase-file", new=new)


def auditor_secret(file: str | None) -> Secret:
    """Return a new auditor's passphrase, from its own file or a prompt: the workspace's secret never stands in for it.

    Raises: BadArgument.
    """
    option = "--auditor-passphrase-file"
    if file is not None:
        return _passphrase(_read(file, option), option)
    return _asked(t("Auditor's passphrase", "审计员的口令"), option, new=True)


def auditor_opening(space: Workspace, file: str | None) -> Secret:
    """Return the secret that opens the auditor's key: the workspace's own where one person plays both parts.

    Raises: BadArgument.
    """
    if file is None and space.keys.is_solo and _held is not None:
        return _held  # asked for once; a descriptor could not be read again
    if file is not None:
        return _passphrase(_read(file, "--auditor-passphrase-file"), "--auditor-passphrase-file")
    return _asked(t("Auditor's passphrase", "审计员的口令"), "--auditor-passphrase-file", new=False)


def _asked(prompt: str, option: str, *, new: bool) -> Passphrase:
    if not sys.stdin.isatty():
        raise BadArgument(
            option=option,
            problem=t(
                "there is no terminal to ask for the passphrase; give it by file, descriptor (--passphrase-fd) or --key-file",
                "没有终端可以询问口令；请用文件、描述符（--passphrase-fd）或 --key-file 提供",
            ),
            verb="",
        )
    first = getpass.getpass(f"{prompt}: ")
    if new and first != getpass.getpass(t("The same again: ", "再输一次：")):
        raise BadArgument(option=option, problem=t("the two passphrases differ", "两次输入的口令不同"), verb="")
    return _passphrase(first.encode(), option)


def _passphrase(data: bytes, option: str) -> Passphrase:
    from ringfence.vault.keys import Passphrase

    data = data.rstrip(b"\r\n")
    if not data:
        raise BadArgument(option=option, problem=t("the passphrase is empty", "口令为空"), verb="")
    return Passphrase(data)


def _read(path: str, option: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as cause:
        raise BadArgument(option=option, problem=t("{path} cannot be read", "{path} 无法读取", path=path), verb="") from cause


# ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def confirm(question: str, *, verb: str, facts: Sequence[str] = ()) -> None:
    """Ask before something that cannot be undone, below the lines that say what it means, and return when the answer is yes.

    Raises: Interrupted; BadArgument, naming --yes, where nobody can answer.
    """
    for line in facts:
        print(line, file=sys.stderr)
    try:
        is_meant = typer.confirm(question, err=True)
    except typer.Abort as cause:
        if sys.stdin.isatty():
            raise
        print(file=sys.stderr)
        problem = t("nobody answered; --yes does not ask", "没有得到回答；--yes 表示不再询问")
        raise BadArgument(option="--yes", problem=problem, verb=verb) from cause
    if not is_meant:
        raise Interrupted


# ── results ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def emit(result: Mapping[str, Any], show: Callable[[], None]) -> None:
    """Print one JSON object for scripts, or what `show` prints for people."""
    if _options.json:
        print(json.dumps(result, default=str))  # ASCII: it survives any encoding and steers no terminal
    else:
        show()


def say(line: str) -> None:
    """Print one line of a result for people."""
    print(line)


def advise(line: str) -> None:
    """Suggest the next command on standard error."""
    if not (_options.quiet or _options.json):
        sys.stdout.flush()  # what it follows, where both go into one file
        print(t("Next: ", "下一步：") + line, file=sys.stderr, flush=True)


def table(title: str, columns: list[str], rows: list[list[str]], *, right: tuple[int, ...] = ()) -> None:
    """Print a table; columns named in `right` hold numbers. Cells are shown as they are: brackets in them are no markup."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row))
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160).print(shown)


def clock(seconds: float) -> str:
    """Return a span of time as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


class _Lines:
    """Progress for a file or a pipe: a line now and then, so that a log of an hour's training is a page long.

    Without losses: they are computed from real rows, and a log may go anywhere.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._first: tuple[float, Progress] | None = None
        self._said = time.monotonic()  # short work says nothing

    def __call__(self, step: Progress) -> None:
        now = time.monotonic()
        if self._first is None or self._first[1].phase != step.phase or step.done < self._first[1].done:
            self._first = now, step
        if now - self._said < _SECONDS_A_LINE:
            return
        self._said = now
        began, first = self._first
        parts = [self._title, f"{step.done}/{step.total or '?'}", _PHASES[step.phase].show()]
        if step.done > first.done and step.total:
            left = (now - began) / (step.done - first.done) * (step.total - step.done)
            parts.append(t("{time} left", "剩余 {time}", time=clock(left)))
        print("  ".join(part for part in parts if part), file=sys.stderr, flush=True)


@contextmanager
def progress(title: str) -> Iterator[Callable[[Progress], None]]:
    """Show a bar with time left on standard error; where that is no terminal, a line every half a minute."""
    if _options.quiet or _options.json:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("<"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None, note="")

        def show(step: Progress) -> None:
            note = _PHASES[step.phase].show()
            if step.reward is not None:  # the loss of who learns from answers of its own is about zero at every step
                note = t("reward {reward:.3f}", "奖励 {reward:.3f}", reward=step.reward)
            elif step.loss is not None:
                note = t("loss {loss:.3f}", "损失 {loss:.3f}", loss=step.loss)
            bars.update(task, completed=step.done, total=step.total or None, note=note)

        yield show
