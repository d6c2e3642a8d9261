"""What an engine reads: a conversation or a text as token ids, and a model under a bundle's adapter. Child halves only: this module imports torch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ringfence.models.load import Loaded


def as_it_stands(loaded: Loaded, prompt: str, *, room: int) -> torch.Tensor:
    """Return the ids [1, tokens] of a text that is to be continued, the last `room` of them: as training reads a plain text, with nothing before it.

    A text of which a tokeniser leaves nothing begins after the end of another.
    """
    ids = loaded.tokenizer(prompt, add_special_tokens=False).input_ids or [loaded.tokenizer.eos_token_id]
    return torch.tensor([ids[-max(1, room) :]], device=loaded.model.device)


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
