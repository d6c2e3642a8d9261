"""Control groups of both versions, over folders that look like the kernel's."""

import os

from ringfence.sandbox.cgroup import make_group, memory_here


def version_1(root):
    for name in ("memory", "pids"):
        (root / name / "jobs").mkdir(parents=True)
    own = root / "own"
    own.write_text("8:pids:/jobs\n4:memory:/jobs\n1:cpu:/\n0::/\n")
    return own


def test_without_folders_of_our_own_nothing_is_held(tmp_path):
    group = make_group(memory=1, processes=1, root=tmp_path / "absent", own=tmp_path / "absent")
    assert group.folders == {}
    assert group.add(1) == frozenset()
    group.remove()


def test_version_1_makes_one_folder_for_each_controller(tmp_path):
    group = make_group(memory=1, processes=1, root=tmp_path, own=version_1(tmp_path))
    assert {folder.parent for folder in group.folders} == {tmp_path / "memory" / "jobs", tmp_path / "pids" / "jobs"}
    assert set(group.folders.values()) == {frozenset()}, "plain folders have no limit to set, and a limit that is not set is not claimed"


def test_version_2_goes_up_to_the_group_that_hands_out_controllers(tmp_path):
    scope = tmp_path / "user.slice" / "one.scope"
    scope.mkdir(parents=True)
    (scope / "cgroup.subtree_control").write_text("")
    (scope.parent / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (tmp_path / "own").write_text("0::/user.slice/one.scope\n")
    group = make_group(memory=1, processes=1, root=tmp_path, own=tmp_path / "own")
    assert [folder.parent for folder in group.folders] == [scope.parent]
    group.remove()
    assert list(scope.parent.iterdir()) != []
    assert not any(folder.exists() for folder in group.folders)


def test_a_group_that_cannot_be_removed_is_left(tmp_path):
    group = make_group(memory=1, processes=1, root=tmp_path, own=version_1(tmp_path))
    busy = next(iter(group.folders))
    (busy / "child").mkdir()
    group.remove()
    assert busy.exists()


def test_what_a_killed_host_left_is_removed_and_a_living_ones_is_not(tmp_path):
    own = version_1(tmp_path)
    dead = tmp_path / "pids" / "jobs" / "ringfence-4194305-00"  # above the kernel's largest pid
    alive = tmp_path / "pids" / "jobs" / f"ringfence-{os.getpid()}-00"
    for folder in (dead, alive):
        folder.mkdir()
    make_group(memory=1, processes=1, root=tmp_path, own=own)
    assert not dead.exists()
    assert alive.exists()


def test_the_least_limit_on_the_way_up_is_what_memory_there_is(tmp_path):
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_here(root=tmp_path / "absent", own=tmp_path / "absent") == machine
    scope = tmp_path / "user.slice" / "one.scope"
    scope.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/user.slice/one.scope\n")
    (scope / "memory.max").write_text("max\n")
    assert memory_here(root=tmp_path, own=tmp_path / "own") == machine
    (scope.parent / "memory.max").write_text("5000000\n")
    assert memory_here(root=tmp_path, own=tmp_path / "own") == 5_000_000
    (scope / "memory.max").write_text("4000000\n")
    assert memory_here(root=tmp_path, own=tmp_path / "own") == 4_000_000
    first = tmp_path / "first"
    own = version_1(first)
    (first / "memory" / "jobs" / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # version 1's "none"
    assert memory_here(root=first, own=own) == machine
    (first / "memory" / "memory.limit_in_bytes").write_text("6000000\n")
    (first / "pids" / "jobs" / "memory.limit_in_bytes").write_text("1\n")  # not the memory's
    assert memory_here(root=first, own=own) == 6_000_000
