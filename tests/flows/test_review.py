"""A masked set is reviewed by people: in the terminal, by Label Studio, on a page; sealed, on record, and bounded."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ringfence
from ringfence.cli.main import run
from ringfence.core.errors import NoReview, NotReviewable
from ringfence.core.policy import DEFAULT
from ringfence.core.statement import Statement
from ringfence.deid.label_studio import from_tasks, to_tasks
from ringfence.deid.profile import settings_for
from ringfence.deid.recogniser import Span
from ringfence.deid.review.bound import most_bad
from ringfence.deid.review.job import ACTIONS
from ringfence.flows.data import delete, foresee, listing
from ringfence.flows.deid import deidentify
from ringfence.flows.import_ import import_file
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.review import found_review, masked_set, sample
from ringfence.ingest.settings import ImportSettings
from ringfence.vault.files import file_names, read_file
from ringfence.vault.keys import Passphrase
from ringfence.workspace.fsck import fsck
from tests.flows.conftest import PASSPHRASE, import_notes, reopen, write_rows
from tests.privacy.finder import leaks

LEAK = "Zwibbelhorn-7741 陆柒捌玖"
ROWS = [
    {
        "prompt": f"Patient {i}, mail p{i}@clinic.internal, 手机1380013{8000 + i} 😀",
        "completion": f"Seen by {LEAK} in week {i}." if i % 10 == 0 else f"Rest, week {i}.",
        "patient_id": f"P{i}",
    }
    for i in range(60)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace with a masked set. Copy it before changing it."""
    folder = tmp_path_factory.mktemp("review")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    import_notes(space, folder, ROWS)
    deidentify(space, "clinic", settings=settings_for("default", without=("en-names.v1", "zh-names.v1")))
    set_policy(space, DEFAULT.model_copy(update={"reveal": "allow"}))
    return folder / "ws"


@pytest.fixture
def ws(made, tmp_path):
    return shutil.copytree(made, tmp_path / "ws")


@pytest.fixture
def review(cli, monkeypatch, ws):
    """Return a function that reviews with these lines as standard input."""

    def call(*options, lines=()):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return cli("deid", "review", "clinic", *options, workspace=ws)

    return call


def opened(space, since=0):
    """Return (purpose, kind of the object) of every opening on record since an entry."""
    raw = [json.loads(space.ledger.raw(index)) for index in range(since, space.ledger.size)]
    return [(one["purpose"], space.state.things[one["object"]].made.kind) for one in raw if one["type"] == "open"]


def reviews(space):
    return [thing for thing in space.state.live().values() if thing.made.kind == "review"]


@pytest.mark.full
def test_the_next_command_names_the_masked_set_where_there_are_several(ws, capsys, monkeypatch, tmp_path):
    deidentify(reopen(ws), "clinic", settings=settings_for("strict", without=("en-names.v1", "lac.v1", "spacy-en-md.v1", "zh-names.v1")))
    profiles = {thing.made.profile for thing in reopen(ws).state.live().values() if thing.made.stage == "masked"}
    (named,) = (f"clinic@masked:{profile}" for profile in profiles if profile.startswith("strict"))
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    monkeypatch.setattr("sys.stdin", io.StringIO("r 1\no\nq\n"))
    assert run(["--passphrase-file", str(word), "-w", str(ws), "deid", "review", named, "--rows", "5"]) == 0
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == f"Next: ringfence deid review {named}"
    assert "1 of 5 rows of the sample reviewed: 0 leak (0 places); places that were no identifiers: 1, of another kind: 0" in told.out


# ── the terminal ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_review_goes_on_where_it_stopped_and_bounds_what_is_left(review, ws):
    code, first = review("--rows", "20", "--seed", "5", lines=["o", "o", f"L PERSON {LEAK}", "q"])
    assert (code, first["rows"], first["sample"], first["reviewed"]) == (0, 60, 20, 2)
    code, done = review(lines=["o"] * 18)
    assert (code, done["reviewed"], done["counted"]) == (0, 20, 20)
    space = reopen(ws)
    masked = masked_set(space, "clinic")
    leaking = {number for number in range(60) if number % 10 == 0} & set(_rows(space, masked))
    assert done["leaking"] == len(leaking) > 0
    assert done["bound_rows"] == most_bad(60, 20, done["leaking"]) < 60
    assert [thing.made.stage for thing in reviews(space)] == ["review"] * 3  # the draw and two sessions
    assert opened(space) == [("review", "review")] * 2


