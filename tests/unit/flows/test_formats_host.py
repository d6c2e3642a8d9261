"""The host does not believe what a job wrote for other tools: every way to put something in beside the weights is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ringfence.core.errors import FormatUnexpected
from ringfence.flows.formats import _expected, _files, _unlike, foretell_sizes
from ringfence.formats.job import _write
from ringfence.models.store import find, register
from ringfence.models.tiny import write_tiny_model
from ringfence.release.formats import FORMATS, Parity, gguf_file
from ringfence.train.settings import TrainSettings

ASKED = ("merged", "gguf-f16")


@pytest.fixture(scope="module")
def honest(tmp_path_factory, model_store):
    """What an honest job leaves, and the model that it began with."""
    folder = tmp_path_factory.mktemp("honest")
    register(write_tiny_model(folder / "model", words=("patient",)), "tiny-host")
    model = find("tiny-host")
    (folder / "out").mkdir()
    state = AutoModelForCausalLM.from_pretrained(model.path).state_dict()
    for format_ in ASKED:
        _write(format_, model.open(), state, folder / "out", name="clinic")
    return model, folder / "out"


@pytest.fixture
def left(honest, tmp_path):
    shutil.copytree(honest[1], tmp_path / "out")
    return honest[0], tmp_path / "out"


def check(model, folder):
    _expected(_files(folder), model, TrainSettings(), ASKED, name="clinic")


def test_what_an_honest_job_leaves_passes(left):
    check(*left)


def weights(folder, change, metadata=None):
    path = folder / "merged" / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata or {"format": "pt"})


def append(path):
    with path.open("ab") as stream:
        stream.write(b"Zhang San, 138 0013 8000".ljust(32))


def said(folder, old, new):
    path = folder / "gguf" / "model-f16.gguf"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


@pytest.mark.parametrize("prelude", [{}, {"default_system": "Answer briefly."}], ids=["plain", "begun"])
def test_the_room_that_a_format_takes_is_foretold_from_the_shapes_alone(honest, prelude, tmp_path):
    model, train, formats = honest[0], TrainSettings(**prelude), FORMATS
    state = AutoModelForCausalLM.from_pretrained(model.path).state_dict()
    for format_ in formats:
        _write(format_, model.open()._replace(prelude=train.prelude), state, tmp_path, name="clinic")
    files = {path: file.stat().st_size for path, file in _files(tmp_path).items()}
    foretold = foretell_sizes(model, train, formats, name="clinic")
    merged = sum(size for path, size in files.items() if path.startswith("merged/"))
    assert foretold == {"merged": pytest.approx(merged, abs=64), **{one: files[gguf_file(one)] for one in formats[1:]}}
    assert foretold["gguf-q4_1"] < foretold["gguf-q8_0"] < foretold["gguf-f16"]


@pytest.mark.parametrize("named", [2, None])
def test_the_token_that_closes_answers_is_foretold_too(honest, tmp_path, named):
    model, train = honest[0], TrainSettings()
    state = AutoModelForCausalLM.from_pretrained(model.path).state_dict()
    for format_ in ASKED:
        _write(format_, model.open()._replace(closing=0), state, tmp_path, name="clinic")
    files = _files(tmp_path)
    _expected(files, model, train, ASKED, name="clinic", closing=0)
    foretold = foretell_sizes(model, train, ASKED, name="clinic", closing=0)
    assert foretold["merged"] == pytest.approx(sum(one.stat().st_size for path, one in files.items() if path.startswith("merged/")), abs=64)
    with pytest.raises(FormatUnexpected):
        _expected(files, model, train, ASKED, name="clinic", closing=named)


BENT = {
    "a file beside": lambda f: (f / "merged" / "notes.json").write_text("{}"),
    "a file in the root": lambda f: (f / "rows.json").write_text("{}"),
    "a folder inside a folder": lambda f: (f / "merged" / "rows").mkdir(),
    "a link": lambda f: ((f / "merged" / "config.json").unlink(), (f / "merged" / "config.json").symlink_to("/etc/passwd")),
    "a missing file": lambda f: (f / "merged" / "config.json").unlink(),
    "another configuration": lambda f: (f / "merged" / "config.json").write_text(json.dumps({"model_type": "llama", "note": "x"})),
    "another template": lambda f: (f / "merged" / "chat_template.jinja").write_text("{{ 'Zhang San' }}"),
    "metadata": lambda f: weights(f, dict, metadata={"format": "pt", "note": "Zhang San"}),
    "a tensor more": lambda f: weights(f, lambda t: t.update(rows=torch.zeros(3))),
    "a tensor less": lambda f: weights(f, lambda t: t.pop("model.norm.weight")),
    "another shape": lambda f: weights(f, lambda t: t.update({"model.norm.weight": torch.zeros(65)})),
    "another type": lambda f: weights(f, lambda t: t.update({"model.norm.weight": torch.zeros(64, dtype=torch.float64)})),
    "not safetensors": lambda f: (f / "merged" / "model.safetensors").write_bytes(b"x" * 100),
    "bytes after the last tensor": lambda f: append(f / "merged" / "model.safetensors"),
    "bytes after the last GGUF tensor": lambda f: append(f / "gguf" / "model-f16.gguf"),
    "another name in GGUF": lambda f: said(f, b"clinic", b"patent"),
    "another template in GGUF": lambda f: said(f, b"<|im_start|>' + message", b"<|im_start|>' + massage"),
}


@pytest.mark.parametrize("way", BENT)
def test_anything_else_is_refused(left, way):
    model, folder = left
    BENT[way](folder)
    with pytest.raises(FormatUnexpected):
        check(model, folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"same_ids": False}, "tokeniser"),
        ({"tokens": 3, "same": 3}, "3 places were compared, at least 16"),
        ({"same": 60}, "60.0% of 100 places, at least 97%"),
    ],
)
def test_a_refusal_says_what_is_unlike(changes, says):
    one = Parity(**({"format": "merged", "tokens": 100, "same": 100, "divergence": 0.0, "same_ids": True} | changes))
    assert not one.is_faithful
    assert says in _unlike(one)
