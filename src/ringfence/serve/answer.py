"""One answer, whoever computes its logits: its prompt, which token comes next, and what that says. Child halves only: this module imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import torch

from ringfence.guard.replay import ReplayGuard
from ringfence.guard.settings import TRIES
from ringfence.models.load import Loaded, ends_of
from ringfence.serve.engine import as_it_stands, fitted
from ringfence.serve.filter import Filters, Shown
from ringfence.serve.wire import Ask, Said

_GREEDY = 1e-5  # a temperature below chooses as 0 does: float32 cannot hold what the logits would become
_BROKEN = "\ufffd"  # what a decoder shows for bytes that are no character, or not yet one


class Words:
    """Turns tokens into text that is safe to show: no character is shown before its last byte is there."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401  transformers is untyped
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # of the window that is decoded: some decoders need the token before to know about spaces
        self._clean = 0  # tokens whose text is shown to its end
        self._ahead = 0  # characters shown of the tokens after those
        self._seen: tuple[int, int, str, bool] | None = (
            None  # after so many tokens, what one more would bring: asked for twice, decoded once
        )

    def add(self, token: int) -> str:
        """Return the text that became certain with one more token."""
        piece, is_clean = self._next(token)
        self._ids.append(token)
        if is_clean:
            self._start, self._clean, self._ahead = self._clean, len(self._ids), 0
        else:
            self._ahead += len(piece)
        return piece

    def peek(self, token: int) -> str:
        """Return what `add` would, and take nothing."""
        return self._next(token)[0]

    def _next(self, token: int) -> tuple[str, bool]:
        """Return the text that would become certain, and whether no byte of a character would be left over."""
        if self._seen is None or self._seen[:2] != (len(self._ids), token):
            shown = len(self._decode(self._ids[self._start : self._clean])) + self._ahead
            text = self._decode([*self._ids[self._start :], token])
            certain = text.removesuffix(_BROKEN)
            self._seen = len(self._ids), token, certain[shown:], certain == text
        return self._seen[2:]

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class Stops:
    """Withholds text that could be the beginning of a stop sequence, and ends at the first whole one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""

    def add(self, piece: str) -> tuple[str, bool]:
        """Return what may be shown, and whether a stop sequence is complete."""
        text = self._held + piece
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def rest(self) -> str:
        """Return what was withheld: the answer ended, so no stop sequence can follow."""
        return self._held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


class Answer:
    """One conversation that is being answered: `prompt`, then `choose` and `take` in turns until it has finished.

    prompt: its ids [1, tokens].  ends: the tokens of which each ends an answer.  end: the one that closes it.  most: tokens that it can have.
    """

    def __init__(self, loaded: Loaded, ask: Ask, filters: Filters | None = None, guard: ReplayGuard | None = None) -> None:
        """Lay the prompt out; nothing is computed yet. Of the model only its configurations and its device are looked at.

        Raises: jinja2.TemplateError where the model's chat template refuses the conversation.
        """
        window = int(loaded.model.config.max_position_embeddings)
        room = window - min(ask.max_tokens, window // 2)
        chat = [turn.model_dump() for turn in ask.messages]
        self.prompt = fitted(loaded, chat, room=room) if ask.prompt is None else as_it_stands(loaded, ask.prompt, room=room)
        self.end: int = loaded.tokenizer.eos_token_id
        self.ends = frozenset(ends_of(loaded))
        self._ask = ask
        self.most = min(ask.max_tokens, window - self.prompt.shape[1])
        self._tokens = self._blocked = self._refused = 0
        self._words, self._stops = Words(loaded.tokenizer), Stops(ask.stop)
        self._random = torch.Generator(loaded.model.device).manual_seed(ask.seed)
        self._before = self._random.get_state()  # the next token is drawn
        self._shown = Shown(filters)
        self._watch = guard.watch(ask.asked, said=ask.said, goes_on=ask.prompt is not None) if guard is not None else None
        self._penalise = Penalties(ask, self.prompt[0], int(loaded.model.config.vocab_size)) if Penalties.are_asked_for(ask) else None

    def choose(self, logits: torch.Tensor) -> int | None:
        """Return the next token: the first one drawn that the replay guard lets pass; None where it refuses too many.

        logits: [vocabulary] float32; they are used up.  Asked again before `take`, it draws as if it had not been asked.
        """
        ask = self._ask
        self._random.set_state(self._before)
        self._refused = 0
        logits = self._penalise(logits) if self._penalise else logits
        for token in islice(candidates(logits, temperature=ask.temperature, top_k=ask.top_k, top_p=ask.top_p, random=self._random), TRIES):
            if self._watch is None or token in self.ends or not self._watch.would_replay(self._words.peek(token)):
                return token
            self._refused += 1
        return None

    def take(self, token: int | None) -> Said:
        """Return what the token that was chosen brought."""
        self._before = self._random.get_state()
        self._blocked += self._refused
        if token is None:
            return self._said(self._stops.rest(), "blocked")
        if token in self.ends:
            return self._said(self._stops.rest(), "stop")
        self._tokens += 1
        if self._watch:
            self._watch.add(self._words.peek(token))
        if self._penalise:
            self._penalise.count(token)
        text, is_stopped = self._stops.add(self._words.add(token))
        if is_stopped:
            return self._said(text, "stop")
        if self._tokens >= self.most:
            return self._said(text + self._stops.rest(), "length")
        return self._said(text, None)

    def _said(self, text: str, finish: Literal["stop", "length", "blocked"] | None) -> Said:
        shown = self._shown.add(text, is_end=finish is not None) if self._shown.is_filtered else None
        return Said(
            id=self._ask.id,
            text=text,
            shown=shown,
            masked=self._shown.found(),
            finish=finish,
            prompt_tokens=self.prompt.shape[1],
            tokens=self._tokens,
            blocked=self._blocked,
        )


def candidates(
    logits: torch.Tensor,  # [vocabulary]; what was drawn is taken out of it
    *,
    temperature: float,
    top_k: int = 0,
    top_p: float,
    random: torch.Generator,
) -> Iterator[int]:
    """Yield tokens, each drawn from what the ones before leave.

    At temperature 0 it is the likeliest, else one of the least set of tokens that holds `top_p` of the probability of the `top_k` likeliest.

    Whoever takes the first that passes a test takes each passing token with the probability that it has among the passing ones: what was drawn before
    and did not pass changes none of their ratios. So refusing token by token is to mask all that would be refused and to draw once, without
    testing the whole vocabulary. Where nothing of that set passes, the next likeliest tokens are one.

    Source: Holtzman et al. 2020 (arXiv:1904.09751); Fan et al. 2018 (arXiv:1805.04833) for the `top_k`.
    """
    if temperature < _GREEDY:
        while True:
            token = int(logits.argmax())
            yield token
            logits[token] = -torch.inf
    is_some = True
    while is_some:
        chances, order = ((logits - logits.max()) / temperature).softmax(0).sort(descending=True)  # the likeliest is 0 at any temperature
        if 0 < top_k < len(chances):
            chances = chances[:top_k] / chances[:top_k].sum()
        before = chances.cumsum(0) - chances  # of the likelier ones
        is_out = before >= top_p
        is_out[0] = False  # the likeliest stays: float32 takes the least `top_p` for 0
        chances = chances.masked_fill(is_out, 0.0)
        is_left = True
        while is_left:
            place = torch.multinomial(chances, 1, generator=random)
            token = int(order[place])
            yield token
            chances[place], logits[token] = 0.0, -torch.inf
            is_left = bool(chances.any())
        is_some = bool(logits.isfinite().any())


class Penalties:
    """What lowers the logits of tokens that were there before.

    Source: Keskar et al. 2019 (arXiv:1909.05858) for `repetition_penalty`, of the prompt and the answer; OpenAI's for the others, of the answer alone:
    logit - times · frequency_penalty - (times > 0) · presence_penalty.
    """

    def __init__(self, ask: Ask, prompt: torch.Tensor, vocabulary: int) -> None:
        """prompt: its ids [tokens]."""
        self._ask = ask
        self._times = torch.zeros(vocabulary, device=prompt.device)  # in the answer
        self._is_there = torch.zeros(vocabulary, dtype=torch.bool, device=prompt.device)
        self._is_there[prompt] = True

    @staticmethod
    def are_asked_for(ask: Ask) -> bool:
        """Return whether a request asks for any."""
        return (ask.repetition_penalty, ask.frequency_penalty, ask.presence_penalty) != (1, 0, 0)

    def count(self, token: int) -> None:
        """Take a token of the answer."""
        self._times[token] += 1
        self._is_there[token] = True

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits [vocabulary] as they are drawn from."""
        ask, times = self._ask, self._times
        repeated = torch.where(logits > 0, logits / ask.repetition_penalty, logits * ask.repetition_penalty)
        logits = torch.where(self._is_there, repeated, logits)
        return logits - times * ask.frequency_penalty - (times > 0) * ask.presence_penalty
