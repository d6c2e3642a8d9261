"""Which files a bundle may hold for other tools, and what a release statement must say of them."""

import pytest

from ringfence.release.formats import OWN_WEIGHTS, REWARDS, belongs, weights_of
from ringfence.train.method import METHODS
from ringfence.train.objective import OBJECTIVES
from ringfence.train.settings import TrainSettings


def test_a_verifier_knows_which_methods_leave_no_adapter():
    assert {name for name in METHODS.names() if TrainSettings(method=name).is_whole} == OWN_WEIGHTS
    assert {name for name in OBJECTIVES.names() if TrainSettings(objective=name).is_reward} == REWARDS


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("merged/config.json", True),
        ("merged/model-00001-of-00002.safetensors", True),
        ("gguf/model-q8_0.gguf", True),
        ("merged/modeling_llama.py", False),
        ("merged/pytorch_model.bin", False),
        ("gguf/model-q2_k.gguf", False),
        ("gguf/notes.txt", False),
        ("merged/README.md", False),
    ],
)
def test_only_known_files_belong(path, may):
    assert belongs(path) is may


def test_weights_are_told_by_their_format():
    paths = ["merged/config.json", "merged/model.safetensors", "gguf/model-f16.gguf", "adapter_model.safetensors"]
    assert weights_of("merged", paths) == ["merged/model.safetensors"]
    assert weights_of("gguf-f16", paths) == ["gguf/model-f16.gguf"]
    assert weights_of("gguf-q8_0", paths) == []
