"""A set is masked shard by shard: any number of workers gives the same rows, the same table of spans and the same figures."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.errors import ObjectBroken, SurvivorsLeft, WorkerLost
from ringfence.core.failure import Relayed, failure_of
from ringfence.core.order import Child, Keys, Limits, Order
from ringfence.core.records import Record
from ringfence.deid import job, shards
from ringfence.deid.engine import Engine
from ringfence.deid.job import run
from ringfence.deid.known import Known
from ringfence.deid.learned import Learned
from ringfence.deid.profile import settings_for
from ringfence.vault import sets
from ringfence.vault.files import read_file
from ringfence.vault.sets import SetReader, SetWriter
from tests.unit.deid.test_deid_job import CONTENT, TENANT, Host, new_key, new_slot, stored

SETTINGS = settings_for("default").model_copy(update={"taggers": ("zh-names.v1", "en-names.v1")})
FEW = SETTINGS.model_copy(
    update={"parts": ("cn-mobile.v1", "email.v1", "medical-record.v1", "passport.v1", "person.v1"), "engine": "re"}
)  # made in no time
NAMES = "王小明 李建国 欧阳雪梅 John Smith, Maria Garcia".replace(", ", "|").replace(" ", "|", 2).split("|")


def row(number: int) -> Record:
    """Return a record whose originals stand in records of other shards, too."""
    name, other = NAMES[number % len(NAMES)], NAMES[(number * 3 + 1) % len(NAMES)]
    texts = (
        f"患者{name}，手机1380013{8000 + number % 40}，护照E{12345600 + number % 30}。",
        f"{other} wrote to p{number % 25}@clinic.internal; call 1380013{8000 + (number * 7) % 40} or E{12345600 + (number * 5) % 30}.",
    )
    return Record(f"{number:032x}", f"{number // 3:032x}", "clinic", "pair", ("user", "assistant"), texts, {"card": "4111111111111111"})


def child(folder, rows, *, workers, settings=FEW):
    source, masked, spans = new_slot(folder, "set"), new_slot(folder, "set"), new_slot(folder, "spans")
    keys = {slot.slot: new_key() for slot in (source, masked, spans)}
    with SetWriter(source, keys[source.slot], CONTENT, unit_table=True) as writer:
        for record in rows:
            writer.write(record)
    order = Order(
        job="deid.v1",
        run="deid-" + "0" * 12,
        tenant=TENANT,
        settings=settings,
        inputs={"set": stored(source)},
        outputs={"set": masked, "spans": spans},
        limits=Limits(workers=workers),
    )
    return Child(order, Keys(keys, {"surrogate": b"s" * 32, "content": CONTENT}), Host())


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(sets, "SHARD_BYTES", 4_000)


def masked(made):
    """Return the rows, the span table, the content's HMAC and the rows per shard of what a job left."""
    slot, spans = (stored(made.order.outputs[role]) for role in ("set", "spans"))
    reader = SetReader(slot, made.keys.data[slot.slot])
    table = read_file(spans, made.keys.data[spans.slot], "spans.jsonl")
    units = [column.tolist() for column in reader.index.unit_table]
    return list(reader.lines()), table, reader.index.content_hmac, reader.index.shard_rows, units


def test_any_number_of_workers_gives_the_same_set(tmp_path):
    rows = [row(n) for n in range(120)]
    results = {}
    for workers in (1, 2, 5):
        (tmp_path / str(workers)).mkdir()
        made = child(tmp_path / str(workers), rows, workers=workers, settings=SETTINGS)
        figures = run(made)
        assert len(SetReader(made.order.inputs["set"], made.keys.data[made.order.inputs["set"].slot]).index.shard_rows) > 8
        results[workers] = (figures, *masked(made))
        phases = {p.phase: p.done for p in made.channel.said}
        assert phases == {"read": 120, "work": 120}
        assert {p.total for p in made.channel.said} == {120}
    assert results[1] == results[2] == results[5]
    figures, lines, table, *_ = results[1]
    assert figures.spans["CN_MOBILE"] == 240
    assert figures.spans["PERSON"] > 150  # found by the taggers, in every shard
    assert len(table.splitlines()) == 120
    assert not any(original.encode() in b"".join(lines) for original in ("1380013", "@clinic", "E123456", "王小明"))


def test_what_one_shard_teaches_is_found_in_the_others(tmp_path):
    """Without its key word nobody would take it for a patient's number; the record that has one lies in another shard."""
    rows = [replace(row(n), fields={}) for n in range(60)]
    rows[0] = replace(rows[0], texts=("备注 88776655", "x"))
    rows[59] = replace(rows[59], texts=("病历号：88776655", "y"))
    made = child(tmp_path, rows, workers=3)
    run(made)
    assert not any(b"88776655" in line for line in masked(made)[0])


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_shards_are_masked_alike_in_any_order(data):
    rows = [row(n) for n in range(24)]
    cuts = sorted(data.draw(st.sets(st.integers(1, 23), max_size=6)))
    pieces = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, 24], strict=True)]
    order = data.draw(st.permutations(range(len(pieces))))

    def engine(number_of):
        made = Engine.build(FEW, b"k" * 32)
        for number in number_of:
            shards.learn(made, pieces[number]).learned.teach(made.known)
        return made

    straight, mixed = engine(range(len(pieces))), engine(order)
    expected = [shards.mask(straight, piece, content_key=CONTENT) for piece in pieces]
    assert {number: shards.mask(mixed, pieces[number], content_key=CONTENT) for number in order} == dict(enumerate(expected))


