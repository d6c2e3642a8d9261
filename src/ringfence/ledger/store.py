"""A log's files on disk: read with suspicion, written so that the checkpoint is the only commit point."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ringfence.core.durable import make_folder, sync_folder, write_all, write_atomic
from ringfence.core.errors import LedgerBroken, LedgerUnavailable, StorageFull
from ringfence.core.text import t
from ringfence.ledger.merkle import TILE, HashTree
from ringfence.ledger.notes import MAX_NOTE
from ringfence.ledger.tiles import MAX_BUNDLE, MAX_TILE, Tile, bundles, pack, unpack

CHECKPOINT = "checkpoint"
TEMPORARY = re.compile(r"\.checkpoint\.[0-9a-f]{8}\.tmp")  # what write_atomic leaves when it is killed
_WIDTH = re.compile("[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]")
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR}


@contextlib.contextmanager
def or_unavailable() -> Iterator[None]:
    """Turn every failure of the disk inside into LedgerUnavailable."""
    try:
        yield
    except (OSError, StorageFull) as cause:
        raise LedgerUnavailable from cause


class TileStore:
    """The folder of one log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._synced: set[Path] = set()  # folders whose own names are known to be durable
        self._is_swept = False

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def note(self) -> bytes:
        """Return the signed checkpoint, unverified.

        Raises: LedgerBroken when there is none; OSError.
        """
        return self.read(CHECKPOINT, limit=MAX_NOTE)

    def read(self, name: str, *, limit: int) -> bytes:
        """Return the content of one file.

        Raises: LedgerBroken when it is missing, no plain file or longer than `limit` bytes; OSError when the disk fails.
        """
        try:
            handle = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as cause:
            if cause.errno in _NOT_THERE:
                raise LedgerBroken(problem=t("{name} is missing", "缺少 {name}", name=name)) from cause
            if cause.errno == errno.ELOOP:
                raise LedgerBroken(problem=_oddity(name)) from cause
            raise
        try:
            is_plain = stat.S_ISREG(os.fstat(handle).st_mode)
            data = _drain(handle, limit + 1) if is_plain else b""
        finally:
            os.close(handle)
        if not is_plain or len(data) > limit:
            raise LedgerBroken(problem=_oddity(name))
        return data

    def read_tile(self, tile: Tile) -> bytes:
        """Return the content of a tile, as `read` does."""
        return self.read(tile.path, limit=MAX_BUNDLE if tile.level is None else MAX_TILE)

    def entries(self, tile: Tile) -> list[bytes]:
        """Return the entries of a bundle: [tile.width]. A partial bundle that is gone is cut from the full one.

        Raises: LedgerBroken; OSError.
        """
        full = replace(tile, width=TILE)
        found = tile if (self.folder / tile.path).exists() or not (self.folder / full.path).exists() else full
        try:
            return unpack(self.read_tile(found), found.width)[: tile.width]
        except ValueError as cause:
            raise LedgerBroken(problem=_oddity(found.path)) from cause

    def replay(self, tree: HashTree, size: int, *, tail: bytes) -> bytes:
        """Append to `tree` the entries up to `size` and return the bytes of the last bundle, empty if that bundle is full.

        tail: what this call returned last time: the bundle that holds the tree's last entries must still begin so.

        Raises: LedgerBroken; OSError.
        """
        for tile in bundles(size, tree.size):
            entries = self.entries(tile)
            if tail and not pack(entries).startswith(tail):
                raise LedgerBroken(problem=_oddity(tile.path))
            tree.extend(entries[tree.size - tile.index * TILE :])
            tail = pack(entries) if tile.width < TILE else b""
        return tail

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def write(self, contents: Mapping[Tile, bytes], *, size: int = 0) -> None:
        """Write files that a log of `size` entries does not need, durably; leftovers beyond `size` are overwritten or removed.

        Raises: OSError, StorageFull.
        """
        for tile, data in contents.items():
            path = self.folder / tile.path
            self._clear(tile, size)
            self._make_folder(path.parent)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
        for parent in {(self.folder / tile.path).parent for tile in contents}:
            sync_folder(parent)

    def _clear(self, tile: Tile, size: int) -> None:
        """Remove the partial files of a tile that a log of `size` entries does not vouch for, or the grown log would seem to."""
        folder = self._partials(tile)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        partials = [replace(tile, width=int(name)) for name in names if _WIDTH.fullmatch(name)]
        stale = [partial for partial in partials if not partial.is_within(size)]
        for partial in stale:
            (self.folder / partial.path).unlink()
        if stale:
            sync_folder(folder)

    def _partials(self, tile: Tile) -> Path:
        return (self.folder / replace(tile, width=1).path).parent

    def commit(self, note: bytes) -> None:
        """Replace the checkpoint: the log now is what `note` says.

        Raises: OSError, StorageFull.
        """
        if not self._is_swept:
            self._sweep()
        write_atomic(self.folder / CHECKPOINT, note)

    def withdraw(self, tiles: Iterable[Tile], *, failed: bytes, note: bytes) -> None:
        """Undo a commit that failed, as far as the disk allows: the checkpoint first, then the files, to give back their room.

        failed: the checkpoint that was to be, empty if it was not signed yet. note: the one before.
        A checkpoint that is neither was written by somebody else and stays, with all files. So do the files when the disk refuses even
        this: they then either belong to the new checkpoint or are leftovers.
        """
        with contextlib.suppress(OSError, StorageFull, LedgerBroken):
            found = self.note()
            if found == failed:
                write_atomic(self.folder / CHECKPOINT, note)
            elif found != note:
                return
            for tile in tiles:
                (self.folder / tile.path).unlink(missing_ok=True)

    def prune(self, tiles: Iterable[Tile]) -> None:
        """Remove the partial files of full tiles. Whatever cannot be removed may stay."""
        for tile in tiles:
            folder = self._partials(tile)
            if tile.width == TILE and folder.is_dir():
                with contextlib.suppress(OSError):
                    for partial in folder.iterdir():
                        partial.unlink()
                    folder.rmdir()

    def _make_folder(self, path: Path) -> None:
        """Make sure that `path` and every folder above it, down from the log's, is durable: a killed process may have synced none."""
        if path == self.folder or path in self._synced:
            return
        self._make_folder(path.parent)
        if path.is_dir():
            sync_folder(path.parent)
        else:
            make_folder(path)
        self._synced.add(path)

    def _sweep(self) -> None:
        for path in self.folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
        self._is_swept = True


def _oddity(name: str) -> str:
    return t("{name} is not what was written", "{name} 与写入时不符", name=name)


def _drain(handle: int, most: int) -> bytes:
    """Return up to `most` bytes of an open file."""
    parts, left = [], most
    while left and (part := os.read(handle, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
