"""Opens the second engine, TRL's: where its libraries may write and what they may see is decided before they are imported."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringfence.core.environment import keep_caches_in, use_one_gpu

LIBRARIES = ("trl", "datasets")  # of the extra "rl"


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """Yield `ringfence.train.drawn`; whatever its libraries kept on the disk is gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        keep_caches_in(Path(folder))
        use_one_gpu()
        yield importlib.import_module("ringfence.train.drawn")
