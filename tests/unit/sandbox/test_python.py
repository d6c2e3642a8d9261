"""A job under another environment's Python: what is looked at before it starts, and what it sees."""

import os
import sys
from pathlib import Path

import pytest

from ringfence.core.errors import PythonUnfit
from ringfence.core.order import Limits
from ringfence.sandbox.cage import Mounts, open_cage
from ringfence.sandbox.python import PACKAGE, of_environment, own
from tests.unit.sandbox.sandbox_cages import INSIDE, heard, needs_bwrap, needs_own_folder

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def base(tmp_path):
    """What an interpreter is installed as, with a standard library of one file: its prefix."""
    needs_own_folder(tmp_path)
    folder = tmp_path / "base"
    (folder / "lib" / VERSION / "site-packages").mkdir(parents=True)
    (folder / "lib" / VERSION / "os.py").write_text("")
    (folder / "lib" / "libpython.so").write_text("")
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").write_text("")
    return closed(folder)


@pytest.fixture
def environment(tmp_path, base):
    """An environment as `venv` lays it out, with one package: its bin/python."""
    return made(tmp_path, base / "bin" / "python3")


def made(tmp_path, interpreter):
    folder = tmp_path / "env"
    packages = folder / "lib" / VERSION / "site-packages"
    (packages / "only_there").mkdir(parents=True)
    (packages / "only_there" / "__init__.py").write_text("")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(interpreter)
    return closed(folder) / "bin" / "python"


def closed(folder):
    for place in (folder, *folder.rglob("*")):
        if not place.is_symlink():
            place.chmod(0o755)
    return folder


def packages_of(environment):
    return environment.parents[1] / "lib" / VERSION / "site-packages"


def test_an_environment_is_its_packages_over_the_interpreter_that_it_links_to(environment):
    found = of_environment(environment)
    assert found.binary == environment.resolve()
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


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
@pytest.mark.parametrize("which", ["", "only_there", "only_there/__init__.py"])
def test_one_that_others_can_write_is_refused(environment, which, mode):
    place = packages_of(environment) / which
    place.chmod(mode)
    refused(environment, f"others than you and root can write .*{Path(which).name}")
    place.chmod(0o755)
    of_environment(environment)


@pytest.mark.parametrize("which", ["", "bin", "bin/python3", "lib", "lib/libpython.so", "lib/V", "lib/V/os.py", "lib/V/site-packages"])
def test_one_over_an_interpreter_that_others_can_write_is_refused(environment, base, which):
    place = base / which.replace("V", VERSION)
    for mode in (0o777, 0o775, 0o1777):
        place.chmod(mode)
        refused(environment, f"others than you and root can write {place}\n")
    place.chmod(0o755)
    of_environment(environment)


def test_one_that_another_user_owns_or_can_put_another_in_place_of_is_refused(environment, tmp_path):
    place = packages_of(environment) / "only_there"
    if os.geteuid() == 0:  # nobody else can give a file away
        os.chown(place, 12345, -1)
        refused(environment, "others than you and root")
        os.chown(place, 0, -1)
        (tmp_path / "theirs").symlink_to(environment.parents[1])
        os.chown(tmp_path / "theirs", 12345, -1, follow_symlinks=False)
        refused(tmp_path / "theirs" / "bin" / "python", "others than you and root can write .*theirs")
    tmp_path.chmod(0o777)
    refused(environment, "others than you and root")
    tmp_path.chmod(0o1777)  # as /tmp: each may remove what is their own alone
    of_environment(environment)
    environment.parents[1].chmod(0o1777)  # but here one may add a lib64
    refused(environment, "others than you and root")


def test_what_links_lead_to_is_looked_at(environment, tmp_path):
    open_one = tmp_path / "open"
    open_one.mkdir()
    environment.parents[1].rename(open_one / "env")
    environment.parents[1].symlink_to(Path("open") / ".." / "open" / "env")
    found = of_environment(environment)
    assert found.packages == ((open_one / "env" / "lib" / VERSION / "site-packages"),)  # what was looked at, whatever the link says later
    open_one.chmod(0o777)
    refused(environment, "can write .*/open")
    open_one.chmod(0o755)
    theirs = tmp_path / "theirs"
    (theirs / "package" / "deep").mkdir(parents=True)
    closed(theirs)
    link = packages_of(environment) / "linked"
    link.symlink_to(theirs / "package")
    (packages_of(environment) / "round").symlink_to("round")
    (packages_of(environment) / "again").symlink_to(".")
    (packages_of(environment) / "nowhere").symlink_to(theirs / "absent")
    of_environment(environment)
    for place in (theirs, theirs / "package", theirs / "package" / "deep"):
        place.chmod(0o777)
        refused(environment, f"can write {place}")
        place.chmod(0o755)
    of_environment(environment)


@pytest.mark.parametrize(("is_other", "seen"), [(True, b"only_there ringfence"), (False, b"ringfence pydantic typer")])
def test_a_job_under_it_sees_its_packages_and_ringfence_alone(tmp_path, is_other, seen):
    needs_bwrap()
    needs_own_folder(tmp_path)
    try:
        python = of_environment(made(tmp_path, sys.executable)) if is_other else own()
    except PythonUnfit as refusal:
        pytest.skip(f"this machine has an interpreter that others can write: {refusal}")
    limits = Limits(seconds=60, memory=1 << 30)
    roots = [*python.roots, INSIDE]
    with open_cage(tier="T1", mounts=Mounts(), limits=limits, entry="seen:imports", import_roots=roots, python=python) as cage:
        assert cage.report.self_test.failures() == []
        cage.hand_over(b"only_there ringfence pydantic typer", b"")
        assert heard(cage) == seen
        assert cage.wait(10) == 0
