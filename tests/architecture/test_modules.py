"""Every module imports, on its own; help is fast and loads no model library; the layers hold."""

from __future__ import annotations

import errno
import importlib
import os
import pkgutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import ringfence

ROOT = Path(__file__).parents[2]
MODULES = sorted(m.name for m in pkgutil.walk_packages(ringfence.__path__, "ringfence.") if not m.name.endswith("__main__"))


@pytest.mark.parametrize("name", [m for m in MODULES if "bootstrap" not in m])
def test_every_module_imports(name):
    importlib.import_module(name)


def test_every_package_says_what_it_is():
    packages = [m.name for m in pkgutil.iter_modules(ringfence.__path__, "ringfence.") if m.ispkg]
    assert len(packages) >= 15
    assert all(importlib.import_module(name).__doc__ for name in packages)


HEAVY = ("torch", "transformers", "peft", "safetensors", "hyperscan", "fastapi", "nvflare", "datasets")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--lang", "zh", "--help"], ["explain", "RF-POLICY-001"]])
def test_help_loads_no_model_library(arguments):
    code = (
        "import sys; from ringfence.cli.main import run\n"
        f"run({arguments!r})\n"
        f"bad = sorted(set(sys.modules) & {set(HEAVY)!r}); sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_host_halves_load_no_model_library():
    code = (
        "import sys, pkgutil, importlib, ringfence.flows as f\n"
        "for m in pkgutil.iter_modules(f.__path__, 'ringfence.flows.'): importlib.import_module(m.name)\n"
        f"sys.exit(', '.join(sorted(set(sys.modules) & {set(HEAVY) - {'hyperscan'}!r})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_starts_the_tests_without_a_network():
    for target in ("test", "test-full"):
        told = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert all("tests/offline.py" in line for line in told.splitlines() if "bin/pytest" in line)
        assert "bin/pytest" in told


def test_this_very_process_has_no_network():
    if "RINGFENCE_OFFLINE" not in os.environ:
        pytest.skip("make test did not start this")
    if os.environ["RINGFENCE_OFFLINE"] != "yes":
        pytest.skip("this machine allows no namespace")
    assert [name for _, name in socket.if_nameindex()] == ["lo"]


def test_a_command_can_be_started_without_a_network():
    """make test starts pytest in an empty network namespace with loopback up, where the machine allows one."""
    code = (
        "import socket; print(sorted(n for _, n in socket.if_nameindex()));"
        "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname());"
        "print(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect_ex(('192.0.2.1', 9)))"
    )
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "offline.py", sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if "not in a namespace" in done.stderr:
        pytest.skip(f"this machine allows no namespace: {done.stderr.strip()}")
    names, error = done.stdout.splitlines()
    assert names == "['lo']"
    assert int(error) == errno.ENETUNREACH
