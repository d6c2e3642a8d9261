"""The per-user store of base models: plain folders named by digest, each with its entry beside it. Outside every workspace."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ringfence.core.digest import canonical, object_digest, parse_canonical, sha256, sha256_of
from ringfence.core.durable import full_disk_as_error, sync_folder, write_atomic
from ringfence.core.environment import model_store
from ringfence.core.errors import ModelBroken, ModelError, ModelUnknown, ModelUnsupported, NoModelStore, NotCanonical, SignatureMismatch
from ringfence.core.settings import Digest, Settings
from ringfence.core.text import t
from ringfence.models.card import stated_licence
from ringfence.models.folder import Kind, ModelFolder, check_folder, is_understood
from ringfence.models.safety import UNKNOWN, Check, assess
from ringfence.models.signature import METHOD, Signature, read_signature

_BLOCK = 1 << 20  # bytes read at a time
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")  # what others call it: ORGANISATION/NAME of a hub
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORMAT: Literal["ringfence.model/2"] = "ringfence.model/2"
LONGEST_LICENCE, LONGEST_PROVENANCE = 64, 512  # characters


class ModelFile(Settings):
    """One file of a model, by SHA-256."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9.][A-Za-z0-9._-]{0,63}$")]
    size: Annotated[int, Field(ge=0)]
    sha256: Digest


class PublisherSignature(Settings):
    """What a publisher signed. The signature and the public key lie beside the entry, so that `verify` checks them again."""

    method: Literal["ecdsa-p256-sha256"] = METHOD
    fingerprint: Digest  # SHA-256 of the public key, DER SubjectPublicKeyInfo
    file: Digest  # of the signature file
    left_out: tuple[Annotated[str, Field(max_length=4096)], ...] = ()  # signed files that a base model has no use for: compared, not kept


class ModelEntry(Settings):
    """A registered base model. `digest` names its folder; hub names are aliases and never followed.

    Version 1 had no provenance, time, signature and verdict; it is still read.
    """

    format: Literal["ringfence.model/1", "ringfence.model/2"] = _FORMAT
    name: Annotated[str, Field(pattern=rf"^{_NAME.pattern}$")]
    kind: Kind = "decoder"
    aliases: tuple[Annotated[str, Field(pattern=rf"^{_ALIAS.pattern}$")], ...] = ()
    digest: Digest
    licence: Annotated[str, Field(max_length=LONGEST_LICENCE)] = UNKNOWN
    source: Annotated[str, Field(max_length=256)] = "local folder"  # name of the folder, or of the file that it was rebuilt from
    provenance: Annotated[str, Field(max_length=LONGEST_PROVENANCE)] = ""  # where it came from, in the importer's words
    imported: Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?$")] = ""  # UTC
    signature: PublisherSignature | None = None
    verdict: tuple[Check, ...] = ()
    files: tuple[ModelFile, ...]

    @property
    def path(self) -> Path:
        """Return the folder that a child gets to see, read-only."""
        return model_store() / self.digest

    def open(self) -> ModelFolder:
        """Return what the folder holds, by its headers.

        Raises: UnsafeFile, ModelUnsupported, ModelUnknown.
        """
        return check_folder(self.path)


def ensure_store() -> Path:
    """Return the folder of the store, made when it is not there yet.

    Raises: NoModelStore, StorageFull.
    """
    folder = model_store()
    try:
        with full_disk_as_error():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as cause:
        raise _unusable(folder) from cause
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise _unusable(folder)
    return folder


def listing() -> list[ModelEntry]:
    """Return every registered model, by name.

    Raises: ModelBroken, NoModelStore.
    """
    return sorted(map(read_entry, digests()), key=lambda entry: entry.name)


def digests() -> list[str]:
    """Return the digest of every registered model, readable or not.

    Raises: NoModelStore.
    """
    folder = model_store()
    try:
        return sorted(path.stem for path in folder.glob("*.json") if _DIGEST.fullmatch(path.stem)) if folder.is_dir() else []
    except PermissionError as cause:
        raise _unusable(folder) from cause


def find(name: str, *, kind: Kind | None = None) -> ModelEntry:
    """Return the model registered under a name, an alias or a digest; a path to a folder registers that folder first.

    Raises: ModelUnknown, UnsafeFile, ModelUnsupported, ModelBroken.
    """
    folder = Path(name)
    try:
        return find_registered(name, kind=kind)
    except ModelUnknown:
        if not folder.is_dir():
            raise
        shown = re.sub(r"[^A-Za-z0-9._-]", "-", folder.resolve().name).lstrip(".-_")[:64] or "model"
        entry = register(folder, shown, keeps=True)
        if kind not in (None, entry.kind):
            raise
        return entry


