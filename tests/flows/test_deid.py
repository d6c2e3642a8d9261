"""What a masked set says of itself, and who may ask what stood there before."""

from __future__ import annotations

import hmac
import json

import pytest

from ringfence.core.errors import LedgerUnavailable, ProfileMisnamed
from ringfence.core.policy import DEFAULT, DeidRule, Policy, Require, TrainRules, evaluate
from ringfence.deid.profile import settings_for
from ringfence.deid.settings import RevealSettings
from ringfence.flows.deid import deidentify
from ringfence.flows.policy import as_yaml, set_policy
from ringfence.flows.reveal import reveal
from ringfence.workspace.space import Workspace
from tests.flows.conftest import import_notes, masked, notes, reopen, rows_of

PHONE, MAIL = "13800138003", "p3@clinic.internal"


def ledger_types(space):
    return [entry["type"] for _, entry in space.ledger.entries()]


def ledger_text(folder):
    return b"".join(path.read_bytes() for path in sorted((folder / "ledger").rglob("*")) if path.is_file())


@pytest.fixture(scope="module")
def once(tmp_path_factory, model_store):
    from ringfence.flows.init import init
    from ringfence.vault.keys import Passphrase
    from tests.flows.conftest import PASSPHRASE

    folder = tmp_path_factory.mktemp("masked")
    space = init(folder / "ws", Passphrase(PASSPHRASE.encode()))
    committed, figures = masked(space, folder)
    return folder / "ws", committed, figures


def stand_in_of(space, number):
    """Return what stands for the telephone number of one row now: its last eleven digits."""
    text = next(r.texts[0] for r in rows_of(space, "clinic@masked") if f"Patient {number}:" in r.texts[0])
    return text.rpartition("手机")[2]


def test_what_may_be_left_is_measured_on_the_set_itself(once):
    _, _, figures = once
    assert max(figures.hidden.values()) == figures.hidden["EMAIL"] == 60
    assert min(figures.hidden.values()) >= 50  # kinds of few values may not have sixty different ones
    assert figures.hidden_found["EMAIL"] >= 57
    assert figures.hidden_found["CN_MOBILE"] >= 57
    assert (figures.people, figures.people_few) == (20, 0)


def test_its_page_is_written_in_both_languages_and_holds_no_text(once, cli, tmp_path):
    folder, committed, figures = once
    for language, word in (("en", "at least"), ("zh", "至少")):
        path = tmp_path / f"{language}.html"
        assert cli("--lang", language, "run", "show", committed.run, "--html", path, workspace=folder)[0] == 0
        page = path.read_text(encoding="utf-8")
        assert word in page
        assert str(sum(figures.spans.values())) in page
        assert committed.envelope in page
        assert not any(original in page for original in (PHONE, MAIL, "Patient", "手机"))
    assert cli("run", "show", committed.run, "--html", path, workspace=folder)[1]["error"]["code"] == "RF-WORKSPACE-002"


def test_originals_are_shown_to_nobody_unless_the_policy_says_so(once, cli):
    folder, _, _ = once
    size = reopen(folder).ledger.size
    code, answer = cli("deid", "reveal", "clinic", "--ticket", "A-1", "--of", "x", workspace=folder)
    assert (code, answer["error"]["code"]) == (5, "RF-DEID-006")
    assert reopen(folder).ledger.size == size


def test_each_answer_is_on_record_before_it_is_shown(once, cli):
    folder, _, _ = once
    space = reopen(folder)
    set_policy(space, DEFAULT.model_copy(update={"reveal": "allow"}))
    stand_in = stand_in_of(space, 3)
    size = space.ledger.size
    code, answer = cli("deid", "reveal", "clinic", "--ticket", "DPO-2026/7", "--of", stand_in, "--of", "nobody", workspace=folder)
    assert code == 0
    assert answer["answers"] == [
        {"stand_in": stand_in, "originals": [{"kind": "CN_MOBILE", "original": PHONE, "occurrences": 1}], "different": 1, "left_out": 0},
        {"stand_in": "nobody", "originals": [], "different": 0, "left_out": 0},
    ]
    assert (answer["asked"], answer["revealed"], answer["ambiguous"]) == (2, 1, 0)
    space = reopen(folder)
    assert space.ledger.size == size + 2
    kept = ledger_text(folder)
    assert ledger_types(space).count("reveal") == 2
    assert [json.loads(space.ledger.raw(size + n))["shown"] for n in range(2)] == [1, 0]
    digest = hmac.digest(space.keys.purpose("content"), b"reveal\x00" + stand_in.encode(), "sha256").hex()
    assert digest.encode() in kept
    assert stand_in.encode() not in kept
    assert PHONE.encode() not in kept
    set_policy(space, DEFAULT)
    assert cli("deid", "reveal", "clinic", "--ticket", "A-1", "--of", stand_in, workspace=folder)[0] == 5


