"""Whoever holds the signing keys, yet alters the evidence, is found by what the pieces say about each other."""

from __future__ import annotations

import pytest

from ringfence.core.digest import canonical, sha256
from ringfence.core.errors import BundleBroken, WrongSigner
from ringfence.core.policy import Policy, Require, TrainRules, evaluate
from ringfence.release import openssf
from ringfence.release.bundle import write_bundle
from ringfence.release.verify import verify_bundle
from tests.unit.release.release_parts import (
    CAGE,
    CONFIG,
    POLICY,
    Space,
    chain_of,
    lora,
    parts_of,
    read,
    release_of,
    reseal,
    safetensors,
)


def refused(folder, space) -> str:
    with pytest.raises(BundleBroken) as caught:
        verify_bundle(folder, space.public)
    return str(caught.value)


def splice(files: dict[str, bytes], other: dict[str, bytes], stem: str) -> dict[str, bytes]:
    """Return the files with one step taken from another bundle."""
    return {path: other[path] if path.startswith(f"evidence/{stem}") else data for path, data in files.items()}


@pytest.fixture(scope="module")
def other_run(space, tmp_path_factory):
    """Another run over the same masked set."""
    folder = tmp_path_factory.mktemp("other") / "model"
    write_bundle(folder, space.signers, **parts_of(space, seed=1))
    return read(folder)


@pytest.fixture(scope="module")
def other_set(space, tmp_path_factory):
    """A run over another set of the same workspace."""
    folder = tmp_path_factory.mktemp("set") / "model"
    write_bundle(folder, space.signers, **parts_of(space, seed=2, source="ward"))
    return read(folder)


def test_a_bundle_signed_anew_by_a_stranger_is_not_trusted(bundle, space, stranger):
    reseal(bundle, stranger.signers, read(bundle), tenant=stranger.tenant)
    with pytest.raises(WrongSigner):
        verify_bundle(bundle, space.public)


def test_a_whole_bundle_of_a_stranger_is_not_trusted(space, stranger, tmp_path):
    write_bundle(tmp_path / "model", stranger.signers, **parts_of(stranger))
    verify_bundle(tmp_path / "model", stranger.public)
    with pytest.raises(WrongSigner):
        verify_bundle(tmp_path / "model", space.public)


def test_the_same_keys_under_another_tenant_are_not_trusted(bundle, space):
    with pytest.raises(WrongSigner):
        verify_bundle(bundle, space.public.model_copy(update={"tenant": "c" * 32}))


def test_a_statement_of_a_stranger_is_not_trusted(bundle, space, stranger):
    files = read(bundle)
    scan = chain_of(space, seed=0)[1]
    reseal(bundle, space.signers, files | {"evidence/02-scan.dsse.json": stranger.envelope(scan)})
    with pytest.raises(WrongSigner):
        verify_bundle(bundle, space.public)


def test_a_proof_of_another_entry_is_named(bundle, space):
    files = read(bundle)
    reseal(bundle, space.signers, files | {"evidence/01-import.proof": files["evidence/02-scan.proof"]})
    assert "evidence/01-import.proof" in refused(bundle, space)


def test_an_entry_of_another_statement_is_named(bundle, space):
    files = read(bundle)
    swapped = {f"evidence/01-import.{part}": files[f"evidence/02-scan.{part}"] for part in ("entry.json", "proof")}
    reseal(bundle, space.signers, files | swapped)
    assert "evidence/01-import.entry.json" in refused(bundle, space)


def test_a_checkpoint_of_another_ledger_is_refused(bundle, space, tmp_path):
    twin = Space(tmp_path / "twin", tenant=space.tenant, evidence=space.evidence, release=space.release)
    write_bundle(tmp_path / "twin" / "model", twin.signers, **parts_of(twin))
    assert "evidence/01-import.proof" in refused(tmp_path / "twin" / "model", space)


@pytest.mark.parametrize("stem", ["01-import", "02-scan", "04-deid", "05-train", "06-release"])
@pytest.mark.parametrize("other", ["other_run", "other_set"])
def test_a_statement_of_another_run_is_refused(bundle, space, stem, other, request):
    files, foreign = read(bundle), request.getfixturevalue(other)
    spliced = splice(files, foreign, stem)
    if spliced == files:
        pytest.skip("both runs share this statement")
    reseal(bundle, space.signers, spliced)
    refused(bundle, space)


