"""The engine: both scanners agree, nothing survives, a record is treated the same in any company."""

from __future__ import annotations

import json
import random
import re
import string
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.records import Record
from ringfence.deid import people
from ringfence.deid.engine import Engine, Found, Rewritten, engine_name
from ringfence.deid.fold import fold
from ringfence.deid.operator import Use
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import RECOGNISERS, Span
from ringfence.deid.scanner import has_vectorscan
from ringfence.deid.terms import folded_terms

KEY = b"k" * 32
TERMS = ("天枢平台", "天枢", "Project Tianshu", "AI")
GOLDEN = {
    file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((Path(__file__).parents[2] / "golden" / "recognisers").glob("*.json"))
}
ROWS = [text for rows in GOLDEN.values() for text in [*(row[0] for row in rows["find"]), *rows["leave"]]]
PIECE = st.one_of(
    st.sampled_from(ROWS),
    st.sampled_from(
        [*TERMS, "project tianshu", "天", "枢平台", "１３８００１３８０００", "bob＠corp．com", "138\u200b0013\u200b8000", "\ud800", "\x00"]
    ),
    st.text("0123456789", min_size=1, max_size=22),
    st.text("0123456789 -.:@/?=&aAfFEGxX京手机密码：sk_", max_size=20),
    st.text(max_size=8),
)
MIX = st.lists(PIECE, max_size=8).map("".join)


def build(engine="auto", **changes):
    return Engine.build(settings_for("default").model_copy(update={"engine": engine, "taggers": (), **changes}), KEY, terms=TERMS)


def fresh():
    """Return an engine that knows nothing yet, without compiling its patterns again."""
    settings = settings_for("default").model_copy(update={"taggers": ()})
    parts = [RECOGNISERS.create(name) for name in settings.parts]
    return Engine(parts, scanner=VECTOR._scanner, terms=folded_terms(TERMS), settings=settings, key=KEY)


def record(*texts, **fields):
    return Record("0" * 32, "1" * 32, "file", "pair" if len(texts) == 2 else "text", ("user", "assistant")[: len(texts)], texts, fields)


VECTOR, PLAIN = build(), build("re")


@pytest.mark.skipif(not has_vectorscan(), reason="there is no hyperscan wheel here")
@settings(max_examples=120, deadline=None)
@given(st.lists(MIX, min_size=1, max_size=4))
def test_vectorscan_and_re_find_the_same(texts):
    assert VECTOR.find_many(texts) == PLAIN.find_many(texts)


@settings(max_examples=120, deadline=None)
@given(st.lists(MIX, min_size=1, max_size=4))
def test_a_text_is_treated_the_same_in_any_company(texts):
    assert VECTOR.find_many(texts) == [VECTOR.find(text) for text in texts]


@settings(max_examples=120, deadline=None)
@given(st.lists(MIX, min_size=1, max_size=4))
def test_no_original_survives_a_rewrite(texts):
    engine = fresh()
    rows = [record(text) for text in texts]
    engine.learn(rows)
    done = list(engine.rewrite(rows))
    assert sum(item.survivors for item in done) == 0
    originals = {fold(f.original).text for item in done for f in item.found if f.kind != "TERM"}
    originals = {value for value in originals if not value.isascii() or sum(map(str.isalnum, value)) > 3}  # 90 is a number in many places
    originals = {value for value in originals if not re.fullmatch(r"\S \S", value)}  # nor is 张 三 looked up where it is spread again
    for item, text in zip(done, texts, strict=True):
        assert all(text[f.start : f.end] == f.original for f in item.found)
        assert not [value for value in originals if stands_in(value, fold(item.record.texts[0]).text)]


@pytest.mark.parametrize(("form", "name"), [("姓 名：张　三", "张三"), ("姓　名：张 三丰", "张三丰")])
def test_a_name_that_a_form_spreads_is_known_where_it_is_not(form, name):
    engine, rows = fresh(), [record(f"{form}，{name}来了"), record(f"后来{name}走了")]
    engine.learn(rows)
    first, second = (item.record.texts[0] for item in engine.rewrite(rows))
    assert name not in first + second
    assert len(second[2:-2]) == len(name)
    assert f"，{second[2:-2]}来了" in first  # the same stand-in in both rows


def stands_in(value, text):
    """Naively: the value, with no run of digits or of ASCII letters at its edges going on outside."""

    def same_run(a, b):
        return bool(a and b) and any(a in sort and b in sort for sort in (string.digits, string.ascii_letters))

    places = [at for at in range(len(text)) if text.startswith(value, at)]
    return any(not same_run(text[at - 1 : at], value[0]) and not same_run(value[-1], text[at + len(value) :][:1]) for at in places)


