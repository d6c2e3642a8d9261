"""Baidu LAC on onnxruntime: Chinese words with their tags, of which names are kept.

Source: Jiao, Sun, Sun 2018, Chinese Lexical Analysis with Deep Bi-GRU-CRF Network (arXiv:1807.01882), and the package `lac` 2.1.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.paths import best_paths
from ringfence.deid.recogniser import Span
from ringfence.deid.tagger import NAMED, ONNX, TAGGERS

_KIND = {"PER": PERSON, "nr": PERSON, "LOC": LOCATION, "ns": LOCATION, "ORG": ORGANISATION, "nt": ORGANISATION}
_ALNUM = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_BATCH = 64  # sentences; more fit no cache
_OUT_OF_VOCABULARY = "OOV"


class _Vocabulary(NamedTuple):
    numbers: dict[str, int]  # of words, and of characters as they are read
    cutter: Cutter
    tags: list[tuple[str, bool]]  # (kind of the name that it is part of, whether it begins one)
    unknown: int


@TAGGERS.add("lac.v1")
class Lac:
    """Persons, places and organisations in Chinese sentences."""

    kinds = frozenset(_KIND.values())
    language = "zh"
    model = "lac"
    needs = ONNX

    def __init__(self, *, folder: Path = Path(), threads: int = 1) -> None:
        """`folder`: the converted model (see `ringfence model import LAC-2.1.2.tar.gz`), read when it is first needed."""
        self._folder, self._threads = folder, threads

    def tag(self, sentences: Sequence[str]) -> list[list[Span]]:
        """Return the names of each sentence."""
        cut = [self._units(sentence) for sentence in sentences]
        order = sorted((n for n in range(len(cut)) if cut[n]), key=lambda n: len(cut[n]))  # of like length, so that little is padded
        found: list[list[Span]] = [[] for _ in sentences]
        for at in range(0, len(order), _BATCH):
            batch = order[at : at + _BATCH]
            for n, tags in zip(batch, self._tagged([[unit for unit, _ in cut[n]] for n in batch]), strict=True):
                found[n] = list(self._names(tags, [length for _, length in cut[n]]))
        return found

    def _units(self, sentence: str) -> list[tuple[int, int]]:
        """Return (number, characters) of what the model reads: words that it knows, else single characters."""
        units: list[tuple[int, int]] = []
        known = self._vocabulary
        number, unknown = known.numbers.get, known.unknown
        for word in known.cutter.cut(sentence):
            if (found := number(word)) is not None:
                units.append((found, len(word)))
            else:
                units += [(number(character, unknown), 1) for character in word]
        return units

    def _tagged(self, rows: list[list[int]]) -> list[list[int]]:
        """Return the tag of every unit."""
        lengths = np.array([len(row) for row in rows], dtype=np.int32)
        ids = np.zeros((int(lengths.max()), len(rows)), dtype=np.int64)  # [time, batch]
        for n, row in enumerate(rows):
            ids[: len(row), n] = row
        emissions = self._session.run(None, {"ids": ids, "lengths": lengths})[0]  # [time, batch, tags]
        return viterbi(emissions, lengths, self._crf)

    def _names(self, tags: list[int], lengths: list[int]) -> Iterator[Span]:
        start, kind, at = 0, "", 0
        told = self._vocabulary.tags
        for number, length in zip(tags, lengths, strict=True):
            here, begins = told[number]
            if kind and (here != kind or begins):
                yield Span(start, at, kind, NAMED)
                kind = ""
            if here and not kind:
                start, kind = at, here
            at += length
        if kind:
            yield Span(start, at, kind, NAMED)

    @cached_property
    def _vocabulary(self) -> _Vocabulary:
        read = json.loads((self._folder / "vocab.json").read_bytes())
        words = read["words"]
        unknown = words[_OUT_OF_VOCABULARY]
        tags = [tag.rpartition("-")[::2] if "-" in tag else ("", tag) for tag in read["tags"]]
        return _Vocabulary(
            numbers=words | {character: words.get(seen, unknown) for character, seen in read["read_as"].items()},
            cutter=Cutter(read["cuts"], read["occurrences"]),
            tags=[(_KIND.get(tag, ""), place == "B") for tag, place in tags],
            unknown=unknown,
        )

    @cached_property
    def _weights(self) -> dict[str, NDArray[np.float32]]:
        from safetensors.numpy import load_file  # noqa: PLC0415  of the extra `deid`

        return dict(load_file(self._folder / "model.safetensors"))

    @property
    def _crf(self) -> NDArray[np.float32]:
        return self._weights["crf"]

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401  onnxruntime is untyped
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        return onnxruntime.InferenceSession(graph(self._weights), options, providers=["CPUExecutionProvider"])


class Cutter:
    """Cuts a text into as few known words as it can; letters and digits that are single become one."""

    def __init__(self, words: Sequence[str], occurrences: int) -> None:
        self._lengths = {word: len(word) for word in words}
        for word in words:
            for end in range(1, len(word)):
                self._lengths.setdefault(word[:end], 0)  # the beginning of a word
        self._cost = log(occurrences)
        self._worth = [
            log(max(length, 1)) - self._cost for length in range(max(map(len, words), default=1) + 1)
        ]  # of a word, by its characters

    def cut(self, text: str) -> list[str]:
        """Return the words. The path with the greatest sum of log(characters) - log(occurrences of all words) is taken, the longer word on a tie."""
        best: list[float] = [0.0] * (len(text) + 1)
        step = [1] * len(text)
        known, cost, worth = self._lengths.get, self._cost, self._worth
        for at in range(len(text) - 1, -1, -1):
            score, chosen, end = best[at + 1] - cost, 1, at + 2
            while end <= len(text) and (length := known(text[at:end])) is not None:
                if length and (value := worth[length] + best[end]) >= score:
                    score, chosen = value, length
                end += 1
            best[at], step[at] = score, chosen
        words: list[str] = []
        at = 0
        is_open = False
        while at < len(text):
            word = text[at : at + step[at]]
            single = step[at] == 1 and word in _ALNUM
            if single and is_open:
                words[-1] += word
            else:
                words.append(word)
            is_open, at = single, at + step[at]
        return words


def viterbi(emissions: NDArray[np.float32], lengths: NDArray[np.int32], crf: NDArray[np.float32]) -> list[list[int]]:
    """Return the best tags of each row.

    emissions: [time, batch, tags].  lengths: [batch].  crf: [2 + tags, tags]: scores of the first tag, of the last, and from tag to tag.
    """
    first, last, between = crf[0], crf[1], np.ascontiguousarray(crf[2:])
    order = np.argsort(-lengths, kind="stable")
    sizes = lengths[order]
    own = []
    for at, row in enumerate(emissions[: int(sizes[0])]):
        here = order[: np.searchsorted(-sizes, -at)]  # rows that are longer than `at`
        scores = row[here].T  # [tags, rows]
        if at == 0:
            scores = scores + first[:, None]
        ends = lengths[here] == at + 1
        own.append(np.where(ends, scores + last[:, None], scores) if ends.any() else np.ascontiguousarray(scores))
    tags = best_paths(own, between)
    found: list[list[int]] = [[] for _ in order]
    for place, n in enumerate(order.tolist()):
        found[n] = tags[: lengths[n], place].tolist()
    return found


def graph(weights: dict[str, NDArray[np.float32]]) -> bytes:
    """Return the network as ONNX: ids [time, batch] and lengths [batch] to emissions [time, batch, tags]."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    def gru(n: int, source: str) -> list[Any]:
        names = [f"{part}{n}" for part in "WRB"]
        return [
            helper.make_node("GRU", [source, *names, "lengths"], [f"y{n}"], direction="bidirectional", hidden_size=weights["R0"].shape[-1]),
            helper.make_node("Transpose", [f"y{n}"], [f"t{n}"], perm=[0, 2, 1, 3]),  # [time, directions, batch, H]
            helper.make_node("Reshape", [f"t{n}", "flat"], [f"x{n + 1}"]),
        ]

    nodes = [helper.make_node("Gather", ["embedding", "ids"], ["x0"]), *gru(0, "x0"), *gru(1, "x1")]
    nodes += [helper.make_node("MatMul", ["x2", "output"], ["scores"]), helper.make_node("Add", ["scores", "bias"], ["emissions"])]
    held = {name: value for name, value in weights.items() if name != "crf"} | {"flat": np.array([0, 0, -1], dtype=np.int64)}
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["time", "batch"])]
    inputs += [helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"])]
    outputs = [helper.make_tensor_value_info("emissions", TensorProto.FLOAT, ["time", "batch", None])]
    made = helper.make_graph(nodes, "lac", inputs, outputs, [numpy_helper.from_array(value, name) for name, value in held.items()])
    return bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 14)], ir_version=8).SerializeToString())
