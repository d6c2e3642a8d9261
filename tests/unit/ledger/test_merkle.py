from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.ledger.merkle import HashTree, is_consistent, leaf_hash, root_from_inclusion

# The oracle: RFC 6962 §2.1 word for word, on lists.


def mth(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    return [*path(m, leaves[:k]), mth(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, known):
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def largest_power_below(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tree_of(leaves):
    tree = HashTree()
    tree.extend(leaves)
    return tree


# transparency-dev/merkle testonly/constants.go (from the Certificate Transparency reference implementation)
LEAVES = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CONSISTENCY = {
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def test_roots_are_the_published_ones():
    tree = HashTree()
    assert tree.root().hex() == ROOTS[0]
    for leaf, root in zip(LEAVES, ROOTS[1:], strict=True):
        tree.extend([leaf])
        assert tree.root().hex() == root
    assert [tree.root(size).hex() for size in range(9)] == ROOTS


def test_consistency_proofs_are_the_published_ones():
    tree = tree_of(LEAVES)
    for (old, size), proof in CONSISTENCY.items():
        assert [step.hex() for step in tree.consistency(old, size)] == proof


@given(st.integers(1, 90), st.data())
def test_everything_equals_the_recursive_definition(size, data):
    leaves = [bytes([n, n >> 1]) for n in range(size)]
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    tree = tree_of(leaves)
    assert tree.root() == mth(leaves)
    assert tree.inclusion(index) == path(index, leaves)
    assert tree.consistency(old) == subproof(old, leaves, True)


@pytest.mark.parametrize("size", [255, 256, 257, 511, 513, 65536 + 257])
def test_the_edges_of_tiles_equal_the_recursive_definition(size):
    leaves = [n.to_bytes(4, "big") for n in range(size)]
    tree = tree_of(leaves)
    assert tree.root() == mth(leaves)
    for tile in range(size // 256):
        assert tree.hashes(1, tile, count=1) == mth(leaves[tile * 256 : tile * 256 + 256])
    for index in (0, 254, size - 1):
        assert tree.inclusion(index) == path(index, leaves)
    for old in (1, 255, size - 1, size):
        assert tree.consistency(old) == subproof(old, leaves, True)


def test_proofs_of_every_size_up_to_300_verify():
    check_proofs(lambda size: range(size) if size <= 64 else {0, 1, size // 2, size // 3, size - 2, size - 1})


@pytest.mark.full
def test_every_proof_of_every_size_up_to_300_verifies():
    check_proofs(range)


def check_proofs(indices_of):
    tree = tree_of([n.to_bytes(2, "big") for n in range(300)])
    leaves = [leaf_hash(n.to_bytes(2, "big")) for n in range(300)]
    for size in range(1, 301):
        root = tree.root(size)
        for index in indices_of(size):
            assert root_from_inclusion(leaves[index], tree.inclusion(index, size), index=index, size=size) == root


def test_every_consistency_proof_of_every_size_up_to_70_verifies():
    tree = tree_of([bytes([n]) for n in range(70)])
    roots = [tree.root(size) for size in range(71)]
    for size in range(71):
        for old in range(size + 1):
            proof = tree.consistency(old, size)
            assert is_consistent(proof, old_size=old, old_root=roots[old], size=size, root=roots[size])
            assert not is_consistent([*proof, roots[0]], old_size=old, old_root=roots[old], size=size, root=roots[size])


@given(st.integers(1, 200), st.data())
def test_a_changed_inclusion_proof_does_not_verify(size, data):
    tree = tree_of([bytes([n]) for n in range(size)])
    index = data.draw(st.integers(0, size - 1))
    leaf, proof, root = leaf_hash(bytes([index])), tree.inclusion(index), tree.root()
    wrong = data.draw(st.integers(-1, size + 1).filter(lambda n: n != index))
    assert root_from_inclusion(leaf, proof, index=wrong, size=size) != root
    assert root_from_inclusion(leaf, [*proof, leaf], index=index, size=size) is None
    assert root_from_inclusion(leaf_hash(b"other"), proof, index=index, size=size) != root
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert root_from_inclusion(leaf, proof[:at] + proof[at + 1 :], index=index, size=size) is None
        flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        assert root_from_inclusion(leaf, [*proof[:at], flipped, *proof[at + 1 :]], index=index, size=size) != root


@given(st.integers(2, 200), st.data())
def test_a_changed_consistency_proof_does_not_verify(size, data):
    tree = tree_of([bytes([n]) for n in range(size)])
    old = data.draw(st.integers(1, size - 1))
    proof, facts = tree.consistency(old), {"old_size": old, "old_root": tree.root(old), "size": size, "root": tree.root()}
    at = data.draw(st.integers(0, len(proof) - 1))
    assert is_consistent(proof, **facts)
    assert not is_consistent(proof[:at] + proof[at + 1 :], **facts)
    assert not is_consistent([*proof[:at], bytes(32), *proof[at + 1 :]], **facts)
    assert not is_consistent(proof, **(facts | {"old_root": tree.root(old - 1)}))
    assert not is_consistent(proof, **(facts | {"root": tree.root(size - 1)}))
    assert not is_consistent(proof, **(facts | {"old_size": size + 1}))


@given(st.lists(st.integers(0, 300), max_size=6), st.data())
def test_truncating_takes_back_what_was_appended(batches, data):
    tree, leaves = HashTree(), []
    for count in batches:
        tree.extend([bytes([n & 255]) for n in range(count)])
        leaves += [bytes([n & 255]) for n in range(count)]
    keep = data.draw(st.integers(0, len(leaves)))
    tree.truncate(keep)
    tree.extend([b"new"])
    assert tree.size == keep + 1
    assert tree.root() == mth([*leaves[:keep], b"new"])