def test_a_stand_in_that_many_originals_share_opens_none(space, tmp_path, cli):
    import_notes(space, tmp_path)
    profile = profile_file(tmp_path, operators={"EMAIL": "redact.v1"})
    assert cli("deid", "clinic", "--profile", profile, workspace=space.path)[0] == 0
    set_policy(reopen(space.path), DEFAULT.model_copy(update={"reveal": "allow"}))
    size = reopen(space.path).ledger.size
    code, answer = cli("deid", "reveal", "clinic", "--ticket", "A-1", "--of", "<EMAIL>", workspace=space.path)
    assert (code, answer["error"]["code"]) == (5, "RF-DEID-056")
    assert "40" in answer["error"]["message"]
    code, answer = cli("deid", "reveal", "clinic", "--ticket", "A-1", "--of", "<EMAIL>", "--of", "nobody", workspace=space.path)
    assert "clinic.internal" not in json.dumps(answer)
    after = reopen(space.path)
    entries = [json.loads(after.ledger.raw(number)) for number in range(size, after.ledger.size)]
    assert {entry["shown"] for entry in entries if entry["type"] == "reveal"} == {0}


def test_nothing_is_shown_that_cannot_be_recorded(once, monkeypatch):
    folder, _, _ = once
    space = reopen(folder)
    set_policy(space, DEFAULT.model_copy(update={"reveal": "allow"}))
    waiting, shown = iter([stand_in_of(space, 3)]), []

    def refuse(self, entry):
        raise LedgerUnavailable

    monkeypatch.setattr(Workspace, "record", refuse)
    with pytest.raises(LedgerUnavailable):
        reveal(space, "clinic", settings=RevealSettings(ticket="A-1"), hear=lambda: next(waiting, None), show=lambda *a: shown.append(a))
    assert not shown
    monkeypatch.undo()
    set_policy(reopen(folder), DEFAULT)


@pytest.mark.parametrize("ticket", ["", "two words", "x" * 41, "患者"])
def test_a_ticket_is_a_number_and_no_text(once, cli, ticket):
    code, answer = cli("deid", "reveal", "clinic", "--ticket", ticket, "--of", "x", workspace=once[0])
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
    assert not ticket or ticket not in json.dumps(answer, ensure_ascii=False)


def profile_file(folder, **changes):
    """Write a profile of one's own: e-mail addresses alone."""
    path = folder / "mail-only.json"
    path.write_text(json.dumps({"recognisers": ["email.v1"], **changes}), encoding="utf-8")
    return path


def verdicts(space, digest, profile):
    policy = Policy(train=TrainRules(require=Require(scan=None, deid=DeidRule(profile=profile))))
    return {v.rule: v.outcome for v in evaluate(policy, space.chain(space.state.things[digest]), moment="train")}


def test_two_profiles_on_one_set_give_two_sets_of_one_lineage(space, cli, tmp_path):
    import_notes(space, tmp_path, notes(6))
    made = [cli("deid", "clinic", "--profile", p, workspace=space.path)[1] for p in ("default", profile_file(tmp_path))]
    space = reopen(space.path)
    first, second = (space.state.things[one["digest"]] for one in made)
    assert first.origin == second.origin
    own = second.made.profile
    assert own.startswith("mail-only-")
    assert space.state.resolve("clinic@masked:default") == first
    assert space.state.resolve(f"clinic@masked:{own}") == second
    assert "13800138000" in rows_of(space, f"clinic@masked:{own}")[0].texts[0]
    assert "13800138000" not in rows_of(space, "clinic@masked:default")[0].texts[0]


def test_a_policy_that_names_a_profile_is_not_satisfied_by_another_one_of_its_name(space, cli, tmp_path):
    import_notes(space, tmp_path, notes(6))
    code, strict = cli("deid", "clinic", "--profile", profile_file(tmp_path), workspace=space.path)
    code, lax = cli("deid", "clinic", "--profile", profile_file(tmp_path, operators={"*": "keep.v1"}), workspace=space.path)
    assert (code, lax["spans"], lax["kept"]["EMAIL"]) == (0, {}, 6)
    space = reopen(space.path)
    named = space.state.things[strict["digest"]].made.profile
    assert verdicts(space, strict["digest"], named)["deid profile"] == "pass"
    assert verdicts(space, lax["digest"], named)["deid profile"] == "fail"
    assert verdicts(space, lax["digest"], "medical-zh")["deid profile"] == "fail"


