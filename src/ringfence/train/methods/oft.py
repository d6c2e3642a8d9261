"""Orthogonal fine-tuning: what a layer reads is rotated, block by block, before it is read.

Source: Qiu et al. 2023 (arXiv:2306.07280); Qiu et al. 2025 (arXiv:2506.19847) for rotating inputs instead of weights and for the Cayley-Neumann
parametrisation, as peft implements them.
"""

from __future__ import annotations

from typing import Any

from peft import OFTConfig

from ringfence.train.adapter import modules_to_save, task_type
from ringfence.train.method import METHODS
from ringfence.train.methods.lora import Lora


@METHODS.add("oft.v1")
class Oft(Lora):
    """Rotations of blocks of `oft_block_size` inputs, or of `oft_rank` blocks, that begin as none. Not under privacy: one rotation is met by all tokens."""

    def _config(self, names: list[str]) -> Any:  # noqa: ANN401  peft is untyped
        return OFTConfig(
            r=self._settings.oft_rank,
            oft_block_size=self._settings.oft_block_size,
            module_dropout=self._settings.module_dropout,
            target_modules=names,
            bias="none",
            task_type=task_type(self._settings),
            modules_to_save=modules_to_save(self._settings),
        )
