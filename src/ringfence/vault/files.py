"""Objects of named files (adapters, checkpoints, figures): one stream a file, numbered; the names lie in the sealed index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from ringfence.core.digest import canonical, parse_canonical
from ringfence.core.durable import full_disk_as_error, sync_folder
from ringfence.core.errors import NotCanonical, ObjectBroken
from ringfence.core.order import Slot
from ringfence.core.settings import Settings
from ringfence.vault.streams import INDEX, ObjectStreams

_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"  # becomes a file name again in a bundle: no folders, nothing hidden


class _Names(Settings):
    format: Literal["ringfence.names/1"] = "ringfence.names/1"
    names: tuple[Annotated[str, Field(pattern=_NAME)], ...]


def stream_name(i: int) -> str:
    """Return the name on disk of file `i`."""
    return f"{i:06}.file"


def write_files(slot: Slot, key: bytes, files: Mapping[str, bytes | Iterable[bytes]]) -> None:
    """Write the files, in the mapping's order, and then the index.

    Raises: StorageFull, ValueError for a name that is not a plain file name.
    """
    for name in files:
        if not re.fullmatch(_NAME, name):
            raise ValueError("a file of an object has a plain name")
    streams = ObjectStreams(slot, key)
    for i, content in enumerate(files.values()):
        blocks = [content] if isinstance(content, bytes) else content
        streams.seal(stream_name(i), blocks, position=str(i), last=i == len(files) - 1)
    names = _Names(names=tuple(files))
    streams.seal(INDEX, [canonical(names.model_dump(mode="json"))], position=INDEX, last=True)
    with full_disk_as_error():
        sync_folder(streams.folder)


def file_names(slot: Slot, key: bytes) -> tuple[str, ...]:
    """Return the names of the files, in order.

    Raises: ObjectBroken.
    """
    streams = ObjectStreams(slot, key)
    try:
        names = _Names.model_validate(parse_canonical(b"".join(streams.opened(INDEX, position=INDEX, last=True)))).names
    except (ValueError, NotCanonical) as cause:
        raise ObjectBroken(file=-1) from cause
    streams.check_files([stream_name(i) for i in range(len(names))] + [INDEX])
    return names


def read_blocks(slot: Slot, key: bytes, name: str) -> Iterator[bytes]:
    """Yield one file in blocks of at most 128 kB; only the end of the iteration proves that it is whole.

    Raises: ObjectBroken, also for a name that the object does not have.
    """
    names = file_names(slot, key)
    if name not in names:
        raise ObjectBroken(file=-1)
    i = names.index(name)
    yield from ObjectStreams(slot, key).opened(stream_name(i), position=str(i), last=i == len(names) - 1)


def read_file(slot: Slot, key: bytes, name: str) -> bytes:
    """Return one file, whole and authenticated.

    Raises: ObjectBroken, also for a name that the object does not have.
    """
    return b"".join(read_blocks(slot, key, name))
