"""A model with an adapter that answers, piece by piece. Child halves only: this module imports torch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import TextStreamer

from ringfence.core.records import Message
from ringfence.models.load import Loaded
from ringfence.serve.settings import END_OF_TURN, ChatSettings


class _Pieces(TextStreamer):  # type: ignore[misc]  # transformers is untyped
    """Hands finished words to `say` instead of printing them."""

    def __init__(self, tokenizer: Any, say: Callable[[str], None]) -> None:  # noqa: ANN401
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._say = say
        self.parts: list[str] = []

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  transformers' signature
        """Pass one piece on; the end mark is ours alone, so a model cannot end a turn early."""
        clean = text.replace(END_OF_TURN, "")
        if clean:
            self.parts.append(clean)
            self._say(clean)


class Engine:
    """Answers one conversation."""

    def __init__(self, loaded: Loaded, settings: ChatSettings) -> None:
        self._model, self._tokenizer, self._settings = loaded.model.eval(), loaded.tokenizer, settings
        self._history: list[Message] = []
        self.tokens = 0
        torch.manual_seed(settings.seed)

    def answer(self, question: str, say: Callable[[str], None]) -> str:
        """Return the answer to `question`, after saying it in pieces."""
        turns = [*self._history, Message("user", question)]
        system = [{"role": "system", "content": self._settings.system}] if self._settings.system is not None else []
        chat = system + [{"role": turn.role, "content": turn.content} for turn in turns]
        room = self._model.config.max_position_embeddings - self._settings.max_new_tokens
        ids = fitted(Loaded(self._model, self._tokenizer), chat, room=room)
        pieces = _Pieces(self._tokenizer, say)
        sampled: dict[str, Any] = {"do_sample": False}
        if self._settings.temperature:
            sampled = {"do_sample": True, "temperature": self._settings.temperature, "top_p": self._settings.top_p, "top_k": 0}
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self._settings.max_new_tokens,
                eos_token_id=self._tokenizer.eos_token_id,
                pad_token_id=self._tokenizer.eos_token_id,
                streamer=pieces,
                **sampled,
            )
        self.tokens += output.shape[1] - ids.shape[1]
        answer = "".join(pieces.parts)
        if self._settings.keep_history:
            self._history = [*turns, Message("assistant", answer)]
        return answer


def fitted(loaded: Loaded, chat: Sequence[Mapping[str, str]], *, room: int) -> torch.Tensor:
    """Return the prompt's ids [1, tokens]; the oldest turns go first when `room` tokens are too few, the system's words stay."""
    first = next((at for at, turn in enumerate(chat) if turn["role"] != "system"), len(chat))
    system, turns = list(chat[:first]), list(chat[first:])
    drops = range(0, max(1, len(turns)), 2)  # of turns, one of each side; the last question stays

    def rendered(drop: int) -> torch.Tensor:
        text = loaded.tokenizer.apply_chat_template(system + turns[drop:], tokenize=False, add_generation_prompt=True)
        ids: torch.Tensor = loaded.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        return ids

    # One thread answers everybody: what cannot fit is never rendered, and how much the template's own tokens displace is found by halving.
    drops = drops[min(_hopeless(loaded.tokenizer, system, turns, room=room), len(drops) - 1) :]
    ids = rendered(drops[0])
    if ids.shape[1] > room and len(drops) > 1:
        fit = bisect_left(drops, True, lo=1, hi=len(drops) - 1, key=lambda drop: rendered(drop).shape[1] <= room)
        ids = rendered(drops[fit])
    return ids[:, -max(1, room) :].to(loaded.model.device)


def _hopeless(
    tokenizer: Any,  # noqa: ANN401  transformers is untyped
    system: Sequence[Mapping[str, str]],
    turns: Sequence[Mapping[str, str]],
    *,
    room: int,
) -> int:
    """Return how many twos of the oldest turns cannot stay whatever the template adds: from the newest back, no more is read than fills the room."""
    for kept, turn in enumerate([*system, *reversed(turns)], start=-len(system)):
        room -= max(1, len(tokenizer(turn["content"], add_special_tokens=False).input_ids))  # no turn is shown in less than a token
        if room < 0:
            return -(-(len(turns) - max(0, kept)) // 2)  # the half of a two goes along
    return 0
