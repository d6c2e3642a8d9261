"""One ciphertext file: a Tink streaming-AEAD stream that is bound to its place, so that it opens nowhere else."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tink import TinkError, proto_keyset_format, secret_key_access, streaming_aead

from ringfence.core.durable import full_disk_as_error, write_all
from ringfence.core.errors import ObjectBroken
from ringfence.core.interrupts import uninterrupted
from ringfence.core.order import Slot

INDEX = "index"  # position and file name of an object's sealed index
BLOCK = 1 << 17  # bytes that are read or joined at a time: fits a cache; pieces of 4 MB have half the speed

streaming_aead.register()


def _keep_freed_memory() -> None:
    """Free one large block: from then on glibc reuses freed blocks of up to that size, where by default it returns each to the kernel.

    Without it a page fault every 4 kB takes a quarter of the time of a write. Source: mallopt(3), "dynamic mmap threshold".
    """
    bytes(16 << 20)


_keep_freed_memory()


def number(position: str) -> int:
    """Return the position as the number that errors carry: -1 for the index."""
    return -1 if position == INDEX else int(position)


def _associated_data(*, tenant: str, slot: str, version: int, position: str, last: bool) -> bytes:
    return f"ringfence/1|{tenant}|{slot}|{version}|{position}|{int(last)}".encode()


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)


def _primitive(key: bytes, position: str) -> Any:  # noqa: ANN401  Tink has no types
    try:
        return proto_keyset_format.parse(key, secret_key_access.TOKEN).primitive(streaming_aead.StreamingAead)
    except TinkError as cause:
        raise ObjectBroken(file=number(position)) from cause


class _Sink(io.RawIOBase):
    """Takes ciphertext from Tink. Keeps the first error back: raised inside Tink's C++ it would come out as text, without its errno."""

    def __init__(self, handle: int) -> None:
        super().__init__()
        self._handle = handle
        self.error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401  any buffer
        if self.error is None:
            try:
                write_all(self._handle, data)
            except OSError as error:
                self.error = error
        return len(data)

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def _encrypt(aead: Any, sink: _Sink, blocks: Iterable[bytes], data: bytes) -> None:  # noqa: ANN401  Tink has no types
    stream = aead.new_encrypting_stream(sink, data).detach()  # its 8 kB buffer would copy every block again
    try:
        for block in blocks:
            rest = block
            while rest:
                with uninterrupted():  # Tink makes a TinkError of whatever is raised in the middle
                    written = stream.write(rest)
                rest = rest[written:]
            sink.check()
    except BaseException as error:
        sink.error = error  # the stream must still be closed, but nothing more is written
        raise
    finally:
        with uninterrupted():
            stream.close()
    sink.check()


def seal(path: Path, blocks: Iterable[bytes], *, key: bytes, tenant: str, slot: str, version: int, position: str, last: bool) -> None:
    """Write a new file (mode 0600, fsynced) that holds `blocks` as one stream; on any error no file remains.

    key: serialised Tink keyset. position: decimal number of the file in its object, or "index". last: True on the final file.
    Memory: the largest block and about 2 MB.

    Raises: StorageFull, ObjectBroken for a key that is none, FileExistsError.
    """
    aead = _primitive(key, position)
    data = _associated_data(tenant=tenant, slot=slot, version=version, position=position, last=last)
    with full_disk_as_error():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _encrypt(aead, _Sink(handle), blocks, data)
            os.fsync(handle)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)


def opened(path: Path, *, key: bytes, tenant: str, slot: str, version: int, position: str, last: bool) -> Iterator[bytes]:
    """Yield the plaintext in blocks of at most 128 kB, each authenticated; only the end of the iteration proves that none was cut off.

    Raises: ObjectBroken.
    """
    aead = _primitive(key, position)
    data = _associated_data(tenant=tenant, slot=slot, version=version, position=position, last=last)
    try:
        with open(path, "rb", buffering=0, opener=_opener) as source:
            raw = aead.new_decrypting_stream(source, data).detach()  # its 8 kB buffer would copy every block again
            while True:
                with uninterrupted():
                    block = raw.read(BLOCK)
                if not block:
                    return
                yield block
    except (TinkError, OSError, ValueError) as cause:
        raise ObjectBroken(file=number(position)) from cause


class ObjectStreams:
    """Seals and opens the files of one object, each under its own position."""

    def __init__(self, slot: Slot, key: bytes) -> None:
        self.folder = Path(slot.path)
        self._slot, self._key = slot, key

    def seal(self, name: str, blocks: Iterable[bytes], *, position: str, last: bool) -> None:
        """Write file `name`; see `seal`."""
        slot = self._slot
        seal(
            self.folder / name,
            blocks,
            key=self._key,
            tenant=slot.tenant,
            slot=slot.slot,
            version=slot.version,
            position=position,
            last=last,
        )

    def opened(self, name: str, *, position: str, last: bool) -> Iterator[bytes]:
        """Yield the plaintext of file `name`; see `opened`."""
        slot = self._slot
        return opened(
            self.folder / name, key=self._key, tenant=slot.tenant, slot=slot.slot, version=slot.version, position=position, last=last
        )

    def check_files(self, expected: list[str]) -> None:
        """Demand that the order's list of files, if it has one, is exactly `expected`, and that each file is there in its size.

        Raises: ObjectBroken with the number of the first file that is not.
        """
        listed = self._slot.files
        for i in range(max(len(expected), len(listed) or len(expected))):
            at = i if i < len(expected) - 1 else -1
            if i >= len(expected) or (listed and (i >= len(listed) or listed[i].name != expected[i])):
                raise ObjectBroken(file=at)
            try:
                size = (self.folder / expected[i]).stat(follow_symlinks=False).st_size
            except OSError as cause:
                raise ObjectBroken(file=at) from cause
            if listed and size != listed[i].size:
                raise ObjectBroken(file=at)
