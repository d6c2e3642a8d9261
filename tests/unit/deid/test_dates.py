"""Dates: written in every form and read back, and moved by days as the calendar does."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.deid import dates
from ringfence.deid.numerals import number, written

DAYS = st.dates(date(1900, 1, 1), date(2099, 12, 31))
FORMS = {
    "chinese": lambda d: f"{d.year}年{d.month}月{d.day}日",
    "chinese, apart": lambda d: f"{d.year} 年 {d.month:02d} 月 {d.day:02d} 日",
    "in characters": lambda d: f"{written(d.year, like='二〇二三')}年{written(d.month, like='十二')}月{written(d.day, like='十二')}日",
    "year first": lambda d: d.isoformat(),
    "slashes": lambda d: f"{d.year}/{d.month}/{d.day}",
    "compact": lambda d: f"{d:%Y%m%d}",
    "american": lambda d: f"{d:%m/%d/%Y}",
    "day first": lambda d: f"{d.day}.{d.month}.{d.year}",
    "named": lambda d: f"{d:%B} {d.day}, {d.year}",
    "short": lambda d: f"{d.day} {d:%b} {d.year}",
    "ordinal": lambda d: f"{d.day}th of {d:%B}, {d.year}",
    "capitals": lambda d: f"{d:%B} {d.day}, {d.year}".upper(),
}


@pytest.mark.parametrize("form", FORMS)
@given(day=DAYS, days=st.integers(-365, 365))
def test_a_date_is_read_and_moved_in_every_form(form, day, days):
    text = FORMS[form](day)
    found = dates.parse(text)
    assert found is not None
    assert found.value == day
    assert sorted(found.parts) == ["day", "month", "year"]
    other = dates.moved(text, days)
    assert other is not None
    assert dates.parse(other).value == day + timedelta(days=days)


@pytest.mark.parametrize(
    ("text", "days", "moved"),
    [
        ("1985年3月12日", 20, "1985年4月1日"),
        ("二〇二三年十二月三十一日", 1, "二〇二四年一月一日"),
        ("2023-04-05", 30, "2023-05-05"),
        ("4/5/23", 30, "5/5/23"),
        ("Apr. 3rd", 1, "Apr. 4th"),
        ("31ST OF JULY 2021", 1, "1ST OF AUGUST 2021"),
        ("2023-12-31", 1, "2024-01-01"),
        ("12/31/1999", 1, "1/1/2000"),
        ("12/09/1999", 1, "12/10/1999"),
        ("JUNE 30, 2021", 1, "JULY 1, 2021"),
        ("15-Apr-23", 20, "5-May-23"),
        ("4/5/98", 3000, "6/22/06"),
        ("98年3月2日", 3000, "06年5月19日"),
        ("2月28日", 1, "2月29日"),
        ("April 2023", 31, "May 2023"),
        ("1977", 1, None),
        ("2023-02-30", 1, None),
        ("", 1, None),
    ],
)
def test_known_moves(text, days, moved):
    assert dates.moved(text, days) == moved


@given(st.text(max_size=20))
def test_any_text_can_be_asked(text):
    found = dates.parse(text)
    assert (dates.moved(text, 1) is None) == (found is None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("三", 3),
        ("十", 10),
        ("十二", 12),
        ("二十", 20),
        ("廿五", 25),
        ("三十一", 31),
        ("二〇二三", 2023),
        ("07", 7),
        ("三三十", None),
        ("年", None),
        ("", None),
    ],
)
def test_numerals(text, value):
    assert number(text) == value


@given(st.integers(1, 9_999))
def test_a_numeral_says_what_it_was_written_for(value):
    assert number(written(value, like="十二")) == value
