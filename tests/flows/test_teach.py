"""`deid train` and `deid --tagger` as they are typed: what is made, what the evidence says, where the labelled text is not."""

from __future__ import annotations

import json

import pytest

from ringfence.core.errors import UnknownTagger
from ringfence.vault.sets import SetReader
from tests.flows.conftest import import_notes, reopen, write_rows
from tests.privacy.finder import leaks
from tests.unit.deid.lessons_data import ward_rows

LABELLED = "丹青苑八区护理站"  # stands once in the labelled text and nowhere else


@pytest.fixture
def taught(space, cli, tmp_path):
    rows = ward_rows(160)
    rows.append(
        {
            "text": f"陆怀瑾住进{LABELLED}，体温平稳。",
            "spans": [{"start": 0, "end": 3, "kind": "PER"}, {"start": 5, "end": 13, "kind": "ward"}],
        }
    )
    path = write_rows(tmp_path / "corrected.jsonl", rows)
    code, answer = cli("deid", "train", path, "--kind", "WARD", "--name", "wards", workspace=space.path)
    assert code == 0
    return path, answer


def test_a_tagger_is_taught_used_listed_and_deleted(taught, space, cli, tmp_path):
    _, answer = taught
    assert answer["scores"]["zh"]["learnt"]["WARD"]["f1"] > 0.9
    import_notes(space, tmp_path, [{"prompt": "今晨周敏敏转到荷蓉苑三区，诉头痛。", "completion": "已记录。", "patient_id": "p"}])
    code, masked = cli("deid", "clinic", "--tagger", "wards", workspace=space.path)
    assert (code, masked["spans"]) == (0, {"PERSON": 1, "WARD": 1})
    space = reopen(space.path)
    source = space.state.resolve("clinic@masked")
    statement = space.chain(source)[-1].predicate
    assert statement.inputs["tagger-0"] == answer["digest"]
    assert statement.settings["taught"] == {"wards": answer["digest"]}
    slot = space.input(source).slot
    texts = [text for record in SetReader(slot, space.keys.data_key(slot.slot)) for text in record.texts]
    assert "荷蓉" not in "".join(texts)

    code, listed = cli("data", "list", workspace=space.path)
    assert ("wards@tagger", answer["digest"]) in {(row["name"], row["digest"]) for row in listed["objects"]}
    assert cli("data", "show", "wards@tagger", workspace=space.path)[1]["digest"] == answer["digest"]
    code, deleted = cli("data", "delete", "wards@tagger", "--yes", workspace=space.path)
    assert (code, deleted["deleted"]) == (0, [answer["digest"]])
    code, refused = cli("deid", "clinic", "--tagger", "wards", workspace=space.path)
    assert (code, refused["error"]["code"]) == (2, "RF-DEID-049")
    with pytest.raises(UnknownTagger):
        reopen(space.path).state.find("wards@tagger")


def test_the_card_is_sealed_and_the_labelled_text_is_nowhere(taught, space):
    path, answer = taught
    space = reopen(space.path)
    tagger = space.state.tagger("wards")
    predicate = space.statement(tagger.statement).predicate
    assert predicate.figures == {}
    assert predicate.sealed_figures is not None
    assert predicate.settings["labels_digest"] not in path.read_text()
    assert LABELLED in path.read_text()
    assert leaks(space.path, [LABELLED, "陆怀瑾住进"]) == []
    assert LABELLED not in json.dumps(answer, ensure_ascii=False)


def test_what_is_wrong_is_said_without_the_text(space, cli, tmp_path):
    path = write_rows(tmp_path / "corrected.jsonl", ward_rows(160))
    code, answer = cli("deid", "train", path, workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-DEID-046")
    code, answer = cli("deid", "train", path, "--kind", "a ward", workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    code, answer = cli("deid", "train", tmp_path / "nothing", workspace=space.path)
    assert code == 2
    path.write_text(f'{{"text": "{LABELLED}", "spans": 7}}\n', encoding="utf-8")
    code, answer = cli("deid", "train", path, workspace=space.path)
    assert (code, answer["error"]["code"]) == (2, "RF-DEID-045")
    assert LABELLED not in json.dumps(answer, ensure_ascii=False)
    assert reopen(space.path).state.live() == {}
