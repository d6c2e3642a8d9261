"""What a model says cannot steer the terminal."""

from __future__ import annotations

import pytest

from ringfence.cli.main import hoisted
from ringfence.cli.streams import printable


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x1b]0;title\x07", "\r", "\x08", "\u202e", "\u200b", "\x9b31m", "\udc9b31m", "\ud800"])
def test_control_characters_are_not_printed(bad):
    assert not set(printable(f"a{bad}b")) & set("\x1b\x07\r\x08\u202e\u200b\x9b\udc9b\ud800")


def test_ordinary_text_stays():
    assert printable("诊断：\t感冒\n👍 \ue000") == "诊断：\t感冒\n👍 \ue000"  # a private-use character is a font's affair


def test_global_options_may_stand_anywhere_before_two_dashes():
    assert hoisted(["import", "x", "--json", "-w", "ws"]) == ["--json", "-w", "ws", "import", "x"]
    assert hoisted(["import", "--lang=zh", "x"]) == ["--lang=zh", "import", "x"]
    assert hoisted(["chat", "x", "--", "--json"]) == ["chat", "x", "--", "--json"]
    assert hoisted(["run", "list", "--workspace"]) == ["--workspace", "run", "list"]
