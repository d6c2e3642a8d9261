"""The ledger: an append-only log of JSON entries that nobody can change unnoticed, the owner of the disk included.

An entry counts once the checkpoint that covers it has replaced the old one. Everything before that moment can be lost without harm:
files past the checkpoint are leftovers that the next append overwrites. The caller holds the workspace lock while it appends.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ringfence.core.digest import canonical, parse_canonical
from ringfence.core.durable import full_disk_as_error, make_folder
from ringfence.core.errors import AlreadyExists, BadArgument, EntryTooLarge, LedgerBroken, LedgerUnavailable, NotCanonical, SignatureInvalid
from ringfence.core.text import t
from ringfence.ledger.checkpoint import Checkpoint
from ringfence.ledger.merkle import EMPTY_ROOT, TILE, HashTree, leaf_hash
from ringfence.ledger.proof import Proof
from ringfence.ledger.store import CHECKPOINT, TileStore, or_unavailable
from ringfence.ledger.tiles import MAX_ENTRY, Tile, bundles, grown_tiles, pack
from ringfence.ledger.verify import check_root, verified_checkpoint, verify_log, verify_proof

__all__ = ["Ledger", "verify_log", "verify_proof"]


class Ledger:
    """One opened log: a `Recorder` (core/protocols.py). Made by `create` or `open`."""

    def __init__(self, folder: Path, *, origin: str, public: Ed25519PublicKey, key: Ed25519PrivateKey | None) -> None:
        self.folder, self.origin = folder, origin
        self._public, self._key = public, key
        self._store = TileStore(folder)
        self._tree = HashTree()
        self._note = b""  # the signed checkpoint that the tree answers to
        self._tail = b""  # the last entry bundle, unless it is full

    @classmethod
    def create(cls, folder: Path, *, origin: str, key: Ed25519PrivateKey) -> Ledger:
        """Return a new, empty log in `folder`, whose parent exists.

        Raises: AlreadyExists when a log is there; LedgerUnavailable.
        """
        with or_unavailable():
            if (folder / CHECKPOINT).exists() or (folder / "tile").exists():
                raise AlreadyExists(path=str(folder))
            if not folder.is_dir():
                make_folder(folder)
            TileStore(folder).commit(Checkpoint(origin, 0, EMPTY_ROOT).sign(key))
        return cls.open(folder, origin=origin, public=key.public_key(), key=key)

    @classmethod
    def open(cls, folder: Path, *, origin: str, public: Ed25519PublicKey, key: Ed25519PrivateKey | None) -> Ledger:
        """Return the log in `folder` after verifying its signature and recomputing every entry's hash and the root.

        key: signs new checkpoints; None opens the log for reading.

        Raises: LedgerBroken; SignatureInvalid when `key` and `public` are no pair; LedgerUnavailable when the disk fails.
        """
        if key is not None and key.public_key() != public:
            raise SignatureInvalid(file=CHECKPOINT)
        ledger = cls(folder, origin=origin, public=public, key=key)
        ledger.refresh()
        return ledger

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._tree.size

    @property
    def root(self) -> bytes:
        """The root hash over all entries: [32]."""
        return self._tree.root()

    def checkpoint(self) -> bytes:
        """Return the signed checkpoint as a C2SP note."""
        return self._note

    def refresh(self) -> None:
        """Take in what another process appended; only the new entries are read and verified.

        Raises: LedgerBroken when the log on disk does not continue the one in memory; LedgerUnavailable when the disk fails.
        """
        with or_unavailable():
            note = self._store.note()
            if note == self._note:
                return
            checkpoint = verified_checkpoint(note, origin=self.origin, public=self._public)
            known = self.size
            if checkpoint.size < known:
                raise LedgerBroken(
                    problem=t("rolled back from {old} to {new} entries", "从 {old} 条回退到 {new} 条", old=known, new=checkpoint.size)
                )
            try:
                tail = self._store.replay(self._tree, checkpoint.size, tail=self._tail)
                check_root(self._tree, checkpoint)
            except BaseException:
                self._tree.truncate(known)
                raise
            self._note, self._tail = note, tail

    def raw(self, index: int) -> bytes:
        """Return the bytes of one entry, as they were hashed.

        Raises: BadArgument when there is no such entry; LedgerBroken; LedgerUnavailable when the disk fails.
        """
        self._check(index, below=self.size)
        tile = next(bundles(self.size, index))
        return self._bundle(tile)[index - tile.index * TILE]

    def entries(self, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the index and value of every entry from `start` on.

        Raises: LedgerBroken when an entry changed since it was verified; LedgerUnavailable when the disk fails.
        """
        for tile in bundles(self.size, max(start, 0)):
            for index, entry in enumerate(self._bundle(tile), tile.index * TILE):
                if index >= start:
                    value = parse_canonical(entry)
                    if not isinstance(value, dict):
                        raise NotCanonical
                    yield index, value

    def prove(self, index: int) -> bytes:
        """Return the proof that entry `index` is in the log: a C2SP tlog-proof, which holds the checkpoint.

        Raises: BadArgument when there is no such entry.
        """
        self._check(index, below=self.size)
        return Proof(index, self._tree.inclusion(index), self._note).to_bytes()

    def consistency(self, old_size: int) -> list[bytes]:
        """Return the hashes that prove the log of `old_size` entries to be a prefix of this one (RFC 6962 §2.1.2).

        Raises: BadArgument when the log is shorter than that.
        """
        self._check(old_size, below=self.size + 1)
        return self._tree.consistency(old_size)

    def export(self, path: Path) -> None:
        """Write a verified copy of the log to the new folder `path`.

        Raises: AlreadyExists; StorageFull; BadArgument when nothing can be written there; LedgerBroken.
        """
        if path.exists():
            raise AlreadyExists(path=str(path))
        try:
            with full_disk_as_error():
                make_folder(path)
                copy = TileStore(path)
                for tile in grown_tiles(0, self.size):
                    copy.write({tile: pack(self._bundle(tile)) if tile.level is None else self._hashes(tile)})
                copy.commit(self._note)
        except OSError as cause:
            shutil.rmtree(path, ignore_errors=True)
            raise BadArgument(option="PATH", problem=cause.strerror or "", verb="log export") from cause
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    # ── appending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def record(self, entry: dict[str, Any]) -> int:
        """Append one entry durably and return its index.

        Raises: as `record_many`.
        """
        return self.record_many([entry])[0]

    def record_many(self, entries: list[dict[str, Any]]) -> list[int]:
        """Append entries durably in one commit, all or none, and return their indices.

        Raises: LedgerUnavailable when they could not be written, and then the log is as before; LedgerBroken when it was changed;
        NotCanonical and EntryTooLarge for an entry that cannot stand in a log.
        """
        lines = [_encode(entry) for entry in entries]
        if self._key is None:
            raise LedgerUnavailable
        self.refresh()
        first = self.size
        if lines:
            with or_unavailable():
                self._append(lines, self._key)
        return list(range(first, self.size))

    def _append(self, lines: list[bytes], key: Ed25519PrivateKey) -> None:
        old, new, note = self.size, self.size + len(lines), b""
        try:
            self._tree.extend(lines)
            contents = {tile: self._content(tile, lines, old=old) for tile in grown_tiles(old, new)}
            self._store.write(contents, size=old)
            note = Checkpoint(self.origin, new, self._tree.root()).sign(key)
            self._store.commit(note)
        except BaseException as error:
            self._tree.truncate(old)
            # Ctrl-C does not undo a checkpoint that is in place: a reader may have seen it by now. The next refresh takes it in.
            undone = note if isinstance(error, Exception) else b""
            self._store.withdraw(grown_tiles(old, new), failed=undone, note=self._note)
            raise
        last = next(bundles(new, new - 1))
        self._note, self._tail = note, contents[last] if last.width < TILE else b""
        self._store.prune(contents)

    def _content(self, tile: Tile, lines: list[bytes], *, old: int) -> bytes:
        """Return what a file holds once `lines` follow the first `old` entries."""
        if tile.level is not None:
            return self._hashes(tile)
        start = tile.index * TILE - old
        new = pack(lines[max(start, 0) : start + tile.width])
        return self._tail + new if start < 0 else new

    def _hashes(self, tile: Tile) -> bytes:
        return self._tree.hashes(tile.level or 0, tile.index * TILE, count=tile.width)

    def _bundle(self, tile: Tile) -> list[bytes]:
        """Return the entries of a file, compared once more with the hashes in memory."""
        with or_unavailable():
            entries = self._store.entries(tile)
        if b"".join(map(leaf_hash, entries)) != self._tree.hashes(0, tile.index * TILE, count=tile.width):
            raise LedgerBroken(problem=t("{name} changed since it was opened", "{name} 打开后被改动", name=tile.path))
        return entries

    def _check(self, number: int, *, below: int) -> None:
        if not 0 <= number < below:
            problem = t("{number} is not in the log of {size} entries", "{size} 条的账本里没有 {number}", number=number, size=self.size)
            raise BadArgument(option="INDEX", problem=problem, verb="log")


def _encode(entry: dict[str, Any]) -> bytes:
    line = canonical(entry)
    parse_canonical(line)  # a value that JSON reads back differently (keys that are numbers) would spoil the log for its readers
    if len(line) > MAX_ENTRY:
        raise EntryTooLarge(size=len(line), limit=MAX_ENTRY)
    return line
