"""What a text is worth: the head of a reward model, one number of the last token, and the judge that other runs ask. Child halves only: imports torch.

The head stands where `AutoModelForSequenceClassification` of one label has it, without a bias, so that stock transformers and peft load what is saved.
Source: Ouyang et al. 2022 (arXiv:2203.02155), section 3.5, for the model; transformers 5.23, `GenericForSequenceClassification`, for the place of its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ringfence.models.chat import Chat
from ringfence.models.load import Loaded
from ringfence.train.answers import states_of
from ringfence.train.data import Batch, Example, collate, padding_of, split, written


def add_head(model: Any, *, seed: int) -> None:  # noqa: ANN401  transformers is untyped
    """Put a fresh head [1, hidden] beside the model's own, as `model.score`.

    It is drawn as transformers draws a new layer, from N(0, initializer_range²), by a generator of its own: the seed alone decides it, never a row, a device
    or a precision. It stays in float32 whatever the base is: rewards that differ by a hundredth would be equal in eight bits of mantissa.
    """
    drawn = torch.normal(0.0, model.config.initializer_range, (1, model.config.hidden_size), generator=torch.Generator().manual_seed(seed))
    model.score = nn.Linear(model.config.hidden_size, 1, bias=False, device=model.device, dtype=torch.float32)
    with torch.no_grad():
        model.score.weight.copy_(drawn)
    model.score.requires_grad_(requires_grad=False)


def is_head(name: str) -> bool:
    """Return whether a trainable weight, by the name that it is saved under, is the head."""
    return name.endswith(".score.weight")


def rewards_of(model: Any, batch: Batch) -> Tensor:  # noqa: ANN401
    """Return the reward of each sequence [sequences], float32: the head's number at the last token that is marked. No logits are computed."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = states_of(getattr(base, base.base_model_prefix), batch)  # [sequences, seq, d]
    last = batch.learn.shape[1] - 1 - batch.learn.flip(1).int().argmax(dim=1)  # [sequences]
    found: Tensor = base.score(hidden[torch.arange(len(hidden), device=hidden.device), last].float())
    return found.squeeze(1)


class Judge:
    """A reward model with what it learned, asked what texts are worth. Nothing is learned here."""

    def __init__(self, loaded: Loaded, *, most: int, batch: int = 16) -> None:
        """loaded: as `restore.with_sealed` returns it.  most: tokens of a text that are read, `cutoff_len` of its training.  batch: texts at once."""
        self._model, self._tokenizer = loaded.model.eval(), loaded.tokenizer
        self._most, self._batch = most, batch

    def read(self, chat: Chat) -> NDArray[np.int32]:
        """Return a conversation with its last answer as the token ids [tokens] that `rewards` takes, as training read it.

        Raises: jinja2.TemplateError where the model's template refuses its roles.
        """
        return written(chat, self._tokenizer)

    @torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is untyped here
    def rewards(self, texts: Sequence[NDArray[np.int32]]) -> Tensor:
        """Return the reward of each text [texts], float32 on the CPU: higher is better. Only differences mean something.

        texts: token ids [tokens] of each, one or more.
        """
        rows = [Example(ids[: self._most], np.ones(len(ids[: self._most]), dtype=np.bool_)) for ids in texts]
        place = {id(row): at for at, row in enumerate(rows)}
        found = torch.empty(len(rows))
        for group in split(rows, self._batch):
            batch = collate(group, padding=padding_of(self._tokenizer), device=str(self._model.device))
            found[[place[id(row)] for row in group]] = rewards_of(self._model, batch).cpu()
        return found
