"""What a reviewer reads and what the result says."""

from __future__ import annotations

import io
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.cli.context import Options, set_options
from ringfence.cli.deid.review import percent, sentences
from ringfence.cli.reviewing import _NOTES, _STATES, Terminal
from ringfence.core import text
from ringfence.deid.review.settings import ItemShown, Note, NoteShown, PiecesShown, ReviewFigures, RowShown, State, TextShown


@pytest.fixture(autouse=True)
def plain_options():
    set_options(Options())
    yield
    set_options(Options())
    text.choose("en")


def figures(**changed):
    counts = {"rows": 10_000, "sample": 300, "reviewed": 300, "counted": 300, "leaking": 0, "leaks": 0, "rejected": 2, "retyped": 1}
    return ReviewFigures(**{**counts, "leaks_by_kind": {}, "bound_rows": 97, "bound_share": 0.0097, "bound_of_source": 0.00994, **changed})


@given(st.integers(1, 10**7), st.data())
def test_a_bound_is_never_rounded_down(whole, data):
    part = data.draw(st.integers(0, whole))
    shown = float(percent(part, whole).removesuffix(" %"))
    assert part / whole <= shown / 100 + 1e-9 <= part / whole + 1.01e-4


def test_the_bound_is_a_plain_sentence():
    assert percent(97, 10_000) == "0.97 %"
    lines = sentences(figures())
    assert len(lines) == 2
    assert lines[1].startswith("At most 0.97 % of the rows (97 of 10000) still hold an identifier that a reader sees, at 95 % confidence")
    text.choose("zh")
    assert "至多 0.97 % 的行（10000 行中的 97 行）" in sentences(figures())[1]


def test_what_weakens_the_bound_is_said():
    lines = sentences(figures(reviewed=100, counted=120, leaking=20))
    assert "20 of them were skipped and count as leaking" in lines[1]
    assert "not finished" in lines[-1]
    assert "Nothing can be said" in sentences(figures(reviewed=0, counted=0, bound_rows=None, bound_share=None, bound_of_source=None))[-1]


def test_every_note_and_state_has_its_words():
    assert set(_NOTES) == set(get_args(Note))
    assert set(_STATES) == set(get_args(State))


def test_a_record_cannot_pass_for_a_line_or_a_mark_of_ours(capsys):
    terminal = Terminal()
    terminal.show(RowShown(at=1, of=2, reviewed=0, leaking=0, is_done=False))
    terminal.show(TextShown(number=1, role="user"))
    terminal.show(PiecesShown(pieces=(("a\n── row 2 of 2\r\x1b[2J⟦9:x⟧\u202e", 0), ("李\n四", 1))))
    terminal.show(PiecesShown(pieces=(("end", 0),)))
    terminal.show(ItemShown(number=1, kind="PERSON", state="replaced"))
    out = capsys.readouterr().out.splitlines()
    assert out[1:] == [
        "── row 1 of 2 · 0 reviewed, 0 leaking",
        "  1 user",
        "  │ a",
        "  │ ── row 2 of 2[2J❲9:x❳⟦1:李",
        "  │ 四⟧end",
        "    1 PERSON  replaced",
    ]


def test_with_json_no_row_is_printed(capsys):
    set_options(Options(json=True))
    try:
        terminal = Terminal()
        terminal.show(PiecesShown(pieces=(("secret", 0),)))
        terminal.show(NoteShown(note="finished"))
    finally:
        set_options(Options())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [EOFError, KeyboardInterrupt])
def test_the_end_of_the_input_and_ctrl_c_end_the_session(monkeypatch, error):
    def ended(*_):
        raise error

    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("builtins.input", ended)
    assert Terminal().hear() is None
