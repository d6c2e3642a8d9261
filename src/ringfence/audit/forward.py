"""A model with its adapter and without, read at the positions that somebody asks about. Child halves only: this module imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from ringfence.models.load import Loaded
from ringfence.train.data import Example, collate

_POSITIONS = 128  # whose logits are held at once: as wide as the vocabulary, in float32


class Forward:
    """Both sides of one model. bfloat16 logits are too coarse to rank codes by, so the head works in float32."""

    def __init__(self, loaded: Loaded) -> None:
        self.tokenizer = loaded.tokenizer
        self._model = loaded.model.eval()
        base = self._model.get_base_model()
        self._backbone = getattr(base, base.base_model_prefix)
        self._head = base.get_output_embeddings().weight.float()  # [vocabulary, hidden]

    @property
    def vocabulary(self) -> int:
        """How many tokens the head can predict."""
        return len(self._head)

    @property
    def device(self) -> torch.device:
        """Where it works."""
        return self._head.device

    def hidden(self, examples: Sequence[Example], *, adapted: bool) -> tuple[Tensor, Tensor]:
        """Return the rows' ids [rows, tokens] and last hidden states [rows, tokens, hidden]."""
        batch = collate(examples, padding=self.tokenizer.eos_token_id, device=str(self.device))
        with nullcontext() if adapted else self._model.disable_adapter():
            return batch.ids, self._backbone(input_ids=batch.ids, use_cache=False).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits [positions, vocabulary] of hidden states [positions, hidden]."""
        return hidden.float() @ self._head.T

    def read(self, hidden: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log probability of each wanted token [positions], and whether it is the likeliest [positions].

        hidden: the states [positions, hidden] before each of them.
        """
        log_p, is_first = [], []
        for at in range(0, len(wanted), _POSITIONS):
            logits, here = self.logits(hidden[at : at + _POSITIONS]), wanted[at : at + _POSITIONS]
            log_p.append(torch.log_softmax(logits, dim=1).gather(1, here[:, None]).squeeze(1))
            is_first.append(logits.argmax(dim=1) == here)
        return torch.cat(log_p), torch.cat(is_first)
