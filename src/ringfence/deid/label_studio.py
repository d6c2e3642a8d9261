"""Labelled texts in Label Studio's JSON: tasks to be imported there, and what it exports as "JSON".

A task is `{"data": {"id", "text"}, "predictions": [{"result": [region, …]}], "annotations": [{"result": [region, …]}]}`, a region
`{"type": "labels", "value": {"start", "end", "text", "labels": [kind]}}`. `interface` returns the labelling interface that fits.

Offsets: Label Studio counts code points, as Python does (its editor, `selection-tools.js`: `[...node.textContent].length`). Releases before 2022
counted UTF-16 units, so that every span after an emoji is off (issues 1008 and 1347 of HumanSignal/label-studio). Both are read: the regions bring
their text along, and the one counting under which every text of the file stands at its place is taken, code points first.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ringfence.core.errors import LabelsUnreadable
from ringfence.deid.recogniser import Span

_NOT_JSON, _NO_LIST, _NO_TEXT, _SAME_ID, _SEVERAL, _NO_PLACE, _NO_LABEL, _OTHER_TEXT, _OVERLAP = range(1, 10)  # of LABEL_PROBLEMS
_LONGEST_LABEL = 64  # characters

Counting = Callable[[str, int], int | None]


class Labelled(NamedTuple):
    """One text and its spans: disjoint, in order, in code points. is_annotated: a person said so; otherwise it is a proposal."""

    id: str
    text: str
    spans: tuple[Span, ...]
    is_annotated: bool = False


class _Region(NamedTuple):
    start: int
    end: int
    kind: str
    score: float
    said: str | None  # the region's own text


def interface(kinds: Iterable[str]) -> str:
    """Return the labelling interface (XML) for these kinds; spaces are shown as they are."""
    labels = "\n".join(f'    <Label value="{kind}"/>' for kind in kinds)
    return (
        "<View>\n  <Style>.htx-text{ white-space: pre-wrap; }</Style>\n"
        f'  <Labels name="label" toName="text">\n{labels}\n  </Labels>\n'
        '  <Text name="text" value="$text" granularity="symbol"/>\n</View>\n'
    )


def to_tasks(items: Iterable[Labelled]) -> bytes:
    """Return the file to import: every item as a task with its spans as a prediction, from which an annotation starts. ASCII only."""
    return json.dumps([_task(item) for item in items], ensure_ascii=True, indent=1).encode("ascii")


def from_tasks(data: bytes) -> list[Labelled]:
    """Return the labelled texts of an export, in its order.

    Of a task the one annotation counts that was not skipped, or of several the one that is marked as ground truth. Without any the prediction
    counts, and the item says that nobody annotated it. Annotated spans have the score 1. The id is `data.id`, else the task's own, else its number.

    Raises: LabelsUnreadable.
    """
    tasks = _parsed(data)
    if tasks is None:
        raise LabelsUnreadable(task=0, why=_NOT_JSON)
    if not isinstance(tasks, list):
        raise LabelsUnreadable(task=0, why=_NO_LIST)
    read = [_read(number, task) for number, task in enumerate(tasks, 1)]
    counting = next((way for way in (_code_points, _utf16_units) if all(_fits(item[1], item[3], way) for item in read)), _code_points)
    seen: set[str] = set()
    found = []
    for number, (identity, text, is_annotated, regions) in enumerate(read, 1):
        if identity in seen:
            raise LabelsUnreadable(task=number, why=_SAME_ID)
        seen.add(identity)
        found.append(Labelled(identity, text, _placed(number, text, regions, counting), is_annotated))
    return found


def _parsed(data: bytes) -> Any:  # noqa: ANN401  any JSON value
    """Return the value, or None where the bytes are no JSON. Not raised from the error of the parser, which holds the whole file."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(data.decode("utf-8-sig"))
    return None


def _task(item: Labelled) -> dict[str, Any]:
    regions = [
        {
            "id": f"{number:06}",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {"start": span.start, "end": span.end, "text": item.text[span.start : span.end], "labels": [span.kind]},
            "score": span.score,
        }
        for number, span in enumerate(item.spans)
    ]
    return {"data": {"id": item.id, "text": item.text}, "predictions": [{"model_version": "ringfence", "result": regions}]}


