"""Escapes of JSON, forms and HTML, against texts that were escaped here."""

from __future__ import annotations

import html
import json
import time
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.records import Record
from ringfence.deid.engine import Engine
from ringfence.deid.escapes import escapes
from ringfence.deid.fold import Folded, _sorted, fold
from ringfence.deid.profile import settings_for

ENGINE = Engine.build(settings_for("default").model_copy(update={"taggers": ()}), b"k" * 32)


def in_json(character):
    return f"\\u{ord(character):04x}"


def in_json_twice(character):
    return json.dumps(in_json(character))[1:-1]


def in_form(character):
    return "".join(f"%{byte:02X}" for byte in character.encode())


def in_form_twice(character):
    return in_form(character).replace("%", "%25")


def in_html(character):
    return f"&#{ord(character)};"


def in_html_hexadecimal(character):
    return f"&#x{ord(character):X};"


def in_html_twice(character):
    return html.escape(in_html(character))


WAYS = [in_json, in_json_twice, in_form, in_form_twice, in_html, in_html_hexadecimal, in_html_twice, str]
PLAIN = st.sampled_from("张三号一0138aZ,.()@ é\u00df电")  # folded, each is one character, and none is part of an escape or an address
PIECES = st.lists(
    st.sampled_from(
        [
            "\\",
            "\\u",
            "u",
            "%",
            "25",
            "E5",
            "BC",
            "A0",
            "&",
            "amp;",
            "#",
            "x",
            ";",
            "0041",
            "5f20",
            "d83d",
            "4",
            "1 ",
            "一",
            "://",
            "/",
            "n",
            "t",
            "C:",
            "w",
            ".",
        ]
    ),
    max_size=14,
).map("".join)


@given(st.lists(st.tuples(PLAIN, st.sampled_from(WAYS))))
def test_a_text_folds_as_if_nothing_were_escaped_and_every_character_knows_its_escape(written):
    pieces = [way(character) for character, way in written]
    plain, text = "".join(character for character, _ in written), "".join(pieces)
    folded, expected = fold(text), fold(plain)
    starts = [0]
    for piece in pieces:
        starts.append(starts[-1] + len(piece))
    assert folded.text == expected.text
    for at in range(len(folded.text)):
        start, end = expected.original(at, at + 1)
        assert folded.original(at, at + 1) == (starts[start], starts[end])


@given(PIECES)
def test_folding_twice_is_folding_once(text):
    assert fold(fold(text).text).text == fold(text).text


@given(PIECES, PIECES)
def test_a_text_is_folded_the_same_in_any_company(text, other):
    assert fold(f"{other}\x00{text}\x00{other}").text == "\x00".join(fold(one).text for one in (other, text, other))


@given(PIECES)
def test_a_short_text_is_folded_as_a_long_one(text):
    beyond = "\x00" + "x" * 256
    assert fold(text).text + beyond == fold(text + beyond).text


@given(PIECES, PIECES)
def test_each_text_of_a_block_begins_where_it_did(text, other):
    folded = fold(f"{other}\x00{text}")
    assert folded.places([len(other) + 1])[0] == len(fold(other).text) + 1 if folded.firsts else folded.text == f"{other}\x00{text}"


@given(st.text(st.characters(exclude_characters="\\%&")))
def test_a_text_without_any_has_none(text):
    assert escapes(text, _sorted(text)) == []


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_what_python_quotes_is_read_as_it_was(text):
    quoted = quote(text, safe="")
    at, read = 0, []
    for start, end, character in escapes(quoted, _sorted(quoted)):
        read += [quoted[at:start], character]
        at = end
    assert "".join([*read, quoted[at:]]) == text


@pytest.mark.parametrize(
    "text",
    [
        "\\ud83d\\ude00",  # a pair
        "\\ud83d",
        "\\u0000",  # NUL parts texts
        "%00%07",
        "&#0;&#7;&#x9f;",
        "&#1114112;",
        "&#55357;",
        "\\u12",
        "\\U0041",
        "%G1%4",
        "%C0%AF",  # overlong
        "%E0%80%AF",
        "%ED%A0%80",  # a surrogate
        "%F4%90%80%80",  # beyond Unicode
        "%E5%BC",
        "%FF%80",
        "&#49",
        "&copy;",
        "100 % sure & 25%",
    ],
)
def test_what_is_no_escape_of_a_character_stays(text):
    assert fold(text) == Folded(text)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("\\uff11\\u200b\\u00ad３", "13"),  # what stands there is folded, too
        ("\\u4e00 \\u4e09 \\u516b 零 零 一 三 八", "13800138"),
        ("eve [&#97;t] corp{点}com", "eve@corp.com"),
        ("&#38;#49;", "1"),
        ("\\u002531", "1"),
        ("％３１", "1"),
        ("a&commat;b&period;cn&nbsp;&lt;", "a@b.cn <"),
        ("https://x.cn/?n=%E5%BC%A0&amp;t=%31%2D%40 %40", "https://x.cn/?n=%E5%BC%A0&t=1-%40 @"),
        ("https://x.cn/?n=1\\u0026m=%E5%BC%A0", "https://x.cn/?n=1&m=%E5%BC%A0"),
        ("www.x.cn/%E5%BC%A0，%E5%BC%A0", "www.x.cn/%E5%BC%A0，张"),
        ("http://localhost/%E5%BC%A0", "http://localhost/张"),
    ],
)
def test_known_spellings(text, folded):
    assert fold(text).text == folded


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("11010519491231002X", "CN_RESIDENT_ID"),
        ("13800138000", "CN_MOBILE"),
        ("li.wei@corp.cn", "EMAIL"),
        ("北京市海淀区中关村大街27号", "CN_ADDRESS"),
    ],
)
def test_an_identifier_is_found_and_exchanged_as_a_whole(way, value, kind):
    written = "".join(map(way, value))
    text = f'{{"id": "{written}", "x": 1}}'
    spans = [span for span in ENGINE.find(text) if span.kind == kind]
    assert [text[span.start : span.end] for span in spans] == [written]
    masked = ENGINE.replace(text, spans)
    assert masked.startswith('{"id": "')
    assert masked.endswith('", "x": 1}')
    assert written not in masked


