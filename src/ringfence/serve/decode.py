"""Several conversations answered at once, one token each a turn. Child halves only: this module imports torch."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jinja2 import TemplateError

from ringfence.models.load import Loaded
from ringfence.serve.engine import fitted
from ringfence.serve.filter import Filters, Shown
from ringfence.serve.wire import Ask, Orders, Said

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

    def add(self, token: int) -> str:
        """Return the text that became certain with one more token."""
        self._ids.append(token)
        shown = len(self._decode(self._ids[self._start : self._clean])) + self._ahead
        text = self._decode(self._ids[self._start :])
        certain = text.removesuffix(_BROKEN)
        piece = certain[shown:]
        if certain == text:
            self._start, self._clean, self._ahead = self._clean, len(self._ids), 0
        else:
            self._ahead += len(piece)
        return piece

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
    """One conversation that is being answered."""

    def __init__(self, loaded: Loaded, ask: Ask, filters: Filters | None = None) -> None:
        """Lay the prompt out; nothing is computed yet.

        Raises: jinja2.TemplateError where the model's chat template refuses the conversation.
        """
        window = int(loaded.model.config.max_position_embeddings)
        chat = [turn.model_dump() for turn in ask.messages]
        self._next = fitted(loaded, chat, room=window - min(ask.max_tokens, window // 2))
        self._ask, self._model, self._end = ask, loaded.model, loaded.tokenizer.eos_token_id
        self._prompt = self._next.shape[1]
        self._most = min(ask.max_tokens, window - self._prompt)
        self._tokens = 0
        self._cache: Any = None
        self._words, self._stops = Words(loaded.tokenizer), Stops(ask.stop)
        self._random = torch.Generator(loaded.model.device).manual_seed(ask.seed)
        self._last_only = _last_only(loaded.model)
        self._shown = Shown(filters)

    def step(self) -> Said:
        """Return what one more token brought."""
        with torch.inference_mode():
            output = self._model(input_ids=self._next, past_key_values=self._cache, use_cache=True, **self._last_only)
            self._cache = output.past_key_values
            token = pick(output.logits[0, -1].float(), temperature=self._ask.temperature, top_p=self._ask.top_p, random=self._random)
        if token == self._end:
            return self._said(self._stops.rest(), "stop")
        self._tokens += 1
        text, is_stopped = self._stops.add(self._words.add(token))
        if is_stopped:
            return self._said(text, "stop")
        if self._tokens >= self._most:
            return self._said(text + self._stops.rest(), "length")
        self._next = torch.tensor([[token]], device=self._next.device)
        return self._said(text, None)

    def _said(self, text: str, finish: Literal["stop", "length"] | None) -> Said:
        shown = self._shown.add(text, is_end=finish is not None) if self._shown.is_filtered else None
        return Said(
            id=self._ask.id,
            text=text,
            shown=shown,
            masked=self._shown.found(),
            finish=finish,
            prompt_tokens=self._prompt,
            tokens=self._tokens,
        )


def _last_only(model: Any) -> dict[str, int]:  # noqa: ANN401  transformers is untyped
    """Return the argument that has a model compute the last position's logits alone, where it knows one: a prompt's need much memory."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(base.forward).parameters else {}


def pick(
    logits: torch.Tensor,  # [vocabulary]
    *,
    temperature: float,
    top_p: float,
    random: torch.Generator,
) -> int:
    """Return the next token: the likeliest at temperature 0, else drawn from the least set of tokens that holds `top_p` of the probability.

    Source: Holtzman et al. 2020 (arXiv:1904.09751).
    """
    if temperature < _GREEDY:
        return int(logits.argmax())
    chances, order = ((logits - logits.max()) / temperature).softmax(0).sort(descending=True)  # the likeliest is 0 at any temperature
    before = chances.cumsum(0) - chances  # of the likelier ones
    is_out = before >= top_p
    is_out[0] = False  # the likeliest stays: float32 takes the least `top_p` for 0
    chances = chances.masked_fill(is_out, 0.0)
    return int(order[torch.multinomial(chances, 1, generator=random)])


class Round:
    """The conversations that are being answered."""

    def __init__(self, loaded: Loaded, filters: Filters | None = None) -> None:
        self._loaded, self._filters = loaded, filters
        self._running: dict[int, Answer] = {}
        self.answers = 0
        self.tokens = 0
        self.masked: Counter[str] = Counter()  # identifiers in answers, by kind

    def turn(self, orders: Orders) -> tuple[Said, ...]:
        """Take the front's orders, give every conversation one token, and return what there is to show."""
        for cancelled in orders.cancel:
            self._running.pop(cancelled, None)
        said: list[Said] = []
        if (ask := orders.ask) is not None:
            try:
                self._running[ask.id] = Answer(self._loaded, ask, self._filters)
            except TemplateError:  # its text may quote the conversation
                said.append(Said(id=ask.id, finish="unfit"))
        for id_, answer in list(self._running.items()):
            piece = answer.step()
            self.tokens += 1
            self.masked.update(piece.masked)
            if piece.finish is not None:
                del self._running[id_]
                self.answers += 1
            if piece.text or piece.finish is not None:
                said.append(piece)
        return tuple(said)