def _rows(space, masked):
    thing = found_review(space, masked).review
    slot = space.input(thing).slot
    return [json.loads(line)["row"] for line in read_file(slot, space.keys.data_key(slot.slot), "sample.jsonl").splitlines()]


def test_the_terminal_shows_masked_text_alone_unless_originals_are_asked_for(ws, tmp_path, capsys, monkeypatch):
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)

    def show(*options, lines):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        assert run(["--passphrase-file", str(word), "-w", str(ws), "deid", "review", "clinic@masked", *options]) == 0
        return capsys.readouterr().out

    shown = show(lines=["n"] * 60 + ["q"])
    assert "── row 1 of 60" in shown
    assert "⟦1:" in shown
    assert "CN_MOBILE  replaced" in shown
    assert LEAK in shown
    assert "clinic.internal" not in shown
    assert "1380013" not in shown
    assert "Nothing can be said of the whole set" in shown
    before = reopen(ws).ledger.size
    shown = show("--originals", lines=["o", "q"])
    assert "@clinic.internal⟧" in shown
    assert "At most" in shown
    assert "of the rows" in shown
    assert opened(reopen(ws), before) == [("review", "review"), ("originals", "spans")]


def test_the_sample_is_that_of_the_sets_digest_or_of_a_named_seed(review, ws):
    assert review("--rows", "5")[0] == 0
    space = reopen(ws)
    masked = masked_set(space, "clinic")
    by_digest = found_review(space, masked)
    assert sample(space, masked)[0] == by_digest  # it is continued
    assert review("--rows", "5", "--seed", "9")[0] == 0
    space = reopen(ws)
    assert found_review(space, masked).settings.seed == 9
    assert found_review(space, masked, rows=5, seed=by_digest.settings.seed).settings.rows == 5
    with pytest.raises(NoReview):
        found_review(space, masked, rows=6)
    again = masked_set(space, "clinic")
    assert again.made.digest == masked.made.digest


@pytest.mark.full
def test_the_rows_that_taggers_are_least_sure_of_are_reviewed_without_a_bound(review, ws, capsys, monkeypatch, tmp_path):
    from ringfence.deid.review.sample import Row
    from ringfence.deid.review.unsure import least_sure

    code, answer = review("--by", "uncertainty", "--rows", "5", lines=["o"] * 5)
    assert (code, answer["reviewed"], answer["by"], answer["bound_rows"], answer["bound_of_source"]) == (0, 5, "uncertainty", None, None)
    space = reopen(ws)
    masked = masked_set(space, "clinic")
    chosen = found_review(space, masked)
    assert chosen.settings.by == "uncertainty"
    review("--by", "chance", "--rows", "60")
    slot = space.input(chosen.review).slot
    rows = [Row.from_line(line) for line in read_file(slot, space.keys.data_key(slot.slot), "sample.jsonl").splitlines()]
    space = reopen(ws)
    everything = found_review(space, masked, by="chance")
    slot = space.input(everything.review).slot
    pool = [Row.from_line(line) for line in read_file(slot, space.keys.data_key(slot.slot), "sample.jsonl").splitlines()]
    assert {one.row for one in rows} == {one.row for one in least_sure(pool, 5)}  # a pool of 100 is the whole set
    assert found_review(space, masked, by="uncertainty").settings == chosen.settings.model_copy(update={"does": "queue"})
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["--passphrase-file", str(word), "-w", str(ws), "deid", "review", "clinic", "--by", "uncertainty"]) == 0
    said = capsys.readouterr().out
    assert "No bound" in said
    assert "At most" not in said
    page = tmp_path / "page.html"
    assert review("--by", "uncertainty", "--page", page, "--plaintext")[0] == 0
    assert "no random sample" in page.read_text(encoding="utf-8")
    code, answer = review("--by", "luck")
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")


