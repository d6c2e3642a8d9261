"""Files with record text outside the vault: whole or not at all, and for their owner alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringfence.core.durable import written
from ringfence.core.errors import AlreadyExists, BadArgument
from ringfence.core.text import t


@contextmanager
def new_file(path: Path, *, option: str, verb: str, replace: bool = False) -> Iterator[int]:
    """Yield a descriptor of what will be `path` once the block has ended without an error. option, verb: what named it on the command line.

    Raises: AlreadyExists unless it may be replaced, BadArgument, StorageFull.
    """
    try:
        with written(path, replace=replace) as handle:
            yield handle
    except FileExistsError as cause:
        raise AlreadyExists(path=str(path)) from cause
    except OSError as cause:
        problem = t("{path} cannot be written", "{path} 无法写入", path=path)
        raise BadArgument(option=option, problem=problem, verb=verb) from cause
