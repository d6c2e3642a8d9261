"""A model with its adapter and without, read at the positions that somebody asks about. Child halves only: this module imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from ringfence.models.load import Loaded
from ringfence.train.data import Example, collate

_LEAST_SHARED = 8  # tokens: for fewer a second call costs more than it saves
_POSITIONS = 128  # whose logits are held at once: as wide as the vocabulary, in float32


class Forward:
    """Both sides of one model. bfloat16 logits are too coarse to rank codes by, so the head works in float32."""

    def __init__(self, loaded: Loaded) -> None:
        self.tokenizer = loaded.tokenizer
        self._model = loaded.model.eval()
        base = self._model.get_base_model()
        self._backbone = getattr(base, base.base_model_prefix)
        # Copies, as of float32 weights `float` makes none, and a model of trained weights exchanges them in place. [vocabulary, hidden]
        self._head = base.get_output_embeddings().weight.detach().float().clone()
        with self._model.disable_adapter():
            own = base.get_output_embeddings().weight.detach().float()
            is_same = torch.equal(own, self._head)
            self._heads = {True: self._head, False: self._head if is_same else own.clone()}  # a run may have trained the head, too

    @property
    def vocabulary(self) -> int:
        """How many tokens the head can predict."""
        return len(self._head)

    @property
    def device(self) -> torch.device:
        """Where it works."""
        return self._head.device

    def hidden(self, examples: Sequence[Example], *, adapted: bool) -> tuple[Tensor, Tensor]:
        """Return the rows' ids [rows, tokens] and last hidden states [rows, tokens, hidden].

        How the rows begin alike, with the chat template's own words, is computed once for all of them.
        """
        ids = collate(examples, padding=self.tokenizer.eos_token_id, device=str(self.device)).ids
        shared = _shared(ids, most=min(len(example.ids) for example in examples) - 1)
        with nullcontext() if adapted else self._model.disable_adapter():
            if not shared:
                return ids, self._backbone(input_ids=ids, use_cache=False).last_hidden_state
            begun = self._backbone(input_ids=ids[:1, :shared], use_cache=True)
            begun.past_key_values.batch_repeat_interleave(len(ids))
            rest = self._backbone(input_ids=ids[:, shared:], past_key_values=begun.past_key_values, use_cache=True)
            return ids, torch.cat([begun.last_hidden_state.expand(len(ids), -1, -1), rest.last_hidden_state], dim=1)

    def rewards(self, examples: Sequence[Example], *, adapted: bool) -> Tensor:
        """Return what a reward model says each row is worth [rows], float32; not adapted: with its head as it was before training."""
        _, hidden = self.hidden(examples, adapted=adapted)
        last = torch.tensor([len(one.ids) - 1 for one in examples], device=hidden.device)
        with nullcontext() if adapted else self._model.disable_adapter():
            found: Tensor = self._model.get_base_model().score(hidden[torch.arange(len(hidden), device=hidden.device), last].float())
        return found.squeeze(1)

    def logits(self, hidden: Tensor, *, adapted: bool) -> Tensor:
        """Return the logits [positions, vocabulary] of hidden states [positions, hidden] of that side."""
        return hidden.float() @ self._heads[adapted].T

    def read(self, hidden: Tensor, wanted: Tensor, *, adapted: bool) -> tuple[Tensor, Tensor]:
        """Return the log probability of each wanted token [positions], and whether it is the likeliest [positions].

        hidden: the states [positions, hidden] before each of them.
        """
        log_p, is_first = [], []
        for at in range(0, len(wanted), _POSITIONS):
            logits, here = self.logits(hidden[at : at + _POSITIONS], adapted=adapted), wanted[at : at + _POSITIONS]
            log_p.append(torch.log_softmax(logits, dim=1).gather(1, here[:, None]).squeeze(1))
            is_first.append(logits.argmax(dim=1) == here)
        return torch.cat(log_p), torch.cat(is_first)


def _shared(ids: Tensor, *, most: int) -> int:
    """Return how many tokens all rows of `ids` [rows, tokens] begin with, at most `most`; 0 where that saves nothing."""
    if len(ids) == 1:
        return 0
    alike = (ids == ids[0]).all(dim=0).int().cumprod(dim=0).sum()
    found = min(int(alike), most)
    return found if found >= _LEAST_SHARED else 0