@pytest.mark.parametrize("stem", ["04-deid", "05-train"])
def test_a_statement_of_another_run_does_not_join(space, stem, tmp_path):
    """Even under one checkpoint and in order."""
    chain, foreign = chain_of(space, seed=0), chain_of(space, seed=3, source="ward")
    at = int(stem[:2]) - 1
    mixed = [*chain[:at], foreign[at], *chain[at + 1 :]]
    message = rewritten(space, mixed, tmp_path)
    assert "did not read" in message


def rewritten(space, chain, tmp_path, *, config=CONFIG, adapter=None, policy=POLICY, **more) -> str:
    """Return why a bundle over these statements is refused; everything is signed, recorded and proven."""
    adapter = adapter or safetensors(lora())
    parts = parts_of(space)
    indices = [space.record(statement) for statement in chain]
    parts |= {
        "adapter": adapter,
        "adapter_config": config,
        "policy": canonical(policy.model_dump(mode="json")),
        "evidence": [space.prove(statement, index) for statement, index in zip(chain, indices, strict=True)],
        "release": space.envelope(release_of(space, chain, adapter=adapter, **more)),
    }
    with pytest.raises(BundleBroken) as caught:
        write_bundle(tmp_path / "model", space.signers, **parts)
    assert not list(tmp_path.glob("**/*"))
    return str(caught.value)


def changed(space, at: int, **update):
    """Return the chain with one statement changed."""
    chain = chain_of(space, seed=0)
    statement = chain[at]
    predicate = {k: v for k, v in update.items() if k not in ("subjects", "step")}
    new = statement.model_copy(update={"predicate": statement.predicate.model_copy(update=predicate)})
    chain[at] = new.model_copy(update={k: v for k, v in update.items() if k in ("subjects", "step")})
    return chain


def test_the_set_trained_on_must_be_the_set_that_was_masked(space, tmp_path):
    """A masked evaluation set must not stand in for a training set that was not masked."""
    masked = chain_of(space, seed=0)[3].subjects[0].sha256
    chain = changed(
        space, 4, inputs={"set": sha256(b"raw"), "evaluation": masked, "model": chain_of(space, seed=0)[4].predicate.inputs["model"]}
    )
    assert "did not read" in rewritten(space, chain, tmp_path)


def test_a_quarantine_must_not_stand_in_for_the_cleared_set(space, tmp_path):
    chain = chain_of(space, seed=0)
    del chain[2]
    quarantine = next(s.sha256 for s in chain[1].subjects if s.name == "quarantine")
    chain[2] = chain[2].model_copy(update={"predicate": chain[2].predicate.model_copy(update={"inputs": {"set": quarantine}})})
    assert "did not read" in rewritten(space, chain, tmp_path)


def test_another_tenant_in_the_chain_is_refused(space, tmp_path):
    assert "another workspace" in rewritten(space, changed(space, 3, tenant="d" * 32), tmp_path)


def test_the_release_keeps_the_label_of_its_data(space, tmp_path):
    assert "label" in rewritten(space, chain_of(space, seed=0), tmp_path, label="public")


def test_a_chain_must_begin_at_an_import(space, tmp_path):
    assert "import" in rewritten(space, chain_of(space, seed=0)[1:], tmp_path)


def test_statements_must_stand_in_the_order_of_the_ledger(space, tmp_path):
    chain = chain_of(space, seed=0)
    parts = parts_of(space)
    indices = {statement.step: space.record(statement) for statement in reversed(chain)}
    parts |= {"evidence": [space.prove(statement, indices[statement.step]) for statement in chain]}
    with pytest.raises(BundleBroken, match=r"02-scan\.proof does not follow"):
        write_bundle(tmp_path / "model", space.signers, **parts)


def test_all_proofs_stand_under_one_checkpoint(space, tmp_path):
    parts = parts_of(space)
    chain = chain_of(space, seed=0)
    later = [*parts["evidence"][:-1], space.prove(chain[-1], space.record(chain[-1]))]
    with pytest.raises(BundleBroken, match="one checkpoint"):
        write_bundle(tmp_path / "model", space.signers, **(parts | {"evidence": later}))


