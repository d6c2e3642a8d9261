"""Baidu LAC, the Chinese tagger, from its source package on PyPI: two bidirectional GRU layers and a CRF. The child half; runs in the sandbox.

Source of the weights: the package `lac` 2.1.2 (Apache-2.0), folder LAC/lac_model. They were written by PaddlePaddle, whose current releases cannot
read them any more; the format is simple enough to be read without it.
"""

from __future__ import annotations

import json
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.core.errors import ModelUnsupported

Weights = NDArray[np.float32]
HIDDEN, LAYERS = 128, 2
_FOLDER = "LAC/lac_model/"
_FLOAT32 = 5  # the number of the type in Paddle's protocol
_LARGEST = 64 << 20  # bytes of one file
_PARAMETERS = (
    "word_emb",
    "crfw",
    *(f"fc_{n}.{kind}_0" for n in range(5) for kind in "wb"),
    *(f"gru_{n}.{kind}_0" for n in range(4) for kind in "wb"),
)
_TABLES = ("word.dic", "tag.dic", "q2b.dic", "small_seg.dic")


def convert(package: Path, target: Path) -> dict[str, Weights]:
    """Write the tagger of a source package into the folder `target` and return its weights.

    Raises: ModelUnsupported.
    """
    from safetensors.numpy import save_file  # noqa: PLC0415  of an extra

    files = _members(package)
    try:
        weights = arranged({name: parameter(files[f"model/{name}"]) for name in _PARAMETERS})
        vocabulary = _vocabulary({name: files[f"conf/{name}"].decode() for name in _TABLES})
    except (KeyError, ValueError, struct.error) as cause:
        raise ModelUnsupported(problem="it is not the source package of LAC 2.1") from cause
    save_file(weights, target / "model.safetensors")
    (target / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (target / "config.json").write_text(json.dumps({"model_type": "lac", "hidden_size": HIDDEN}), encoding="utf-8")
    return weights


def parameter(data: bytes) -> Weights:
    """Return one tensor as Paddle saves it: version, levels of nested lengths (none here), version, description, float32 numbers."""
    levels = struct.unpack_from("<IQ", data)[1]
    length = struct.unpack_from("<Ii", data, 12)[1]
    if levels or not 0 < length <= 64:  # noqa: PLR2004  bytes of a type and two sizes
        raise ValueError("nested lengths")
    kind, *shape = _varints(data[20 : 20 + length])
    if kind != _FLOAT32:
        raise ValueError("not float32")
    return np.frombuffer(data, dtype="<f4", offset=20 + length).reshape(shape)


def arranged(p: dict[str, Weights]) -> dict[str, Weights]:
    """Return Paddle's weights as ONNX wants them, of both layers: W [2, 3H, in], R [2, 3H, H], B [2, 6H], gates in the order z, r, h.

    Paddle's update gate u keeps what is new, h' = (1 - u) h + u c; the one of ONNX, z, keeps what was, so z = 1 - u: its weights change sign.
    """
    layers = [[_gru(p, 2 * layer + direction) for direction in (0, 1)] for layer in range(LAYERS)]
    made = {f"{name}{n}": np.stack([way[i] for way in layer]) for n, layer in enumerate(layers) for i, name in enumerate("WRB")}
    made |= {"embedding": p["word_emb"], "output": p["fc_4.w_0"], "bias": p["fc_4.b_0"].reshape(-1), "crf": p["crfw"]}
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in made.items()}


def _gru(p: dict[str, Weights], n: int) -> tuple[Weights, Weights, Weights]:
    sign = np.ones((3 * HIDDEN, 1), np.float32)
    sign[:HIDDEN] = -1.0
    flat = p[f"gru_{n}.w_0"].reshape(-1)  # [H, 2H] of both gates, then [H, H] of the candidate
    gates, candidate = flat[: 2 * HIDDEN * HIDDEN].reshape(HIDDEN, -1), flat[2 * HIDDEN * HIDDEN :].reshape(HIDDEN, -1)
    recurrent = np.concatenate([gates, candidate], axis=1).T * sign
    biases = [p[f"{name}_{n}.b_0"].reshape(-1) * sign[:, 0] for name in ("fc", "gru")]
    return p[f"fc_{n}.w_0"].T * sign, recurrent, np.concatenate(biases)


def _vocabulary(tables: dict[str, str]) -> dict[str, Any]:
    """Return words and tags by number, characters that are read as others, and the words that a text is cut into."""
    pairs = {name: [line.split("\t") for line in table.split("\n") if line.count("\t") == 1] for name, table in tables.items()}
    words = {word: int(n) for n, word in pairs["word.dic"]}
    cuts = [line.rsplit(" ", 1) for line in tables["small_seg.dic"].split("\n") if " " in line]
    tags = {int(n): tag for n, tag in pairs["tag.dic"]}
    return {
        "words": words,
        "tags": [tags[n] for n in range(len(tags))],
        "read_as": dict(pairs["q2b.dic"]),
        "cuts": [word for word, _ in cuts],
        "occurrences": sum(int(count) for _, count in cuts),
    }


def _varints(data: bytes) -> list[int]:
    """Return the numbers of a protocol buffer whose fields are all varints, one after another or packed."""
    numbers, at = [], 0
    while at < len(data):
        tag = data[at]
        at += 1
        stop = at + 1
        if tag & 7 == 2:  # noqa: PLR2004  packed: a length in bytes follows
            stop = at + 1 + data[at]
            at += 1
        while at < stop:
            value = shift = 0
            while True:
                byte = data[at]
                value |= (byte & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if byte < 0x80:  # noqa: PLR2004  the last of the number
                    break
            numbers.append(value)
    return numbers


def _members(package: Path) -> dict[str, bytes]:
    """Return the files of the tagger's folder, by their names in it."""
    wanted = {f"model/{name}" for name in _PARAMETERS} | {f"conf/{name}" for name in _TABLES}
    found = {}
    try:
        with tarfile.open(package, "r:gz") as archive:
            for member in archive:
                _, folder, name = member.name.partition(_FOLDER)
                if folder and name in wanted and member.isfile() and member.size <= _LARGEST and (stream := archive.extractfile(member)):
                    found[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError) as cause:
        raise ModelUnsupported(problem="it is not a source package") from cause
    return found
