"""The per-user store of base models: plain folders named by digest, each with its entry beside it. Outside every workspace."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ringfence.core.digest import canonical, object_digest, parse_canonical, sha256_of
from ringfence.core.durable import full_disk_as_error, sync_folder, write_atomic
from ringfence.core.environment import model_store
from ringfence.core.errors import ModelBroken, ModelUnknown, ModelUnsupported, NoModelStore, NotCanonical
from ringfence.core.settings import Digest, Settings
from ringfence.core.text import t
from ringfence.models.folder import Kind, ModelFolder, check_folder

_BLOCK = 1 << 20  # bytes read at a time
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")  # what others call it: ORGANISATION/NAME of a hub
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ModelFile(Settings):
    """One file of a model, by SHA-256."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9.][A-Za-z0-9._-]{0,63}$")]
    size: Annotated[int, Field(ge=0)]
    sha256: Digest


class ModelEntry(Settings):
    """A registered base model. `digest` names its folder; hub names are aliases and never followed."""

    format: Literal["ringfence.model/1"] = "ringfence.model/1"
    name: Annotated[str, Field(pattern=rf"^{_NAME.pattern}$")]
    kind: Kind = "decoder"
    aliases: tuple[Annotated[str, Field(pattern=rf"^{_ALIAS.pattern}$")], ...] = ()
    digest: Digest
    licence: Annotated[str, Field(max_length=64)] = "unknown"
    source: Annotated[str, Field(max_length=256)] = "local folder"
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
    folder = model_store()
    try:
        paths = [path for path in folder.glob("*.json") if _DIGEST.fullmatch(path.stem)] if folder.is_dir() else []
    except PermissionError as cause:
        raise _unusable(folder) from cause
    return sorted(map(_read_entry, paths), key=lambda entry: entry.name)


def find(name: str, *, kind: Kind | None = None) -> ModelEntry:
    """Return the model registered under a name, an alias or a digest; a path to a folder registers that folder first.

    Raises: ModelUnknown, UnsafeFile, ModelUnsupported, ModelBroken.
    """
    entries = [entry for entry in listing() if kind in (None, entry.kind)]
    for entry in entries:
        if name in (entry.name, entry.digest, *entry.aliases):
            return entry
    folder = Path(name)
    if folder.is_dir():
        shown = re.sub(r"[^A-Za-z0-9._-]", "-", folder.resolve().name).lstrip(".-_")[:64] or "model"
        entry = register(folder, shown, keeps=True)
        if kind in (None, entry.kind):
            return entry
    raise ModelUnknown(name=name, known=", ".join(entry.name for entry in entries) or "-")


def register(
    folder: Path,
    name: str,
    *,
    licence: str = "unknown",
    source: str = "local folder",
    aliases: tuple[str, ...] = (),
    keeps: bool = False,
) -> ModelEntry:
    """Copy an accepted model folder into the store and return its entry; the same content is stored once, and keeps its aliases.

    keeps: what is registered already stays as it is, name and licence included.

    After a crash the store holds the whole model or nothing that `listing` shows: the entry is written last.

    Raises: UnsafeFile, ModelUnsupported, ModelUnknown, NoModelStore, StorageFull.
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
    found = check_folder(folder)
    store = ensure_store()
    temporary = store / f".{secrets.token_hex(8)}.tmp"
    with full_disk_as_error():
        temporary.mkdir(mode=0o700)
        try:
            files = tuple(_copy(folder / each, temporary / each) for each in found.names)
            check_folder(temporary)  # the copy is what is used, so the copy is what is judged
            entry = _entry(name, files, kind=found.kind, licence=licence, source=source, aliases=aliases)
            sync_folder(temporary)
            if (store / entry.digest).exists():
                shutil.rmtree(temporary)
            else:
                temporary.rename(store / entry.digest)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(store)
    known = next((one for one in listing() if one.digest == entry.digest), None)
    if known is not None and keeps:
        return known
    if known is not None:
        entry = entry.model_copy(update={"aliases": tuple(dict.fromkeys((*known.aliases, *entry.aliases)))})
    _release_name(entry)
    write_atomic(store / f"{entry.digest}.json", canonical(entry.model_dump(mode="json")))
    return entry


def verify(name: str, *, kind: Kind | None = None) -> ModelEntry:
    """Return the entry after recomputing the SHA-256 of every file.

    Raises: ModelBroken, ModelUnknown.
    """
    entry = find(name, kind=kind)
    present = sorted(path.name for path in entry.path.iterdir()) if entry.path.is_dir() else []
    if present != sorted(file.name for file in entry.files):
        raise ModelBroken(name=entry.name)
    for file in entry.files:
        path = entry.path / file.name
        if path.is_symlink() or path.stat().st_size != file.size or sha256_of(path) != file.sha256:
            raise ModelBroken(name=entry.name)
    return entry


def _unusable(folder: Path) -> NoModelStore:
    return NoModelStore(problem=t("{path} cannot be used by this account", "该账户无法使用 {path}", path=folder))


def _entry(name: str, files: tuple[ModelFile, ...], *, kind: Kind, licence: str, source: str, aliases: tuple[str, ...]) -> ModelEntry:
    digest = object_digest((file.name, file.size, file.sha256) for file in files)
    return ModelEntry(name=name, kind=kind, aliases=aliases, digest=digest, licence=licence, source=source, files=files)


def _release_name(entry: ModelEntry) -> None:
    """Take name and aliases from the models that had them: they mean the newest import, an older one keeps its digest."""
    taken = {entry.name, *entry.aliases}
    for other in listing():
        if other.digest == entry.digest or not taken & {other.name, *other.aliases}:
            continue
        name = f"{other.name[:50]}-{other.digest[:8]}" if other.name in taken else other.name
        kept = tuple(alias for alias in other.aliases if alias not in taken and other.name not in taken)
        renamed = other.model_copy(update={"name": name, "aliases": kept})
        write_atomic(model_store() / f"{other.digest}.json", canonical(renamed.model_dump(mode="json")))


def _read_entry(path: Path) -> ModelEntry:
    try:
        entry = ModelEntry.model_validate(parse_canonical(path.read_bytes()))
    except (NotCanonical, ValidationError) as cause:
        raise ModelBroken(name=path.stem) from cause
    listed = object_digest((file.name, file.size, file.sha256) for file in entry.files)
    if not path.stem == entry.digest == listed:
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
