"""What many tests need: a disk of a few kilobytes, quiet libraries, one language."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ringfence.core import text
from ringfence.core.environment import silence_libraries
from ringfence.deid import compiled
from ringfence.vault.keys import Argon2Cost, KeyStore

silence_libraries()
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what it puts into the background; our children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of a test
settings.load_profile("shared")
ROOT = Path(__file__).parents[1]
_compiled_once = functools.cache(compiled.compiled)  # seconds for each of some twenty modules that build the same engine
compiled.compiled = lambda patterns: _compiled_once(tuple(patterns))
_create = KeyStore.create.__func__
CHEAP = Argon2Cost(memory=64, iterations=1, lanes=1)  # a passphrase takes a quarter of a second otherwise, some thousand times
KeyStore.create = classmethod(lambda cls, *given, cost=CHEAP, **named: _create(cls, *given, cost=cost, **named))
if (worker := os.environ.get("PYTEST_XDIST_WORKER", "")).startswith("gw"):
    # Workers that share cores slow each other tenfold: the threads of a child wait for each other in a loop. So each has its own, and its children.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})
REFUSED = "Skipped: this machine "  # how the reason begins when nothing that .ci/run could install or start would help
_FLOWS = ("audit", "formats", "guard", "low_memory", "run_export", "serve", "serve_filter", "serve_several")
# Files whose module fixtures cost ten seconds and more.
TOGETHER = (*(f"flows/test_{name}.py" for name in _FLOWS), "privacy/test_planted_strings.py")


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="a skip fails, unless it is the machine that refuses what the test needs")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each test to whichever worker is free, but the tests of some files to the same one. (pytest-xdist 3.8's own marks do nothing under pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return file if file.endswith(TOGETHER) else nodeid

    return Scheduler(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return _judged(item.config, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _judged(collector.config, (yield))


def _judged(config, report):
    """A test that was skipped for want of something that could be installed has not passed."""
    if report.skipped and config.getoption("--no-skips") and isinstance(report.longrepr, tuple):  # an expected failure has no tuple
        _, _, reason = report.longrepr
        if not reason.startswith(REFUSED):
            report.outcome, report.longrepr = "failed", f"--no-skips: {reason}"
    return report


@pytest.fixture(autouse=True)
def _english():
    text.choose("en")
    yield
    text.choose("en")


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that mounts an empty tmpfs of so many bytes; unmounted at the end."""
    if os.geteuid() != 0:
        pytest.skip("this machine runs us without root, which mounting a small disk takes")
    mounted = []

    def mount(size):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=False)
        if done.returncode:
            pytest.skip("this machine does not allow a tmpfs mount")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def model_store(tmp_path_factory):
    """A store with the 2-layer model under the name "tiny", for every test of the session."""
    from ringfence.models.store import register
    from ringfence.models.tiny import write_tiny_model

    folder = tmp_path_factory.mktemp("models")
    patch = pytest.MonkeyPatch()
    patch.setenv("RINGFENCE_MODELS", str(folder / "store"))
    register(write_tiny_model(folder / "tiny"), "tiny", licence="apache-2.0")
    yield folder / "store"
    patch.undo()
