"""How likely a model finds the unpredictable part of each canary, with its adapter and without. Child halves only: this module imports torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ringfence.audit.canaries import record_of
from ringfence.audit.findings import Score
from ringfence.audit.forward import Forward
from ringfence.audit.settings import Canary
from ringfence.train.data import Example, encode, segments, split
from ringfence.train.settings import TrainSettings

_BATCH = 16  # rows at once: their logits, at the span's positions alone, are all that is held
_NEVER = -math.inf


class Span(NamedTuple):
    """A canary as the model reads it, and where its unpredictable tokens stand."""

    example: Example
    first: int  # position of the first of them
    digits: tuple[int, ...]  # how many digits each spells
    before: tuple[str, ...]  # what each spells before its digits: nothing, or a space

    def read(self) -> Example:
        """Return the row as far as the last unpredictable token is foretold: neither it nor what follows changes any score."""
        end = self.first + len(self.digits) - 1
        return Example(self.example.ids[:end], self.example.learn[:end])


class CanaryScorer:
    """Scores canaries in the very form in which training read them."""

    def __init__(self, forward: Forward, settings: TrainSettings) -> None:
        self._forward, self._tokenizer, self._settings = forward, forward.tokenizer, settings
        spelling = _digit_tokens(forward.tokenizer, forward.vocabulary)
        self._spelling = {before: tuple(side.to(forward.device) for side in sides) for before, sides in spelling.items()}

    def score(self, canaries: Sequence[Canary], *, show: Callable[[int], None] = lambda _: None) -> list[Score]:
        """Return the score of each canary. show: called with how many are done.

        Where a run compared answers, it learned the difference of two: so a row's score is that of its own code less that of the rejected one.
        """
        found = self._scored(canaries, show)
        if self._settings.reads != "preference":
            return found
        places = [at for at, one in enumerate(canaries) if one.kind == "row" and one.other]
        twins = self._scored([canaries[at].model_copy(update={"completion": canaries[at].rejected}) for at in places], lambda _: None)
        for at, twin in zip(places, twins, strict=True):
            own = found[at]
            found[at] = own._replace(log_p=own.log_p - twin.log_p, log_p_base=own.log_p_base - twin.log_p_base)
        return found

    def _scored(self, canaries: Sequence[Canary], show: Callable[[int], None]) -> list[Score]:
        spans = [self.span(one) for one in canaries]
        scores: list[Score | None] = [None] * len(spans)
        done = 0
        for is_row in (True, False):  # of a secret nobody asks what the base model makes of it
            read = {at: span.read() for at, span in enumerate(spans) if (canaries[at].kind == "row") == is_row}
            place = {id(example): at for at, example in read.items()}
            for group in split([*read.values()], _BATCH):
                chosen = [place[id(example)] for example in group]
                for at, score in zip(chosen, self._group([spans[at] for at in chosen], group, with_base=is_row), strict=True):
                    scores[at] = score
                done += len(group)
                show(done)
        return [score for score in scores if score is not None]

    def is_cut(self, canary: Canary) -> bool:
        """Return whether training read the row only up to a place before the end of its unpredictable part."""
        span = self.span(canary)
        return span.first + len(span.digits) > self._settings.most_tokens

    def span(self, canary: Canary) -> Span:
        """Return where the unpredictable tokens of a canary stand."""
        record = record_of(canary)
        example = encode(record, self._tokenizer, self._settings)
        answer = segments(record, self._tokenizer, self._settings)[-1][0]
        told = self._tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
        begin = answer.index(canary.completion) + canary.span[0]
        end = begin + canary.span[1] - canary.span[0]
        inside = [at for at, (a, b) in enumerate(told.offset_mapping) if a < end and b > begin]
        offset = len(example.ids) - len(told.input_ids)
        pieces = [(max(a, begin), min(b, end), answer[a : max(a, begin)]) for a, b in (told.offset_mapping[at] for at in inside)]
        return Span(example, offset + inside[0], tuple(b - a for a, b, _ in pieces), tuple(text for _, _, text in pieces))

    @torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is untyped here
    def _group(self, spans: Sequence[Span], examples: Sequence[Example], *, with_base: bool) -> Iterator[Score]:
        adapted = self._logits(spans, examples, adapted=True)
        plain = self._logits(spans, examples, adapted=False) if with_base else [None] * len(spans)
        for span, logits, base in zip(spans, adapted, plain, strict=True):
            wanted = torch.from_numpy(span.example.ids[span.first : span.first + len(span.digits)]).long().to(logits.device)
            yield Score(
                log_p=float(_log_p(logits, wanted).sum()),
                log_p_base=math.nan if base is None else float(_log_p(base, wanted).sum()),
                constrained=self._constrained(logits, wanted, span),
                is_greedy=bool((logits.argmax(dim=1) == wanted).all()),
            )

    def _logits(self, spans: Sequence[Span], examples: Sequence[Example], *, adapted: bool) -> Sequence[Tensor]:
        """Return the logits [tokens of the span, vocabulary] before each unpredictable token of each row: the head is read once for all."""
        _, hidden = self._forward.hidden(examples, adapted=adapted)
        before = [hidden[row, span.first - 1 : span.first + len(span.digits) - 1] for row, span in enumerate(spans)]
        found: Sequence[Tensor] = self._forward.logits(torch.cat(before), adapted=adapted).split([len(one) for one in before])
        return found

    def _constrained(self, logits: Tensor, wanted: Tensor, span: Span) -> float:
        """Return the log probability of the code when nothing but a code of its length may be spelled; -inf where a token spells more."""
        left, total = sum(span.digits), 0.0
        for step, (count, before) in enumerate(zip(span.digits, span.before, strict=True)):
            if before not in self._spelling:
                return _NEVER
            spelled, lengths = self._spelling[before]
            allowed = spelled[lengths <= left]
            here = (allowed == wanted[step]).nonzero()
            if not len(here):
                return _NEVER
            total += float(torch.log_softmax(logits[step, allowed], dim=0)[here[0, 0]])
            left -= count
        return total


def _log_p(logits: Tensor, wanted: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=1).gather(1, wanted[:, None]).squeeze(1)


def _digit_tokens(tokenizer: Any, vocabulary: int) -> dict[str, tuple[Tensor, Tensor]]:  # noqa: ANN401
    """Return, by what they spell first ("" or " "), the tokens that spell digits and nothing after: their ids, and how many digits each."""
    found: dict[str, list[tuple[int, int]]] = {"": [], " ": []}
    for token in range(min(vocabulary, len(tokenizer))):
        text = tokenizer.decode([token], clean_up_tokenization_spaces=False)
        digits = text.removeprefix(" ")
        if digits.isascii() and digits.isdigit():
            found[text[: len(text) - len(digits)]].append((token, len(digits)))
    return {
        before: (torch.tensor([token for token, _ in tokens], dtype=torch.int64), torch.tensor([n for _, n in tokens], dtype=torch.int64))
        for before, tokens in found.items()
    }