def _read(number: int, task: Any) -> tuple[str, str, bool, list[_Region]]:  # noqa: ANN401  any JSON value
    """Return id, text, whether a person annotated it, and the regions as they stand in the file."""
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict) or not isinstance(text := data.get("text"), str):
        raise LabelsUnreadable(task=number, why=_NO_TEXT)
    identity = next((str(i) for i in (data.get("id"), task.get("id")) if isinstance(i, str | int)), str(number))
    annotations = [a for a in _dicts(task.get("annotations")) if not a.get("was_cancelled")]
    if len(annotations) > 1:
        annotations = [a for a in annotations if a.get("ground_truth")]
        if len(annotations) != 1:
            raise LabelsUnreadable(task=number, why=_SEVERAL)
    results = annotations or _dicts(task.get("predictions"))[-1:]
    regions = [
        _region(number, region, is_sure=bool(annotations))
        for result in results
        for region in _dicts(result.get("result"))
        if _labels(region)
    ]
    return identity, text, bool(annotations), regions


def _dicts(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401  any JSON value
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _labels(region: dict[str, Any]) -> bool:
    """Return whether a part of a result is a labelled span, or a relation, a choice or a remark, which are nothing to us."""
    value = region.get("value")
    return region.get("type") in ("labels", "hypertextlabels") or (isinstance(value, dict) and "labels" in value)


def _region(number: int, region: dict[str, Any], *, is_sure: bool) -> _Region:
    value = region.get("value")
    value = value if isinstance(value, dict) else {}
    start, end, labels, said, score = value.get("start"), value.get("end"), value.get("labels"), value.get("text"), region.get("score")
    if type(start) is not int or type(end) is not int or not 0 <= start < end:  # True is an int, too
        raise LabelsUnreadable(task=number, why=_NO_PLACE)
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str) or not 0 < len(labels[0]) <= _LONGEST_LABEL:
        raise LabelsUnreadable(task=number, why=_NO_LABEL)
    sure = float(score) if not is_sure and isinstance(score, int | float) and 0 <= score <= 1 else 1.0
    return _Region(start, end, labels[0], sure, said if isinstance(said, str) else None)


def _code_points(text: str, offset: int) -> int | None:
    return offset if offset <= len(text) else None


def _utf16_units(text: str, offset: int) -> int | None:
    """Return the offset in code points of an offset in UTF-16 units; None inside a character or beyond the text."""
    units = 0
    for at, character in enumerate(text):
        if units >= offset:
            return at if units == offset else None
        units += 1 + (character > "\uffff")
    return len(text) if units == offset else None


def _fits(text: str, regions: Sequence[_Region], counting: Counting) -> bool:
    return all(_range(text, region, counting) is not None for region in regions)


def _range(text: str, region: _Region, counting: Counting) -> tuple[int, int] | None:
    """Return where a region lies, in code points; None where its own text does not stand there."""
    start, end = counting(text, region.start), counting(text, region.end)
    if start is None or end is None or (region.said is not None and _spoken(text[start:end]) != _spoken(region.said)):
        return None
    return start, end


def _spoken(text: str) -> str:
    """Return `text` without white space: the browser joins spaces, and its line breaks come as backslash and n."""
    return "".join(text.replace("\\n", "").split())


def _placed(number: int, text: str, regions: Sequence[_Region], counting: Counting) -> tuple[Span, ...]:
    spans: set[Span] = set()
    for region in regions:
        if counting(text, region.start) is None or counting(text, region.end) is None:
            raise LabelsUnreadable(task=number, why=_NO_PLACE)
        place = _range(text, region, counting)
        if place is None:
            raise LabelsUnreadable(task=number, why=_OTHER_TEXT)
        spans.add(Span(*place, region.kind, region.score))
    ordered = tuple(sorted(spans))
    if any(left.end > right.start for left, right in pairwise(ordered)):
        raise LabelsUnreadable(task=number, why=_OVERLAP)
    return ordered
