"""Write a bundle: everything in a hidden folder beside the target, signed twice, verified, then one rename."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ringfence.core.digest import sha256, sha256_of
from ringfence.core.durable import full_disk_as_error, make_folder, sync_folder, write_all
from ringfence.core.errors import AlreadyExists, InvalidSettings, LedgerUnavailable
from ringfence.core.interrupts import uninterrupted
from ringfence.core.public_keys import PublicKeys
from ringfence.core.statement import PAYLOAD_TYPE as STATEMENT_TYPE
from ringfence.core.statement import Statement
from ringfence.ledger import dsse
from ringfence.release import openssf
from ringfence.release.chain import Evidence, Exhibit, parts
from ringfence.release.manifest import (
    ADAPTER,
    CARD,
    CONFIG,
    MANIFEST,
    MANIFEST_SIGNATURE,
    MODEL_SIGNATURE,
    OPTIONAL,
    PAYLOAD_TYPE,
    POLICY,
    BaseRef,
    BundleFile,
    Manifest,
)
from ringfence.release.verify import verify_bundle

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644  # a bundle is made to be handed on; the workspace around it is closed


@dataclass(frozen=True)
class Signers:
    """The two private keys of a release, and the public file that a verifier will bring. Never printed."""

    evidence: Ed25519PrivateKey = field(repr=False)
    release: EllipticCurvePrivateKey = field(repr=False)  # P-256
    public: PublicKeys


def write_bundle(
    folder: Path,
    signers: Signers,
    *,
    base: BaseRef,
    adapter: bytes | None,
    adapter_config: Mapping[str, Any],
    card: str,
    policy: bytes,
    evidence: Sequence[Evidence],
    release: bytes,
    extra: Mapping[str, bytes] | None = None,
    formats: Mapping[str, Path] | None = None,
    lock: AbstractContextManager[object] | None = None,
    record: Callable[[bytes], None] = lambda _: None,
) -> Manifest:
    """Return the manifest of the bundle that now stands at `folder`; its name is the folder's.

    adapter, adapter_config: None of a run that trained the base's own weights; then `formats` holds these, merged.
    evidence: import to train and the audit, in order, with proofs under one checkpoint. release: the signed release statement, whose subjects name files
    of the bundle (`adapter_model.safetensors` or merged weights at least) and whose `policy` is the SHA-256 of `policy`. extra: tokeniser and chat template. formats: files on the same disk, by their path inside the bundle, which are moved there.
    record: called with the manifest's bytes once the hidden folder verifies, just before the rename that makes the bundle appear; both happen
    while `lock` is held.
    Nothing appears unless it verifies: what cannot be verified is never handed on.

    Raises: AlreadyExists, InvalidSettings, StorageFull; BundleBroken or WrongSigner when the parts do not fit together.
    """
    if folder.exists():
        raise AlreadyExists(path=str(folder))
    if unknown := sorted((extra or {}).keys() - OPTIONAL):
        raise InvalidSettings(where="bundle", problem=f"{unknown[0]} is no file that a bundle holds")
    if not evidence:
        raise InvalidSettings(where="bundle", problem="it has no evidence")
    statements = [_statement(envelope, signers.public) for envelope in (*(e.envelope for e in evidence), release)]
    files = {
        **(extra or {}),
        **(_adapter_files(adapter, adapter_config) if adapter is not None else {}),
        CARD: card.encode(),
        POLICY: policy,
        **_evidence_files(evidence, release=release, statements=statements),
    }
    moved = dict(sorted((formats or {}).items()))
    listed = {path: (len(data), sha256(data)) for path, data in files.items()} | {
        path: (source.stat().st_size, sha256_of(source)) for path, source in moved.items()
    }
    manifest = Manifest(
        name=folder.name,
        tenant=signers.public.tenant,
        run=parts(statements).train.predicate.run,
        base=base,
        created=statements[-1].predicate.ended,
        files=tuple(BundleFile(path=path, size=size, sha256=digest) for path, (size, digest) in sorted(listed.items())),
    )
    signed = signatures({path: digest for path, (_, digest) in listed.items()}, manifest=manifest, signers=signers)
    whole = {**files, **signed}
    _place(folder, whole, moved, public=signers.public, lock=lock or nullcontext(), record=lambda: record(signed[MANIFEST]))
    return manifest


def signatures(digests: Mapping[str, str], *, manifest: Manifest, signers: Signers) -> dict[str, bytes]:
    """Return the manifest and both signature files, by path; the second signature covers the first.

    digests: path inside the bundle -> SHA-256, of every other file.
    """
    signed = {MANIFEST: manifest.to_bytes()}
    signed[MANIFEST_SIGNATURE] = dsse.sign(signed[MANIFEST], PAYLOAD_TYPE, signers.evidence)
    covered = {**digests, **{path: sha256(data) for path, data in signed.items()}}
    signed[MODEL_SIGNATURE] = openssf.sign(covered, name=manifest.name, key=signers.release)
    return signed


def _adapter_files(adapter: bytes, config: Mapping[str, Any]) -> dict[str, bytes]:
    return {ADAPTER: adapter, CONFIG: json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"}


def _statement(envelope: bytes, public: PublicKeys) -> Statement:
    return Statement.from_payload(dsse.verify(envelope, STATEMENT_TYPE, dsse.ed25519_public(public.evidence)))


def _evidence_files(evidence: Sequence[Evidence], *, release: bytes, statements: Sequence[Statement]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for number, (step, statement) in enumerate(zip(evidence, statements, strict=False), 1):
        exhibit = Exhibit(number, statement.step)
        files |= {exhibit.envelope: step.envelope, exhibit.entry: step.entry, exhibit.proof: step.proof}
        if step.figures is not None:
            files[exhibit.figures] = step.figures
    files[Exhibit(len(evidence) + 1, "release").envelope] = release
    return files


def _place(
    folder: Path,
    files: Mapping[str, bytes],
    moved: Mapping[str, Path],
    *,
    public: PublicKeys,
    lock: AbstractContextManager[object],
    record: Callable[[], None],
) -> None:
    """Write, verify, record, rename. A crash leaves `.<name>.<random>.tmp`, which fsck renames if it was recorded and removes if not."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        make_folder(temporary, mode=_FOLDER_MODE)
        folders = [temporary / name for name in {path.partition("/")[0] for path in (*files, *moved) if "/" in path}]
        for one in folders:
            make_folder(one, mode=_FOLDER_MODE)
        for path, data in files.items():
            _write(temporary / path, data)
        for path, source in moved.items():
            _move(source, temporary / path)
        for one in folders:
            sync_folder(one)
        sync_folder(temporary)
        verify_bundle(temporary, public)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    is_recorded = False
    try:
        with lock, uninterrupted(final=True):
            record()
            is_recorded = True
            _rename(temporary, folder)
            sync_folder(folder.parent)
    except LedgerUnavailable:  # the entry may have become durable: fsck, which reads the ledger, renames or removes the folder
        raise
    except BaseException:
        if not is_recorded:
            shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write(path: Path, data: bytes) -> None:
    with full_disk_as_error():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        try:
            write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)


def _move(source: Path, target: Path) -> None:
    with full_disk_as_error():
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(handle, _FILE_MODE)
            os.fsync(handle)
        finally:
            os.close(handle)
        source.rename(target)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as cause:
        if cause.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:  # someone was faster
            raise AlreadyExists(path=str(folder)) from cause
        raise
