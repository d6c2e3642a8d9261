"""Internal terms as a user meets them: discover, list, decide, import, mask; and what they leave behind."""

from __future__ import annotations

import io
import re
import shutil

import pytest
import yaml

from ringfence.cli.main import run
from ringfence.core.errors import Busy, NoCandidates, NumberUnknown, TermsFileRefused
from ringfence.deid.profile import settings_for
from ringfence.deid.terms_settings import TermsSettings
from ringfence.flows import terms
from ringfence.flows.data import delete, foresee
from ringfence.flows.deid import deidentify, dictionary_of
from ringfence.flows.init import init
from ringfence.vault.keys import Passphrase
from ringfence.vault.sets import SetReader
from ringfence.workspace.fsck import fsck
from ringfence.workspace.locks import held
from tests.flows.conftest import PASSPHRASE, RECIPE, import_notes, notes, reopen

SECRET = ("ORC-2197", "璇玑平台", "quorvex_jobs")
AROUND = ("请登录{}查看", "转给{}的人", "{}已上线，", "see {} now.", "({} is slow)", "由{}承办。")


def rows():
    """Notes that speak of three invented terms, each six times."""
    made = notes(24)
    for n, term in enumerate(SECRET):
        for k, around in enumerate(AROUND):
            made[(7 * n + 3 * k) % len(made)]["prompt"] += " " + around.format(term)
    return made


@pytest.fixture(scope="module")
def once(tmp_path_factory, model_store):
    """The folder of a workspace with a set and its candidates, and their figures; copied before it is changed."""
    folder = tmp_path_factory.mktemp("looked")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    import_notes(space, folder, rows())
    _, figures = terms.discover(space, "clinic", settings=settings_for("default"))
    return folder / "ws", figures


@pytest.fixture
def looked(once, tmp_path):
    """A workspace with a set and its candidates, and the figures."""
    folder, figures = once
    shutil.copytree(folder, tmp_path / "ws")
    return reopen(tmp_path / "ws"), figures


def listed(space, **more):
    found = []
    terms.show(space, "clinic", say=found.append, **more)
    return found


def number_of(space, term):
    return next(row["number"] for row in listed(space, most=500) if row["term"] == term)


def decided(space, verb, *found, kind=None):
    numbers = tuple((n, n) for n in (number_of(space, term) for term in found))
    return terms.decide(space, "clinic", TermsSettings(how="decide", verb=verb, kind=kind, numbers=numbers))[1]


def masked_text(space, **more):
    committed, _ = deidentify(space, "clinic", settings=settings_for("default"), **more)
    slot = space.input(committed.things["set"]).slot
    return "\n".join(text for record in SetReader(slot, space.keys.data_key(slot.slot)) for text in record.texts)


def test_candidates_come_with_counts_and_contexts_without_identifiers(looked):
    space, figures = looked
    found = {row["term"]: row for row in listed(space, most=500)}
    assert set(SECRET) <= set(found)
    assert {row["count"] for term, row in found.items() if term in SECRET} == {6}
    assert figures.candidates == len(found)
    assert figures.records == figures.records_read == 24
    contexts = [context for row in found.values() for context in row["contexts"]]
    assert all(1 <= len(row["contexts"]) <= 3 for row in found.values())
    assert all(term in context for term in SECRET for context in found[term]["contexts"])
    assert any("▇" in context for context in contexts)
    assert not [c for c in contexts if "clinic.internal" in c or re.search("1380013", c)]


