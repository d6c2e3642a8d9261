"""Both sides of one model, its base and the same with an adapter, on rows. Child halves only: imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig

from ringfence.evaluate.rows import Question
from ringfence.models.load import Loaded, ends_of
from ringfence.train.answers import losses_of
from ringfence.train.data import Batch, Example, collate, padding_of, split
from ringfence.train.judge import rewards_of

_PAD = 16  # tokens. On a CPU, bfloat16 kernels are generated for each shape and kept

Show = Callable[[int], None]


class Side(NamedTuple):
    """What one of the two says to questions."""

    texts: list[str]
    unended: int  # answers that ended because they may be no longer


class Sides:
    """A model under an adapter, which can be set aside."""

    def __init__(self, loaded: Loaded, *, batch: int, head_chunk: int) -> None:
        self._model, self._tokenizer = loaded.model.eval(), loaded.tokenizer
        self._batch, self._chunk = batch, head_chunk
        self._device = str(loaded.model.device)
        self._multiple = _PAD if loaded.model.dtype == torch.bfloat16 else 1
        self._ends = ends_of(loaded)
        self._padding = padding_of(self._tokenizer)
        # Greedy, whatever the model's own file says of drawing and repeating.
        plain = GenerationConfig(do_sample=False, eos_token_id=self._ends, pad_token_id=self._padding)
        self._model.generation_config = self._model.get_base_model().generation_config = plain

    @property
    def window(self) -> int:
        """The most tokens that the model reads and says together."""
        return int(self._model.config.max_position_embeddings)

    def _as(self, *, tuned: bool) -> AbstractContextManager[None]:
        return nullcontext() if tuned else self._model.disable_adapter()

    def losses(self, examples: Sequence[Example], *, show: Show = lambda _: None) -> NDArray[np.float64]:
        """Return the summed cross-entropy of each row [rows, 2], in nats: of the base model, and of the tuned one."""
        found: NDArray[np.float64] = self._read(examples, lambda batch: losses_of(self._model, batch, chunk=self._chunk)[0], show=show)
        return found

    def margins(self, examples: Sequence[Example], *, show: Show = lambda _: None) -> NDArray[np.float64]:
        """Return by how much the preferred answer of each pair scores higher [rows, 2]: with the head of before training on the base, and tuned."""

        def look(batch: Batch) -> torch.Tensor:
            chosen, rejected = rewards_of(self._model, batch).chunk(2)
            return chosen - rejected

        found: NDArray[np.float64] = self._read(examples, look, show=show)
        return found

    @torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is untyped here
    def _read(self, examples: Sequence[Example], look: Callable[[Batch], torch.Tensor], *, show: Show) -> NDArray[np.float64]:
        """Return what `look` says of each row [rows, 2]: of the base model, and of the tuned one."""
        place = {id(example): at for at, example in enumerate(examples)}
        found = np.empty((len(examples), 2))
        done = 0
        for group in split(examples, self._batch):
            longest = max(example.longest for example in group)
            length = -(-longest // self._multiple) * self._multiple
            batch = collate(group, padding=self._padding, device=self._device, length=length)
            for side, tuned in enumerate((False, True)):
                with self._as(tuned=tuned):
                    found[[place[id(example)] for example in group], side] = look(batch).tolist()
            done += len(group)
            show(done)
        return found

    @torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is untyped here
    def answers(self, questions: Sequence[Question], *, most: int, show: Show = lambda _: None) -> tuple[Side, Side]:
        """Return what the base model and the tuned one say to each question, by the likeliest token each time. most: tokens of an answer."""
        order = sorted(range(len(questions)), key=lambda at: -len(questions[at].ids))  # of like length, so that little is padding
        said: tuple[list[str], list[str]] = ([""] * len(questions), [""] * len(questions))
        unended, ends = [0, 0], torch.tensor(self._ends, device=self._device)
        for first in range(0, len(order), self._batch):
            group = order[first : first + self._batch]
            ids, mask = self._padded([questions[at].ids for at in group])
            for side, tuned in enumerate((False, True)):
                with self._as(tuned=tuned):
                    output = self._model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=most)[:, ids.shape[1] :]
                unended[side] += int((~torch.isin(output, ends)).all(dim=1).sum()) if output.shape[1] >= most else 0
                for at, text in zip(group, self._tokenizer.batch_decode(output, skip_special_tokens=True), strict=True):
                    said[side][at] = text
            show(min(first + self._batch, len(order)))
        return Side(said[0], unended[0]), Side(said[1], unended[1])

    def _padded(self, rows: Sequence[NDArray[np.int32]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask [rows, tokens], padded at the left: what is said next stands at the right."""
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._padding, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for row, one in enumerate(rows):
            ids[row, longest - len(one) :], mask[row, longest - len(one) :] = one, 1
        return torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device)