def find_registered(name: str, *, kind: Kind | None = None) -> ModelEntry:
    """Return the model registered under a name, an alias or a digest.

    Raises: ModelUnknown, ModelBroken, NoModelStore.
    """
    entries = [entry for entry in listing() if kind in (None, entry.kind)]
    for entry in entries:
        if name in (entry.name, entry.digest, *entry.aliases):
            return entry
    raise ModelUnknown(name=name, known=", ".join(entry.name for entry in entries) or "-")


def register(
    folder: Path,
    name: str,
    *,
    licence: str = UNKNOWN,
    source: str = "local folder",
    provenance: str = "",
    signature: Signature | None = None,
    aliases: tuple[str, ...] = (),
    keeps: bool = False,
) -> ModelEntry:
    """Copy an accepted model folder into the store and return its entry.

    The same content is stored once, and keeps its aliases; what an earlier import knew of it and this one does not say stays.

    licence: "unknown" takes what the folder's README states. provenance: where it came from, in the importer's words.
    signature: covers the folder as it is given. Signed files that a base model has no use for are compared and left out.
    keeps: what is registered already stays as it is, name and licence included.

    After a crash the store holds the whole model or nothing that `listing` shows: the entry is written last.

    Raises: UnsafeFile, ModelUnsupported, ModelUnknown, NoModelStore, StorageFull, SignatureMismatch.
    """
    if not _NAME.fullmatch(name):
        shape = t(
            "a model's name is up to 64 letters, digits, dots, hyphens and underscores", "模型名称至多 64 个字母、数字、点、连字符或下划线"
        )
        raise ModelUnsupported(problem=shape)
    if bad := [alias for alias in aliases if not _ALIAS.fullmatch(alias)]:
        shape = t(
            "{alias}: an alias is up to 128 letters, digits, dots, hyphens, underscores and slashes",
            "{alias}：别名至多 128 个字母、数字、点、连字符、下划线与斜杠",
            alias=bad[0],
        )
        raise ModelUnsupported(problem=shape)
    left_out = _compare(folder, signature) if signature else ()
    found = check_folder(folder, only=signature.files.keys() - set(left_out) if signature else None)
    store = ensure_store()
    temporary = store / f".{secrets.token_hex(8)}.tmp"
    with full_disk_as_error():
        temporary.mkdir(mode=0o700)
        try:
            files = tuple(_copy(folder / each, temporary / each) for each in found.names)
            for file in files:
                if signature:
                    signature.compare(file.name, file.sha256)
            judged = check_folder(temporary)  # the copy is what is used, so the copy is what is judged
            entry = ModelEntry(
                name=name,
                kind=found.kind,
                aliases=aliases,
                digest=object_digest((file.name, file.size, file.sha256) for file in files),
                licence=(stated_licence(temporary) or UNKNOWN) if licence == UNKNOWN else licence,
                source=source,
                provenance=provenance,
                imported=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                signature=_signature(signature, left_out),
                files=files,
            )
            sync_folder(temporary)
            if entry.path.exists() and (keeps or _is_whole(entry.path, files)):
                shutil.rmtree(temporary)
            else:
                _place(temporary, entry.path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(store)
    known = next((one for one in listing() if one.digest == entry.digest), None)
    if known is not None and keeps:
        return known
    if known is not None:
        entry = _joined(entry, known)
    verdict = assess(
        judged._replace(path=entry.path), licence=entry.licence, provenance=entry.provenance, is_signed=entry.signature is not None
    )
    entry = entry.model_copy(update={"verdict": verdict})
    _release_name(entry)
    if signature:
        write_atomic(_beside(entry, ".sig"), signature.data)
        write_atomic(_beside(entry, ".pem"), signature.key)
    _write(entry)
    return entry


def verify(name: str, *, kind: Kind | None = None, public: bytes | None = None) -> ModelEntry:
    """Return the entry after recomputing the SHA-256 of every file, and the signature over them. public: see `check`.

    Raises: ModelBroken, ModelUnknown, SignatureMismatch, SignatureUnreadable.
    """
    return check(find(name, kind=kind), public=public)


def check(entry: ModelEntry, *, public: bytes | None = None) -> ModelEntry:
    """Return the entry after recomputing the SHA-256 of every file, and the signature over them.

    public: the publisher's key as the user has it, PEM; without it the key that was there at import, which whoever writes to the store can replace.

    Raises: ModelBroken; with `public` SignatureMismatch for a model that is not signed by it, SignatureUnreadable for what is no such key.
    """
    if not _is_whole(entry.path, entry.files):
        raise ModelBroken(name=entry.name)
    _check_signature(entry)
    if public is not None:
        if entry.signature is None:
            raise SignatureMismatch(problem=t("{name} was registered without a signature", "{name} 登记时没有签名", name=entry.name))
        read_signature(_beside(entry, ".sig").read_bytes(), public)
    return entry


def _check_signature(entry: ModelEntry) -> None:
    """Return when what lies beside the entry is what it names, and covers the stored files and those that were left out. Raises: ModelBroken."""
    if entry.signature is None:
        return
    try:
        signature = read_signature(_beside(entry, ".sig").read_bytes(), _beside(entry, ".pem").read_bytes())
    except (OSError, ModelError) as cause:
        raise ModelBroken(name=entry.name) from cause
    stored = {file.name: file.sha256 for file in entry.files}
    covered = {path: digest for path, digest in signature.files.items() if path not in entry.signature.left_out}
    if covered != stored or _signature(signature, entry.signature.left_out) != entry.signature:
        raise ModelBroken(name=entry.name)


def _beside(entry: ModelEntry, suffix: str) -> Path:
    return model_store() / f"{entry.digest}{suffix}"


def _compare(folder: Path, signature: Signature) -> tuple[str, ...]:
    """Return the signed files that a base model has no use for, once the folder holds what was signed.

    Raises: SignatureMismatch, ModelUnknown.
    """
    if not folder.is_dir():
        raise ModelUnknown(name=str(folder), known="-")
    signature.match(folder)
    left_out = tuple(sorted(path for path in signature.files if not is_understood(path)))
    for path in left_out:  # the others while they are copied
        signature.compare(path, sha256_of(folder / path))
    return left_out


def _is_whole(folder: Path, files: tuple[ModelFile, ...]) -> bool:
    """Return whether a folder holds exactly these files."""
    present = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if present != sorted(file.name for file in files):
        return False
    paths = {folder / file.name: file for file in files}
    return all(
        not path.is_symlink() and path.stat().st_size == file.size and sha256_of(path) == file.sha256 for path, file in paths.items()
    )


def _place(made: Path, final: Path) -> None:
    """Move a finished folder to its name; one that somebody changed makes way for it."""
    old = made.with_suffix(".old")
    if final.exists():
        final.rename(old)
    made.rename(final)
    if old.exists():
        shutil.rmtree(old)


def _signature(signature: Signature | None, left_out: tuple[str, ...]) -> PublisherSignature | None:
    if signature is None:
        return None
    return PublisherSignature(fingerprint=signature.fingerprint, file=sha256(signature.data), left_out=left_out)


def _joined(entry: ModelEntry, known: ModelEntry) -> ModelEntry:
    """Return a new entry with what an earlier one of the same content knew, where the new one says nothing."""
    return entry.model_copy(
        update={
            "aliases": tuple(dict.fromkeys((*known.aliases, *entry.aliases))),
            "licence": known.licence if entry.licence == UNKNOWN else entry.licence,
            "provenance": entry.provenance or known.provenance,
            "signature": entry.signature or known.signature,
        }
    )


def _write(entry: ModelEntry) -> None:
    now = entry.model_copy(update={"format": _FORMAT})
    write_atomic(_beside(entry, ".json"), canonical(now.model_dump(mode="json")))


def _unusable(folder: Path) -> NoModelStore:
    return NoModelStore(problem=t("{path} cannot be used by this account", "该账户无法使用 {path}", path=folder))


def _release_name(entry: ModelEntry) -> None:
    """Take name and aliases from the models that had them: they mean the newest import, an older one keeps its digest."""
    taken = {entry.name, *entry.aliases}
    for other in listing():
        if other.digest == entry.digest or not taken & {other.name, *other.aliases}:
            continue
        name = f"{other.name[:50]}-{other.digest[:8]}" if other.name in taken else other.name
        kept = tuple(alias for alias in other.aliases if alias not in taken and other.name not in taken)
        _write(other.model_copy(update={"name": name, "aliases": kept}))


def read_entry(digest: str) -> ModelEntry:
    """Return the entry of a registered model.

    Raises: ModelBroken.
    """
    try:
        entry = ModelEntry.model_validate(parse_canonical((model_store() / f"{digest}.json").read_bytes()))
    except (OSError, NotCanonical, ValidationError) as cause:
        raise ModelBroken(name=digest) from cause
    listed = object_digest((file.name, file.size, file.sha256) for file in entry.files)
    if not digest == entry.digest == listed:
        raise ModelBroken(name=entry.name)
    return entry


def _copy(source: Path, target: Path) -> ModelFile:
    """Copy one file durably and return its digest, computed over the bytes that were written."""
    digest, size = hashlib.sha256(), 0
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with contextlib.closing(os.fdopen(handle, "rb")) as reader, target.open("xb") as writer:
        while block := reader.read(_BLOCK):
            digest.update(block)
            size += len(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return ModelFile(name=target.name, size=size, sha256=digest.hexdigest())
