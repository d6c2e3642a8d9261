"""Label Studio's JSON, there and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import LABEL_PROBLEMS, LabelsUnreadable
from ringfence.deid.label_studio import Labelled, from_tasks, interface, to_tasks
from ringfence.deid.recogniser import Span

SECRET = "龘canary7391"


@st.composite
def labelled(draw):
    text = draw(st.text("aB 患\n\r\\n😀𠮷\ud800\u200d", min_size=1, max_size=30))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    kinds = st.sampled_from(["PERSON", "CN_MOBILE"])
    spans = tuple(Span(a, b, draw(kinds), draw(st.floats(0, 1))) for a, b in zip(cuts[::2], cuts[1::2], strict=False))
    return text, spans


def as_browser(text, span, *, counting):
    """Return the region that the editor makes of a selection. Source: captureSelection and findGlobalOffset in its selection-tools.js."""

    def offset(position):
        before = text[:position]
        return len(before) if counting == "points" else len(before.encode("utf-16-le", "surrogatepass")) // 2

    said = text[span.start : span.end].replace("\n", "\\n").replace("\r", "\\n")
    value = {"start": offset(span.start), "end": offset(span.end), "text": said, "labels": [span.kind]}
    return {"type": "labels", "from_name": "label", "to_name": "text", "value": value}


def annotated(text, regions, **more):
    return {"id": 7, "data": {"id": "row", "text": text}, "annotations": [{"result": regions, **more}], "predictions": []}


def read(*tasks):
    return from_tasks(json.dumps(tasks).encode())


@given(st.lists(labelled(), max_size=4))
def test_what_is_written_is_read_back(rows):
    items = [Labelled(str(number), text, spans) for number, (text, spans) in enumerate(rows)]
    assert from_tasks(to_tasks(items)) == items


@given(labelled())
def test_annotations_of_todays_editor_count_code_points(row):
    text, spans = row
    found = read(annotated(text, [as_browser(text, span, counting="points") for span in spans]))
    assert [(s.start, s.end, s.kind, s.score) for s in found[0].spans] == [(s.start, s.end, s.kind, 1.0) for s in spans]
    assert found[0].is_annotated


def test_annotations_that_count_utf16_units_are_recognised_by_their_texts():
    text = "😀😀张三和李四"
    spans = [Span(2, 4, "PERSON", 1.0), Span(5, 7, "PERSON", 1.0)]
    found = read(annotated(text, [as_browser(text, span, counting="units") for span in spans]))
    assert list(found[0].spans) == spans
    plain = read(annotated(text, [{"type": "labels", "value": {"start": 2, "end": 4, "labels": ["PERSON"]}}]))
    assert list(plain[0].spans) == spans[:1]  # without its text a region counts code points


def test_one_counting_holds_for_the_whole_file():
    text = "😀abc"
    units, points = (as_browser(text, Span(1, 3, "PERSON", 1.0), counting=way) for way in ("units", "points"))
    with pytest.raises(LabelsUnreadable) as caught:
        read(annotated(text, [units]), {**annotated(text, [points]), "data": {"id": "other", "text": text}})
    assert caught.value.facts == {"task": 1, "why": 8}


def test_the_annotation_that_counts():
    region = {"type": "labels", "value": {"start": 0, "end": 1, "labels": ["PERSON"]}}
    other = {"type": "labels", "value": {"start": 1, "end": 2, "labels": ["CN_MOBILE"]}}
    choice = {"type": "choices", "value": {"choices": ["seen"]}}
    task = annotated("ab", [region, choice])
    assert read(task)[0].spans == (Span(0, 1, "PERSON", 1.0),)
    several = {
        **task,
        "annotations": [{"result": [other]}, {"result": [region], "ground_truth": True}, {"result": [], "was_cancelled": True}],
    }
    assert read(several)[0].spans == (Span(0, 1, "PERSON", 1.0),)
    skipped = {**task, "annotations": [{"result": [], "was_cancelled": True}], "predictions": [{"result": [{**other, "score": 0.25}]}]}
    assert read(skipped)[0] == Labelled("row", "ab", (Span(1, 2, "CN_MOBILE", 0.25),), is_annotated=False)
    emptied = {**skipped, "annotations": [{"result": []}]}
    assert read(emptied)[0] == Labelled("row", "ab", (), is_annotated=True)  # the reviewer removed the span: that is an answer
    assert [item.id for item in read({"id": 41, "data": {"text": "a"}}, {"data": {"text": "a"}})] == ["41", "2"]


def span(start, end, labels, **more):
    return annotated(SECRET, [{"type": "labels", "value": {"start": start, "end": end, "labels": labels, **more}}])


@pytest.mark.parametrize(
    ("tasks", "task", "why"),
    [
        (SECRET.encode() + b"[", 0, 1),
        (b"\xff\xfe[]", 0, 1),
        (b"[" * 100_000, 0, 1),
        ({"tasks": [SECRET]}, 0, 2),
        ([{"data": {"txt": SECRET}}], 1, 3),
        ([SECRET], 1, 3),
        ([annotated(SECRET, []), annotated(SECRET, [])], 2, 4),
        ([{**annotated(SECRET, []), "annotations": [{"result": []}, {"result": []}]}], 1, 5),
        ([span(0, len(SECRET) + 1, ["PERSON"])], 1, 6),
        ([span(1, 1, ["PERSON"])], 1, 6),
        ([span(-1, 1, ["PERSON"])], 1, 6),
        ([span(0, True, ["PERSON"])], 1, 6),
        ([span("/p[1]/text()[1]", "/p[1]/text()[1]", ["PERSON"])], 1, 6),
        ([span(0, 1, [])], 1, 7),
        ([span(0, 1, ["PERSON", "ORG"])], 1, 7),
        ([span(0, 1, [SECRET * 9])], 1, 7),
        ([span(0, 1, ["PERSON"], text=SECRET)], 1, 8),
        (
            [
                {
                    **annotated(SECRET, []),
                    "annotations": [
                        {"result": [span(0, 2, ["A"])["annotations"][0]["result"][0], span(1, 3, ["B"])["annotations"][0]["result"][0]]}
                    ],
                }
            ],
            1,
            9,
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_quoted(tasks, task, why):
    data = tasks if isinstance(tasks, bytes) else json.dumps(tasks, ensure_ascii=False).encode()
    with pytest.raises(LabelsUnreadable) as caught:
        from_tasks(data)
    assert caught.value.facts == {"task": task, "why": why}
    en, zh = caught.value.sentences("en")[0], caught.value.sentences("zh")[0]
    assert LABEL_PROBLEMS[why].en in en
    assert LABEL_PROBLEMS[why].zh in zh
    error = caught.value
    while error is not None:
        assert SECRET not in str(error)
        assert SECRET not in repr(error.__dict__)
        error = error.__cause__ or error.__context__


def test_the_interface_names_what_the_tasks_name():
    text = interface(["PERSON", "CN_MOBILE"])
    assert '<Label value="CN_MOBILE"/>' in text
    assert 'name="label" toName="text"' in text
