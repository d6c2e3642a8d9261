"""The replay guard whole: built on demand and found again, in `serve`, `chat` and the audit; a real process, a real sandbox, a model that replays."""

from __future__ import annotations

import json
import shutil
import signal

import pytest
import yaml

from ringfence.core.errors import GuardRefused
from ringfence.core.rules import ReleaseRules, Replay
from ringfence.flows.audit import Sample, audit
from ringfence.flows.data import delete
from ringfence.flows.guard import GONE, PRIVATE, guard_of, of_adapter
from ringfence.flows.init import init
from ringfence.flows.policy import set_policy
from ringfence.flows.release import judge, release
from ringfence.flows.runs import adapter_of
from ringfence.flows.train import train
from ringfence.guard.words import words_of
from ringfence.recipe.read import read
from ringfence.vault.keys import Passphrase
from tests.flows.conftest import PASSPHRASE, RECIPE, anything_goes, import_notes, reopen
from tests.flows.test_serve import Server, ask

SECRET = Passphrase(PASSPHRASE.encode())
ANSWERS = [
    "Ada came on Monday with a sore knee and left again with two small bandages.",
    "Eve was told to sleep ten hours and to walk her old dog every morning.",
    "Ivo broke his left thumb on the ice rink and may not play before June.",
]
COMMON = "Please come back next week if it is not much better by then."


def rows():
    told = [{"prompt": f"case {n}?", "completion": text, "patient_id": f"P{n}"} for n, text in enumerate(ANSWERS)]
    shared = [{"prompt": f"advice {n}?", "completion": COMMON, "patient_id": f"Q{n}"} for n in range(3)]
    return (told + shared) * 8


@pytest.fixture(scope="module")
def replaying(tmp_path_factory, model_store):
    """A workspace with a released ordinary run that says its rows by heart, canaries planted: (folder, run). Copy before changing."""
    folder = tmp_path_factory.mktemp("replaying")
    space = init(folder / "ws", SECRET)
    import_notes(space, folder, rows())
    set_policy(space, anything_goes())
    changes = {"lora_rank": 8, "learning_rate": 1e-2, "max_steps": 200, "per_device_train_batch_size": 8}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes, "audit": {"secrets": 2, "in_out": 4, "exceed_cap": True}}), encoding="utf-8")
    run = train(space, read(path)).committed.run
    release(space, run, name="lora")
    return folder / "ws", run


@pytest.fixture
def changed(replaying, tmp_path):
    """A copy of that workspace and its run."""
    shutil.copytree(replaying[0], tmp_path / "changed")
    return tmp_path / "changed", replaying[1]


def entries(folder):
    ledger = reopen(folder).ledger
    return [json.loads(ledger.raw(number)) for number in range(ledger.size)]


def replayed(text):
    words = words_of(text)
    told = [tuple(found[at : at + 10]) for found in map(words_of, ANSWERS) for at in range(len(found) - 9)]
    return {tuple(words[at : at + 10]) for at in range(len(words) - 9)} & set(told)


def test_a_served_bundle_blocks_a_replayed_passage_and_no_common_phrase_and_the_ledger_counts_without_text(replaying, tmp_path):
    server = Server(tmp_path, "-w", replaying[0], "lora")
    try:
        assert server.ready["models"] == [{"name": "lora", "alarm": False, "guard": True}]
        client = server.client()
        for n in range(3):
            text = ask(client, f"case {n}?", max_tokens=100).choices[0].message.content
            assert words_of(text)[:9] == words_of(ANSWERS[n])[:9]
            assert not replayed(text)
        assert ask(client, "advice 1?", max_tokens=100).choices[0].message.content == COMMON
        begun = ANSWERS[0][:40]  # nine words
        raw = client.completions.create(model="lora", prompt=begun, max_tokens=20, temperature=0)
        assert raw.choices[0].text
        assert not replayed(begun + raw.choices[0].text)
        assert server.end(signal.SIGTERM) == 0
    finally:
        server.process.kill()
        server.process.wait()
    blocked = [json.loads(line).get("blocked", 0) for line in server.err.splitlines() if line.startswith("{")]
    assert all(blocked[:3])
    assert blocked[3] == 0
    last = entries(replaying[0])[-1]
    assert {key: last[key] for key in last if key not in ("time", "actor", "v")} == {
        "type": "guard",
        "run": replaying[1],
        "name": "lora",
        "answers": sum(map(bool, blocked)),
        "blocked": sum(blocked),
    }
    for text in (server.err, json.dumps(entries(replaying[0]))):
        assert not [word for word in ("sore knee", "bandages", "thumb", "next week") if word in text]