@pytest.mark.parametrize("hole", [{"operators": {"*": "keep.v1"}}, pytest.param({}, marks=pytest.mark.full)])
def test_a_new_workspace_trains_on_nothing_that_kept_everything_or_looked_for_next_to_nothing(space, cli, tmp_path, hole, recipe):
    """Zero survivors is no merit of such a profile: what nobody looked for, or left on purpose, does not survive either."""
    import_notes(space, tmp_path, notes(6))
    cli("scan", "clinic", workspace=space.path)
    code, made = cli("deid", "clinic", "--profile", profile_file(tmp_path, **hole), workspace=space.path)
    assert (code, made["survivors"]) == (0, 0)
    space = reopen(space.path)
    own = space.state.things[made["digest"]].made.profile
    code, answer = cli("train", recipe(), workspace=space.path)
    assert (code, answer["error"]["code"]) == (11, "RF-POLICY-001")
    assert "deid profile" in answer["error"]["message"]
    assert own in answer["error"]["message"]
    assert "train.require.deid.profiles" in answer["error"]["remedy"]
    policy = Policy(train=TrainRules(require=Require(deid=DeidRule(profiles=(own,)))))
    (tmp_path / "policy.yaml").write_text(as_yaml(policy), encoding="utf-8")
    assert cli("policy", "set", tmp_path / "policy.yaml", workspace=space.path)[0] == 0
    space = reopen(space.path)
    assert {v.rule: v.outcome for v in evaluate(space.policy(), space.chain(space.state.things[made["digest"]]), moment="train")}[
        "deid profile"
    ] == "pass"


def test_settings_under_the_name_of_a_profile_that_does_something_else_are_refused(space, tmp_path):
    import_notes(space, tmp_path, notes(4))
    with pytest.raises(ProfileMisnamed, match="RF-DEID-050"):
        deidentify(space, "clinic", settings=settings_for("strict").model_copy(update={"operators": {}}))
    assert not [run for run in space.state.runs.values() if run.intent.arrow == "deid"]


def test_codes_of_columns_that_no_recogniser_knows_go_from_the_texts(space, tmp_path):
    rows = [row | {"chart": f"AX93-11{n}7Q", "ward": "W4-East"} for n, row in enumerate(notes(6))]
    rows[0]["prompt"] += ", chart ax93 1107q on W4-East"
    import_notes(space, tmp_path, rows)
    _, figures = deidentify(space, "clinic", settings=settings_for("default", without=("en-names.v1", "zh-names.v1")))
    assert figures.spans["CODE"] == 1
    text = rows_of(space, "clinic@masked")[0].texts[0]
    assert "1107" not in text
    assert "W4-East" in text


def test_a_policy_that_admits_any_profile_is_said_to(space, cli, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("train: {require: {deid: {survivors: 0}}}", encoding="utf-8")
    (said,) = cli("policy", "set", path, workspace=space.path)[1]["meaning"]
    assert "keeps everything" in said
    path.write_text("train: {require: {deid: {survivors: 0, profiles: [strict]}}}", encoding="utf-8")
    (said,) = cli("policy", "set", path, workspace=space.path)[1]["meaning"]
    assert "other than strict is refused" in said
    path.write_text("train: {require: {scan: {}}}", encoding="utf-8")
    assert cli("policy", "set", path, workspace=space.path)[1]["meaning"] == []
    path.write_text("train: {require: {deid: {profiles: [ours]}}}", encoding="utf-8")
    assert cli("policy", "set", path, workspace=space.path)[1]["error"]["code"] == "RF-POLICY-002"


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        ({"recognisers": []}, ("RF-CORE-002", "recognisers: it must have 1 values at least")),
        ({"recogniser": ["email.v1"]}, ("RF-CORE-002", "recognisers: it is missing")),
        ({"recognisers": ["email.v1"], "operators": {"EMAIL": "keep"}}, ("RF-CORE-002", "operators.EMAIL.0")),
        (
            {"recognisers": ["email.v1"], "operators": {"AGE": {"use": "generalise.v1"}}},
            ("RF-CORE-002", "operators.AGE.0.to: it is missing"),
        ),
        ({"recognisers": ["email.v1"], "secret": 1}, ("RF-CORE-002", "secret: it is unknown")),
        ({"recognisers": ["email.v9"]}, ("RF-CORE-001", "email.v9")),
        (None, ("RF-DEID-001", "own.json")),
    ],
)
def test_a_profile_that_cannot_work_is_refused_before_anything_starts(space, cli, tmp_path, content, refusal):
    import_notes(space, tmp_path, notes(4))
    path = tmp_path / "own.json"
    if content is not None:
        path.write_text(json.dumps(content))
    size = reopen(space.path).ledger.size
    got, answer = cli("deid", "clinic", "--profile", path, workspace=space.path)
    assert (got, answer["error"]["code"]) == (2, refusal[0])
    assert refusal[1] in answer["error"]["message"]
    assert reopen(space.path).ledger.size == size
