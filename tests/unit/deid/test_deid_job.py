"""The child half, on sealed sets in a folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace

import pytest
from tink import new_keyset_handle, proto_keyset_format, secret_key_access, streaming_aead

from ringfence.core.digest import sha256
from ringfence.core.errors import SurvivorsLeft, TermsUnreadable
from ringfence.core.order import Child, Keys, Order, Slot, StoredFile
from ringfence.core.records import Record
from ringfence.deid import job, shards
from ringfence.deid.job import run
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import RECOGNISERS
from ringfence.deid.settings import DeidSettings, dictionary_digest
from ringfence.deid.surrogate import Surrogates
from ringfence.vault.files import read_file
from ringfence.vault.sets import SetReader, SetWriter

streaming_aead.register()
RESIDUAL = {"hidden", "hidden_found", "people", "looks_said", "people_few", "few_without", "seen_first", "seen_second", "seen_both"}
NAMED = {"PERSON", "ORGANISATION", "LOCATION"}
CONTENT, TENANT = b"c" * 32, "a" * 32
ROWS = [
    Record(
        f"{1:032x}",
        f"{9:032x}",
        "clinic",
        "pair",
        ("user", "assistant"),
        ("手机13800138000，护照E12345678", "已记录"),
        {"card": "4111111111111111"},
    ),
    Record(f"{2:032x}", f"{9:032x}", "clinic", "pair", ("user", "assistant"), ("再次：E12345678", "卡 4111 1111 1111 1111 属于天枢平台")),
    Record(f"{3:032x}", f"{8:032x}", "clinic", "text", ("text",), ("nothing here",), {"ward": "7"}),
]


@dataclass
class Host:
    """The host's end of the channel."""

    said: list = field(default_factory=list)

    def progress(self, progress):
        self.said.append(progress)


def new_key():
    handle = new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    return proto_keyset_format.serialize(handle, secret_key_access.TOKEN)


def new_slot(folder, kind):
    slot = Slot(slot=secrets.token_hex(16), tenant=TENANT, kind=kind, path=str(folder / secrets.token_hex(4)))
    (folder / slot.path).mkdir()
    return slot


def stored(slot):
    from pathlib import Path

    files = sorted(Path(slot.path).iterdir(), key=lambda f: (f.name == "index", f.name))
    return slot.model_copy(
        update={"files": tuple(StoredFile(name=f.name, size=f.stat().st_size, sha256=sha256(f.read_bytes())) for f in files)}
    )


@pytest.fixture
def child(tmp_path):
    return child_of(tmp_path, ROWS, settings_for("default").model_copy(update={"taggers": ()}))


def child_of(tmp_path, rows, settings):
    tmp_path.mkdir(exist_ok=True)
    source, masked, spans = new_slot(tmp_path, "set"), new_slot(tmp_path, "set"), new_slot(tmp_path, "spans")
    keys = {slot.slot: new_key() for slot in (source, masked, spans)}
    with SetWriter(source, keys[source.slot], CONTENT, unit_table=True) as writer:
        for row in rows:
            writer.write(row)
    order = Order(
        job="deid.v1",
        run="deid-" + "0" * 12,
        tenant=TENANT,
        settings=settings,
        inputs={"set": stored(source)},
        outputs={"set": masked, "spans": spans},
    )
    return Child(order, Keys(keys, {"surrogate": b"s" * 32, "content": CONTENT}), Host())


def with_terms(child, path, digest):
    settings = child.order.settings.model_copy(update={"terms_digest": digest})
    return replace(child, order=child.order.model_copy(update={"settings": settings, "files": {"terms": str(path)}}))


def with_plant(child, number):
    return replace(child, order=child.order.model_copy(update={"settings": child.order.settings.model_copy(update={"plant": number})}))


def masked_rows(child):
    slot = stored(child.order.outputs["set"])
    return SetReader(slot, child.keys.data[slot.slot])


def test_a_set_becomes_a_masked_set_and_a_span_table(child):
    figures = run(child)
    reader = masked_rows(child)
    rows = list(reader)
    assert [(r.id, r.unit, r.kind, r.roles) for r in rows] == [(r.id, r.unit, r.kind, r.roles) for r in ROWS]
    assert all(r.fields == {} for r in rows)
    written = json.dumps([r.texts for r in rows])
    assert not any(original in written for original in ("13800138000", "E12345678", "4111"))
    assert rows[2].texts == ROWS[2].texts
    assert reader.index.unit_table is not None
    assert figures.model_dump(exclude=RESIDUAL) == {
        "records": 3,
        "spans": {"BANK_CARD": 1, "CN_MOBILE": 1, "PASSPORT": 2},
        "survivors": 0,
        "short_left": 0,
        "characters": sum(len(t) for r in ROWS for t in r.texts),
        "characters_changed": 11 + 9 + 9 + 19,
        "kept": {},
        "dropped": 0,
        "engine": figures.engine,
    }


def test_what_may_be_left_is_counted(child):
    figures = run(with_plant(child, 5))
    with_patterns = {RECOGNISERS.create(name).kinds for name in child.order.settings.parts}
    assert figures.hidden.keys() >= NAMED
    assert all(kinds & figures.hidden.keys() for kinds in with_patterns)
    assert set(figures.hidden.values()) == {5}
    assert {kind for kind, count in figures.hidden_found.items() if not count} <= NAMED
    assert all(figures.hidden_found[kind] < 5 for kind in NAMED), "no tagger ran, and few places are addresses"
    assert (figures.people, figures.people_few) == (2, 2)
    assert figures.looks_said == {"age": 0, "sex": 0}, "dates are moved, and no tagger looks for regions"
    assert figures.few_without == {}
    assert figures.seen_first == figures.seen_both == {}, "that takes two taggers"


