"""Values in the spellings of people, against a search at every place."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.deid.literals import Literals, key_of
from tests.growth import assert_linear

LETTERS = "A-Za-zéÉ"
RUN = re.compile(rf"[0-9]+|[{LETTERS}]+")
PIECE = st.sampled_from(["a", "B", "é", "ab", "1", "22", "345", "京", "北京", "-", " ", "_", ".", "\n", "\x00", "/"])
VALUE = st.lists(PIECE.filter(lambda piece: piece != "\x00"), max_size=14).map("".join)
TEXT = st.lists(PIECE, max_size=14).map("".join)


def canonical(text):
    """The runs of letters and of digits in lower case, a space between two of letters."""
    runs = [run.lower() for run in RUN.findall(text)]
    return "".join((" " if n and runs[n - 1][-1].isalpha() and run[0].isalpha() else "") + run for n, run in enumerate(runs))


def is_cut(text, at):
    return any(0 < at < len(text) and all(re.match(f"[{sort}]", c) for c in text[at - 1 : at + 1]) for sort in ("0-9", LETTERS))


def naive(value, text):
    """Every range in which a value stands: as it is written, or, if it has enough letters and digits, the same ones in any other spelling."""
    runs = RUN.findall(value)
    is_exact = "京" in value or (len(runs) <= 1 and not any(c.isdigit() for c in value)) or not runs
    size = len(canonical(value))
    if is_exact or size < (6 if re.search(f"[{LETTERS}]", value) else 8) or re.search(r"([^0-9A-Za-zéÉ]){9}", RUN.sub("x", value)):
        places = [(at, at + len(value)) for at in range(len(text)) if text.startswith(value, at)]
        return {(a, b) for a, b in places if not is_cut(text, a) and not is_cut(text, b)}
    found = set()
    for first in RUN.finditer(text):
        for last in RUN.finditer(text):
            inside = text[first.start() : last.end()]
            if first.start() <= last.start() and canonical(inside) == canonical(value) and not re.search("京|\x00", inside):
                found.add((first.start(), last.end()))
    return found


def has_word(value):
    return bool(RUN.search(value)) or "京北" in value or "北京" in value


@settings(max_examples=400, deadline=None)
@given(st.lists(VALUE.filter(has_word), min_size=1, max_size=4), TEXT, st.data())
def test_finds_what_a_naive_search_finds(values, text, data):
    if data.draw(st.booleans()):  # most texts hold a value, spelt in some way
        value = data.draw(st.sampled_from(values))
        text += data.draw(st.sampled_from(["", "x", "1", " "])) + data.draw(
            st.sampled_from([value, value.upper(), value.replace("-", ""), value.replace(" ", "-")])
        )
    literals = Literals()
    for value in values:
        assert literals.add(value, None) is not None
    found = {(start, end) for start, end, _ in literals.find(text)}
    assert found == set().union(*(naive(value, text) for value in values))


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("ZY-2023-0415", "查 ZY20230415、zy 2023 0415、ZY_2023-0415", ["ZY20230415", "zy 2023 0415", "ZY_2023-0415"]),
        ("ZY20230415", "ZY-20230415 xZY20230415 ZY202304151", ["ZY-20230415"]),
        ("6217001234567", "6217 001234567, 621700123456-7, 62170012345678", ["6217 001234567", "621700123456-7"]),
        ("Zbigniew Kowalczyk", "saw zbigniew kowalczyk, KOWALCZYK, ZBIGNIEW-KOWALCZYK", ["zbigniew kowalczyk", "ZBIGNIEW-KOWALCZYK"]),
        ("Anna Lee Smith", "Annalee Smith, Anna-Lee Smith", ["Anna-Lee Smith"]),
        ("Li Na", "Li Na, li na, Li Nan", ["Li Na"]),
        ("12-34", "1234 12-34 12 34", ["12-34"]),
        ("zhang.wei@mail.corp", "Zhang.Wei@mail.corp", ["Zhang.Wei@mail.corp"]),
        ("Nguyễn Văn An", "ông Nguyễn Văn An, Nguyễn Văn Anh", ["Nguyễn Văn An"]),
        ("Nguyễn Văn An", "ông NGUYỄN VĂN AN, NGUYỄN VĂN ANH", ["NGUYỄN VĂN AN"]),
        ("Ễ Văn Anh", "ễ văn anh, x ễ văn anh", ["ễ văn anh", "ễ văn anh"]),
        ("İpek Yılmaz", "gördü İpek Yılmaz, İPEK YıLMAZ", ["İpek Yılmaz", "İPEK YıLMAZ"]),
        ("κωνσταντίνος παπάς", "ο ΚΩΝΣΤΑΝΤΊΝΟΣ ΠΑΠΆΣ και Κωνσταντίνος Παπάς", ["ΚΩΝΣΤΑΝΤΊΝΟΣ ΠΑΠΆΣ", "Κωνσταντίνος Παπάς"]),
        ("张" * 5_000, "李" + "张" * 5_000, ["张" * 4_096]),
        ("x7" * 5_000, "x7" * 5_000, ["x7" * 2_048] * 2),
        ("北京市海淀区中关村大街1号", "在北京市海淀区中关村大街1号和北京市海淀区中关村大街12号", ["北京市海淀区中关村大街1号"]),
    ],
)
def test_spellings(value, text, found):
    literals = Literals()
    literals.add(value, None)
    assert [text[start:end] for start, end, _ in literals.find(text)] == found


def test_of_many_values_that_begin_alike_a_text_looks_at_none():
    class Counted(dict):
        looked = 0

        def __contains__(self, key):
            Counted.looked += 1
            return super().__contains__(key)

    looked = []
    for size in (50, 5_000):
        literals = Literals()
        literals.values = Counted()
        for number in range(size):
            literals.add(f"p{number:05d}@clinic.internal", number)
            literals.add(f"北京恒{chr(0x4E00 + number)}有限公司", number)
        Counted.looked = 0
        list(literals.find("p00010@clinic.internal 在北京工作 p99999@clinic.internal " * 20))
        looked.append(Counted.looked)
    assert looked[0] == looked[1] > 0


def test_a_key_is_the_same_for_all_spellings():
    assert key_of("ZY-2023-0415") == key_of("zy20230415") != key_of("ZY-2023-0416")
    assert Literals().add("·", None) is None


def test_the_time_of_a_search_grows_with_the_text_and_not_with_its_square():
    def seconds(size):
        values = Literals()
        values.add("张" * size, None)
        values.add("张" * size + "李", None)
        text = "张" * (2 * size)
        begin = time.process_time()
        list(values.find(text))
        return time.process_time() - begin

    assert_linear(seconds, 10_000)