@pytest.mark.parametrize("way", WAYS)
def test_a_known_value_is_looked_up_in_every_way_to_write_it(way):
    engine = Engine.build(settings_for("default").model_copy(update={"taggers": ()}), b"k" * 32)
    engine.known.add("PERSON", "欧阳建国", normal="欧阳建国", score=0.7)
    written = "".join(map(way, "欧阳建国"))
    row = Record("0" * 32, "1" * 32, "file", "text", ("text",), (f'{{"姓名":"{written}"}}',))
    done = next(engine.rewrite([row]))
    assert [one.original for one in done.found] == [written]
    assert written not in done.record.texts[0]
    assert done.survivors == 0


def test_an_address_on_the_web_with_escapes_is_one_span():
    text = "见 https://oa.corp.cn/s?q=%E5%BC%A0%E4%B8%89&amp;tel=%31%33800138000 。"
    assert [(span.kind, text[span.start : span.end]) for span in ENGINE.find(text)] == [("URL", text[2:-2])]


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_json_in_a_string_is_searched_as_what_it_says(layers):
    said = "patient\nAnna Smithfield\nphone\t13800138000\r\nborn 04/15/1983\n11010519491231002X\nstaff\nzy-2023-0415"
    text = json.dumps({"note": said}).replace("/", "\\/")
    for _ in range(layers - 1):
        text = json.dumps({"below": text})
    assert fold(said).text in fold(text).text
    plain, written = ENGINE.find(said), ENGINE.find(text)
    assert [span.kind for span in written] == [span.kind for span in plain]
    assert {"CN_MOBILE", "DATE", "CN_RESIDENT_ID"} <= {span.kind for span in plain}
    masked = ENGINE.replace(text, written)
    for _ in range(layers):
        (masked,) = json.loads(masked).values()
    assert masked == ENGINE.replace(said, plain)


def test_a_known_value_is_looked_up_behind_an_escaped_end_of_a_line():
    engine = Engine.build(settings_for("default").model_copy(update={"taggers": ()}), b"k" * 32)
    engine.known.add("PERSON", "Anna Smithfield", normal="anna smithfield", score=0.7)
    engine.known.add("CODE", "zy-2023-0415", normal="zy-2023-0415", score=0.7)
    row = Record("0" * 32, "1" * 32, "file", "text", ("text",), ("seen\\nAnna Smithfield\\tzy-2023-0415\\r\\n",))
    done = next(engine.rewrite([row]))
    assert [one.original for one in done.found] == ["Anna Smithfield", "zy-2023-0415"]


@pytest.mark.parametrize(
    "text",
    [
        "C:\\temp\\nancy\\report",
        "c:/users\\tom",
        "see D:\\data\\new\\13800138000",
        "\\\\host\\tools\\nina",
        "by CORP\\nancy",
        "a \\ n",
        "\\x \\",
        "\\N",
    ],
)
def test_what_parts_the_names_of_a_path_is_no_end_of_a_line(text):
    assert fold(text) == Folded(text)


@pytest.mark.parametrize("text", ["\\" * 200_000, "\\n" * 100_000, "C:\\n" * 50_000, "C:\\" + "\\na" * 60_000, "A\\na" * 50_000])
def test_escaped_ends_of_lines_cost_no_more_than_their_number(text):
    begin = time.process_time()
    fold(text)
    assert time.process_time() - begin < 5  # seconds


def test_a_known_name_is_looked_up_with_its_accents_apart():
    engine = Engine.build(settings_for("default").model_copy(update={"taggers": ()}), b"k" * 32)
    engine.known.add("PERSON", "José García", normal="josé garcía", score=0.7)
    written = unicodedata.normalize("NFD", "JOSÉ GARCÍA")
    row = Record("0" * 32, "1" * 32, "file", "text", ("text",), (f"seen by {written} and {written}.",))
    done = next(engine.rewrite([row]))
    assert [one.original for one in done.found] == [written, written]
    assert "GARC" not in done.record.texts[0]
    assert done.survivors == 0


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_escapes_of_two_sorts_inside_each_other_are_read_up_to_four_layers(layers):
    said = written = "患者张伟，电话13800138000。"
    for n in range(layers):
        written = quote(written, safe="") if n % 2 else "".join(f"&#{ord(c)};" if c == "%" or not c.isascii() else c for c in written)
    assert (fold(written).text == fold(said).text) == (layers <= 4)