def test_what_is_between_the_spans_stays():
    text = "患者手机13800138000，邮箱a@b.internal；天枢平台。"
    spans = VECTOR.find(text)
    assert [(text[s.start : s.end], s.kind) for s in spans] == [
        ("13800138000", "CN_MOBILE"),
        ("a@b.internal", "EMAIL"),
        ("天枢平台", "TERM"),
    ]
    found = Counter()
    masked = fresh().mask(record(text), found).texts[0]
    assert re.fullmatch(r"患者手机1[012]\d{9}，邮箱[a-z0-9]+@[a-z.]+；内部项目[A-Z]\d{3}。", masked)
    assert found == {"CN_MOBILE": 1, "EMAIL": 1, "TERM": 1}


def test_a_value_seen_with_its_key_word_is_known_without_it():
    engine = fresh()
    rows = [record("护照E12345678"), record("E12345678又来了"), record("xE12345678"), record("no18E12345678")]
    engine.learn(rows)
    texts = [item.record.texts[0] for item in engine.rewrite(rows)]
    stand_in = texts[0].removeprefix("护照")
    assert texts[1] == f"{stand_in}又来了"
    assert texts[2] == "xE12345678"
    assert texts[3] == f"no18{stand_in}"


def test_values_of_columns_are_learnt_under_their_name_and_dropped():
    engine = fresh()
    rows = [record("他说是G12345678和18100138000", passport="G12345678", more={"phones": [18100138000, None, True, 1.5]})]
    engine.learn(rows)
    done = next(engine.rewrite(rows))
    assert "G12345678" not in done.record.texts[0]
    assert done.record.fields == {}
    assert {f.kind for f in done.found} == {"PASSPORT", "CN_MOBILE"}


def test_ids_unit_and_roles_are_kept():
    before = record("13800138000", "ok")
    after = fresh().mask(before, Counter())
    assert (after.id, after.unit, after.source, after.kind, after.roles) == (
        before.id,
        before.unit,
        before.source,
        before.kind,
        before.roles,
    )


def test_stand_ins_agree_between_engines_and_runs():
    text = "手机13800138000 卡4111111111111111 天枢平台"
    assert fresh().mask(record(text), Counter()) == build("re").mask(record(text), Counter())
    other = Engine.build(settings_for("default").model_copy(update={"taggers": ()}), b"x" * 32, terms=TERMS).mask(record(text), Counter())
    assert other.texts != fresh().mask(record(text), Counter()).texts


def test_redact_puts_the_kind():
    engine = build(operators={"EMAIL": (Use(use="redact.v1"),)})
    assert engine.mask(record("写给a@b.cn"), Counter()).texts == ("写给<EMAIL>",)


def test_a_stand_in_never_equals_an_original_of_the_set():
    first = fresh().mask(record("10.1.1.1"), Counter()).texts[0]
    engine = fresh()
    rows = [record("10.1.1.1"), record(first)]
    engine.learn(rows)
    texts = [item.record.texts[0] for item in engine.rewrite(rows)]
    assert first not in texts


def test_survivors_are_counted():
    """The re-scan is shown to see: what it must find is put back behind the engine's back."""
    engine = fresh()
    rows = [record("护照E12345678"), record("卡4111-1111-1111-1111"), record("天枢")]
    engine.learn(rows)
    assert len(engine._survivors("E12345678")) == 1
    assert len(engine._survivors("卡4111111111111111")) == 1
    assert len(engine._survivors("天枢")) == 1
    assert not engine._survivors("护照E87654321，天")
    engine._surrogates._made = {
        ("PASSPORT", "E12345678"): "E12345678",
        ("BANK_CARD", "4111-1111-1111-1111"): "4111 1111 1111 1111",
        ("TERM", "天枢"): "天枢",
    }
    assert [item.survivors for item in engine.rewrite(rows)] == [1, 1, 1]


def test_many_records_in_many_batches():
    draw = random.Random(3)
    numbers = [f"139{draw.randrange(10**8):08d}" for _ in range(150)]
    rows = [record("甲" * 9_000 + number) for number in numbers]
    engine = fresh()
    engine.learn(rows)
    done = list(engine.rewrite(rows))
    assert len(done) == 150
    assert [item.found[0].original for item in done] == numbers
    assert all(item.found[0].start == 9_000 for item in done)


HOSTILE = ("1", "a", "1-", "a@", ":", "://a:", "4111 ", "eyJ", ".eyJ", "1.", "a.a@a.", "password:", "-----BEGIN ", "sk-", "?token=")


