"""The terminal of a review: shows rows with their numbered places, and asks for lines. Works from a pipe as well."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ringfence.cli.context import options
from ringfence.cli.streams import printable
from ringfence.core.text import Text, t

if TYPE_CHECKING:
    from ringfence.deid.review.settings import Shown

_NOTES = {
    "unknown_command": Text(
        "o = nothing left · l KIND TEXT = leak · r N = no identifier · t N KIND = other kind · L R T = everywhere · u undo · n p · q quit",
        "o = 无残留 · l 类型 文本 = 泄露 · r N = 非标识符 · t N 类型 = 改类型 · L R T = 全样本 · u 撤销 · n p · q 退出",
    ),
    "unknown_kind": Text(
        "there is no such kind; write one as it stands in the list below a row, PERSON for one, or OTHER",
        "没有这种类型；请照行下列表中的写法，例如 PERSON，或写 OTHER",
    ),
    "no_such_number": Text("no place of this row has that number", "本行没有该编号"),
    "not_found": Text("that does not stand in this row's masked text, or is marked already", "本行脱敏后的文本中没有这段内容，或已标出"),
    "nothing_to_undo": Text("there is nothing to take back", "没有可撤销的操作"),
    "marked": Text("✔ places marked: {count}", "✔ 已标记 {count} 处"),
    "undone": Text("✔ taken back, places: {count}", "✔ 已撤销 {count} 处"),
    "through": Text(
        "── the sample is through, rows left out: {count} · q ends, p goes back, u takes back",
        "── 样本已到末尾，未审的行：{count} · q 结束，p 返回，u 撤销",
    ),
    "finished": Text("✔ row finished", "✔ 本行已审完"),
}
_STATES = {
    "replaced": Text("replaced", "已替换"),
    "leak": Text("leak", "泄露"),
    "rejected": Text("no identifier", "非标识符"),
    "retyped": Text("replaced, other kind", "已替换，类型已改"),
}
_COLOURS = {"replaced": "32", "leak": "1;31", "rejected": "2", "retyped": "33"}
_NO_MARKS = str.maketrans("⟦⟧", "❲❳")  # of a record: only ours say that something was replaced
_MARGIN = "  │ "  # before every line of a record: nothing that it says can look like a line of ours


class Terminal:
    """Both directions of the conversation."""

    def __init__(self) -> None:
        self._is_shown = not options().json
        self._is_coloured = self._is_shown and sys.stdout.isatty()
        self._is_in_text = False

    def hear(self) -> str | None:
        """Return the next line; None at the end of the input or on Ctrl-C, which keeps what was decided."""
        self._end_text()
        sys.stdout.flush()
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)  # standard output holds rows alone
        try:
            return input()
        except (EOFError, KeyboardInterrupt):
            return None

    def show(self, message: Shown) -> None:
        """Print what the child shows."""
        if not self._is_shown:
            return
        if message.say == "pieces":
            self._pieces(message.pieces)
            return
        self._end_text()
        if message.say == "row":
            self._say("")
            self._say(
                t(
                    "── row {at} of {of}{done} · {reviewed} reviewed, {leaking} leaking",
                    "── 第 {at} 行，共 {of} 行{done} · 已审阅 {reviewed}，有泄露 {leaking}",
                    at=message.at,
                    of=message.of,
                    done=t(" (finished)", "（已审完）") if message.is_done else "",
                    reviewed=message.reviewed,
                    leaking=message.leaking,
                )
            )
        elif message.say == "text":
            before = t(" before", " 脱敏前") if message.is_original else ""
            self._say(f"  {message.number} {printable(message.role)}{before}")
        elif message.say == "item":
            state = _STATES[message.state].show()
            self._say(self._painted(f"  {message.number:>3} {printable(message.kind)}  {state}", message.state))
        elif message.say == "note":
            self._say("  " + _NOTES[message.note].show(None, count=message.count))

    def _pieces(self, pieces: tuple[tuple[str, int], ...]) -> None:
        if not self._is_in_text:
            print(_MARGIN, end="")
            self._is_in_text = True
        for text, number in pieces:
            shown = printable(text).translate(_NO_MARKS).replace("\n", "\n" + _MARGIN)
            if number:
                shown = f"⟦{number}:{shown}⟧"
                shown = f"\x1b[7m{shown}\x1b[0m" if self._is_coloured else shown
            print(shown, end="")

    def _end_text(self) -> None:
        if self._is_in_text:
            print()
        self._is_in_text = False

    def _say(self, line: str) -> None:
        print(line)

    def _painted(self, line: str, state: str) -> str:
        return f"\x1b[{_COLOURS[state]}m{line}\x1b[0m" if self._is_coloured else line
