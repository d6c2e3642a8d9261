"""Bundles for the tests, made once; `release_parts` says of what."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ringfence.release.bundle import write_bundle
from tests.unit.release.release_parts import Space, parts_of


@pytest.fixture(scope="session")
def space(tmp_path_factory) -> Space:
    return Space(tmp_path_factory.mktemp("space"), tenant="a" * 32)


@pytest.fixture(scope="session")
def stranger(tmp_path_factory) -> Space:
    return Space(tmp_path_factory.mktemp("stranger"), tenant="b" * 32)


@pytest.fixture(scope="session")
def pristine(space, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("releases") / "model"
    write_bundle(folder, space.signers, **parts_of(space))
    return folder


@pytest.fixture
def bundle(pristine, tmp_path) -> Path:
    """A copy to be tampered with."""
    return Path(shutil.copytree(pristine, tmp_path / "model"))