def test_the_next_command_names_the_set_whose_terms_were_decided(looked, tmp_path, capsys):
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    assert run(["--passphrase-file", str(word), "-w", str(looked[0].path), "deid", "terms", "accept", "clinic", "1"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "Next: ringfence deid clinic"


@pytest.mark.full
def test_accepted_generalised_and_kept_terms_are_treated_so_in_every_spelling(looked):
    space, _ = looked
    decided(space, "accept", "ORC-2197")
    decided(space, "generalise", "璇玑平台", kind="project")
    figures = decided(space, "keep", "quorvex_jobs")
    assert (figures.terms, figures.accepted, figures.generalised, figures.kept) == (3, 1, 1, 1)
    text = masked_text(space)
    assert "ORC-2197" not in text
    assert "璇玑" not in text
    assert text.count("内部项目") >= 6
    assert text.count("quorvex_jobs") == 6
    assert len(set(re.findall(r"Project [A-Z]\d{3}", text))) == 1


def test_spellings_of_one_term_get_one_surrogate(space, tmp_path):
    made = notes(6)
    for row, spelling in zip(made, ("ORC-2197", "orc 2197", "ORC2197", "ＯＲＣ－２１９７", "ORC_2197", "Orc-2197"), strict=True):
        row["prompt"] += f" in {spelling} today"
    import_notes(space, tmp_path, made)
    (tmp_path / "terms.csv").write_text("term,decision\nORC-2197,accept\n")
    terms.take(space, tmp_path / "terms.csv")
    text = masked_text(space)
    assert not re.search(r"(?<![0-9０-９])(2197|２１９７)(?![0-9０-９])", text)  # stand-ins of telephone numbers may hold the digits
    assert len(set(re.findall(r"in (Project [A-Z]\d{3}) today", text))) == 1
    assert len(re.findall(r"in Project [A-Z]\d{3} today", text)) == 6


@pytest.mark.full
def test_the_dictionary_and_a_file_are_used_together_and_digested_together(looked, tmp_path):
    space, _ = looked
    decided(space, "accept", "ORC-2197")
    (tmp_path / "more").write_text("璇玑平台\n", encoding="utf-8")
    digests = []
    for file in (None, tmp_path / "more"):
        text = masked_text(space, terms=file)
        assert "ORC-2197" not in text
        assert ("璇玑" in text) == (file is None)
        made = space.state.resolve("clinic@masked:default")
        predicate = space.statement(made.statement).predicate
        assert predicate.inputs["dictionary"] == dictionary_of(space.state).made.digest
        digests.append(predicate.settings["terms_digest"])
    assert len(set(digests)) == 2
    assert None not in digests


@pytest.mark.full
def test_what_was_decided_is_no_candidate_of_the_next_discovery_and_parts_are_linked(looked):
    space, _ = looked
    decided(space, "accept", "璇玑平台")
    decided(space, "keep", "quorvex_jobs")
    assert {row["term"]: row["decision"] for row in listed(space, most=500) if row["decision"]} == {
        "璇玑平台": "accept",
        "quorvex_jobs": "keep",
    }
    terms.discover(space, "clinic", settings=settings_for("default"))
    found = {row["term"] for row in listed(space, most=500)}
    assert "ORC-2197" in found
    assert not found & {"璇玑平台", "quorvex_jobs"}


def test_evidence_and_ledger_hold_counts_only(looked):
    space, _ = looked
    decided(space, "accept", "ORC-2197")
    run = next(run for run in space.state.runs.values() if run.intent.arrow == "terms")
    figures = space.statement(run.statement).predicate.figures
    assert figures == {"terms": 1, "accepted": 1, "kept": 0, "generalised": 0, "changed": 1, "strong_left": figures["strong_left"]}
    opened = [raw for _, raw in space.ledger.entries(0) if raw["type"] == "open"]
    assert {raw["purpose"] for raw in opened} == {"terms"}


def test_strong_candidates_are_counted_until_somebody_decides(looked, tmp_path):
    space, figures = looked
    thing = space.state.resolve("clinic")
    strong = [row for row in listed(space, most=500) if row["strong"]]
    assert figures.strong == len(strong) == terms.unreviewed(space, thing) > 0
    numbers = tuple((row["number"], row["number"]) for row in strong)
    terms.decide(space, "clinic", TermsSettings(how="decide", verb="keep", numbers=numbers[1:]))
    assert terms.unreviewed(space, thing) == 1
    (tmp_path / "last").write_text(strong[0]["term"] + "\n", encoding="utf-8")
    terms.take(space, tmp_path / "last")  # an import counts, too
    assert terms.unreviewed(space, thing) == 0
    terms.decide(space, "clinic", TermsSettings(how="decide", verb="forget", numbers=numbers))
    assert terms.unreviewed(space, thing) == len(strong)


def test_a_set_that_nobody_looked_through_says_so(space, tmp_path):
    import_notes(space, tmp_path, rows())
    assert terms.unreviewed(space, space.state.resolve("clinic")) is None
    with pytest.raises(NoCandidates):
        listed(space)


def test_numbers_beyond_the_list_change_nothing(looked):
    space, figures = looked
    with pytest.raises(NumberUnknown) as caught:
        terms.decide(space, "clinic", TermsSettings(how="decide", verb="accept", numbers=((1, figures.candidates + 1),)))
    assert caught.value.facts == {"number": figures.candidates + 1, "count": figures.candidates}
    assert dictionary_of(space.state) is None


def test_two_changes_at_once_are_refused(looked):
    space, _ = looked
    with held(space.path / "terms.lock", what="test"), pytest.raises(Busy):
        decided(space, "accept", "ORC-2197")


def test_a_review_asks_until_it_is_ended_and_undoes(looked):
    space, figures = looked
    said, answers = [], iter(["x", "a", "s", "u", "u", "k", "g project", "g nonsense", "q"])
    _, after = terms.review(space, "clinic", say=said.append, hear=lambda: next(answers))
    # x is asked again; a decides 1, s skips 2, u back to 2, u back to 1 and forgets it, k keeps 1, g generalises 2, nonsense is asked again, q ends
    assert [row["number"] for row in said] == [1, 1, 2, 3, 2, 1, 2, 3, 3]
    assert [row["again"] for row in said] == [False, True, False, False, False, False, False, False, True]
    assert (after.accepted, after.kept, after.generalised, after.changed) == (0, 1, 1, 2)
    again = []
    terms.review(space, "clinic", say=again.append, hear=lambda: None)
    assert again[0]["number"] == 3
    assert again[0]["left"] == figures.candidates - 2


def test_deleting_a_set_takes_its_candidates_and_leaves_the_dictionary(looked):
    space, _ = looked
    decided(space, "accept", "ORC-2197")
    masked_text(space)
    (sealed,) = [thing for thing in space.state.live().values() if thing.made.stage == "sealed"]
    kinds = {thing.made.kind for thing in foresee(space, [sealed], with_derived=True).going}
    assert {"candidates", "set", "spans"} <= kinds
    assert "dictionary" not in kinds
    delete(space, [sealed], with_derived=True)
    left = {thing.made.kind for thing in space.state.live().values()}
    assert "candidates" not in left
    assert "dictionary" in left
    assert fsck(reopen(space.path)).is_sound


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("good name\nx\n", 2),
        ("term,decision,as\nname one,accept\nname two,perhaps\n", 3),
        ("name one,generalise,castle\n", 1),
        ("name one,accept,project\n", 1),
        ("a name,accept,system,more\n", 1),
        ("name\n" + "n" * 201 + "\n", 2),
        ('"open name\n', 1),
        ("na\x07me\n", 1),
        ("ORC-2197,accept\n\n# note\norc 2197,keep\n", 4),
    ],
)
def test_a_line_that_cannot_be_taken_is_named_and_not_quoted(space, tmp_path, content, line):
    (tmp_path / "terms.csv").write_text(content)
    with pytest.raises(TermsFileRefused) as caught:
        terms.take(space, tmp_path / "terms.csv")
    assert f"line {line}:" in str(caught.value)
    assert "name" not in str(caught.value)
    assert dictionary_of(space.state) is None


