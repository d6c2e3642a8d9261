"""The child half of `ringfence deid train`: reads labelled text or a review, writes a sealed tagger, says how good it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ringfence.core.errors import KindsUndeclared, LessonsUnreadable, TooFewSentences
from ringfence.core.order import Child, Progress
from ringfence.deid import learn, taught
from ringfence.deid.lessons import NAMES, Lessons, lessons
from ringfence.deid.parting import Parted, part
from ringfence.deid.recogniser import Span
from ringfence.deid.review import job as review
from ringfence.deid.review.settings import OTHER
from ringfence.deid.settings import dictionary_digest, kinds
from ringfence.deid.teaching import LanguageCard, TeachFigures, TeachSettings


def run(child: Child[TeachSettings]) -> TeachFigures:
    """Return the card of the tagger; `tagger` then holds it.

    Raises: LessonsUnreadable, LabelsUnreadable, KindsUndeclared, TooFewSentences, PartsOverlap, NotReviewable, ObjectBroken.
    """
    settings = child.order.settings
    learnt = {*NAMES, *settings.kinds}
    reviewed = review.lessons(child) if settings.review else ()
    found = lessons(_file(child), learnt=learnt, known={*kinds(), *([OTHER] if settings.review else [])}, reviewed=reviewed)
    if found.undeclared:
        raise KindsUndeclared(kinds=len(found.undeclared), spans=found.undeclared.total())
    enough = {language: rows for language, rows in found.sentences.items() if len(rows) >= settings.least}
    if not enough:
        raise TooFewSentences(sentences=max(map(len, found.sentences.values())), least=settings.least)
    parted = part(
        {language: [(document, one.text) for document, one in rows] for language, rows in enough.items()},
        share=settings.held_out,
        seed=settings.seed,
    )
    fields: dict[str, bytes] = {}
    cards: dict[str, LanguageCard] = {}
    for number, (language, rows) in enumerate(enough.items()):
        child.channel.progress(Progress(done=number, total=len(enough), phase="work"))
        fields[language], cards[language] = learn.card(
            language,
            taught_on=[one for document, one in rows if document not in parted.held_out],
            held_out=[one for document, one in rows if document in parted.held_out],
            settings=settings,
            use=partial(_use, language, learnt),
        )
    slot = child.order.outputs["tagger"]
    taught.seal(slot, child.keys.data[slot.slot], fields, kinds=learnt)
    return _figures(found, parted, cards)


def _file(child: Child[TeachSettings]) -> bytes:
    """Return the file of labelled text; empty without one.

    Raises: LessonsUnreadable.
    """
    if (wanted := child.order.settings.labels_digest) is None:
        return b""
    data = Path(child.order.files["labels"]).read_bytes()
    if dictionary_digest(data, child.keys.purpose["content"]) != wanted:
        raise LessonsUnreadable(line=0)  # it is not the file that was announced
    return data


def _use(language: str, learnt: set[str], model: bytes) -> Callable[[Sequence[str]], list[list[Span]]]:
    return taught.Taught(language, model, kinds=learnt).tag


def _figures(found: Lessons, parted: Parted, cards: dict[str, LanguageCard]) -> TeachFigures:
    spans = Counter(span.kind for rows in found.sentences.values() for _, one in rows for span in one.spans)
    return TeachFigures(
        documents=found.documents,
        moved=parted.moved,
        shared=parted.shared,
        spans=dict(sorted(spans.items())),
        ignored=found.ignored.total(),
        unreviewed=found.unreviewed,
        **cards,
    )