def test_people_are_compared_by_what_the_profile_leaves_true(tmp_path):
    """Eight women of one age and one month each: by moved dates they would look different by chance."""
    rows = [
        Record(f"{n:032x}", f"{n:032x}", "c", "text", ("text",), (f"患者王芳，女，{30 + n}岁，2023年{1 + n}月3日入院",)) for n in range(8)
    ]
    said = {}
    for name, operators in (
        ("moved", {"DATE": "date-shift.v1"}),
        ("kept", {"DATE": "keep.v1"}),
        ("year", {"DATE": {"use": "generalise.v1", "params": {"to": "year"}}}),
    ):
        uses = {"AGE": "keep.v1", **operators}
        settings = DeidSettings.model_validate({"parts": ("age.v1", "date.v1"), "operators": uses, "plant": 0})
        said[name] = run(child_of(tmp_path / name, rows, settings))
    assert said["moved"].looks_said == {"age": 8, "sex": 8}
    assert said["moved"].people_few == 0
    assert said["kept"].looks_said == said["year"].looks_said == {"age": 8, "sex": 8, "month": 8}
    assert (said["kept"].people_few, said["year"].people_few) == (8, 0)
    assert said["kept"].few_without["month"] == 8
    none = run(child_of(tmp_path / "none", rows, DeidSettings(parts=("email.v1",), plant=0)))
    assert none.looks_said == {"sex": 8}


def test_a_stand_in_says_nothing_of_the_sex(tmp_path, monkeypatch):
    rows = [Record(f"{n:032x}", f"{n:032x}", "c", "text", ("text",), (f"手机1380013800{n}，无特殊，邮箱a{n}@b.cn，女",)) for n in range(6)]
    monkeypatch.setattr("ringfence.deid.surrogate.Surrogates.surrogate", lambda *about: f"男{about[2][::-1]}")
    made = child_of(tmp_path, rows, DeidSettings(parts=("cn-mobile.v1", "email.v1"), plant=0))
    work = job._Run(made)
    work.learn()
    masked = [shards.mask(work.engine, rows, content_key=None).tally.crowd]
    assert {looks.sex for looks in masked[0]._classes} == {"f"}


def test_nothing_need_be_planted(child):
    assert run(with_plant(child, 0)).hidden == {}


def test_two_taggers_are_compared(child):
    settings = child.order.settings.model_copy(update={"taggers": ("en-names.v1", "spacy-en-md.v1"), "plant": 0})
    figures = run(replace(child, order=child.order.model_copy(update={"settings": settings})))
    assert figures.seen_first.keys() == figures.seen_both.keys() == {"en"}
    assert figures.seen_both["en"] <= min(figures.seen_first["en"], figures.seen_second["en"])


def test_a_name_on_many_rows_is_one_name_for_the_estimate(tmp_path):
    rows = [
        Record(f"{n:032x}", f"{n:032x}", "c", "text", ("text",), (f"Patient John Smith was seen by Maria Garcia on day {n}.",))
        for n in range(40)
    ]
    settings = DeidSettings(parts=("email.v1",), taggers=("en-names.v1", "spacy-en-md.v1"), plant=0)
    figures = run(child_of(tmp_path, rows, settings))
    assert 1 <= figures.seen_both["en"] <= 2
    assert max(figures.seen_first["en"], figures.seen_second["en"]) <= 4


def test_the_span_table_leads_back_to_every_original(child):
    run(child)
    slot = stored(child.order.outputs["spans"])
    lines = [json.loads(line) for line in read_file(slot, child.keys.data[slot.slot], "spans.jsonl").splitlines()]
    assert [line["id"] for line in lines] == [ROWS[0].id, ROWS[1].id]
    for line, row, masked in zip(lines, ROWS, masked_rows(child), strict=False):
        assert all(s["instead"] in masked.texts[s["text"]] for s in line["spans"])
        assert all(row.texts[s["text"]][s["start"] : s["end"]] == s["original"] for s in line["spans"])


def test_progress_is_numbers(child):
    run(child)
    assert {(p.phase, p.total) for p in child.channel.said} == {("read", 3), ("work", 3)}


def test_terms_are_replaced_if_they_are_the_announced_ones(child, tmp_path):
    file = tmp_path / "terms.txt"
    file.write_text("天枢平台\n", encoding="utf-8")
    figures = run(with_terms(child, file, dictionary_digest(file.read_bytes(), CONTENT)))
    assert figures.spans["TERM"] == 1
    assert "天枢" not in "".join(t for r in masked_rows(child) for t in r.texts)


def test_other_terms_are_refused(child, tmp_path):
    file = tmp_path / "terms.txt"
    file.write_text("天枢平台\n", encoding="utf-8")
    with pytest.raises(TermsUnreadable):
        run(with_terms(child, file, "0" * 64))


def test_survivors_stop_the_job(child, monkeypatch):
    """A stand-in that is the value itself would be an operator's mistake: the search of the output sees it."""
    monkeypatch.setattr(Surrogates, "surrogate", lambda _self, _kind, value: value)
    with pytest.raises(SurvivorsLeft) as caught:
        run(child)
    assert caught.value.facts["survivors"] > 0


def test_names_too_short_to_be_looked_up_are_counted_where_they_stand(tmp_path):
    rows = [
        Record(f"{n:032x}", f"{n:032x}", "file", "text", ("text",), (text,), {})
        for n, text in enumerate(("Patient name: Grace", "By Grace, a Grace period", "Graceful, 高明"))
    ]
    figures = run(child_of(tmp_path / "short", rows, settings_for("default").model_copy(update={"taggers": ()})))
    assert (figures.short_left, figures.survivors, figures.spans) == (2, 0, {"PERSON": 1})
