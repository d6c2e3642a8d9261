"""Results speak the reader's language, whatever is added to them."""

from __future__ import annotations

import pytest

from ringfence.cli.context import Options, set_options
from ringfence.cli.words import _CHINESE, columns, lines, padded, word
from ringfence.core import text
from ringfence.core.errors import ROW_REASONS, RUN_STATES
from ringfence.core.order import Figures
from ringfence.core.statement import SandboxReport, SelfTest
from ringfence.jobs.table import JOBS


@pytest.fixture(autouse=True)
def _options():
    set_options(Options())
    yield
    set_options(Options())


def is_chinese(line):
    return any("\u4e00" <= c <= "\u9fff" for c in line)


def figures():
    import ringfence.deid.settings
    import ringfence.ingest.settings
    import ringfence.models.settings
    import ringfence.scan.settings
    import ringfence.serve.settings
    import ringfence.train.settings  # noqa: F401

    ours = [cls for cls in Figures.__subclasses__() if cls.__module__.startswith("ringfence.")]
    ours = list(dict.fromkeys([*ours, *(row.figures for row in JOBS.values())]))  # some have the figures of another one for a base
    return [(cls.__name__, name) for cls in ours for name in cls.model_fields]


@pytest.mark.parametrize(("cls", "name"), figures())
def test_every_figure_has_a_chinese_name(cls, name):
    text.choose("zh")
    assert is_chinese(word(name))


@pytest.mark.parametrize("name", [*SelfTest.model_fields, *SandboxReport.model_fields, *RUN_STATES, *ROW_REASONS])
def test_every_word_of_a_run_has_a_chinese_name(name):
    text.choose("zh")
    assert word(name) != name or name == "gpus"


def test_english_readers_see_the_names_that_scripts_see_and_other_names_stay():
    assert {word(name) for name in _CHINESE} == set(_CHINESE)
    text.choose("zh")
    assert word("EMAIL") == "EMAIL"
    assert word("clinic@masked") == "clinic@masked"


def test_the_second_input_of_a_kind_has_the_word_of_the_first_and_its_number():
    assert word("set2") == "set2"
    text.choose("zh")
    assert (word("set2"), word("spans12")) == (f"{word('set')}2", f"{word('spans')}12")
    assert word("clinic2") == "clinic2"


def test_values_stand_in_one_column_though_chinese_characters_are_wide():
    text.choose("zh")
    shown = list(lines({"run": "x", "peak_memory": 12, "made": {"set": "y"}, "gpus": "z"}))
    assert shown == ["运行              x", "内存峰值（字节）  12", "生成", "  数据集  y", "GPU               z"]
    assert {columns(line.rpartition(" ")[0]) for line in shown if line[0] not in " 生"} == {17}
    assert padded("数据", 6) == "数据  "


def test_values_read_well():
    found = {
        "solo": True,
        "code": None,
        "losses": (1.23456, 2.0),
        "seconds": 1 / 3,
        "gpus": [],
        "reasons": {},
        "refused": 0,
        "state": "done",
    }
    assert list(lines(found)) == [
        "solo     yes",
        "losses   1.235, 2",
        "seconds  0.333333",
        "gpus     -",
        "reasons  -",
        "refused  0",
        "state    done",
    ]


def test_a_set_that_is_called_like_a_word_keeps_its_name():
    text.choose("zh")
    assert list(lines({"set": "done", "state": "done"})) == ["数据集  done", "状态    已完成"]


def test_a_long_value_is_cut_unless_asked_for():
    (line,) = lines({"losses": list(range(100))})
    assert line.endswith("…")
    set_options(Options(verbose=True))
    (line,) = lines({"losses": list(range(100))})
    assert line.endswith(" 99")
