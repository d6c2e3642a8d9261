"""A cage from its start to its end: what goes in, what is reported, and that nothing is left."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.core.errors import CageOpen, FileUnreadable, TierMissing
from ringfence.core.order import Limits
from ringfence.sandbox.cage import Mounts, open_cage
from ringfence.sandbox.tiers import find_bwrap
from tests.unit.sandbox.sandbox_cages import INSIDE, caged, heard, needs_bwrap

needs_bwrap()


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("tier", ["T0", "T1"])
@pytest.mark.parametrize(("order", "keys"), [(b"{}", b"k"), (b"", b""), (b"o" * 300_000, b"\x00\xff" * 50_000)])
def test_order_and_keys_arrive_whole(tier, order, keys):
    with caged("echo", tier=tier) as cage:
        cage.hand_over(order, keys)
        assert heard(cage) == order + b"|" + keys
        assert cage.wait(10) == (sum(order) + sum(keys)) % 256
        with pytest.raises(ValueError, match="already"):
            cage.hand_over(order, keys)


def test_the_report_of_a_closed_cage():
    with caged("echo") as cage:
        test = cage.report.self_test
        assert cage.report.tier == "T1"
        assert test.failures() == []
        assert test.namespace_differs
        assert test.seccomp
        assert test.no_new_privileges
        assert test.interfaces == ("lo",)
        assert test.ipv4 == "unreachable"
        assert set(test.environment) <= {"PWD", "LC_CTYPE"}
        assert 0 < cage.seconds["start"] < 20
        assert 0 < cage.seconds["self_test"] < 20


def test_the_plain_tier_says_that_it_is_plain(tmp_path):
    source = tmp_path / "row"
    with caged("echo", tier="T0", mounts=Mounts(read={"source": source.parent}, write=tmp_path)) as cage:
        assert cage.report.tier == "T0"
        assert cage.report.self_test is None
        assert cage.inside("source") == str(tmp_path)
        assert cage.inside_out == str(tmp_path)


@pytest.mark.parametrize("tier", ["T0", "T1"])
def test_reads_its_input_and_writes_its_output(tmp_path, tier):
    (tmp_path / "out").mkdir()
    (tmp_path / "row").write_text("one row")
    with caged("write_out", tier=tier, mounts=Mounts(read={"source": tmp_path / "row"}, write=tmp_path / "out")) as cage:
        cage.hand_over(cage.inside_out.encode(), cage.inside("source").encode())
        assert cage.wait(10) == 0
    assert (tmp_path / "out" / "result").read_text() == "one row"


def test_neither_order_nor_keys_stand_in_proc():
    with caged("say_ready_and_wait") as cage:
        cage.hand_over(b"the-order-of-this-job", b"the-keys-of-this-job")
        assert cage.socket.recv(5) == b"ready"
        for pid in (cage.pid, cage._tree.pid):
            for name in ("cmdline", "environ"):
                text = Path(f"/proc/{pid}/{name}").read_bytes()
                assert b"-of-this-job" not in text
        assert Path(f"/proc/{cage.pid}/environ").read_bytes() in (b"", b"PWD=/tmp\0")


@pytest.mark.parametrize(("function", "tier"), [("say_ready_and_wait", "T0"), ("say_ready_and_wait", "T1"), ("leave_orphans", "T1")])
def test_nothing_is_left_when_the_context_ends(function, tier):
    with caged(function, tier=tier) as cage:
        cage.hand_over(b"", b"")
        assert cage.socket.recv(5) in (b"ready", b"left")
        pids = (cage.pid, cage._tree.pid)
        groups = list(cage._tree.group.folders) if cage._tree.group else []
    assert all(gone(pid) for pid in pids)
    assert not [group for group in groups if group.exists()]
    if tier == "T1":
        assert b"say_ready" not in every_command_line()


def every_command_line():
    found = []
    for folder in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(folder.read_bytes())
        except OSError:
            continue
    ours = [line for line in found if str(INSIDE).encode() in line and f'"parent": {os.getpid()}'.encode() in line]  # not another worker's
    return b"".join(ours)


def test_a_child_that_hangs_is_killed_at_the_end_of_the_wait():
    with caged("say_ready_and_wait") as cage:
        cage.hand_over(b"", b"")
        assert cage.wait(0.05) == 124
        assert gone(cage.pid)


@pytest.mark.parametrize("tier", ["T0", "T1"])
def test_a_killed_child_has_the_status_of_its_signal(tier):
    with caged("say_ready_and_wait", tier=tier) as cage:
        cage.hand_over(b"", b"")
        os.kill(cage.pid, signal.SIGKILL)
        assert cage.wait(10) == 137


def test_a_native_abort_ends_the_child_though_it_is_the_first_process_of_its_namespace():
    with caged("abort") as cage:
        cage.hand_over(b"", b"")
        assert cage.wait(10) > 128


def test_a_host_that_leaves_without_an_order_ends_the_child():
    with caged("echo") as cage:
        os.close(cage._orders)
        cage._orders = -1
        assert cage.wait(10) == 70


@pytest.mark.parametrize("tier", ["T0", "T1"])
def test_cpu_time_counts_the_childs_own_children(tier):
    with caged("burn", tier=tier) as cage:
        assert cage.cpu_seconds() == 0.0
        cage.hand_over(b"", b"")
        assert cage.wait(20) == 0
        assert cage.cpu_seconds() >= 0.4


_HOST = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from tests.unit.sandbox.sandbox_cages import caged
cage = caged("say_ready_and_wait", tier=sys.argv[2])
cage.hand_over(b"", b"")
cage.socket.recv(5)
print(cage.pid, cage._tree.pid, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("tier", ["T0", "T1"])
def test_the_child_dies_with_its_host(tier):
    host = subprocess.Popen([sys.executable, "-c", _HOST, str(INSIDE.parent), tier], stdout=subprocess.PIPE)
    pids = {int(pid) for pid in host.stdout.readline().split()}
    assert pids
    watched = [os.pidfd_open(pid) for pid in pids]
    host.kill()
    host.wait()
    host.stdout.close()
    for handle in watched:
        assert select.select([handle], [], [], 10)[0]
        os.close(handle)


def test_a_source_that_is_missing_is_named_before_anything_starts(tmp_path):
    with pytest.raises(FileUnreadable):
        caged("echo", mounts=Mounts(read={"source": tmp_path / "absent"}))


@pytest.mark.parametrize("role", ["..", "a/b", "", "A", "-x"])
def test_a_role_is_a_plain_word(role, tmp_path):
    with pytest.raises(ValueError, match="role"):
        caged("echo", mounts=Mounts(read={role: tmp_path}))


def test_a_bwrap_that_is_none_is_a_missing_tier(tmp_path):
    with pytest.raises(TierMissing):
        caged("echo", bwrap=tmp_path / "bwrap")


# ── a bwrap that does not do what it is told ──────────────────────────────────────────────────────────────────────────

_WRAPPER = """#!/bin/sh
for argument do
  shift
  if [ "$skip" = all ]; then continue; fi
  if [ -n "$skip" ]; then skip=; continue; fi
  case "$argument" in
    {case}
    *) set -- "$@" "$argument" ;;
  esac