def test_the_release_must_name_this_adapter(space, tmp_path):
    message = rewritten(space, chain_of(space, seed=0), tmp_path, subjects={"adapter_model.safetensors": sha256(b"another")})
    assert "adapter_model.safetensors" in message


def test_the_manifest_must_name_the_run_and_the_base(bundle, space):
    files = read(bundle)
    reseal(bundle, space.signers, files, run="train-000000000000")
    assert "another run" in refused(bundle, space)


def test_the_policy_must_be_the_one_of_the_release(space, tmp_path):
    loose = Policy(train=TrainRules(require=Require()))
    assert "policy.json" in rewritten(space, chain_of(space, seed=0), tmp_path, policy=loose)


@pytest.mark.parametrize("verdicts", [(), ({"rule": "chain broken", "outcome": "pass"},)])
def test_the_recorded_verdicts_must_be_what_the_policy_says(space, tmp_path, verdicts):
    assert "verdicts" in rewritten(space, chain_of(space, seed=0), tmp_path, verdicts=verdicts)


@pytest.mark.parametrize(
    ("at", "update", "rule"),
    [
        (3, {"figures": {"survivors": 2}}, "deid survivors"),
        (3, {"figures": {}}, "deid survivors"),
        (1, {"sandbox": None}, "sandbox tier"),
        (1, {"sandbox": CAGE.model_copy(update={"self_test": None})}, "self-test missing"),
        (4, {"label": "public"}, "label"),
    ],
)
def test_a_release_that_the_policy_refuses_is_refused(space, tmp_path, at, update, rule):
    assert rule in rewritten(space, changed(space, at, **update), tmp_path)


@pytest.mark.parametrize("plan", [{}, {"epsilon": "much"}, {"epsilon": None}])
def test_a_plan_that_no_rule_can_read_is_a_broken_bundle_and_no_traceback(space, tmp_path, plan):
    sound = evaluate(POLICY, chain_of(space, seed=0), moment="release")
    assert "no rule can read" in rewritten(space, changed(space, 4, figures={"plan": plan}), tmp_path, as_if=sound)


def test_the_release_names_no_file_that_is_not_here(space, tmp_path):
    adapter = safetensors(lora())
    subjects = {"adapter_model.safetensors": sha256(adapter), "adapter_model.bin": sha256(b"")}
    assert "names a file" in rewritten(space, chain_of(space, seed=0), tmp_path, subjects=subjects)


@pytest.mark.parametrize(
    "path", ["evil.py", "pytorch_model.bin", "evidence/note.txt", "evidence/07-scan.proof", "evidence/06-release.proof"]
)
def test_a_listed_and_signed_file_of_a_foreign_kind_is_refused(bundle, space, path):
    reseal(bundle, space.signers, read(bundle) | {path: b""})
    assert path.split(".")[0] in refused(bundle, space)


@pytest.mark.parametrize("path", ["evidence/01-import.proof", "evidence/03-keep.dsse.json", "policy.json", "README.md"])
def test_a_file_left_out_before_signing_is_missed(bundle, space, path):
    files = read(bundle)
    del files[path]
    reseal(bundle, space.signers, files)
    assert path in refused(bundle, space)


def test_a_step_left_out_before_signing_leaves_a_gap(bundle, space):
    files = {path: data for path, data in read(bundle).items() if not path.startswith("evidence/03")}
    reseal(bundle, space.signers, files)
    assert "numbered chain" in refused(bundle, space)


def test_a_file_name_says_which_step_it_holds(bundle, space):
    files = {path.replace("02-scan", "02-deid"): data for path, data in read(bundle).items()}
    reseal(bundle, space.signers, files)
    assert "evidence/02-deid.dsse.json" in refused(bundle, space)


def test_the_signed_manifest_is_the_manifest(bundle, space):
    """The envelope holds the manifest once more; both signatures are good, yet they speak of two manifests."""
    old = read(bundle)
    reseal(bundle, space.signers, old, created="2026-02-02T00:00:00Z")
    mixed = read(bundle) | {"manifest.dsse.json": old["manifest.dsse.json"]}
    digests = {path: sha256(data) for path, data in mixed.items() if path != "model.sig"}
    (bundle / "manifest.dsse.json").write_bytes(mixed["manifest.dsse.json"])
    (bundle / "model.sig").write_bytes(openssf.sign(digests, name="model", key=space.release))
    assert "manifest.json was changed" in refused(bundle, space)