def test_imported_decisions_are_merged(space, tmp_path):
    file = tmp_path / "terms.csv"
    file.write_text("term,decision,as\nORC-2197,accept\n璇玑平台,,project\nquorvex_jobs,keep\n", encoding="utf-8")
    _, figures = terms.take(space, file)
    assert (figures.accepted, figures.generalised, figures.kept, figures.changed) == (1, 1, 1, 3)
    file.write_text("quorvex jobs\nORC 2197,forget\nNew Name\n", encoding="utf-8")
    _, figures = terms.take(space, file)
    assert (figures.terms, figures.accepted, figures.generalised, figures.kept, figures.changed) == (3, 2, 1, 0, 3)
    rows = []
    terms.show(space, None, say=rows.append)
    assert rows == [
        {"term": "New Name", "decision": "accept", "as": None},
        {"term": "quorvex_jobs", "decision": "accept", "as": None},
        {"term": "璇玑平台", "decision": "generalise", "as": "project"},
    ]


def test_the_commands(looked, cli, recipe, monkeypatch, capsys):
    space, _figures = looked
    code, found = cli("deid", "terms", "list", "clinic", "--most", "500", workspace=space.path)
    assert code == 0
    assert set(SECRET) <= {row["term"] for row in found["candidates"]}
    number = next(row["number"] for row in found["candidates"] if row["term"] == "ORC-2197")
    assert cli("deid", "terms", "accept", "clinic", number, workspace=space.path)[1]["accepted"] == 1
    assert cli("deid", "terms", "generalise", "clinic", number, "--as", "code", workspace=space.path)[1]["generalised"] == 1
    assert cli("deid", "terms", "keep", "clinic", f"{number}-{number}", workspace=space.path)[1]["kept"] == 1
    assert cli("deid", "terms", "forget", "clinic", f"{number},", workspace=space.path)[1]["terms"] == 0
    assert cli("deid", "terms", "accept", "clinic", "ORC-2197", workspace=space.path)[0] == 2
    assert cli("deid", "terms", "generalise", "clinic", number, "--as", "castle", workspace=space.path)[0] == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nk\n"))
    code, reviewed = cli("deid", "terms", "review", "clinic", workspace=space.path)
    assert code == 0
    assert (reviewed["accepted"], reviewed["kept"]) == (1, 1)
    code, listed_ = cli("deid", "terms", "list", workspace=space.path)
    assert code == 0
    assert [row["decision"] for row in listed_["terms"]] == ["accept", "keep"]


@pytest.mark.full
def test_training_and_masking_warn_and_go_on(looked, tmp_path, capsys):
    from ringfence.cli.main import run

    space, figures = looked
    (tmp_path / "word").write_text("correct horse battery staple")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    front = ["--passphrase-file", str(tmp_path / "word"), "-w", str(space.path)]
    note = f"note: {figures.strong} strong candidates for internal terms of clinic wait"
    assert run([*front, "scan", "clinic"]) == 0
    assert run([*front, "deid", "clinic"]) == 0
    assert note in capsys.readouterr().err
    assert run([*front, "train", str(tmp_path / "recipe.yaml"), "max_steps=1"]) == 0
    assert note in capsys.readouterr().err
    everything = f"1-{figures.candidates}"
    assert run([*front, "deid", "terms", "keep", "clinic", everything]) == 0
    assert run([*front, "deid", "clinic"]) == 0
    assert "strong candidates" not in capsys.readouterr().err
