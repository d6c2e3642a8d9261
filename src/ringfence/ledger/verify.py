"""What anyone can check with a public key: a whole log, or one entry with its proof."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ringfence.core.errors import LedgerBroken, SignatureInvalid
from ringfence.core.text import t
from ringfence.ledger.checkpoint import Checkpoint
from ringfence.ledger.merkle import TILE, HashTree, leaf_hash, root_from_inclusion
from ringfence.ledger.proof import Proof
from ringfence.ledger.store import CHECKPOINT, TEMPORARY, TileStore, or_unavailable
from ringfence.ledger.tiles import Tile, bundles, grown_tiles, parse_path

_NAMED = 10  # broken files that one message names


def verified_checkpoint(note: bytes, *, origin: str, public: Ed25519PublicKey) -> Checkpoint:
    """Return the checkpoint of a log's own note.

    Raises: LedgerBroken.
    """
    try:
        return Checkpoint.verify(note, origin=origin, public=public)
    except SignatureInvalid as cause:
        problem = t("the signature on checkpoint is not valid under the expected key", "checkpoint 的签名在预期密钥下无效")
        raise LedgerBroken(problem=problem) from cause


def check_root(tree: HashTree, checkpoint: Checkpoint) -> None:
    """Raise LedgerBroken unless the tree has the signed root."""
    if tree.root() != checkpoint.root:
        raise LedgerBroken(problem=t("the entries do not hash to the signed root", "条目的哈希与签名的根不符"))


def verify_proof(entry: bytes, proof: bytes, *, origin: str, public: Ed25519PublicKey) -> int:
    """Return the index at which `entry` stands in the log `origin`, from the proof and the log's public key alone.

    Raises: SignatureInvalid when the checkpoint in the proof is not by that key; LedgerBroken when the proof is malformed or does not
    lead from the entry to the signed root.
    """
    try:
        parts = Proof.from_bytes(proof)
    except ValueError as cause:
        raise LedgerBroken(problem=t("the proof is malformed", "证明格式不对")) from cause
    # (1) the log signed this checkpoint
    checkpoint = Checkpoint.verify(parts.checkpoint, origin=origin, public=public)
    # (2) the entry's hash leads to the root in it
    root = root_from_inclusion(leaf_hash(entry), parts.path, index=parts.index, size=checkpoint.size)
    if root != checkpoint.root:
        raise LedgerBroken(problem=t("the proof does not lead from this entry to the signed root", "证明不能从该条目推到签名的根"))
    return parts.index


def verify_log(folder: Path, origin: str, public: Ed25519PublicKey) -> int:
    """Return the number of entries after recomputing everything; every file that a reader may fetch is compared.

    Files past the checkpoint are leftovers of an interrupted append and prove nothing; they are not read.

    Raises: LedgerBroken, which names what is broken; LedgerUnavailable when the disk fails.
    """
    store, tree = TileStore(folder), HashTree()
    with or_unavailable():
        # (1) the checkpoint is signed by the expected key
        checkpoint = verified_checkpoint(store.note(), origin=origin, public=public)
        # (2) every entry can be read, and together they hash to the signed root; if not, do the hash tiles, and tell which entries changed?
        store.replay(tree, checkpoint.size, tail=b"")
        hashed = {tile.path for tile in bundles(checkpoint.size)}
        if tree.root() != checkpoint.root:
            tree, hashed = _from_tiles(store, checkpoint), set()
        # (3) every tile, also the old partial ones, holds exactly these hashes or entries; (4) nothing else is there
        found = set(_files(folder))
        wrong = [name for name in sorted(found - hashed) if not _is_right(name, store=store, tree=tree)]
        # (5) no tile is missing
        needed = {tile.path for tile in grown_tiles(0, checkpoint.size)}
        wrong += [t("{name} is missing", "缺少 {name}", name=name) for name in sorted(needed - found)]
    if wrong:
        names = ", ".join(wrong[:_NAMED]) + (f" … ({len(wrong)})" if len(wrong) > _NAMED else "")
        raise LedgerBroken(problem=t("these files are not what was signed: {names}", "这些文件与签名时不符：{names}", names=names))
    return checkpoint.size


def _from_tiles(store: TileStore, checkpoint: Checkpoint) -> HashTree:
    """Return the tree of the leaf hashes on disk, without the entries.

    Raises: LedgerBroken when they do not hash to the signed root either.
    """
    tree = HashTree()
    for bundle in bundles(checkpoint.size):
        tree.extend_hashed(store.read_tile(replace(bundle, level=0)))
    check_root(tree, checkpoint)
    return tree


def _files(folder: Path) -> Iterator[str]:
    """Yield the names of all files below the log's folder, links to folders included."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in [*files, *links]:
            yield (Path(parent) / name).relative_to(folder).as_posix()


def _is_right(name: str, *, store: TileStore, tree: HashTree) -> bool:
    """Return whether one file belongs into the log and holds what the tree says."""
    if name == CHECKPOINT or TEMPORARY.fullmatch(name):
        return True
    tile = parse_path(name)
    if tile is None:
        return False
    return not tile.is_within(tree.size) or _holds(tile, store=store, tree=tree)


def _holds(tile: Tile, *, store: TileStore, tree: HashTree) -> bool:
    expected = tree.hashes(tile.level or 0, tile.index * TILE, count=tile.width)
    try:
        found = store.read_tile(tile) if tile.level is not None else b"".join(map(leaf_hash, store.entries(tile)))
    except LedgerBroken:
        return False
    return found == expected
