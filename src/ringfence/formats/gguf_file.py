"""GGUF files: everything before the first tensor follows from the base model's public files, so that the host can foretell it byte by byte.

Source: the GGUF specification (ggml, docs/gguf.md) and its own writer, the package `gguf`; names and the order of rotary halves in queries and keys as
llama.cpp reads them. Both halves import this module: no weights, no model library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import LlamaFileType, TokenType

from ringfence.core.errors import ModelUnsupported
from ringfence.core.text import t
from ringfence.models.folder import ModelFolder
from ringfence.release.formats import Format

Array = np.ndarray[Any, np.dtype[Any]]

ALIGNMENT = 32  # bytes at which every tensor begins
_BLOCK = 32  # weights that share a scale, along a row
_MATRIX = 2  # dimensions
_ENDS = ("token_embd.weight", "output.weight")  # they decide about every token: eight bits at least
_TYPES: Mapping[Format, tuple[Type, Type, LlamaFileType]] = {  # of matrices, of the two ends, of the whole file
    "gguf-f16": (Type.F16, Type.F16, LlamaFileType.MOSTLY_F16),
    "gguf-q8_0": (Type.Q8_0, Type.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "gguf-q4_1": (Type.Q4_1, Type.Q8_0, LlamaFileType.MOSTLY_Q4_1),
}
_ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
}
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {_WORDS % "{1,3}": "llama-bpe", _WORDS % "": "qwen2"}  # how a text is cut before bytes are joined -> llama.cpp's name of it


class Planned(NamedTuple):
    """One tensor of a file."""

    name: str  # in GGUF
    source: str  # in the base model's safetensors
    type: Type
    shape: tuple[int, ...]  # [out, in], or [n]
    heads: int  # whose rotary halves are interleaved in llama.cpp; 0: not such a tensor

    @property
    def size(self) -> int:
        """Return the bytes of its data, without what aligns the next one."""
        block, of_block = gguf.GGML_QUANT_SIZES[self.type]
        return prod(self.shape) // int(block) * int(of_block)

    def data(self, weights: Array) -> bytes:
        """Return the bytes of the tensor. weights: float32, of its shape."""
        if self.heads:
            rows = self.shape[0]
            halves = weights.reshape(self.heads, 2, rows // self.heads // 2, *self.shape[1:])
            weights = halves.swapaxes(1, 2).reshape(self.shape)
        return cast("bytes", gguf.quantize(np.ascontiguousarray(weights), self.type).tobytes())


def write_head(path: Path, model: ModelFolder, format_: Format, *, name: str) -> list[Planned]:
    """Write everything of a file but its tensors' data to `path`, and return the tensors in the order of their data, each aligned.

    name: what the model calls itself.

    Raises: ModelUnsupported where the base model cannot be said in GGUF.
    """
    arch = _ARCHITECTURES.get(str(model.config["model_type"]))
    if arch is None:
        raise _unsaid("model_type {it}", "model_type {it}", it=model.config["model_type"])
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(_TYPES[format_][2])
    if format_ != "gguf-f16":
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_shape(writer, model.config)
    _add_tokens(writer, model)
    planned = _planned(model, format_, arch)
    for one in planned:
        writer.add_tensor_info(one.name, one.shape, np.dtype(np.float32), one.size, raw_dtype=one.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for stream in writer.fout:
        writer.write_padding(stream, stream.tell())
    writer.close()
    return planned


def whole_size(head: int, planned: list[Planned]) -> int:
    """Return the bytes of a file whose head has so many."""
    return head + sum(padded(one.size) for one in planned)


def padded(size: int) -> int:
    """Return the bytes up to where the next tensor begins."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def head_size(config: Mapping[str, Any]) -> int:
    """Return the numbers of one attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


# ── what a model is like ──────────────────────────────────────────────────────────────────────────────────────────────


def _add_shape(writer: Any, config: Mapping[str, Any]) -> None:  # noqa: ANN401  gguf is untyped
    heads = int(config["num_attention_heads"])
    head = head_size(config)
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta"), **(config.get("rope_scaling") or {})}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise _unsaid("rotary embeddings of type {it}", "{it} 类型的旋转位置编码", it=kind)
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        raise _unsaid("a sliding window", "滑动窗口")
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
    writer.add_vocab_size(int(config["vocab_size"]))


def _planned(model: ModelFolder, format_: Format, arch: Any) -> list[Planned]:  # noqa: ANN401  gguf is untyped
    names = gguf.get_tensor_name_map(arch, int(model.config["num_hidden_layers"]))
    heads = int(model.config["num_attention_heads"])
    rotary = {"attn_q": heads, "attn_k": int(model.config.get("num_key_value_heads") or heads)} if arch == gguf.MODEL_ARCH.LLAMA else {}
    is_tied = bool(model.config.get("tie_word_embeddings"))
    matrix, end, _ = _TYPES[format_]
    found = []
    for source, info in sorted(model.weights.items()):
        if is_tied and source == "lm_head.weight":
            continue
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise _unsaid("a tensor {it}", "张量 {it}", it=source)
        kind = Type.F32 if len(info.shape) < _MATRIX else end if name in _ENDS else matrix
        if kind not in {Type.F32, Type.F16} and info.shape[-1] % _BLOCK:
            kind = Type.F16
        found.append(Planned(name, source, kind, info.shape, rotary.get(name.split(".")[-2], 0)))
    return found


def _add_tokens(writer: Any, model: ModelFolder) -> None:  # noqa: ANN401  gguf is untyped
    read = _json(model, "tokenizer.json")
    inner = read.get("model", {})
    if inner.get("type") != "BPE" or inner.get("byte_fallback"):
        raise _unsaid("a tokeniser that is no byte-level BPE", "非字节级 BPE 的分词器")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in inner["merges"]]
    if not merges:  # an empty list cannot be said, and without one readers look for scores
        raise _unsaid("a tokeniser without merges", "没有合并规则的分词器")
    of_text: dict[str, int] = inner["vocab"] | {one["content"]: one["id"] for one in read.get("added_tokens", ())}
    special = {one["id"]: bool(one["special"]) for one in read.get("added_tokens", ())}
    by_number = {number: token for token, number in of_text.items()}
    size = int(model.config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_split(read.get("pre_tokenizer")))
    writer.add_token_list([by_number.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types([_kind(number, by_number, special) for number in range(size)])
    writer.add_token_merges(merges)
    told = _json(model, "special_tokens_map.json") | _json(model, "tokenizer_config.json")
    named = {word: of_text.get(_content(told.get(f"{word}_token"))) for word in ("bos", "eos", "unk", "pad")}
    adders = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "unk": writer.add_unk_token_id,
        "pad": writer.add_pad_token_id,
    }
    if model.closing is not None:
        model.closing_token()  # one of the tokeniser's own
        named["pad"] = named["eos"] if named["pad"] is None else named["pad"]
        named["eos"] = model.closing
    if named["eos"] is None:
        raise _unsaid("a tokeniser without an end token", "没有结束词元的分词器")
    for word, number in named.items():
        if number is not None:
            adders[word](number)
    writer.add_add_bos_token(_begins_with(read.get("post_processor"), _content(told.get("bos_token"))))
    writer.add_add_space_prefix(False)
    _add_templates(writer, model.spoken_templates())


def _add_templates(writer: Any, templates: Mapping[str, str]) -> None:  # noqa: ANN401  gguf is untyped
    """Add every chat template under its name, in an order of which both halves know; those whose names the format has no room for stay away."""
    others = sorted(name for name in templates if name != "default" and re.fullmatch(r"[A-Za-z0-9_]+", name))
    for name in others:
        writer.add_string(gguf.Keys.Tokenizer.CHAT_TEMPLATE_N.format(name=name), templates[name])
    if others:
        writer.add_array(gguf.Keys.Tokenizer.CHAT_TEMPLATES, others)
    writer.add_chat_template(templates["default"])


def _kind(number: int, by_number: Mapping[int, str], special: Mapping[int, bool]) -> TokenType:
    if number not in by_number:
        return TokenType.UNUSED
    if number not in special:
        return TokenType.NORMAL
    return TokenType.CONTROL if special[number] else TokenType.USER_DEFINED


def _split(cut: Any) -> Literal["gpt-2", "smollm", "llama-bpe", "qwen2"]:  # noqa: ANN401  JSON
    """Return llama.cpp's name of how a text is cut into words."""
    parts = cut["pretokenizers"] if isinstance(cut, dict) and cut.get("type") == "Sequence" else [cut]
    kinds = [part.get("type") if isinstance(part, dict) else None for part in parts]
    if kinds == ["ByteLevel"] and parts[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits") and parts[1].get("use_regex", True):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and (known := _SPLITS.get(parts[0].get("pattern", {}).get("Regex", ""))):
        return cast("Literal['llama-bpe', 'qwen2']", known)
    raise _unsaid("a tokeniser that cuts words in its own way", "以自有方式切词的分词器")


def _begins_with(processor: Any, first: str) -> bool:  # noqa: ANN401  JSON
    """Return whether the tokeniser puts its first token before every text."""
    steps = processor.get("processors", [processor]) if isinstance(processor, dict) else []
    laid = [step["single"] for step in steps if step.get("type") == "TemplateProcessing"]
    return any(one and one[0].get("SpecialToken", {}).get("id") == first for one in laid)


def _content(token: object) -> str:
    """Return the text of a token, however a tokeniser's configuration says it."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _json(model: ModelFolder, name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((model.path / name).read_bytes())) if name in model.names else {}


def _unsaid(en: str, zh: str, **told: object) -> ModelUnsupported:
    return ModelUnsupported(problem=t(f"ringfence cannot write {en} as GGUF", f"ringfence 无法以 GGUF 写出{zh}", **told))
