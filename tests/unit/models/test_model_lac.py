"""The converter of LAC, on a package of its layout with drawn weights, against the recurrences as the paper writes them; the real one in test-full."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from ringfence.core.errors import ModelUnsupported
from ringfence.core.order import Child, Keys, Order
from ringfence.deid.named import PERSON
from ringfence.deid.taggers.lac import Cutter, Lac, viterbi
from ringfence.models import job, lac
from ringfence.models.folder import check_folder
from ringfence.models.settings import ModelSettings

REAL = Path(__file__).parents[3] / ".cache" / "wheels" / "LAC-2.1.2.tar.gz"
WORDS = ["张", "伟", "来", "了", "北京", "OOV"]
TAGS = ["nr-B", "nr-I", "LOC-B", "LOC-I", "v-B", "O"]
H = lac.HIDDEN


def drawn(shape, rng):
    return rng.normal(size=shape, scale=0.3).astype(np.float32)


def parameters(rng):
    found = {"word_emb": drawn((len(WORDS), H), rng), "crfw": drawn((len(TAGS) + 2, len(TAGS)), rng)}
    for n in range(4):
        width = H if n < 2 else 2 * H
        found |= {f"fc_{n}.w_0": drawn((width, 3 * H), rng), f"fc_{n}.b_0": drawn((3 * H,), rng)}
        found |= {f"gru_{n}.w_0": drawn((H, 3 * H), rng), f"gru_{n}.b_0": drawn((1, 3 * H), rng)}
    return found | {"fc_4.w_0": drawn((2 * H, len(TAGS)), rng), "fc_4.b_0": drawn((len(TAGS),), rng)}


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def saved(tensor):
    """A tensor as Paddle writes it."""
    about = b"\x08\x05" + b"".join(b"\x10" + varint(size) for size in tensor.shape)
    return struct.pack("<IQ", 0, 0) + struct.pack("<Ii", 0, len(about)) + about + tensor.tobytes()


def package(path, weights, **changes):
    files = {f"model/{name}": saved(value) for name, value in weights.items()}
    files["conf/word.dic"] = "".join(f"{n}\t{word}\n" for n, word in enumerate(WORDS)).encode()
    files["conf/tag.dic"] = "".join(f"{n}\t{tag}\n" for n, tag in enumerate(TAGS)).encode()
    files["conf/q2b.dic"] = "１\t1\n".encode()
    files["conf/small_seg.dic"] = "北京 10\n北京人 2\n".encode()
    files |= changes
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            if data is not None:
                info = tarfile.TarInfo(f"LAC-2.1.2/LAC/lac_model/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, p, n, *, backwards):
    """Paddle's dynamic_gru as its documentation writes it, step by step. x: [time, in]."""
    projected = x @ p[f"fc_{n}.w_0"] + p[f"fc_{n}.b_0"]
    flat = p[f"gru_{n}.w_0"].reshape(-1)
    gates, candidate = flat[: 2 * H * H].reshape(H, 2 * H), flat[2 * H * H :].reshape(H, H)
    bias = p[f"gru_{n}.b_0"].reshape(-1)
    h, out = np.zeros(H), [None] * len(x)
    for t in reversed(range(len(x))) if backwards else range(len(x)):
        u = sigmoid(projected[t, :H] + h @ gates[:, :H] + bias[:H])
        r = sigmoid(projected[t, H : 2 * H] + h @ gates[:, H:] + bias[H : 2 * H])
        c = np.tanh(projected[t, 2 * H :] + (r * h) @ candidate + bias[2 * H :])
        h = (1 - u) * h + u * c
        out[t] = h
    return np.array(out)


def emissions(ids, p):
    x = p["word_emb"][ids]
    for layer in (0, 1):
        x = np.concatenate([gru(x, p, 2 * layer, backwards=False), gru(x, p, 2 * layer + 1, backwards=True)], axis=1)
    return x @ p["fc_4.w_0"] + p["fc_4.b_0"]


