"""The child half of a review, on sealed sets in a folder."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from html import unescape

import pytest

from ringfence.core.digest import sha256
from ringfence.core.errors import LabelsForeign, LabelsUnreadable, NotReviewable
from ringfence.core.order import Child, Keys, Order
from ringfence.core.records import Record
from ringfence.deid.job import run as mask
from ringfence.deid.label_studio import from_tasks, to_tasks
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import Span
from ringfence.deid.review.job import ACTIONS, SAMPLE, lessons, run
from ringfence.deid.review.settings import SHOWN, FileShown, NoteShown, ReviewSettings, RowShown
from ringfence.vault.files import read_file, write_files
from ringfence.vault.sets import SetReader, SetWriter
from tests.unit.deid.test_deid_job import CONTENT, TENANT, new_key, new_slot, stored

ORIGINALS = ("13800138000", "p1@clinic.internal", "E12345678")
ROWS = [
    Record(f"{1:032x}", f"{9:032x}", "clinic", "pair", ("user", "assistant"), ("手机13800138000，<b>张</b>😀", "已记录 \ud800"), {}),
    Record(
        f"{2:032x}", f"{9:032x}", "clinic", "pair", ("user", "assistant"), ("", "mail p1@clinic.internal 护照E12345678 手机13800138000"), {}
    ),
    Record(f"{3:032x}", f"{8:032x}", "clinic", "text", ("text",), ("nothing & nobody here",), {}),
]


@dataclass
class Person:
    """The host's end: hears what is shown and says the lines."""

    lines: list = field(default_factory=list)
    shown: list = field(default_factory=list)

    def progress(self, progress):
        pass

    def say(self, text):
        self.shown.append(SHOWN.validate_json(text))

    def hear(self):
        return self.lines.pop(0) if self.lines else None

    def file(self):
        return "".join(message.text for message in self.shown if isinstance(message, FileShown))


@pytest.fixture
def vault(tmp_path):
    """A folder with a masked set and its span table, and a function that runs one step of a review on them."""
    slots = {role: new_slot(tmp_path, kind) for role, kind in (("source", "set"), ("set", "set"), ("spans", "spans"))}
    keys = {slot.slot: new_key() for slot in slots.values()}
    with SetWriter(slots["source"], keys[slots["source"].slot], CONTENT) as writer:
        for one in ROWS:
            writer.write(one)
    settings = settings_for("default").model_copy(update={"taggers": ()})
    order = Order(
        job="deid.v1",
        run="deid-" + "0" * 12,
        tenant=TENANT,
        settings=settings,
        inputs={"set": stored(slots["source"])},
        outputs={"set": slots["set"], "spans": slots["spans"]},
    )
    mask(Child(order, Keys(keys, {"surrogate": b"s" * 32, "content": CONTENT}), Person()))
    return Vault(tmp_path, keys, {role: stored(slots[role]) for role in ("set", "spans")})


@dataclass
class Vault:
    folder: object
    keys: dict
    things: dict
    person: Person | None = None

    def step(self, does, *lines, roles=("review",), makes=True, **more):
        settings = ReviewSettings(
            does=does, masked=sha256(b"set"), rows=more.pop("rows", 300), seed=more.pop("seed", 5), originals=more.pop("originals", False)
        )
        output = new_slot(self.folder, "review")
        self.keys[output.slot] = new_key()
        inputs = {role: self.things[role] for role in roles}
        keys = {slot.slot: self.keys[slot.slot] for slot in (*inputs.values(), output)}  # no key of anything else
        self.person = Person(list(lines))
        order = Order(
            job="review.v1",
            run="review-" + "0" * 12,
            tenant=TENANT,
            settings=settings,
            inputs=inputs,
            outputs={"review": output} if makes else {},
            files={role: str(path) for role, path in more.items()},
        )
        self.child = Child(order, Keys(keys, {"content": CONTENT}), self.person)
        figures = run(self.child)
        if makes:
            self.things["review"] = stored(output)
        return figures

    def draw(self, **more):
        return self.step("draw", roles=("set", "spans"), **more)

    def sealed(self, name):
        slot = self.things["review"]
        return read_file(slot, self.keys[slot.slot], name)

    def masked(self):
        slot = self.things["set"]
        return {one.id: one for one in SetReader(slot, self.keys[slot.slot])}


