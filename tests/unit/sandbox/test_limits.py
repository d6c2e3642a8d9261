"""Bombs are stopped."""

import pytest

from tests.unit.sandbox.sandbox_cages import caged, heard, needs_bwrap

needs_bwrap()


@pytest.mark.parametrize("tier", ["T0", "T1"])
def test_a_memory_bomb_meets_its_limit(tier):
    with caged("fill_memory", tier=tier, memory=256 << 20) as cage:
        cage.hand_over(b"", b"")
        assert 100 <= int(heard(cage)) <= 256
        assert cage.wait(10) == 3


def test_shared_memory_is_counted_too_where_control_groups_are_ours():
    with caged("fill_shared_memory", memory=192 << 20) as cage:
        if "memory" not in cage.tree_limits:
            pytest.skip("this machine has no writable memory control group, so only private memory is limited")
        cage.hand_over(b"", b"")
        assert cage.wait(60) == 137


def test_a_fork_bomb_is_bounded():
    with caged("fork_bomb", processes=40) as cage:
        cage.hand_over(b"", b"")
        assert 1 <= int(heard(cage)) <= 40
        assert cage.wait(10) == 4
