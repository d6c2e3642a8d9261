"""A job under another environment's Python: what is looked at before it starts, and what it sees."""

import os
import sys
from pathlib import Path

import pytest

from ringfence.core.errors import PythonUnfit
from ringfence.core.order import Limits
from ringfence.sandbox.cage import Mounts, open_cage
from ringfence.sandbox.python import PACKAGE, of_environment, own
from tests.unit.sandbox.sandbox_cages import INSIDE, heard, needs_bwrap

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def environment(tmp_path):
    """An environment as `venv` lays it out, with one package: its bin/python."""
    folder = tmp_path / "env"
    packages = folder / "lib" / VERSION / "site-packages"
    (packages / "only_there").mkdir(parents=True)
    (packages / "only_there" / "__init__.py").write_text("")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    for place in (folder, *folder.rglob("*")):
        if not place.is_symlink():
            place.chmod(0o755)
    return folder / "bin" / "python"


def packages_of(environment):
    return environment.parents[1] / "lib" / VERSION / "site-packages"


def test_an_environment_is_its_packages_over_the_interpreter_that_it_links_to(environment):
    found = of_environment(environment)
    assert found.binary == own().binary
    assert found.packages == (packages_of(environment),)
    assert found.roots == [packages_of(environment), PACKAGE.parent]
    assert found.lacks("only_there", "pydantic", "torch") == ["pydantic", "torch"]
    assert own().lacks("pydantic") == []


def refused(path, words):
    with pytest.raises(PythonUnfit, match=words):
        of_environment(path)


def test_what_is_no_environment_is_refused(environment, tmp_path):
    refused(tmp_path / "absent", "no such program")
    refused(environment.parent, "no such program")  # a folder
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    refused(tmp_path / "bin" / "python", "not the bin/python of an environment")
    old = tmp_path / "old"
    (old / "lib" / "python3.9" / "site-packages").mkdir(parents=True)
    (old / "bin").mkdir()
    (old / "bin" / "python").write_text("")
    (old / "bin" / "python").chmod(0o755)
    refused(old / "bin" / "python", r"python3\.9, and 3\.11 is the oldest")


@pytest.mark.parametrize("which", ["", "only_there", "only_there/__init__.py"])
def test_one_that_others_can_write_is_refused(environment, which):
    place = packages_of(environment) / which
    place.chmod(0o777)
    refused(environment, f"others than you and root can write .*{Path(which).name}")
    place.chmod(0o755)
    of_environment(environment)


def test_one_that_another_user_owns_or_can_put_another_in_place_of_is_refused(environment, tmp_path):
    place = packages_of(environment) / "only_there"
    if os.geteuid() == 0:  # nobody else can give a file away
        os.chown(place, 12345, -1)
        refused(environment, "others than you and root")
        os.chown(place, 0, -1)
    tmp_path.chmod(0o777)
    refused(environment, "others than you and root")
    tmp_path.chmod(0o1777)  # as /tmp: each may remove what is their own alone
    of_environment(environment)


@pytest.mark.parametrize(("is_other", "seen"), [(True, b"only_there ringfence"), (False, b"ringfence pydantic typer")])
def test_a_job_under_it_sees_its_packages_and_ringfence_alone(environment, is_other, seen):
    needs_bwrap()
    python = of_environment(environment) if is_other else own()
    limits = Limits(seconds=60, memory=1 << 30)
    roots = [*python.roots, INSIDE]
    with open_cage(tier="T1", mounts=Mounts(), limits=limits, entry="seen:imports", import_roots=roots, python=python) as cage:
        assert cage.report.self_test.failures() == []
        cage.hand_over(b"only_there ringfence pydantic typer", b"")
        assert heard(cage) == seen
        assert cage.wait(10) == 0