def test_a_drawn_sample_holds_masked_texts_with_places_and_no_original(vault):
    figures = vault.draw()
    assert (figures.rows, figures.sample, figures.reviewed, figures.bound_rows) == (3, 3, 0, None)
    data = vault.sealed(SAMPLE)
    rows = [json.loads(line) for line in data.splitlines()]
    masked = vault.masked()
    assert {one["id"]: tuple(one["texts"]) for one in rows} == {identity: one.texts for identity, one in masked.items()}
    assert not any(original in data.decode(errors="replace") for original in ORIGINALS)
    places = {one["id"]: one["places"] for one in rows}
    assert [p[3] for p in places[ROWS[1].id]] == ["EMAIL", "PASSPORT", "CN_MOBILE"]
    assert places[ROWS[0].id][0][4] == places[ROWS[1].id][2][4]  # the same number in two rows is one value
    assert len({p[4] for p in places[ROWS[1].id]}) == 3
    for one in rows:
        for text, start, end, _, _ in one["places"]:
            assert one["texts"][text][start:end] not in ("", *ORIGINALS)


def test_the_same_seed_draws_the_same_rows_and_another_one_others(vault):
    def rows(seed):
        vault.draw(rows=2, seed=seed)
        return [json.loads(line)["row"] for line in vault.sealed(SAMPLE).splitlines()]

    assert rows(1) == rows(1)
    assert len({tuple(rows(seed)) for seed in range(12)}) > 3


def test_a_queue_goes_on_where_it_stopped_and_shows_originals_only_when_asked(vault):
    vault.draw()
    first = vault.step("queue", "o", "q")
    assert first.reviewed == 1
    said = "".join(message.model_dump_json() for message in vault.person.shown)
    assert not any(original in said for original in ORIGINALS)
    second = vault.step("queue", "u", "o", "o", "o")
    assert (second.reviewed, second.counted, second.leaking, second.bound_rows) == (3, 3, 0, 0)
    assert [message.at for message in vault.person.shown if isinstance(message, RowShown)] == [2, 1, 2, 3]
    assert vault.person.shown[-1] == NoteShown(note="through")
    third = vault.step("queue", "p", "p", "p", roles=("review", "spans"), originals=True)
    assert third == second
    said = "".join(message.model_dump_json() for message in vault.person.shown)
    assert all(original in said for original in ORIGINALS)


def test_lessons_are_the_original_texts_of_finished_rows(vault):
    vault.draw()
    vault.step("queue", "o", "o", "o")
    vault.step("queue", roles=("review", "spans"))
    found = {item.id: item for item in lessons(vault.child)}
    assert {identity: item.text for identity, item in found.items()} == {
        f"{one.id}.{n}": text for one in ROWS for n, text in enumerate(one.texts)
    }
    assert [found[f"{ROWS[1].id}.1"].text[s.start : s.end] for s in found[f"{ROWS[1].id}.1"].spans] == [
        "p1@clinic.internal",
        "E12345678",
        "13800138000",
    ]


def export(vault, path, **more):
    roles = ("review", "spans") if more.get("originals") else ("review",)
    vault.step("export", makes=False, roles=roles, **more)
    path.write_text(vault.person.file())
    return from_tasks(path.read_bytes())


def test_labels_go_out_and_come_back(vault, tmp_path):
    vault.draw()
    items = export(vault, tmp_path / "tasks.json")
    assert len(items) == 4  # an empty text has no task
    assert not any(original in (tmp_path / "tasks.json").read_text() for original in ORIGINALS)
    assert not any(item.is_annotated for item in items)
    spot = next(n for n, item in enumerate(items) if "张" in item.text)
    at = items[spot].text.index("张")
    items[spot] = items[spot]._replace(spans=(Span(at, at + 1, "PERSON", 1.0),), is_annotated=True)
    others = [item._replace(is_annotated=True) if n != spot else item for n, item in enumerate(items)]
    (tmp_path / "done.json").write_bytes(to_tasks(others))
    figures = vault.step("take", labels=tmp_path / "done.json")
    assert (figures.reviewed, figures.leaking, figures.leaks, figures.rejected) == (3, 1, 1, 1)
    assert figures.leaks_by_kind == {"PERSON": 1}
    again = export(vault, tmp_path / "again.json")
    assert [(item.id, item.text) for item in again] == [(item.id, item.text) for item in items]
    assert all(item.is_annotated for item in again)
    (tmp_path / "again2.json").write_bytes(to_tasks(again))
    assert vault.step("take", labels=tmp_path / "again2.json") == figures


