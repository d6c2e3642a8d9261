"""What other tools load, beside the adapter: which files each format has, and how far it may answer unlike the adapter.

Light: whoever verifies a bundle has no model library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

from pydantic import ValidationError

from ringfence.core.errors import BundleBroken, UnsafeFile
from ringfence.core.order import Count, Figures, Number
from ringfence.core.statement import Statement
from ringfence.core.text import t
from ringfence.models.header import parse_header

Format = Literal["merged", "gguf-f16", "gguf-q8_0", "gguf-q4_1"]
FORMATS: tuple[Format, ...] = get_args(Format)
MERGED: Final = "merged"  # folders of a bundle
GGUF: Final = "gguf"
OWN_WEIGHTS = frozenset({"full.v1", "freeze.v1"})  # methods that leave no adapter: the model itself is released, merged; a test compares
REWARDS = frozenset({"rm.v1"})  # objectives whose model scores texts and writes none; a test compares

LEAST_TOKENS = 16  # that are compared: one of the answer to each prompt, or not every prompt was asked
_LEAST: Mapping[Format, float] = {"merged": 0.97, "gguf-f16": 0.97, "gguf-q8_0": 0.95, "gguf-q4_1": 0.80}
_BESIDE = frozenset(  # a model folder as transformers reads it, without its weights
    {
        "LICENSE",
        "LICENSE.md",
        "LICENSE.txt",
        "NOTICE",
        "added_tokens.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    }
)
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")


class Parity(Figures):
    """How much like the adapter one format answers, on prompts that everybody may read: the adapter's own answers, token by token."""

    format: Format
    tokens: Count  # positions that were compared
    same: Count  # where the likeliest token is the adapter's
    divergence: Number  # mean Kullback-Leibler divergence from the adapter's distribution, nats a token
    same_ids: bool  # its tokeniser reads the prompts as the adapter's does

    @property
    def agreement(self) -> float:
        """Return the share of positions where the likeliest token is the adapter's."""
        return self.same / self.tokens if self.tokens else 0.0

    @property
    def is_faithful(self) -> bool:
        """Return whether it answers enough like the adapter to be released in its stead."""
        return self.same_ids and self.tokens >= LEAST_TOKENS and self.agreement >= least(self.format)


def least(format_: Format) -> float:
    """Return the least agreement of a format that may be released."""
    return _LEAST[format_]


def weights_of(format_: Format, paths: Iterable[str]) -> list[str]:
    """Return those of the paths inside a bundle that hold a format's weights, sorted."""
    if format_ != MERGED:
        return sorted(path for path in paths if path == gguf_file(format_))
    return sorted(path for path in paths if path.startswith(f"{MERGED}/") and _WEIGHTS.fullmatch(path.removeprefix(f"{MERGED}/")))


def gguf_file(format_: Format) -> str:
    """Return the path inside a bundle of a GGUF file."""
    return f"{GGUF}/model-{format_.removeprefix('gguf-')}.gguf"


def beside(names: Iterable[str]) -> list[str]:
    """Return those files of a base model that a merged folder takes along as they are, sorted."""
    return sorted(_BESIDE & set(names))


def belongs(path: str) -> bool:
    """Return whether a bundle may hold a file of this path for some format."""
    folder, _, name = path.partition("/")
    if folder == MERGED:
        return name in _BESIDE or bool(_WEIGHTS.fullmatch(name))
    return path in {gguf_file(one) for one in FORMATS if one != MERGED}


def is_weights(path: str) -> bool:
    """Return whether a file of a bundle is too large to be held in memory."""
    return path.endswith((".safetensors", ".gguf"))


def check(release: Statement, *, heads: Mapping[str, tuple[bytes, int]]) -> list[Parity]:
    """Return how faithful each format is that a release statement names, once its files are the ones that the statement is about.

    heads: path inside the bundle of everything in the formats' folders -> (first bytes, size in bytes).

    Raises: BundleBroken.
    """
    told = _told(release)
    subjects = {subject.name for subject in release.subjects}
    weights = {path for one in told for path in weights_of(one.format, heads)}
    if any(not weights_of(one.format, heads) for one in told) or not weights <= subjects:
        raise BundleBroken(problem=t("a format that the release names is not there", "缺少放行声明所指的格式"))
    if unclaimed := sorted(path for path in heads if is_weights(path) and path not in weights):
        raise BundleBroken(problem=t("{path} is of no format that was released", "{path} 不属于任何已放行的格式", path=unclaimed[0]))
    if any(path.startswith(f"{MERGED}/") for path in heads) and not any(one.format == MERGED for one in told):
        raise BundleBroken(problem=t("{path}/ does not belong to it", "{path}/ 不属于它", path=MERGED))
    if any(not one.is_faithful for one in told):
        raise BundleBroken(problem=t("a format answers unlike the adapter", "有格式的回答与适配器不同"))
    for path in sorted(weights):
        if path.endswith(".safetensors"):
            _plain(path, *heads[path])
    return told


def _told(release: Statement) -> list[Parity]:
    found: Sequence[Any] = release.predicate.figures.get("formats", ())
    try:
        told = [Parity.model_validate(one) for one in found]
    except (ValidationError, TypeError) as cause:
        raise BundleBroken(problem=t("a statement holds what no rule can read", "有声明的内容无法被规则读取")) from cause
    if len({one.format for one in told}) != len(told):
        raise BundleBroken(problem=t("the release names a format twice", "放行声明重复指明同一格式"))
    return told


def _plain(path: str, head: bytes, size: int) -> None:
    """Return when a safetensors file is well-formed and holds no text beside its tensors.

    Raises: BundleBroken.
    """
    try:
        header = parse_header(head, size=size, file=path)
    except UnsafeFile as cause:
        raise BundleBroken(problem=t("{path} has a malformed header", "{path} 的头部不合格式", path=path)) from cause
    if header.metadata not in ({}, {"format": "pt"}):
        raise BundleBroken(problem=t("{path} holds metadata", "{path} 含有元数据", path=path))
