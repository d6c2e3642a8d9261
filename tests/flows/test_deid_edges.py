"""`ringfence deid` with recognisers from Presidio's YAML and several workers, in the real sandbox."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from ringfence.vault.sets import SetReader
from tests.flows.conftest import import_notes, reopen

FILE = r"""
recognizers:
  - {name: Badge, supported_entity: BADGE, patterns: [{name: b, regex: '\bbd-\d{4}\b', score: 0.8}]}
"""


def rows(count=12):
    return [
        {"prompt": f"工牌bd-10{n:02}已停用，手机1380013{8000 + n}", "completion": f"badge bd-10{n:02}", "patient_id": f"P{n}"}
        for n in range(count)
    ]


def test_presidio_recognisers_and_workers(space, tmp_path, cli):
    import_notes(space, tmp_path, rows())
    file = tmp_path / "recognisers.yaml"
    file.write_text(FILE, encoding="utf-8")
    code, out = cli(
        "deid", "clinic", "--presidio", file, "--workers", "2", "--without", "zh-names.v1", "--without", "en-names.v1", workspace=space.path
    )
    assert code == 0
    assert out["spans"]["BADGE"] == 24
    after = reopen(space.path)
    thing = after.state.resolve("clinic@masked")
    source = after.input(thing)
    texts = "".join(text for record in SetReader(source.slot, after.keys.data_key(source.slot.slot)) for text in record.texts)
    assert "bd-10" not in texts
    (statement,) = [one for one in after.chain(thing) if one.step == "deid"]
    settings = statement.predicate.settings
    assert len(settings["presidio_digest"]) == 64
    assert "workers" not in settings


def test_an_expression_that_may_not_run_is_refused_before_a_run_begins(space, tmp_path, cli):
    import_notes(space, tmp_path, rows(2))
    file = tmp_path / "recognisers.yaml"
    file.write_text(FILE.replace(r"\bbd-\d{4}\b", "(a+)+b"), encoding="utf-8")
    before = len(reopen(space.path).state.runs)
    code, out = cli("deid", "clinic", "--presidio", file, workspace=space.path)
    assert (code, out["error"]["code"]) == (2, "RF-DEID-011")
    assert len(reopen(space.path).state.runs) == before


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_workers_are_a_number(space, cli, workers):
    code, _ = cli("deid", "clinic", "--workers", workers, workspace=space.path)
    assert code == 2


def test_parquet_becomes_the_set_that_json_lines_become(space, tmp_path, cli):
    if find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed")
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "clinic.parquet"
    parquet.write_table(pa.Table.from_pylist(rows()), path, row_group_size=5)
    assert cli("import", path, "--unit", "patient_id", "--name", "table", workspace=space.path)[0] == 0
    import_notes(space, tmp_path, rows())
    after = reopen(space.path)
    digests = []
    for name in ("table", "clinic"):
        source = after.input(after.state.resolve(f"{name}@sealed"))
        digests.append(SetReader(source.slot, after.keys.data_key(source.slot.slot)).index.content_hmac)
    assert digests[0] == digests[1]