def test_with_the_reach_of_a_record_no_other_row_changes_what_becomes_of_it(tmp_path):
    """Zero-out of a person is what a promise about imported records is about: nobody else's masked text may move."""
    alone = FEW.model_copy(update={"reach": "record"})
    rows = [row(number) for number in range(60)]
    rows[5] = replace(rows[5], texts=("Write to p13@clinic.internal, 老李", "病案号：ZY-2023-0415"), fields={})
    rows[6] = replace(rows[6], texts=("see ZY-2023-0415, 王小明说", "well"), fields={})
    for name in ("all", "fewer", "set", rows[0].id, rows[6].id):
        (tmp_path / name).mkdir()
    made = child(tmp_path / "all", rows, workers=2, settings=alone)
    figures = run(made)
    whole = dict(zip((one.id for one in rows), masked(made)[0], strict=True))
    gone = {rows[number].unit for number in (5, 30, 59)}
    left = [one for one in rows if one.unit not in gone]
    fewer = child(tmp_path / "fewer", left, workers=1, settings=alone)
    run(fewer)
    assert dict(zip((one.id for one in left), masked(fewer)[0], strict=True)) == {one.id: whole[one.id] for one in left}
    for one in (rows[0], rows[6]):
        single = child(tmp_path / one.id, [one], workers=1, settings=alone)
        run(single)
        assert masked(single)[0] == [whole[one.id]]
    assert (figures.records, figures.survivors) == (60, 0)
    together = child(tmp_path / "set", rows, workers=1)
    run(together)
    assert b"ZY-2023-0415" in whole[rows[6].id]
    assert b"ZY-2023-0415" not in masked(together)[0][6]


def test_alone_a_stand_in_that_was_refused_in_one_record_is_not_refused_in_the_next():
    engine = Engine.build(FEW, b"k" * 32)
    own = Record("1" * 32, "1" * 32, "file", "text", ("text",), ("mail p13@clinic.internal",))
    once = next(engine.rewrite_alone([own])).record.texts
    both = replace(own, texts=(f"{own.texts[0]} or {once[0][5:]}",))  # there the first draw is an original
    first, second = engine.rewrite_alone([both, own])
    assert not first.record.texts[0].startswith(once[0])
    assert second.record.texts == once


def test_learned_passes_on_all_that_it_was_told():
    told = [("PERSON", "王小明", "王小明", 0.6), ("TERM_OF_ART", "王小明", "x", 0.9), ("EMAIL", "a@b.cn", "A@B.CN", 0.5)]
    direct, learned, through = Known(), Learned(), Known()
    for kind, value, normal, score in told:
        for known in (direct, learned):
            known.add(kind, value, normal=normal, score=score)
            known.note("PERSON", "高明", score=0.6)
            known.maybe("CODE", "AX93-1127Q", owner=kind)
            known.maybe("CODE", "AX93-1128Q", owner="p")
    learned.teach(through)
    for known in (direct, through):
        known.settle()
    text = "王小明, a@b.cn, AX93-1127Q, AX93-1128Q, 高明"
    assert list(through.occurrences(text)) == list(direct.occurrences(text))
    assert [span.kind for span in through.find(text)] == ["EMAIL", "CODE", "TERM_OF_ART"]


def test_a_killed_worker_is_an_error_and_leaves_no_set(tmp_path, monkeypatch):
    made = child(tmp_path, [row(n) for n in range(60)], workers=3)
    mask = shards.mask

    def killed(engine, records, **options):
        records = list(records)
        if records[0].id.endswith("0"):
            os.kill(os.getpid(), signal.SIGKILL)
        return mask(engine, records, **options)

    first_of_a_shard = [r.id for r in [row(n) for n in range(60)] if r.id.endswith("0")]
    assert first_of_a_shard
    monkeypatch.setattr(shards, "mask", killed)
    with pytest.raises(WorkerLost) as caught:
        run(made)
    assert caught.value.facts == {"status": 137}
    for role in ("set", "spans"):
        slot = made.order.outputs[role]
        with pytest.raises(ObjectBroken):
            SetReader(slot, made.keys.data[slot.slot])


def test_a_broken_shard_is_named_whoever_reads_it(tmp_path):
    made = child(tmp_path, [row(n) for n in range(60)], workers=3)
    source = made.order.inputs["set"]
    path = Path(source.path) / sets.shard_name(4)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(Relayed) as caught:
        run(made)
    failure = failure_of(caught.value)
    assert (failure.error, failure.facts) == ("ObjectBroken", {"file": 4})


def test_survivors_of_all_shards_are_counted(tmp_path, monkeypatch):
    made = child(tmp_path, [row(n) for n in range(60)], workers=3)
    mask = job.shards.mask

    def careless(*arguments, **options):
        done = mask(*arguments, **options)
        done.tally.survivors += 1
        return done

    monkeypatch.setattr(job.shards, "mask", careless)
    with pytest.raises(SurvivorsLeft) as caught:
        run(made)
    assert caught.value.facts == {
        "survivors": len(SetReader(made.order.inputs["set"], made.keys.data[made.order.inputs["set"].slot]).index.shard_rows)
    }
