"""A bundle appears whole and verified, or not at all."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from ringfence.core.digest import canonical, sha256
from ringfence.core.errors import (
    AlreadyExists,
    BundleBroken,
    InvalidSettings,
    LedgerUnavailable,
    NotCanonical,
    PolicyRefused,
    SignatureInvalid,
)
from ringfence.release.bundle import write_bundle
from ringfence.release.manifest import Manifest
from ringfence.release.verify import verify_bundle
from tests.unit.release.release_parts import BASE, parts_of, read


def test_it_holds_these_files_and_lists_all_but_three(pristine):
    files = read(pristine)
    steps = ["01-import", "02-scan", "03-keep", "04-deid", "05-train"]
    evidence = {f"evidence/{step}.{part}" for step in steps for part in ("dsse.json", "entry.json", "proof")} | {
        "evidence/06-release.dsse.json"
    }
    listed = evidence | {"adapter_model.safetensors", "adapter_config.json", "README.md", "policy.json", "chat_template.jinja"}
    assert set(files) == listed | {"manifest.json", "manifest.dsse.json", "model.sig"}
    manifest = Manifest.from_bytes(files["manifest.json"])
    assert {file.path for file in manifest.files} == listed
    assert all((file.size, file.sha256) == (len(files[file.path]), sha256(files[file.path])) for file in manifest.files)
    assert (manifest.name, manifest.base, manifest.created) == ("model", BASE, "2026-01-01T00:00:01Z")


def test_it_can_be_handed_on(pristine):
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o444 for path in [pristine, *pristine.rglob("*")])


def test_nothing_is_overwritten(space, tmp_path):
    parts = parts_of(space)
    (tmp_path / "model").mkdir()
    with pytest.raises(AlreadyExists):
        write_bundle(tmp_path / "model", space.signers, **parts)
    assert list(tmp_path.glob("**/*")) == [tmp_path / "model"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"extra": {"model.pkl": b""}}, InvalidSettings),
        ({"extra": {"README.md": b""}}, InvalidSettings),
        ({"extra": {"../out.json": b""}}, InvalidSettings),
        ({"evidence": []}, InvalidSettings),
        ({"adapter": b"\x00" * 64}, BundleBroken),
        ({"policy": b'{"version": 1}'}, BundleBroken),
        ({"release": b"{}"}, NotCanonical),
    ],
)
def test_parts_that_do_not_fit_leave_nothing_behind(space, tmp_path, change, error):
    with pytest.raises(error):
        write_bundle(tmp_path / "model", space.signers, **(parts_of(space) | change))
    assert not list(tmp_path.glob("**/*"))


def test_a_statement_of_a_stranger_is_not_packed(space, stranger, tmp_path):
    with pytest.raises(SignatureInvalid):
        write_bundle(tmp_path / "model", space.signers, **(parts_of(space) | {"release": parts_of(stranger)["release"]}))
    assert not list(tmp_path.glob("**/*"))


def test_the_release_is_recorded_once_it_verifies_and_before_it_appears(space, tmp_path):
    folder, seen = tmp_path / "model", []

    def record(manifest: bytes) -> None:
        (hidden,) = tmp_path.iterdir()
        verify_bundle(hidden, space.public)
        seen.append((manifest, hidden.name, folder.exists()))

    manifest = write_bundle(folder, space.signers, record=record, **parts_of(space))
    ((recorded, name, is_there),) = seen
    assert (recorded, is_there) == (manifest.to_bytes(), False)
    assert name.startswith(".model.")
    assert name.endswith(".tmp")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(("error", "is_kept"), [(PolicyRefused(rules="deid missing", how=""), False), (LedgerUnavailable(), True)])
def test_only_a_release_that_may_be_on_record_waits_for_fsck(space, tmp_path, error, is_kept):
    def record(_manifest: bytes) -> None:
        raise error

    with pytest.raises(type(error)):
        write_bundle(tmp_path / "model", space.signers, record=record, **parts_of(space))
    assert [path.suffix for path in tmp_path.iterdir()] == ([".tmp"] if is_kept else [])


def test_ctrl_c_while_a_release_waits_for_its_turn_leaves_nothing(space, tmp_path):
    @contextmanager
    def lock():
        os.kill(os.getpid(), signal.SIGINT)
        yield

    recorded = []
    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path / "model", space.signers, lock=lock(), record=recorded.append, **parts_of(space))
    assert recorded == []
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_appears_while_the_lock_is_held(space, tmp_path):
    folder, seen = tmp_path / "model", []

    @contextmanager
    def lock():
        seen.append(folder.exists())
        yield
        seen.append(folder.exists())

    write_bundle(folder, space.signers, lock=lock(), record=lambda _: seen.append("recorded"), **parts_of(space))
    assert seen == [False, "recorded", True]


def test_a_recorded_release_that_finds_its_place_taken_waits_for_fsck(space, tmp_path):
    folder = tmp_path / "model"

    def record(_manifest: bytes) -> None:
        folder.mkdir()
        (folder / "taken").touch()

    with pytest.raises(AlreadyExists):
        write_bundle(folder, space.signers, record=record, **parts_of(space))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".tmp"]


def test_names_of_any_script(space, tmp_path):
    assert write_bundle(tmp_path / "门诊模型", space.signers, **parts_of(space, name="门诊模型")).name == "门诊模型"


def test_a_name_that_is_none_is_refused(space, tmp_path):
    with pytest.raises(ValidationError):
        write_bundle(tmp_path / ".hidden", space.signers, **parts_of(space))
    assert not list(tmp_path.glob("**/*"))


@pytest.mark.parametrize(
    "edit",
    [
        lambda v: v.update(format="ringfence.bundle/2"),
        lambda v: v.update(more=1),
        lambda v: v["files"].reverse(),
        lambda v: v["files"].append(v["files"][-1]),
        lambda v: v["files"][0].update(path="../README.md"),
        lambda v: v["files"][0].update(size=float(v["files"][0]["size"])),
        lambda v: v["files"][0].update(size=str(v["files"][0]["size"])),
        lambda v: v.pop("created"),
    ],
)
def test_a_manifest_has_one_shape_and_one_encoding(pristine, edit):
    import json

    data = (pristine / "manifest.json").read_bytes()
    assert Manifest.from_bytes(data).to_bytes() == data
    value = json.loads(data)
    edit(value)
    with pytest.raises(NotCanonical):
        Manifest.from_bytes(canonical(value))
