"""What a folder of a base model may hold. Read on the host: names, small JSON files and safetensors headers, never a weight."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ringfence.core.errors import ModelUnknown, ModelUnsupported, UnsafeFile
from ringfence.core.text import t
from ringfence.models.header import TensorInfo, read_header
from ringfence.models.prelude import AS_IT_IS, TEMPLATE, Prelude

INDEX = "model.safetensors.index.json"
_TOKENIZER = "tokenizer_config.json"
_SPECIAL = "special_tokens_map.json"
_GENERATION = "generation_config.json"
DEFAULT = "default"  # of several chat templates, as transformers calls it
_JSON = {
    INDEX,
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    _TOKENIZER,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
}
_TEXT = {"merges.txt", "chat_template.jinja", "README.md", "README", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", ".gitattributes"}
_WEIGHTS = re.compile(r"(model|model-\d{5}-of-\d{5})\.safetensors")
_CODE = re.compile(r".*\.(bin|pt|pth|ckpt|pkl|pickle|py|so|msgpack|h5|npz|zip|tar|gz)", re.IGNORECASE)
_TABLE = re.compile(r"\.(inv_freq|position_ids)$")
_MAX_CONFIG = 1 << 20  # bytes of a configuration file; tokenizers and indices may be larger
_HARMLESS = {"_name_or_path", "_from_model_config", "_commit_hash", "_attn_implementation_autoset"}  # transformers writes them itself
_READ = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")

# Decoders whose head is a plain matrix and whose linear layers are two-dimensional weights: what the adapter check can predict.
ARCHITECTURES = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3"})
# Taggers of `deid`: what their folders hold, no more and no less.
TAGGERS = {
    "lac": ("config.json", "model.safetensors", "vocab.json"),
    "e5-names": ("NOTICE", "config.json", "model.safetensors", "vocab.json"),
}
Kind = Literal["decoder", "tagger"]


# Models without a chat template of their own: question, answer, end token.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token + '\n' }}"
    "{% else %}{{ message['content'] + '\n' }}{% endif %}{% endfor %}"
)


class ModelFolder(NamedTuple):
    """An accepted folder: file names in order, the configuration, and what the weights are."""

    path: Path
    names: tuple[str, ...]
    config: dict[str, Any]
    tensors: dict[str, TensorInfo]
    prelude: Prelude = AS_IT_IS  # of a run on this model
    closing: int | None = None  # the token by which that run closes answers; None: the tokeniser's own end token

    @property
    def weights(self) -> dict[str, TensorInfo]:
        """Return the tensors that are parameters: some files hold tables beside them, which transformers computes anew."""
        return {name: info for name, info in self.tensors.items() if not _TABLE.search(name)}

    @property
    def kind(self) -> Kind:
        """Return what the model is for: training and answering, or finding names."""
        return "tagger" if self.config["model_type"] in TAGGERS else "decoder"

    def chat_templates(self) -> dict[str, str]:
        """Return the chat templates of the tokeniser by their names, of which `default` is what conversations without tools are written by; nothing where it has none.

        Raises: UnsafeFile.
        """
        if TEMPLATE in self.names:
            path = self.path / TEMPLATE
            text = path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size <= _MAX_CONFIG else ""
            return {DEFAULT: text} if text else {}
        return templates_of(self._read(_TOKENIZER))

    def chat_template(self) -> str:
        """Return the chat template of the tokeniser, of several the default one; "" where it has none.

        Raises: UnsafeFile.
        """
        return self.chat_templates().get(DEFAULT, "")

    def spoken_templates(self) -> dict[str, str]:
        """Return the chat templates by which the model is trained and answers: its own, or the plain one, after the prelude.

        Raises: UnsafeFile.
        """
        own = self.chat_templates()
        return {name: self.prelude.before(text) for name, text in (own if DEFAULT in own else {DEFAULT: PLAIN_TEMPLATE}).items()}

    def spoken_template(self) -> str:
        """Return the one by which conversations without tools are written.

        Raises: UnsafeFile.
        """
        return self.spoken_templates()[DEFAULT]

    def written_files(self) -> dict[str, bytes]:
        """Return the files by which whatever is made of the model says its chat templates and what ends an answer; none where its own files say it already.

        One template is a file of its own, as tools look for it; several stand in the tokeniser's configuration, as the model's own do.

        Raises: UnsafeFile; ModelUnsupported where the tokeniser has no such token.
        """
        files = self._written_templates()
        if self.closing is None:
            return files
        told = self._read(_SPECIAL) | self._read(_TOKENIZER)
        own = told.get("eos_token")
        padding = {} if told.get("pad_token") else {"pad_token": own["content"] if isinstance(own, dict) else own}  # as without this
        ends = {"eos_token": self.closing_token(), **padding}
        for name in (_TOKENIZER, *({_SPECIAL} & set(self.names))):
            files[name] = _json_bytes((json.loads(files[name]) if name in files else self._read(name)) | ends)
        generation = self._read(_GENERATION) or {key: self.config[key] for key in ("bos_token_id", "pad_token_id") if key in self.config}
        named = generation.get("eos_token_id", self.config.get("eos_token_id"))
        others = named if isinstance(named, list) else [] if named is None else [named]
        files[_GENERATION] = _json_bytes(generation | {"eos_token_id": [self.closing, *(one for one in others if one != self.closing)]})
        return files

    def closing_token(self) -> str:
        """Return the text of the token by which the run closes answers.

        Raises: UnsafeFile; ModelUnsupported where the tokeniser has no special token of that number.
        """
        added = _read_json(self.path / "tokenizer.json").get("added_tokens") or ()
        found = next((one["content"] for one in added if one["id"] == self.closing and one["special"]), None)
        if found is None:
            raise ModelUnsupported(problem=t("its tokeniser has no special token {id}", "其分词器没有特殊词元 {id}", id=self.closing))
        return str(found)

    def _written_templates(self) -> dict[str, bytes]:
        spoken = self.spoken_templates()
        if spoken == self.chat_templates():
            return {}
        if len(spoken) == 1:
            return {TEMPLATE: spoken[DEFAULT].encode()}
        return {
            _TOKENIZER: _json_bytes(
                self._read(_TOKENIZER) | {"chat_template": [{"name": name, "template": text} for name, text in spoken.items()]}
            )
        }

    def _read(self, name: str) -> dict[str, Any]:
        return _read_json(self.path / name) if name in self.names else {}

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        total = 0
        for info in self.tensors.values():
            count = 1
            for size in info.shape:
                count *= size
            total += count
        return total


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode()


def templates_of(tokenizer: Mapping[str, Any]) -> dict[str, str]:
    """Return the chat templates that the configuration of a tokeniser holds, by their names; what is none is passed over."""
    found = tokenizer.get("chat_template")
    several = found if isinstance(found, list) else [{"name": DEFAULT, "template": found}]
    told = [(one.get("name"), one.get("template")) for one in several if isinstance(one, dict)]
    return {name: text for name, text in told if isinstance(name, str) and isinstance(text, str) and text}


def is_understood(name: str) -> bool:
    """Return whether a file of that name has a place in a model folder."""
    return name in _JSON or name in _TEXT or _WEIGHTS.fullmatch(name) is not None


def check_folder(path: Path, *, only: Collection[str] | None = None) -> ModelFolder:
    """Return what a model folder holds, after refusing everything that is not understood.

    only: the files that count; what else lies there is not looked at.

    Raises: ModelUnknown, UnsafeFile, ModelUnsupported.
    """
    if not path.is_dir():
        raise ModelUnknown(name=str(path), known="-")
    names = tuple(sorted(entry.name for entry in path.iterdir()) if only is None else sorted(only))
    for name in names:
        _check_file(path / name)
    _check_present(names, "config.json")
    for name in set(_READ) & set(names):
        _check_code(_read_json(path / name), file=name)
    config = _read_json(path / "config.json")
    expected = TAGGERS.get(str(config.get("model_type")))
    _check_present(names, *(expected or ("tokenizer.json",)))
    if expected is None:
        _check_config(config)
    elif extra := sorted(set(names) - set(expected)):
        raise UnsafeFile(file=extra[0], reason=t("unknown file", "未知文件"))
    return ModelFolder(path, names, config, _read_tensors(path, names))


def _check_present(names: Sequence[str], *required: str) -> None:
    for name in required:
        if name not in names:
            raise ModelUnsupported(problem=t("{file} is missing", "缺少 {file}", file=name))


def _check_file(path: Path) -> None:
    name = path.name
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise UnsafeFile(file=name, reason=t("not a plain file", "不是普通文件"))
    if _CODE.fullmatch(name):
        raise UnsafeFile(file=name, reason=t("files of this kind can run code", "此类文件可以执行代码"))
    if name.endswith(".sig"):
        raise UnsafeFile(file=name, reason=t("a signature: name it with --signature", "这是签名：请用 --signature 指定"))
    if not is_understood(name):
        raise UnsafeFile(file=name, reason=t("unknown file", "未知文件"))


def _read_json(path: Path) -> dict[str, Any]:
    if path.name in _READ and path.stat().st_size > _MAX_CONFIG:
        raise UnsafeFile(file=path.name, reason=t("too large", "过大"))
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as cause:
        raise UnsafeFile(file=path.name, reason=t("not JSON", "不是 JSON")) from cause
    if not isinstance(value, dict):
        raise UnsafeFile(file=path.name, reason=t("not a JSON object", "不是 JSON 对象"))
    return value


def _check_code(value: object, *, file: str) -> None:
    """Refuse, at any depth, keys that make transformers import, download or choose code."""
    if isinstance(value, list):
        for item in value:
            _check_code(item, file=file)
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in _HARMLESS and (key == "auto_map" or key[:1] == "_" or "implementation" in key or key.endswith("_internal")):
                raise UnsafeFile(file=file, reason=t("the key {key!r} chooses code", "键 {key!r} 会选择代码", key=key))
            if key in {"tokenizer_file", "vocab_file", "merges_file"} and item is not None:
                raise UnsafeFile(file=file, reason=t("the key {key!r} names another file", "键 {key!r} 指向另一个文件", key=key))
            _check_code(item, file=file)


def _check_config(config: dict[str, Any]) -> None:
    if "quantization_config" in config:
        raise ModelUnsupported(problem=t("its weights are quantised (quantization_config)", "其权重是量化的（quantization_config）"))
    if str(config.get("model_type")) not in ARCHITECTURES:
        raise ModelUnsupported(
            problem=t("its model_type is none of {known}", "其 model_type 不在 {known} 之中", known=", ".join(sorted(ARCHITECTURES)))
        )


def _read_tensors(path: Path, names: tuple[str, ...]) -> dict[str, TensorInfo]:
    shards = [name for name in names if _WEIGHTS.fullmatch(name)]
    if not shards:
        raise ModelUnsupported(problem=t("the folder has no safetensors file", "文件夹中没有 safetensors 文件"))
    found: dict[str, TensorInfo] = {}
    homes: dict[str, str] = {}
    for shard in shards:
        for name, info in read_header(path / shard).tensors.items():
            if name in found:
                raise UnsafeFile(file=shard, reason=t("a tensor occurs in two files", "有张量出现在两个文件中"))
            found[name], homes[name] = info, shard
    if INDEX in names and _read_json(path / INDEX).get("weight_map") != homes:
        raise UnsafeFile(file=INDEX, reason=t("the index and the files differ", "索引与文件不一致"))
    if INDEX not in names and shards != ["model.safetensors"]:
        raise UnsafeFile(file=shards[0], reason=t("several files without an index", "多个文件却没有索引"))
    return found