def test_the_originals_go_out_and_come_back_where_that_is_asked(vault, tmp_path):
    vault.draw()
    items = export(vault, tmp_path / "tasks.json", originals=True)
    assert {item.text for item in items} == {text for one in ROWS for text in one.texts if text}
    assert {item.text[s.start : s.end] for item in items for s in item.spans} == set(ORIGINALS)
    annotated = []
    for item in items:
        at = item.text.find("张")
        more = (Span(at, at + 1, "PERSON", 1.0),) if at >= 0 else ()
        annotated.append(item._replace(spans=tuple(sorted(item.spans + more)), is_annotated=True))
    (tmp_path / "done.json").write_bytes(to_tasks(annotated))
    with pytest.raises(LabelsForeign):
        vault.step("take", labels=tmp_path / "done.json")
    figures = vault.step("take", roles=("review", "spans"), originals=True, labels=tmp_path / "done.json")
    assert (figures.reviewed, figures.leaking, figures.leaks, figures.rejected, figures.retyped) == (3, 1, 1, 0, 0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda items: [items[0]._replace(text=items[0].text + "x"), *items[1:]],
        lambda items: [items[0]._replace(id=items[1].id), items[1]._replace(id=items[0].id), *items[2:]],
        lambda items: [items[0]._replace(id="000001-0-" + "0" * 16), *items[1:]],
        lambda items: [items[0]._replace(id="000009-0-" + "0" * 16), *items[1:]],
        lambda items: [items[0]._replace(id="x"), *items[1:]],
        lambda items: [items[0]._replace(id="²-1-a"), *items[1:]],
    ],
)
def test_what_is_not_of_the_sample_is_refused_as_a_whole(vault, tmp_path, spoil):
    vault.draw()
    items = [item._replace(is_annotated=True, spans=()) for item in export(vault, tmp_path / "tasks.json")]
    (tmp_path / "bad.json").write_bytes(to_tasks(spoil(items)))
    before = vault.things["review"]
    with pytest.raises(LabelsForeign) as caught:
        vault.step("take", labels=tmp_path / "bad.json")
    assert caught.value.facts == {"task": 1}
    assert vault.things["review"] == before
    assert vault.sealed(ACTIONS) == b""


def test_tasks_of_another_sample_or_set_are_refused(vault, tmp_path):
    vault.draw(seed=1)
    export(vault, tmp_path / "tasks.json", seed=1)
    with pytest.raises(LabelsForeign):
        vault.step("take", seed=2, labels=tmp_path / "tasks.json")
    (tmp_path / "broken.json").write_text("[")
    with pytest.raises(LabelsUnreadable):
        vault.step("take", labels=tmp_path / "broken.json")


def test_a_task_that_nobody_annotated_leaves_its_row_open(vault, tmp_path):
    vault.draw()
    items = export(vault, tmp_path / "tasks.json")
    (tmp_path / "part.json").write_bytes(to_tasks([item._replace(is_annotated="nothing" in item.text) for item in items]))
    figures = vault.step("take", labels=tmp_path / "part.json")
    assert figures.reviewed == 1


def test_a_page_shows_both_sides_and_runs_nothing(vault):
    vault.draw()
    vault.step("page", makes=False, roles=("review", "spans"), originals=True)
    page = vault.person.file()
    assert all(original in page for original in ORIGINALS)
    assert "<b>" not in page
    assert page.count("&lt;b&gt;张&lt;/b&gt;") == 2  # before and after
    assert "nothing &amp; nobody here" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.isascii() is False
    assert "\ud800" not in page
    plain = unescape(re.sub(r"<small>.*?</small>|<[^>]+>", "", page))
    for one in (*ROWS, *vault.masked().values()):
        assert all(text.replace("\ud800", "\ufffd") in plain for text in one.texts)


def test_a_table_without_what_stands_there_now_is_refused(vault):
    slot = vault.things["spans"]
    lines = [json.loads(line) for line in read_file(slot, vault.keys[slot.slot], "spans.jsonl").splitlines()]

    def with_table(changed):
        new = new_slot(vault.folder, "spans")
        vault.keys[new.slot] = new_key()
        write_files(new, vault.keys[new.slot], {"spans.jsonl": b"".join(json.dumps(line).encode() + b"\n" for line in changed)})
        return replace(vault, things={**vault.things, "spans": stored(new)})

    older = [{**line, "spans": [{k: v for k, v in span.items() if k != "instead"} for span in line["spans"]]} for line in lines]
    other = [{**line, "spans": [{**span, "start": span["start"] + 1} for span in line["spans"]]} for line in lines]
    for table in (older, other):
        with pytest.raises(NotReviewable):
            with_table(table).draw()
    vault.draw()
    with pytest.raises(NotReviewable):
        with_table(lines[:1]).step("page", makes=False, roles=("review", "spans"), originals=True)