def test_long_hostile_runs_take_no_quadratic_time():
    for text in [piece * (12_000 // len(piece)) for piece in HOSTILE]:
        assert isinstance(VECTOR.find(text), list)
        assert isinstance(PLAIN.find(text), list)


def test_the_engine_says_which_it_is():
    assert engine_name(settings_for("default").model_copy(update={"engine": "re"})) == "re"
    assert engine_name(settings_for("default")) == ("vectorscan" if has_vectorscan() else "re")


@pytest.mark.parametrize("name", RECOGNISERS.names())
def test_every_example_is_found_at_its_place(name):
    tool = RECOGNISERS.create(name)
    alone = list(tool.find(tool.example))
    assert alone
    assert [Span(s.start + 2, s.end + 2, s.kind, s.score) for s in alone] == VECTOR.find(f"甲乙{tool.example}丙")


@pytest.mark.parametrize("text", ["Name: Иван Петров. Later Иван Петров left.", "患者姓名：𠮷野明，复查。后来𠮷野明走了。"])
def test_a_name_in_any_script_goes_at_every_mention(text):
    engine = fresh()
    rows = [record(text)]
    engine.learn(rows)
    (done,) = engine.rewrite(rows)
    assert len(done.found) == 2
    assert done.found[0].original not in done.record.texts[0]
    assert done.survivors == 0


def test_a_stand_in_beside_other_words_is_no_original_that_was_left():
    """The words beside a name may make an original of another row out of its stand-in: nobody's own characters are left there."""
    rows = [record(text) for text in ("姓名：王建国，已出院", "她说：李王建国来过", "经理13800138000")]
    engine = fresh()
    engine.learn(rows)
    masked = next(engine.rewrite([rows[2]])).record.texts[0]
    number = masked.removeprefix("经理")
    engine = fresh()
    engine.known.add("STAFF", f"理{number}", normal=f"理{number}", score=0.9)  # an original that the stand-in completes
    engine.learn(rows)
    assert [item.survivors for item in engine.rewrite(rows)] == [0, 0, 0]
    engine.known.add("CN_MOBILE", number, normal=number, score=0.9)  # too late to be avoided: the stand-in is an original
    assert [item.survivors for item in engine.rewrite(rows)][2] >= 1
    engine = fresh()
    engine.learn([*rows, record("电话 13912345678")])
    left = Rewritten(record("13912345678 经理" + number), (Found(0, 14, 25, "CN_MOBILE", "13800138000", number),))
    assert [item.survivors for item in engine._looked_at_again([left])] == [1]


def rewritten(rows, operators=None, terms=TERMS):
    """Return what an engine makes of the rows, with other operators for some kinds."""
    own = {kind: (Use.model_validate(use if isinstance(use, dict) else {"use": use}),) for kind, use in (operators or {}).items()}
    default = settings_for("default")
    made = default.model_copy(update={"taggers": (), "operators": {**default.operators, **own}})
    parts = [RECOGNISERS.create(name) for name in made.parts]
    engine = Engine(parts, scanner=VECTOR._scanner, terms=folded_terms(terms), settings=made, key=KEY)
    engine.learn(rows)
    return list(engine.rewrite(rows))


def numbered(*rows):
    """Return records of different people. rows: (text, columns)."""
    return [replace(record(text, **fields), id=f"{n:032x}", unit=f"{n:032x}") for n, (text, fields) in enumerate(rows)]


def test_first_names_in_a_column_neither_exhaust_the_stand_ins_nor_spoil_other_records():
    first = [*people.names().first["f"], *people.names().first["m"]]
    rows = numbered(
        *((f"Row {n}. {name} came in.", {"first_name": name}) for n, name in enumerate(first)), (f"{first[0]} is also a word here.", {})
    )
    done = rewritten(rows)
    assert sum(item.survivors for item in done) == 0
    assert not [name for name, item in zip(first, done, strict=False) if re.search(rf"\. {name} came", item.record.texts[0])]
    assert done[-1].record.texts == (f"{first[0]} is also a word here.",)
    assert done[-1].noted == 1


def test_a_name_that_is_only_noted_is_counted_where_it_was_left():
    rows = numbered(
        ("Patient name: Grace", {}),
        ("By grace, Grace came. Graceful!", {}),
        ("Patient name: Ann Grace", {}),
        ("Ann Grace", {"note": "Grace"}),
    )
    done = rewritten(rows)
    assert [item.noted for item in done] == [0, 1, 0, 0]
    assert [len(item.found) for item in done] == [1, 0, 1, 1]


@pytest.mark.parametrize("spelling", ["ZY20230415", "zy 2023 0415", "ZY_2023-0415"])
def test_a_known_value_goes_in_every_spelling(spelling):
    known, other = rewritten(numbered(("住院号：ZY-2023-0415", {}), (f"查 {spelling} 记录", {})))
    assert spelling not in other.record.texts[0]
    letters = [
        re.sub("[^0-9A-Za-z]", "", text.split("：")[-1].removeprefix("查 ").removesuffix(" 记录")).upper()
        for text in (known.record.texts[0], other.record.texts[0])
    ]
    assert letters[0] == letters[1]


def test_codes_of_one_person_in_columns_that_no_recogniser_knows_are_looked_up():
    rows = numbered(
        ("Bed AX93-1127Q, code E11.92X.", {"chart": "AX93-1127Q", "code": "E11.92X", "phone_float": 13800138000.0}),
        ("Was in ax93-1127q, code E11.92X, call 138 0013 8000", {"code": "E11.92X"}),
    )
    texts = [item.record.texts[0] for item in rewritten(rows)]
    assert not [text for text in texts if re.search("ax93|1127|138 0013", text, re.IGNORECASE)]
    assert all("E11.92X" in text for text in texts)  # what two people share is a category


def test_nothing_hides_behind_what_a_profile_keeps():
    rows = numbered(("see https://oa.corp.cn/login?u=zhang.wei@mail.corp today", {}), ("write to zhang.wei@mail.corp", {}))
    done = rewritten(rows, {"URL": "keep.v1"})
    assert not [item for item in done if "zhang.wei" in item.record.texts[0]]
    assert sum(item.survivors for item in done) == 0
    (alone,) = rewritten(numbered(("see https://oa.corp.cn/login today", {})), {"URL": "keep.v1"})
    assert [item.kind for item in alone.kept] == ["URL"]


def test_a_kept_date_is_a_date_whatever_number_has_its_digits():
    rows = numbered(("病案号：20240506", {}), ("于2024-05-06入院，电话13800138000", {}))
    done = rewritten(rows, {"DATE": "keep.v1"})
    assert "2024-05-06" in done[1].record.texts[0]
    assert "20240506" not in done[0].record.texts[0]
    assert sum(item.survivors for item in done) == 0


def test_what_a_profile_keeps_or_an_operator_wrote_is_no_survivor():
    rows = numbered(("天枢平台, mail bob@corp.internal, 13800138000", {}), ("10.23.0.0 and 10.23.4.17", {}))
    kept = rewritten(rows, {"TERM": "keep.v1"})
    assert [item.survivors for item in kept] == [0, 0]
    labels = rewritten(rows, {"EMAIL": "redact.v1", "CN_MOBILE": "token.v1"}, terms=(*TERMS, "email"))
    assert [item.survivors for item in labels] == [0, 0]
    assert "<EMAIL>" in labels[0].record.texts[0]
    network = rewritten(rows, {"IP_ADDRESS": {"use": "generalise.v1", "params": {"to": "network"}}})
    assert network[1].record.texts[0] == "10.23.0.0 and <IP_ADDRESS>"  # its network is an address of the set
    assert network[1].survivors == 0


def test_when_all_stand_ins_are_taken_the_kind_is_written():
    engine = fresh()
    engine._surrogates._taken = lambda some: [True] * len(some)
    engine.learn(rows := [record("邮箱 bob@corp.internal")])
    assert [item.record.texts[0] for item in engine.rewrite(rows)] == ["邮箱 <EMAIL>"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(MIX, min_size=1, max_size=3), st.sampled_from(["ff1.v1", "mask.v1", "hash.v1", "date-shift.v1", "token.v1", "surrogate.v1"])
)
def test_no_operator_returns_the_value(texts, name):
    done = rewritten([record(text) for text in texts], {"*": name, "DATE": name, "AGE": name})
    for item in done:
        assert not [f for f in item.found if fold(f.instead).text == fold(f.original).text]
        assert {f.kind for f in item.kept} <= {"NATIONALITY", "REGION"}
        assert item.survivors == 0


def test_what_was_found_when_learning_is_not_found_again(monkeypatch):
    engine, rows = fresh(), [record(f"护照E{n:08d}", phone="13800138000") for n in range(50)]
    named, searched = engine._named, []
    monkeypatch.setattr(engine, "_named", lambda text: searched.append(text) or named(text))
    engine.learn(rows)
    first = [item.record.texts for item in engine.rewrite(rows)]
    assert len(searched) == 1
    assert [item.record.texts for item in engine.rewrite(rows)] == first  # found again, because it was forgotten
    assert len(searched) == 2