@pytest.fixture
def made(tmp_path):
    weights = parameters(np.random.default_rng(3))
    source, target = package(tmp_path / "LAC-2.1.2.tar.gz", weights), tmp_path / "made"
    target.mkdir()
    settings = ModelSettings(source="lac")
    order = Order[ModelSettings](
        job="model.v1", run="model-0123456789ab", tenant="0" * 32, settings=settings, files={"source": str(source), "target": str(target)}
    )

    class Silent:
        def progress(self, progress):
            pass

    return weights, target, job.run(Child(order, Keys(), Silent()))


def test_the_converted_network_computes_what_the_paper_says(made):
    weights, folder, figures = made
    assert (figures.layers, figures.vocabulary) == (2, len(WORDS))
    assert check_folder(folder).kind == "tagger"
    tool = Lac(folder=folder)
    ids = [0, 1, 4, 2, 5]
    array = np.array(ids)[:, None]
    lengths = np.array([len(ids)], dtype=np.int32)
    found = tool._session.run(None, {"ids": array, "lengths": lengths})[0][:, 0]
    assert np.abs(found - emissions(ids, weights)).max() < 1e-4


def test_a_sentence_gets_the_same_tags_in_any_company(made):
    tool = Lac(folder=made[1])
    alone = [tool.tag([text])[0] for text in ("张伟来了北京", "来了", "北京北京北京张伟", "")]
    assert tool.tag(["张伟来了北京", "来了", "北京北京北京张伟", ""]) == alone


def test_viterbi_finds_what_trying_everything_finds():
    rng = np.random.default_rng(5)
    tags, lengths = 4, np.array([1, 3, 5], dtype=np.int32)
    scores, crf = rng.normal(size=(5, 3, tags)).astype(np.float32), rng.normal(size=(tags + 2, tags)).astype(np.float32)

    def total(row, path):
        steps = sum(scores[t, row, tag] for t, tag in enumerate(path)) + crf[0, path[0]] + crf[1, path[-1]]
        return steps + sum(crf[2 + a, b] for a, b in pairwise(path))

    for row, found in enumerate(viterbi(scores, lengths, crf)):
        best = max(product(range(tags), repeat=int(lengths[row])), key=lambda path, row=row: total(row, path))
        assert list(best) == found


def test_text_is_cut_into_as_few_words_as_can_be():
    cutter = Cutter(["北京", "北京人", "人民", "民大", "大学"], 100)
    assert cutter.cut("北京人民大学") == ["北京", "人民", "大学"]
    assert cutter.cut("北京人x1y来") == ["北京人", "x1y", "来"]
    assert cutter.cut("") == []


@pytest.mark.parametrize(
    "changes",
    [{"model/crfw": None}, {"model/crfw": b"\x00" * 30}, {"conf/word.dic": None}, {"conf/tag.dic": b"\xff\xfe"}, {"model/word_emb": b""}],
    ids=["missing", "broken", "no words", "not UTF-8", "empty"],
)
def test_what_is_no_package_of_lac_is_refused(tmp_path, changes):
    source = package(tmp_path / "LAC-2.1.2.tar.gz", parameters(np.random.default_rng(3)), **changes)
    with pytest.raises(ModelUnsupported):
        lac.convert(source, tmp_path)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "LAC-2.tar.gz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelUnsupported):
        lac.convert(tmp_path / "LAC-2.tar.gz", tmp_path)


@pytest.mark.parametrize("extra", ["tokenizer.json", "run.py"])
def test_a_tagger_has_nothing_else_in_its_folder(made, extra):
    from ringfence.core.errors import UnsafeFile

    (made[1] / extra).write_text(json.dumps({}))
    with pytest.raises(UnsafeFile):
        check_folder(made[1])


@pytest.mark.full
def test_the_real_package_finds_names(tmp_path):
    if not REAL.exists():
        pytest.skip(f"no {REAL.name} in .cache/wheels")
    lac.convert(REAL, tmp_path)
    text = "患者张伟于昨日入院，家住海淀区，就职于阿里巴巴集团。"
    found = [(text[s.start : s.end], s.kind) for s in Lac(folder=tmp_path).tag([text])[0]]
    assert ("张伟", PERSON) in found
    assert {value for value, _ in found} >= {"张伟", "海淀区", "阿里巴巴集团"}
