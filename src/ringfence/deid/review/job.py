"""`review.v1`, the child half: draws the sample, asks a person, writes what was decided, and hands out files that the person asked for."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ringfence.core.errors import LabelsForeign
from ringfence.core.order import Child, Progress
from ringfence.deid.label_studio import Labelled, from_tasks, to_tasks
from ringfence.deid.recogniser import Span
from ringfence.deid.review.marks import Action, At, Review, actions_of, corrections
from ringfence.deid.review.page import page
from ringfence.deid.review.queue import Queue, sendable
from ringfence.deid.review.sample import Row, about, before, drawn, originals_of, read_sample
from ringfence.deid.review.settings import POOL, FileShown, ReviewFigures, ReviewSettings, Shown, vocabulary
from ringfence.deid.review.unsure import least_sure
from ringfence.deid.table import table_lines
from ringfence.vault.files import read_file, write_files
from ringfence.vault.sets import SetReader

ABOUT, SAMPLE, ACTIONS = "about.json", "sample.jsonl", "actions.jsonl"
_PART = 1 << 17  # characters of a file in one message


def run(child: Child[ReviewSettings]) -> ReviewFigures:
    """Do one step of a review and return what the review has come to.

    draw: reads "set" and "spans", writes "review".  queue, take: read "review" ("spans", too, with originals), write a new "review".
    export, page: read "review" ("spans" with originals) and say a file.  take reads files["labels"].

    Raises: NotReviewable, LabelsUnreadable, LabelsForeign, ObjectBroken.
    """
    total, review = _drawn(child) if child.order.settings.does == "draw" else _opened(child)
    match child.order.settings.does:
        case "queue":
            _ask(child, review)
        case "export":
            _tell(child, [to_tasks(_tasks(child, review)).decode("ascii")])
        case "page":
            _tell(child, page(review, _originals(child, review.rows), _figures(child, review, total), child.order.settings.masked[:12]))
        case "take":
            _take(child, review)
        case "draw":
            pass
    if output := child.order.outputs.get("review"):
        settings = child.order.settings
        files: dict[str, bytes | Iterable[bytes]] = {
            ABOUT: about(total, {"masked": settings.masked, "seed": settings.seed, "by": settings.by}),
            SAMPLE: (row.to_line() for row in review.rows),
            ACTIONS: review.to_lines(),
        }
        write_files(output, child.keys.data[output.slot], files)
    return _figures(child, review, total)


def _figures(child: Child[ReviewSettings], review: Review, total: int) -> ReviewFigures:
    settings = child.order.settings
    return review.figures(total, by=settings.by, other_draws=settings.other_draws)


def lessons(child: Child[Any]) -> Iterator[Labelled]:
    """Yield the texts of the finished rows before masking, with corrected spans: for any job with the inputs "review" and "spans".

    Raises: NotReviewable, ObjectBroken.
    """
    _, review = _opened(child)
    yield from review.lessons(_originals(child, review.rows))


def _drawn(child: Child[ReviewSettings]) -> tuple[int, Review]:
    settings, source = child.order.settings, child.order.inputs["set"]
    child.channel.progress(Progress(done=0, total=settings.rows, phase="read"))
    reader = SetReader(source, child.keys.data[source.slot])
    if settings.by == "chance":
        rows = read_sample(reader, _table(child), drawn(len(reader), settings.rows, settings.seed))
    else:
        pool = read_sample(reader, _table(child), drawn(len(reader), POOL * settings.rows, settings.seed))
        rows = least_sure(pool, settings.rows, say=lambda done: child.channel.progress(Progress(done=done, total=len(pool), phase="work")))
    child.channel.progress(Progress(done=len(rows), total=len(rows), phase="read"))
    return len(reader), Review(rows)


def _opened(child: Child[Any]) -> tuple[int, Review]:
    slot = child.order.inputs["review"]
    key = child.keys.data[slot.slot]
    rows = [Row.from_line(line) for line in read_file(slot, key, SAMPLE).splitlines()]
    actions = actions_of(read_file(slot, key, ACTIONS).splitlines())
    return json.loads(read_file(slot, key, ABOUT))["rows"], Review(rows, actions)


def _table(child: Child[Any]) -> Iterator[bytes]:
    slot = child.order.inputs["spans"]
    return table_lines(slot, child.keys.data[slot.slot])


def _originals(child: Child[Any], rows: Iterable[Row]) -> list[tuple[str, ...]]:
    return originals_of(list(rows), _table(child))


def _ask(child: Child[ReviewSettings], review: Review) -> None:
    def show(message: Shown) -> None:
        child.channel.say(message.model_dump_json())

    originals = _originals(child, review.rows) if child.order.settings.originals else None
    queue = Queue(review, kinds=vocabulary(), show=show, originals=originals)
    while True:
        queue.show()
        line = child.channel.hear()
        if line is None or not queue.hear(line):
            return


def _tell(child: Child[ReviewSettings], parts: Iterable[str]) -> None:
    """Say a file in messages that fit a frame."""
    for part in parts:
        for start in range(0, len(part), _PART):
            child.channel.say(FileShown(text=sendable(part[start : start + _PART])).model_dump_json())


# ── Label Studio ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _tasks(child: Child[ReviewSettings], review: Review) -> Iterator[Labelled]:
    """Yield one task a text: the masked one, or with originals the one before; with the spans as corrected so far."""
    originals = _originals(child, review.rows) if child.order.settings.originals else None
    for n, row in enumerate(review.rows):
        for number, text in enumerate(row.texts):
            if originals is None:
                shown, spans = text, review.masked_spans(n, number)
            else:
                shown, spans = before(row, number, originals[n]), review.original_spans(n, number, originals[n])
            if shown:
                yield Labelled(_task_id(child, n, number, shown), shown, spans, is_annotated=n in review.done)


def _task_id(child: Child[ReviewSettings], n: int, number: int, text: str) -> str:
    """Return position and text number with a keyed digest of both, the set and the text: nobody without the key can make or test one."""
    place = f"{n + 1:06}-{number}"
    data = f"{child.order.settings.masked}|{child.order.settings.seed}|{place}|".encode() + text.encode("utf-8", "surrogatepass")
    return f"{place}-{hmac.digest(child.keys.purpose['content'], b'ringfence.review/1|' + data, 'sha256').hex()[:16]}"


def _take(child: Child[ReviewSettings], review: Review) -> None:
    """Take over the annotations of a file. All tasks are checked before the first is taken.

    Raises: LabelsUnreadable, LabelsForeign.
    """
    items = from_tasks(Path(child.order.files["labels"]).read_bytes())
    originals = _originals(child, review.rows) if child.order.settings.originals else None
    places = {(n, number): None for n, row in enumerate(review.rows) for number in range(len(row.texts))}
    found: dict[tuple[int, int], tuple[Span, ...]] = {}
    for task, item in enumerate(items, 1):
        n, number = _place_of(item.id)
        if (n, number) not in places or (n, number) in found:
            raise LabelsForeign(task=task)
        row = review.rows[n]
        text = row.texts[number] if originals is None else before(row, number, originals[n])
        if text != item.text or not hmac.compare_digest(item.id, _task_id(child, n, number, text)):
            raise LabelsForeign(task=task)
        if item.is_annotated:
            found[n, number] = item.spans
    for (n, number), spans in found.items():
        for action in list(corrections(review, n, number, spans, originals[n] if originals else None)):
            review.take(action)
    for n, row in enumerate(review.rows):
        texts = [number for number, text in enumerate(row.texts) if text]
        if n not in review.done and texts and all((n, number) in found for number in texts):
            review.take(Action("done", (At(n),)))


def _place_of(identity: str) -> tuple[int, int]:
    """Return position and text number of a task's id; (-1, -1) for what is none of ours."""
    position, _, rest = identity.partition("-")
    number, _, digest = rest.partition("-")
    if not (position.isascii() and position.isdigit() and number.isascii() and number.isdigit() and digest) or len(identity) > 64:  # noqa: PLR2004
        return -1, -1
    return int(position) - 1, int(number)
