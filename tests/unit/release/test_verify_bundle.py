"""An altered bundle never passes, and the error names what was altered."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from ringfence.core.errors import BundleBroken, BundleUnreadable, WrongSigner
from ringfence.release.folder import claimed
from ringfence.release.steps import Step
from ringfence.release.verify import verify_bundle
from tests.unit.release.release_parts import read, reseal


def refused(folder, space) -> str:
    with pytest.raises(BundleBroken) as caught:
        verify_bundle(folder, space.public)
    return str(caught.value)


def test_a_fresh_bundle_passes_and_reads_as_numbered_steps(pristine, space):
    heard: list[Step] = []
    report = verify_bundle(pristine, space.public, on_step=heard.append)
    assert [step.number for step in report.steps] == list(range(1, 12))
    assert {step.outcome for step in report.steps} == {"pass"}
    assert tuple(heard) == report.steps
    assert all(step.title.en and step.title.zh for step in heard)
    assert report.manifest.name == "model"
    assert [statement.step for statement in report.chain] == ["import", "scan", "keep", "deid", "train", "release"]
    assert report.fingerprint == space.public.fingerprint()


def test_the_listener_hears_the_failing_step(bundle, space):
    (bundle / "README.md").write_text("another card")
    heard: list[Step] = []
    with pytest.raises(BundleBroken):
        verify_bundle(bundle, space.public, on_step=heard.append)
    assert [step.outcome for step in heard] == ["pass"] * 4 + ["fail"]
    assert "README.md" in heard[-1].detail


def test_names_modes_and_times_of_the_folder_do_not_count(bundle, space, tmp_path):
    moved = bundle.rename(tmp_path / "renamed")
    for path in moved.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    (tmp_path / "link").symlink_to(moved)
    assert verify_bundle(moved, space.public).manifest == verify_bundle(tmp_path / "link", space.public).manifest


@pytest.mark.parametrize("path", ["README.md", "policy.json", "evidence/02-scan.proof", "manifest.json", "manifest.dsse.json", "model.sig"])
def test_a_removed_file_is_named(bundle, space, path):
    (bundle / path).unlink()
    assert path in refused(bundle, space)


@pytest.mark.parametrize("path", ["evil.py", "evidence/07-release.dsse.json", ".hidden", "evidence/.git"])
def test_an_added_file_is_named(bundle, space, path):
    (bundle / path).write_bytes(b"")
    assert path in refused(bundle, space)


def test_a_renamed_file_is_named_under_both_names(bundle, space):
    (bundle / "README.md").rename(bundle / "LICENSE")
    message = refused(bundle, space)
    assert "README.md" in message
    assert "LICENSE" in message


def test_swapped_files_are_named(bundle, space):
    first, second = bundle / "evidence/01-import.proof", bundle / "evidence/02-scan.proof"
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert "evidence/01-import.proof" in refused(bundle, space)


@pytest.mark.parametrize("kind", ["folder", "nested", "link to a file", "link to a folder", "pipe"])
def test_nothing_but_regular_files(bundle, space, kind):
    target = bundle / "surprise"
    match kind:
        case "folder":
            target.mkdir()
        case "nested":
            target = bundle / "evidence" / "surprise"
            target.mkdir()
        case "link to a file":
            (bundle / "README.md").rename(bundle.parent / "card")
            target = bundle / "README.md"
            target.symlink_to(bundle.parent / "card")
        case "link to a folder":
            (bundle / "evidence").rename(bundle.parent / "evidence")
            target = bundle / "evidence"
            target.symlink_to(bundle.parent / "evidence")
        case "pipe":
            os.mkfifo(target)
    assert target.name in refused(bundle, space)


def test_a_strange_name_does_not_reach_the_terminal(bundle, space):
    (bundle / "a\x1b[31mb").write_bytes(b"")
    assert "\x1b" not in refused(bundle, space)


def test_what_is_no_bundle_is_said_so(space, tmp_path):
    for path in (tmp_path, tmp_path / "absent", *tmp_path.glob("*")):
        with pytest.raises(BundleUnreadable):
            verify_bundle(path, space.public)


def test_what_cannot_be_read_claims_nothing(bundle):
    """Where something is asked of bundles before they are verified, verification is to say what is wrong with one."""
    assert claimed(bundle) is not None
    (bundle / "manifest.json").unlink()
    (bundle / "manifest.json").mkdir()
    assert claimed(bundle) is None


@pytest.mark.parametrize("path", ["manifest.json", "manifest.dsse.json", "model.sig"])
def test_a_second_encoding_of_a_signed_file_is_refused(bundle, space, path):
    value = json.loads((bundle / path).read_bytes())
    (bundle / path).write_text(json.dumps(value, indent=1))
    assert path in refused(bundle, space)


def test_the_two_signatures_are_both_asked_for(bundle, space, stranger):
    files = read(bundle)
    reseal(bundle, space.signers, files)
    verify_bundle(bundle, space.public)
    mine = (bundle / "model.sig").read_bytes()
    reseal(bundle, replace(space.signers, release=stranger.release), files)
    with pytest.raises(WrongSigner):
        verify_bundle(bundle, space.public)
    (bundle / "model.sig").write_bytes(mine)
    verify_bundle(bundle, space.public)
