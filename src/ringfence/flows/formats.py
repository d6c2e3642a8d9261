"""Formats: what an adapter becomes for other tools. Made and compared in the sandbox; what comes out is not believed."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringfence.core.digest import sha256, sha256_of
from ringfence.core.durable import make_folder
from ringfence.core.environment import cores
from ringfence.core.errors import FormatUnexpected, FormatUnfaithful, UnsafeFile
from ringfence.core.order import Progress
from ringfence.core.statement import SandboxReport
from ringfence.core.text import t
from ringfence.flows.gate import tier_for
from ringfence.formats.settings import FormatFigures, FormatSettings
from ringfence.jobs.start import Handlers, start
from ringfence.jobs.table import JOBS
from ringfence.models.folder import ModelFolder
from ringfence.models.header import read_header
from ringfence.models.store import ModelEntry
from ringfence.release.formats import LEAST_TOKENS, MERGED, Format, Parity, beside, gguf_file, is_weights, least
from ringfence.train.settings import TrainSettings
from ringfence.workspace.arrow import Arrow

_PLAIN: tuple[dict[str, str], ...] = ({}, {"format": "pt"})  # metadata of a safetensors file


@dataclass(frozen=True)
class Formed:
    """What one release carries beside its adapter."""

    files: Mapping[str, Path]  # by their path inside the bundle
    parity: tuple[Parity, ...]
    sandbox: SandboxReport


def foretell_sizes(
    model: ModelEntry, train: TrainSettings, formats: Sequence[Format], *, name: str, closing: int | None = None
) -> dict[Format, int]:
    """Return the bytes that each format will take on the disk, from the shapes of the base model's tensors; nothing is written that stays.

    closing: see `ModelFolder`.

    Raises: ModelUnsupported where the model cannot be said in one of them.
    """
    folder = model.open()._replace(prelude=train.prelude, closing=closing)
    taken = {*beside(folder.names), *filter(is_weights, folder.names)}
    merged = {file.name: file.size for file in model.files if file.name in taken}
    merged |= {path: len(data) for path, data in folder.written_files().items()}
    return {one: sum(merged.values()) if one == MERGED else _head(folder, one, name=name)[1] for one in formats}


def form(
    arrow: Arrow,
    model: ModelEntry,
    train: TrainSettings,
    formats: Sequence[Format],
    *,
    name: str,
    closing: int | None,
    show: Callable[[Progress], None],
) -> Formed:
    """Make every format in the sandbox and return what came out, once it is what the base model predicts and answers like what was trained.

    arrow: of the release; what was trained is its input "adapter". name: of the bundle.  closing: see `ModelFolder`.

    Raises: FormatUnexpected, FormatUnfaithful, ModelUnsupported, SandboxError.
    """
    settings = FormatSettings(name=name, train=train, formats=tuple(formats), closing=closing)
    limits = JOBS["formats.v1"].limits.model_copy(update={"threads": cores()})
    if not arrow.incoming.parent.is_dir():
        make_folder(arrow.incoming.parent)
    make_folder(arrow.incoming)
    tier = tier_for(arrow.space.policy(), arrow.label)
    work = arrow.work("formats.v1", settings=settings, files={"model": model.path}, limits=limits, tier=tier)
    done = start(work, FormatFigures, handlers=Handlers(progress=show))
    files = _files(arrow.incoming)
    _expected(files, model, train, formats, name=name, closing=closing)
    parity = done.figures.parity
    if tuple(one.format for one in parity) != tuple(formats):
        raise FormatUnexpected(problem=t("other formats were compared", "比对的是其他格式"))
    for one in parity:
        if not one.is_faithful:
            raise FormatUnfaithful(format=one.format, problem=_unlike(one))
    return Formed(files, parity, done.sandbox)


def _unlike(one: Parity) -> str:
    """Return why a format may not be released in the stead of what was trained."""
    if not one.same_ids:
        return t("its tokeniser reads the prompts otherwise", "其分词器读取提示的结果不同")
    if one.tokens < LEAST_TOKENS:
        return t(
            "{n} places were compared, at least {least} are asked for",
            "只比对了 {n} 处，至少须 {least} 处",
            n=one.tokens,
            least=LEAST_TOKENS,
        )
    return t(
        "the likeliest token is the same at {found:.1%} of {n} places, at least {least:.0%} is asked for",
        "{n} 处中最可能词元相同的占 {found:.1%}，至少须 {least:.0%}",
        found=one.agreement,
        n=one.tokens,
        least=least(one.format),
    )


def _files(folder: Path) -> dict[str, Path]:
    """Return every file that the job left, by its path inside the folder.

    Raises: FormatUnexpected for anything but regular files in folders of the first level.
    """
    found: dict[str, Path] = {}
    for top in os.scandir(folder):
        if not top.is_dir(follow_symlinks=False):
            raise _strange()
        for entry in os.scandir(top):
            if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                raise _strange()
            found[f"{top.name}/{entry.name}"] = Path(entry.path)
    return found


def _expected(
    files: Mapping[str, Path], model: ModelEntry, train: TrainSettings, formats: Sequence[Format], *, name: str, closing: int | None = None
) -> None:
    """Return when the files are those that the base model predicts: names, public files byte by byte, and every weight's name, type and shape.

    Raises: FormatUnexpected, ModelUnsupported.
    """
    folder = model.open()._replace(prelude=train.prelude, closing=closing)
    digests = {file.name: file.sha256 for file in model.files}
    taken = {f"{MERGED}/{one}": digests[one] for one in beside(folder.names)} if MERGED in formats else {}
    if MERGED in formats:
        taken |= {f"{MERGED}/{one}": sha256(data) for one, data in folder.written_files().items()}
    weights = {f"{MERGED}/{one}" for one in folder.names if is_weights(one)} if MERGED in formats else set()
    written = {gguf_file(one): one for one in formats if one != MERGED}
    if files.keys() != taken.keys() | weights | written.keys():
        raise _strange()
    for path, digest in taken.items():
        if sha256_of(files[path]) != digest:
            raise FormatUnexpected(problem=t("a file of the base model was altered", "基础模型的文件被改动"))
    for path in weights:
        _same_tensors(files[path], folder.path / path.removeprefix(f"{MERGED}/"))
    for path, format_ in written.items():
        _same_head(files[path], *_head(folder, format_, name=name))


def _same_tensors(path: Path, base: Path) -> None:
    try:
        header = read_header(path)
    except UnsafeFile as cause:
        raise FormatUnexpected(problem=t("it is not a well-formed safetensors file", "不是格式正确的 safetensors 文件")) from cause
    if header.metadata not in _PLAIN:
        raise FormatUnexpected(problem=t("it holds metadata", "含有元数据"))
    if header.tensors != read_header(base).tensors:
        raise FormatUnexpected(problem=t("its tensors are not those of the base model", "其张量与基础模型的不同"))


def _head(folder: ModelFolder, format_: Format, *, name: str) -> tuple[bytes, int]:
    """Return what a GGUF file begins with, up to its first weight, and its size in bytes.

    Raises: ModelUnsupported.
    """
    from ringfence.formats.gguf_file import whole_size, write_head  # noqa: PLC0415  of the extra `train`

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "head"
        planned = write_head(path, folder, format_, name=name)
        head = path.read_bytes()
    return head, whole_size(len(head), planned)


def _same_head(path: Path, head: bytes, size: int) -> None:
    with path.open("rb") as stream:
        if path.stat().st_size != size or stream.read(len(head)) != head:
            raise FormatUnexpected(problem=t("what it says of itself is not what the base model predicts", "其自述与基础模型预期的不同"))


def _strange() -> FormatUnexpected:
    return FormatUnexpected(problem=t("it holds other files than the ones asked for", "含有要求之外的文件"))