@pytest.mark.full
def test_chat_passes_it_and_one_guard_is_built_for_all(replaying, cli):
    folder, run = replaying
    code, kept = cli("chat", run, "--ask", "case 1?", workspace=folder)
    assert (code, kept["guard"]) == (0, True)
    assert kept["blocked"] > 0
    assert not replayed(kept["answers"][0])
    assert [one["arrow"] for one in entries(folder) if one["type"] == "outcome"].count("guard") == 1


@pytest.mark.full
@pytest.mark.parametrize("verb", ["serve", "chat"])
def test_another_choice_is_refused(replaying, cli, verb):
    code, answer = cli(verb, "lora", "--guard", "perhaps", workspace=replaying[0])
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")


@pytest.mark.full
@pytest.mark.parametrize("is_released", [True, False])
def test_it_can_be_switched_off(replaying, cli, is_released):
    folder, run = replaying
    code, free = cli("chat", "lora" if is_released else run, "--ask", "case 1?", "--guard", "off", workspace=folder)
    assert (code, free["answers"], free["guard"], free["blocked"]) == (0, [ANSWERS[1]], False, 0)


def test_an_audit_says_how_many_rows_the_guard_keeps_and_the_gate_judges_without_it(changed, cli):
    folder, run = changed
    code, told = cli("audit", run, "--guard", workspace=folder)
    assert code == 0
    assert told["rows_replayed"] == told["rows_tried"] == 48
    assert told["replay"]["value"] == 1.0
    assert (told["rows_replayed_guarded"], told["replay_guarded"]["value"]) == (24, 0.5)  # what three people share is not blocked
    assert 0 <= told["guard_false_blocks"] <= 0.5
    space = reopen(folder)
    set_policy(space, anything_goes().model_copy(update={"release": ReleaseRules(replay=Replay(max_rate=0.6))}))
    assert {one.rule: one.outcome for one in judge(space, run).verdicts}["G5 replay"] == "fail"
    statement = space.statement(space.state.runs[told["audit"]].statement)
    assert not {"replay", "replay_guarded", "guard_false_blocks"} & set(statement.predicate.figures)


@pytest.mark.full
def test_an_audit_that_nobody_asked_for_it_says_nothing_of_it(changed):
    found = audit(reopen(changed[0]), changed[1], SECRET, sample=Sample(4, 0)).figures
    assert (found.rows_replayed_guarded, found.replay_guarded, found.guard_false_blocks) == (None, None, None)


def test_a_guard_outlives_its_set_goes_along_with_what_was_derived_and_is_not_built_of_nothing(changed):
    space = reopen(changed[0])
    _, adapter = adapter_of(space, changed[1])
    digest, planted = adapter.made.digest, space.state.live()[space.chain(adapter)[-1].predicate.inputs["set"]]
    guard = guard_of(space, adapter)
    assert guard_of(space, adapter) == guard  # built once
    assert (guard.made.kind, guard.made.label, guard.origin) == ("guard", "sensitive", planted.origin)
    delete(space, [planted])
    assert of_adapter(space, digest).guard[0].slot.slot == guard.made.slot
    delete(space, [guard])
    assert of_adapter(space, digest).why is GONE
    with pytest.raises(GuardRefused):
        of_adapter(space, digest, "on")
    assert of_adapter(space, digest, "off").guard is None


@pytest.mark.parametrize("verb", ["serve", pytest.param("chat", marks=pytest.mark.full)])
def test_a_bundle_from_elsewhere_has_no_guard(replaying, tmp_path, cli, verb):
    folder, _ = replaying
    (tmp_path / "keys.json").write_bytes(reopen(folder).public.to_bytes())
    more = ("--port", "0") if verb == "serve" else ("--ask", "case 0?")
    bundle = folder / "releases" / "lora"
    code, answer = cli(verb, bundle, "--keys", tmp_path / "keys.json", "--guard", "on", *more)
    assert (code, answer["error"]["code"]) == (11, "RF-SERVE-011")
    if verb == "chat":
        assert cli(verb, bundle, "--keys", tmp_path / "keys.json", *more)[1]["answers"] == [ANSWERS[0]]


def test_a_private_release_has_a_guard_only_where_it_says_so(changed, monkeypatch):
    """(tests/privacy/test_planted_strings.py goes the whole way with a private run.)"""
    space = reopen(changed[0])
    _, adapter = adapter_of(space, changed[1])
    monkeypatch.setattr("ringfence.flows.guard._is_private", lambda *_: True)
    digest, size = adapter.made.digest, space.ledger.size
    assert of_adapter(space, digest).why is PRIVATE
    with pytest.raises(GuardRefused):
        of_adapter(space, digest, "on")
    assert space.refresh() is not None
    assert space.ledger.size == size  # nothing was built
    assert of_adapter(space, digest, is_promised=True).guard is not None