done
exec {bwrap} "$@"
"""
_ALL_BUT_NET = "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try"
WRAPPERS = [
    ('--unshare-all) set -- "$@" --unshare-all --share-net ;;', "namespace"),
    (f'--unshare-all) set -- "$@" {_ALL_BUT_NET} ;;', "namespace"),
    ("--seccomp) skip=1 ;;", "seccomp"),
    ('--clearenv) set -- "$@" --clearenv --setenv HTTPS_PROXY x ;;', "environment"),
]


@pytest.mark.parametrize(("case", "test"), WRAPPERS)
def test_a_wrapper_around_bwrap_is_caught_before_any_key(tmp_path, case, test):
    wrapper = tmp_path / "bwrap"
    wrapper.write_text(_WRAPPER.format(case=case, bwrap=find_bwrap()))
    wrapper.chmod(0o755)
    with pytest.raises(CageOpen) as caught:
        caged("echo", bwrap=wrapper)
    assert caught.value.facts["test"] == test
    assert every_command_line() == b""


@pytest.mark.parametrize("network", ["--share-net", ""])
def test_a_child_in_our_network_never_runs_its_first_instruction(tmp_path, network):
    (tmp_path / "out").mkdir()
    wrapper = tmp_path / "bwrap"
    instead = f"""-- {os.path.realpath(sys.executable)} -IS -c 'open("/out/ran", "w")'"""
    case = f'--unshare-all) set -- "$@" --unshare-all {network} ;;\n    --) set -- "$@" {instead}; skip=all ;;'
    wrapper.write_text(_WRAPPER.format(case=case, bwrap=find_bwrap()))
    wrapper.chmod(0o755)
    with pytest.raises(CageOpen) as caught:
        caged("echo", bwrap=wrapper, mounts=Mounts(write=tmp_path / "out"))
    assert caught.value.facts["test"] == ("namespace" if network else "answer")
    assert (tmp_path / "out" / "ran").exists() == (not network), "with a network of its own it runs, so the file would have been seen"


def test_the_wrapper_alone_changes_nothing(tmp_path):
    wrapper = tmp_path / "bwrap"
    wrapper.write_text(_WRAPPER.format(case="--never) ;;", bwrap=find_bwrap()))
    wrapper.chmod(0o755)
    with caged("echo", bwrap=wrapper) as cage:
        cage.hand_over(b"a", b"b")
        assert heard(cage) == b"a|b"


_LIAR = """#!{python} -IS
import json, os, sys
a = sys.argv
info = int(a[a.index("--info-fd") + 1])
os.write(info, json.dumps({{"child-pid": os.getpid(), "net-namespace": 1}}).encode())
os.execv(a[a.index("--") + 1], [p.replace("/bootstrap.py", "{bootstrap}") for p in a[a.index("--") + 1 :]])
"""


def test_a_bwrap_that_lies_about_the_namespace_is_caught(tmp_path):
    from ringfence.sandbox.arguments import BOOTSTRAP

    liar = tmp_path / "bwrap"
    liar.write_text(_LIAR.format(python=os.path.realpath(sys.executable), bootstrap=BOOTSTRAP))
    liar.chmod(0o755)
    with pytest.raises(CageOpen) as caught:
        caged("echo", bwrap=liar)
    assert caught.value.facts["test"] == "namespace"


def test_an_entry_that_is_not_there_ends_the_child():
    with open_cage(tier="T1", mounts=Mounts(), limits=Limits(), entry="nowhere:main") as cage:
        cage.hand_over(b"", b"")
        assert cage.wait(10) == 1


def test_a_failed_start_leaves_no_descriptor(tmp_path):
    before = {handle.name for handle in Path("/proc/self/fd").iterdir()}
    for _ in range(3):
        with pytest.raises(TierMissing):
            caged("echo", bwrap=tmp_path / "bwrap")
    with caged("echo") as cage:
        cage.hand_over(b"", b"")
        cage.wait(10)
    assert {handle.name for handle in Path("/proc/self/fd").iterdir()} == before
