"""`deid train` and `deid --tagger` as they are typed: what is made, what the evidence says, where the labelled text is not."""

from __future__ import annotations

import json
import shutil

import pytest

from ringfence.core.errors import UnknownTagger
from ringfence.core.policy import DEFAULT
from ringfence.deid.label_studio import from_tasks, to_tasks
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import Span
from ringfence.deid.teaching import TeachSettings
from ringfence.flows.data import foresee
from ringfence.flows.deid import deidentify
from ringfence.flows.import_ import import_file
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.review import found_review, masked_set, sample, take_labels, write_out
from ringfence.ingest.settings import ImportSettings
from ringfence.vault.keys import Passphrase
from ringfence.vault.sets import SetReader
from tests.flows.conftest import PASSPHRASE, import_notes, reopen, write_rows
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


# ── from a review ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory, model_store):
    """A workspace with a masked set, the review of it, and what people marked: names and wards, of which masking had found none."""
    folder = tmp_path_factory.mktemp("reviewed")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    rows = ward_rows(180)
    texts = [{"text": row["text"], "patient_id": n} for n, row in enumerate(rows)]
    path = write_rows(folder / "wards.jsonl", texts)
    import_file(space, path, name="clinic", settings=ImportSettings(source=path.name, unit="patient_id"))
    deidentify(space, "clinic", settings=settings_for("default", without=("en-names.v1", "zh-names.v1")))
    set_policy(space, DEFAULT)  # reveal: refuse
    masked = masked_set(space, "clinic")
    sampled, _ = sample(space, masked, rows=170)
    write_out(space, sampled, folder / "tasks.json", does="export")
    labels = {row["text"]: row["spans"] for row in rows}
    kinds = {"PERSON": "PERSON", "WARD": "ORGANISATION"}
    done = []
    for item in from_tasks((folder / "tasks.json").read_bytes()):
        spans = tuple(Span(s["start"], s["end"], kinds[s["kind"]], 1.0) for s in labels[item.text])
        done.append(item._replace(spans=spans, is_annotated=True))
    (folder / "done.json").write_bytes(to_tasks(done[:-4]))  # four rows stay open
    take_labels(space, sampled, folder / "done.json")
    return folder / "ws", [item.text for item in done]


UNSEEN = {"prompt": "今晨周敏敏转到荷蓉苑三区，诉头痛。", "completion": "已记录。", "patient_id": "p"}


@pytest.mark.full
def test_a_tagger_learns_what_a_review_corrected(reviewed, cli, tmp_path):
    folder = shutil.copytree(reviewed[0], tmp_path / "ws")
    before = reopen(folder).ledger.size
    code, answer = cli("deid", "train", "--review", "clinic", "--name", "wards", workspace=folder)
    assert (code, answer["documents"]) == (0, 166)
    assert answer["spans"]["ORGANISATION"] > 100
    assert answer["scores"]["zh"]["learnt"]["ORGANISATION"]["f1"] > 0.9
    space = reopen(folder)
    predicate = space.statement(space.state.tagger("wards").statement).predicate
    sampled = found_review(space, masked_set(space, "clinic"))
    assert predicate.settings["review"] == sampled.review.made.digest
    assert predicate.settings["labels_digest"] is None
    assert predicate.inputs == {
        "set": sampled.masked.made.digest,
        "review": sampled.review.made.digest,
        "spans": sampled.spans.made.digest,
    }
    assert [step["step"] for step in cli("data", "show", "wards@tagger", workspace=folder)[1]["chain"]] == ["teach", "deid", "import"]
    opened = [json.loads(space.ledger.raw(n)) for n in range(before, space.ledger.size)]
    assert [(one["object"], one["purpose"]) for one in opened if one["type"] == "open"] == [(sampled.spans.made.digest, "originals")]
    assert leaks(folder, reviewed[1][:3]) == []

    import_notes(space, tmp_path, [UNSEEN], name="new")
    code, masked = cli("deid", "new", "--without", "zh-names.v1", "--tagger", "wards", workspace=folder)
    assert (code, masked["spans"]) == (0, {"ORGANISATION": 1, "PERSON": 1})
    code, masked = cli("deid", "new", workspace=folder)
    assert masked["spans"] == {"LOCATION": 1, "PERSON": 1}  # what ships takes a ward for a place
    space = reopen(folder)
    derived = foresee(space, [space.state.resolve("clinic@sealed")], with_derived=True).going
    assert "tagger" in {thing.made.kind for thing in derived}


def test_who_learns_from_a_review_gets_no_key_of_the_set(reviewed, tmp_path, monkeypatch):
    from ringfence.flows import teach as flow

    class Seen(Exception):
        pass

    def watched(work, *_, **__):
        raise Seen(set(work.inputs), len(work.keys.data))

    folder = shutil.copytree(reviewed[0], tmp_path / "ws")
    monkeypatch.setattr(flow, "start", watched)
    space = reopen(folder)
    sampled = found_review(space, masked_set(space, "clinic"))
    with pytest.raises(Seen) as caught:
        flow.teach(space, None, name="x", settings=TeachSettings(review=sampled.review.made.digest), reviewed=sampled)
    assert caught.value.args == ({"review", "spans"}, 3)  # and the tagger's own


@pytest.mark.full
def test_a_review_and_a_file_are_learnt_from_together(reviewed, cli, tmp_path):
    folder = shutil.copytree(reviewed[0], tmp_path / "ws")
    path = write_rows(tmp_path / "more.jsonl", ward_rows(60, seed=9))
    code, answer = cli("deid", "train", path, "--review", "clinic", "--kind", "WARD", workspace=folder)
    assert (code, answer["tagger"], answer["documents"]) == (0, "more", 166 + 60)
    assert {"WARD", "ORGANISATION"} <= set(answer["spans"])


def test_without_a_review_or_a_file_nothing_is_learnt(reviewed, cli, tmp_path):
    folder = shutil.copytree(reviewed[0], tmp_path / "ws")
    code, answer = cli("deid", "train", workspace=folder)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    space = reopen(folder)
    import_notes(space, tmp_path, [UNSEEN], name="new")
    deidentify(space, "new", settings=settings_for("default", without=("en-names.v1", "zh-names.v1")))
    code, answer = cli("deid", "train", "--review", "new", workspace=folder)
    assert (code, answer["error"]["code"]) == (2, "RF-DEID-044")