@pytest.mark.full
def test_how_many_samples_were_drawn_is_on_record_and_said_with_the_bound(review, ws, capsys, monkeypatch, tmp_path):
    assert review("--rows", "5", "--seed", "1", lines=["o"])[1]["other_draws"] == 0
    review("--by", "uncertainty", "--rows", "5", lines=["q"])  # bounds nothing, so nobody could prefer it
    assert review("--rows", "5", "--seed", "2", lines=["o"])[1]["other_draws"] == 1
    space = reopen(ws)
    masked = masked_set(space, "clinic")
    delete(space, [found_review(space, masked, seed=1).review])
    assert review("--rows", "5", "--seed", "3", lines=["o"])[1]["other_draws"] == 2
    assert review("--rows", "5", "--seed", "2", lines=["o"])[1]["other_draws"] == 2  # what was drawn after it counts, too
    space = reopen(ws)
    last = next(r for r in reversed(space.state.runs.values()) if r.intent.arrow == "review")
    assert space.statement(last.statement).predicate.settings["other_draws"] == 2
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["--passphrase-file", str(word), "-w", str(ws), "deid", "review", "clinic", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert "Other samples drawn of this set: 2." in said


def test_who_reviews_gets_no_key_of_the_set(review, ws, monkeypatch):
    from ringfence.flows import review as flow

    orders = []

    def watched(work, *args, **more):
        orders.append((work.settings.does, set(work.inputs), len(work.keys.data)))
        return real(work, *args, **more)

    real = flow.start
    monkeypatch.setattr(flow, "start", watched)
    review("--rows", "3", lines=["q"])
    review("--rows", "3", "--originals", lines=["q"])
    assert orders == [("draw", {"set", "spans"}, 3), ("queue", {"review"}, 2), ("queue", {"review", "spans"}, 3)]


# ── evidence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_statement_names_the_set_and_its_figures_are_sealed_numbers(review, ws, cli):
    review("--rows", "10", lines=["o"] * 10)
    space = reopen(ws)
    last = next(r for r in reversed(space.state.runs.values()) if r.intent.arrow == "review")
    statement: Statement = space.statement(last.statement)
    assert statement.predicate.inputs["set"] == masked_set(space, "clinic").made.digest
    assert statement.predicate.figures == {}
    assert statement.predicate.sealed_figures
    assert statement.predicate.settings["rows"] == 10
    assert statement.predicate.sandbox.tier == "T1"
    code, found = cli("run", "show", last.id, workspace=ws)
    assert code == 0
    assert found["figures"]["bound_rows"] == most_bad(60, 10, found["figures"]["leaking"])
    assert fsck(reopen(ws)).is_sound


# ── as other objects ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_review_is_listed_and_goes_with_its_set(review, ws):
    review("--rows", "4", lines=["o", "q"])
    space = reopen(ws)
    named = [row for row in listing(space, everything=True) if row["kind"] == "review"]
    assert [row["name"] for row in named] == ["clinic@review"] * 2
    assert not [row for row in listing(space) if row["kind"] == "review"]
    masked = masked_set(space, "clinic")
    assert {"review", "spans"} <= {one.made.kind for one in foresee(space, [masked], with_derived=True).going}
    sealed = space.state.resolve("clinic@sealed")
    folders = [space.store.path(thing.made.slot) for thing in reviews(space)]
    delete(space, [sealed], with_derived=True)
    assert reviews(space) == []
    assert not any(folder.exists() for folder in folders)
    assert not set(space.keys.slots()) & {thing.made.slot for thing in space.state.things.values() if thing.made.kind == "review"}


@pytest.mark.full
def test_one_review_can_be_deleted_and_the_one_before_goes_on(review, ws, cli):
    review("--rows", "4", lines=["o", "q"])
    review(lines=["o", "q"])
    space = reopen(ws)
    newest = found_review(space, masked_set(space, "clinic")).review.made.digest
    assert cli("data", "delete", newest[:12], "--yes", workspace=ws)[0] == 0
    assert review(lines=["q"])[1]["reviewed"] == 1


def test_without_the_span_table_nothing_is_reviewed(ws):
    space = reopen(ws)
    masked = masked_set(space, "clinic")
    spans = next(thing for thing in space.state.live().values() if thing.made.kind == "spans")
    delete(space, [spans])
    before = space.ledger.size
    with pytest.raises(NotReviewable):
        sample(space, masked)
    assert space.ledger.size == before


@pytest.mark.parametrize("name", ["clinic@sealed", "nothing", "clinic@masked:strict"])
def test_only_a_masked_set_is_reviewed(cli, ws, name):
    code, answer = cli("deid", "review", name, workspace=ws)
    assert code == 2
    assert answer["error"]["code"] in ("RF-WORKSPACE-007", "RF-WORKSPACE-004")


@pytest.mark.parametrize(
    "ask", [["--originals"], ["--page", "p.html", "--plaintext"], ["--export", "p.json", "--plaintext", "--originals"]]
)
def test_originals_are_shown_only_where_the_policy_allows_it(review, ws, tmp_path, ask):
    review("--rows", "3", lines=["q"])
    space = reopen(ws)
    set_policy(space, DEFAULT)
    size = space.ledger.size
    asked = [str(tmp_path / word) if word.startswith("p.") else word for word in ask]
    code, answer = review(*asked, lines=["q"])
    assert (code, answer["error"]["code"]) == (5, "RF-DEID-006")
    assert reopen(ws).ledger.size == size
    assert not list(tmp_path.glob("p.*"))


# ── Label Studio and the page ─────────────────────────────────────────────────────────────────────────────────────────


def test_labels_go_to_label_studio_and_come_back(review, ws, tmp_path):
    target = tmp_path / "tasks.json"
    code, answer = review("--export", target)
    assert (code, answer["error"]["code"], target.exists()) == (2, "RF-DEID-041", False)
    assert opened(reopen(ws)) == []
    code, answer = review("--export", target, "--plaintext")
    assert (code, answer["sample"]) == (0, 60)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert opened(reopen(ws)) == [("export", "review")]
    items = from_tasks(target.read_bytes())
    assert len(items) == 120
    assert not any("clinic.internal" in item.text for item in items)
    done = []
    for item in items:
        at = item.text.find(LEAK)
        span = (Span(at, at + len(LEAK), "PERSON", 1.0),) if at >= 0 else ()
        done.append(item._replace(spans=tuple(sorted((*item.spans, *span))), is_annotated=True))
    back = tmp_path / "annotated.json"
    back.write_bytes(to_tasks(done))
    code, answer = review("--import", back)
    assert (code, answer["reviewed"], answer["leaking"], answer["leaks"]) == (0, 60, 6, 6)
    assert answer["bound_rows"] == 6  # every row was seen
    assert review("--import", target)[1]["reviewed"] == 60  # what nobody annotated changes nothing
    code, answer = review("--import", back, "--originals")
    assert (code, answer["error"]["code"]) == (2, "RF-DEID-043")
    assert review("--import", tmp_path / "none.json")[0] == 2


def test_nothing_is_imported_where_nothing_was_drawn(review, ws, tmp_path):
    (tmp_path / "a.json").write_text("[]")
    code, answer = review("--import", tmp_path / "a.json")
    assert (code, answer["error"]["code"]) == (2, "RF-DEID-044")


def test_a_page_is_written_once_for_its_owner_alone_and_on_record(review, ws, tmp_path):
    target = tmp_path / "page.html"
    code, answer = review("--page", target, "--rows", "6")
    assert (code, answer["error"]["code"], target.exists()) == (2, "RF-DEID-041", False)
    code, answer = review("--page", target, "--plaintext", "--rows", "6")
    assert (code, answer["file"]) == (0, str(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    page = target.read_text(encoding="utf-8")
    assert page.count("<section>") == 6
    assert "@clinic.internal<small>EMAIL</small>" in page
    assert "脱敏前" in page
    assert opened(reopen(ws)) == [("page", "review"), ("originals", "spans")]
    code, answer = review("--page", target, "--plaintext")
    assert (code, answer["error"]["code"]) == (2, "RF-WORKSPACE-002")
    assert review("--page", tmp_path / "a.html", "--export", tmp_path / "b.json", "--plaintext")[0] == 2


def test_a_file_that_was_begun_is_gone_when_the_job_fails(review, ws, tmp_path, monkeypatch):
    from ringfence.flows import review as flow

    review("--rows", "3", lines=["q"])

    def fail(work, figures, *, handlers=None):
        handlers.say('{"say":"file","text":"a record"}')
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "start", fail)
    code, _ = review("--page", tmp_path / "page.html", "--plaintext")
    assert code == 130
    assert not (tmp_path / "page.html").exists()


# ── record text ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_people_read_and_type_is_nowhere_else(made, tmp_path):
    kept, files = tmp_path / "kept", tmp_path / "files"
    for folder in (kept, files, kept / "home", kept / "tmp"):
        folder.mkdir()
    shutil.copytree(made, kept / "ws")
    (files / "word").write_text(PASSPHRASE)
    typed = "Quastenflosser-9902 赵丙丁"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(kept / "home"),
        "TMPDIR": str(kept / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(ringfence.__file__).parents[1]),  # the source that is under test, wherever it is installed from
    }
    front = [
        sys.executable,
        "-m",
        "ringfence",
        "--json",
        "--verbose",
        "--passphrase-file",
        files / "word",
        "-w",
        kept / "ws",
        "deid",
        "review",
        "clinic",
    ]

    def call(*arguments, lines=(), code=0):
        done = subprocess.run(
            [*map(str, (*front, *arguments))],
            input="".join(f"{line}\n" for line in lines).encode(),
            env=environment,
            cwd=kept,
            capture_output=True,
            timeout=120,
            check=False,
        )
        with (kept / "output.txt").open("ab") as log:
            log.write(done.stdout + done.stderr)
        assert done.returncode == code, done.stderr

    call(lines=[f"L PERSON {LEAK}", f"l PERSON {typed}", f"{typed}", f"t 1 {typed}", "o", "n", "o"])
    call("--originals", lines=["p", "r 1", "o"])
    call("--export", files / "tasks.json", "--plaintext")
    call("--page", files / "page.html", "--plaintext")
    items = from_tasks((files / "tasks.json").read_bytes())
    (files / "foreign.json").write_bytes(to_tasks([items[0]._replace(text=typed, spans=())]))
    call("--import", files / "foreign.json", code=2)
    (files / "bad.json").write_text('[{"data": {"text": "' + typed + '"}, "annotations": [{"result": [{"type": "labels", "value": {}}]}]}]')
    call("--import", files / "bad.json", code=2)
    call("--import", files / "tasks.json")
    call("--import", files / f"{'x' * 8}.json", code=2)
    space = reopen(kept / "ws")
    slot = space.input(found_review(space, masked_set(space, "clinic")).review).slot
    key = space.keys.data_key(slot.slot)
    assert file_names(slot, key) == ("about.json", "sample.jsonl", "actions.jsonl")
    assert b'"leak"' in read_file(slot, key, ACTIONS)
    assert (kept / "output.txt").stat().st_size > 500
    assert LEAK in (files / "page.html").read_text(encoding="utf-8")  # the finder would see it where it is
    assert leaks(files, [LEAK, typed]) != []
    secrets = [LEAK, typed, "p11@clinic.internal", "13800138011"]
    assert leaks(kept, secrets) == []
    assert list((kept / "tmp").iterdir()) == []
    assert [path for path in (kept / "home").rglob("*") if path.is_file()] == []


@pytest.mark.full
def test_rows_of_any_kind_are_reviewed(tmp_path, cli, monkeypatch):
    """Line breaks, controls, an emoji alone, right-to-left, and a row that is longer than a message."""
    space = init(tmp_path / "ws", Passphrase(PASSPHRASE.encode()))
    texts = ["a\r\n\x07b\t\u202eabc", "😀", "x" * 40_000 + " p@q.internal", "⟦1:fake⟧ ── row 9 of 9", "\u200b"]
    path = write_rows(tmp_path / "odd.jsonl", [{"text": text, "patient_id": str(i)} for i, text in enumerate(texts)])
    import_file(space, path, name="clinic", settings=ImportSettings(source=path.name, unit="patient_id"), label="sensitive")
    deidentify(space, "clinic", settings=settings_for("default", without=("en-names.v1", "zh-names.v1")))
    monkeypatch.setattr("sys.stdin", io.StringIO("o\n" * 5))
    code, answer = cli("deid", "review", "clinic", workspace=space.path)
    assert (code, answer["reviewed"], answer["bound_rows"]) == (0, 5, 0)
    target = tmp_path / "t.json"
    assert cli("deid", "review", "clinic", "--export", target, "--plaintext", workspace=space.path)[0] == 0
    assert {item.text for item in from_tasks(target.read_bytes())} >= {*texts[:2], *texts[3:]}
