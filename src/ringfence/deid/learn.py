"""Learns a conditional random field from labelled sentences, and measures one on sentences that it has not seen.

A tenant labels hundreds of sentences, not tens of thousands, so nothing is learnt from them alone: what the shipped tagger says of a part is a feature
of it, which carries over what that one learnt from generated sentences; and each sentence is learnt in several copies with other names in it, so
that its words are learnt and not its names. Both figures are in the experiment log.

Source: Dai and Adel 2020, An Analysis of Simple Data Augmentation for Named Entity Recognition (arXiv:2010.11683), mention replacement.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from ringfence.deid import features
from ringfence.deid.lessons import NAMES, Sentence
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.recogniser import Span
from ringfence.deid.sentences import Chinese, English
from ringfence.deid.tagger import TAGGERS
from ringfence.deid.teaching import LanguageCard, Measured, TeachSettings

SHIPPED = {"zh": "zh-names.v1", "en": "en-names.v1"}  # what a taught tagger builds on
_LEAST = 2  # rows in which a feature must occur
_C1, _C2 = 0.1, 0.05  # of the penalties on weights

Parts = Sequence[tuple[int, int]]


def parts_of(language: str, text: str) -> list[tuple[int, int]]:
    """Return the ranges that get a tag each: characters of Chinese, words of English."""
    return [(n, n + 1) for n in range(len(text))] if language == "zh" else features.tokens(text)


def rows(language: str, text: str, parts: Parts, shipped: Sequence[Span]) -> list[list[str]]:
    """Return the features of each part: its own, and what the shipped tagger says of it and of its neighbours."""
    found = features.characters(text) if language == "zh" else features.words([text[a:b] for a, b in parts])
    said = ["-", *tags(shipped, parts), "-"]
    for n, row in enumerate(found):
        before, here, after = said[n : n + 3]
        row += ["t" + here, f"t-{before},{here}", f"t+{here},{after}"]
    return found


def tags(spans: Sequence[Span], parts: Parts) -> list[str]:
    """Return the tag of each part: B or I with the kind of the span that it touches, O where there is none.

    spans: disjoint and in order.
    """
    found = ["O"] * len(parts)
    at = 0
    for span in spans:
        while at < len(parts) and parts[at][1] <= span.start:
            at += 1
        first = at
        while at < len(parts) and parts[at][0] < span.end:
            found[at] = ("B" if at == first else "I") + span.kind
            at += 1
    return found


def train(language: str, sentences: Iterable[Sentence], *, iterations: int) -> bytes:
    """Return the model that is learnt from the sentences. Its bytes lie in memory only."""
    import pycrfsuite  # noqa: PLC0415  of the extra `deid`

    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.set_params(
        {"c1": _C1, "c2": _C2, "max_iterations": iterations, "feature.minfreq": _LEAST, "feature.possible_transitions": True}
    )
    shipped = TAGGERS.create(SHIPPED[language])
    for one in sentences:
        if parts := parts_of(language, one.text):
            trainer.append(rows(language, one.text, parts, shipped.tag([one.text])[0]), tags(one.spans, parts))
    handle = os.memfd_create("field")
    try:
        trainer.train(f"/proc/self/fd/{handle}")
        return os.pread(handle, os.fstat(handle).st_size, 0)
    finally:
        os.close(handle)


def varied(language: str, sentences: Sequence[Sentence], *, copies: int, seed: int) -> Iterator[Sentence]:
    """Yield each sentence, and copies of it with other spans of the same kinds in it.

    Names of persons, organisations and places are drawn from the labelled ones and from generated ones alike, other kinds from the labelled ones.
    """
    draw = random.Random(seed)  # noqa: S311  data to learn from, no secret
    invented = _invented(language, draw)
    labelled: dict[str, list[str]] = {}
    for one in sentences:
        for span in one.spans:
            labelled.setdefault(span.kind, []).append(one.text[span.start : span.end])
    for one in sentences:
        yield one
        for _ in range(copies if one.spans else 0):
            pieces, spans, at, length = [], [], 0, 0
            for span in one.spans:
                value = invented(span.kind) if span.kind in NAMES and draw.random() < 0.5 else draw.choice(labelled[span.kind])  # noqa: PLR2004
                before = one.text[at : span.start]
                length += len(before)
                spans.append(Span(length, length + len(value), span.kind, 1.0))
                pieces += [before, value]
                length, at = length + len(value), span.end
            yield Sentence("".join([*pieces, one.text[at:]]), tuple(spans))


def _invented(language: str, draw: random.Random) -> Callable[[str], str]:
    writer: Chinese | English = Chinese(draw) if language == "zh" else English(draw)
    makers = {PERSON: writer.person, ORGANISATION: writer.organisation, LOCATION: writer.place}

    def invented(kind: str) -> str:
        while len(made := makers[kind]()) > 1:  # a surname with a title that is no part of the name
            pass
        return made[0][0]

    return invented


def card(
    language: str,
    *,
    taught_on: Sequence[Sentence],
    held_out: Sequence[Sentence],
    settings: TeachSettings,
    use: Callable[[bytes], Callable[[Sequence[str]], list[list[Span]]]],
) -> tuple[bytes, LanguageCard]:
    """Return the model that is learnt from `taught_on` and how it does on `held_out`.

    use: makes of a model what finds the spans of sentences.
    """
    began = time.process_time()
    model = train(language, varied(language, taught_on, copies=settings.copies, seed=settings.seed), iterations=settings.iterations)
    seconds = time.process_time() - began
    texts = [one.text for one in held_out]
    learnt, shipped = use(model)(texts), TAGGERS.create(SHIPPED[language]).tag(texts)
    wanted = {span.kind for one in chain(taught_on, held_out) for span in one.spans}
    shipped = [[span for span in spans if span.kind in wanted] for spans in shipped]  # what nobody labelled is no error of it
    characters = sum(map(len, texts))
    sensitive = sum(span.end - span.start for one in held_out for span in one.spans)
    return model, LanguageCard(
        taught_on=len(taught_on),
        measured_on=len(held_out),
        labelled=dict(sorted(Counter(span.kind for one in held_out for span in one.spans).items())),
        identifying=sensitive,
        plain=characters - sensitive,
        learnt=measured(held_out, learnt),
        shipped=measured(held_out, shipped),
        together=measured(held_out, [_both(a, b) for a, b in zip(learnt, shipped, strict=True)]),
        seconds_learning=seconds,
    )


def _both(first: Sequence[Span], second: Sequence[Span]) -> list[Span]:
    """Return the spans of both; of two that overlap the first tagger's."""
    return sorted([*first, *(s for s in second if not any(s.start < o.end and o.start < s.end for o in first))])


def measured(sentences: Sequence[Sentence], found: Sequence[Sequence[Span]]) -> Measured:
    """Return what was found in sentences, against their labels."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("found", "exact", "covered")}
    missed = over = 0
    for one, spans in zip(sentences, found, strict=True):
        claimed, labelled = bytearray(len(one.text)), bytearray(len(one.text))
        for span in spans:
            counts["found"][span.kind] += 1
            claimed[span.start : span.end] = b"\1" * (span.end - span.start)
        exact = {(s.start, s.end, s.kind) for s in spans}
        for span in one.spans:
            labelled[span.start : span.end] = b"\1" * (span.end - span.start)
            counts["exact"][span.kind] += (span.start, span.end, span.kind) in exact
            counts["covered"][span.kind] += 0 not in claimed[span.start : span.end]
        missed += sum(not a and b for a, b in zip(claimed, labelled, strict=True))
        over += sum(a and not b for a, b in zip(claimed, labelled, strict=True))
    return Measured(**{name: dict(sorted(count.items())) for name, count in counts.items()}, missed=missed, over=over)
