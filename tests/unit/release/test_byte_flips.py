"""Every byte of a bundle counts: no flip goes unnoticed by a verifier that has only the public keys."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from ringfence.core.errors import BundleBroken, BundleUnreadable, WrongSigner
from ringfence.core.public_keys import PublicKeys
from ringfence.release.verify import verify_bundle
from tests.unit.release.release_parts import read

SMALL = 2_000  # bytes; every byte of a smaller file is flipped in the full run


Flip = tuple[str, int, int]  # path, offset, mask


def places(files: dict[str, bytes], *, seed: int, least: int, total: int) -> list[Flip]:
    """Return different flips: at least `least` in every file, of different bytes as far as it has so many, the rest anywhere."""
    chance = random.Random(seed)
    chosen: set[Flip] = set()
    for path, data in files.items():
        rounds = -(-least // len(data))
        masks = chance.sample(range(1, 256), rounds)
        offsets = [(at, mask) for mask in masks for at in chance.sample(range(len(data)), len(data))]
        chosen |= {(path, at, mask) for at, mask in offsets[:least]}
    everywhere = [(path, at) for path, data in files.items() for at in range(len(data))]
    while len(chosen) < total:
        chosen.add((*chance.choice(everywhere), chance.randrange(1, 256)))
    return sorted(chosen)


def somehow(flips: list[tuple[str, int]], *, seed: int) -> list[Flip]:
    """Return flips of these bytes, each by some mask."""
    chance = random.Random(seed)
    return [(path, at, chance.randrange(1, 256)) for path, at in flips]


def missed(folder: Path, public: PublicKeys, flips: list[Flip]) -> list[Flip]:
    """Return the flips that a verification did not notice, or blamed on another file."""
    unseen = []
    for path, at, mask in flips:
        file = folder / path
        whole = file.read_bytes()
        file.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
        try:
            verify_bundle(folder, public)
        except WrongSigner:
            is_found = path in ("manifest.dsse.json", "model.sig")
        except BundleBroken as error:
            is_found = path in str(error)
        else:
            is_found = False
        if not is_found:
            unseen.append((path, at, mask))
        file.write_bytes(whole)
    return unseen


def test_a_thousand_flips_are_all_found(bundle, space):
    public = PublicKeys.from_bytes(space.public.to_bytes())
    files = read(bundle)
    flips = places(files, seed=1, least=50, total=1_000)
    assert len(flips) >= 1_000
    counts = Counter(path for path, _, _ in flips)
    assert set(counts) == set(files)
    assert min(counts.values()) >= 50
    assert missed(bundle, public, flips) == []


@pytest.mark.parametrize("path", ["manifest.dsse.json", "model.sig"])
def test_every_kind_of_flip_in_the_signatures_themselves_is_found(bundle, space, path):
    """No digest covers these two files: each of their structural bytes is tried, and every bit of the signature."""
    data = (bundle / path).read_bytes()
    outside = [at for at in range(len(data)) if not data.find(b'"payload":"') + 40 < at < data.find(b'","payloadType') - 20]
    assert missed(bundle, space.public, somehow([(path, at) for at in outside], seed=3)) == []


@pytest.mark.full
def test_every_byte_of_the_small_files_and_of_the_signatures(bundle, space):
    files = read(bundle)
    whole = [path for path, data in files.items() if len(data) < SMALL or path in ("manifest.dsse.json", "model.sig", "manifest.json")]
    flips = [(path, at) for path in whole for at in range(len(files[path]))]
    assert missed(bundle, space.public, somehow(flips, seed=4)) == []


@pytest.mark.parametrize("path", ["manifest.json", "adapter_model.safetensors", "evidence/01-import.proof", "model.sig"])
@pytest.mark.parametrize("change", ["cut", "longer", "empty"])
def test_a_cut_or_longer_file_is_found(bundle, space, path, change):
    data = (bundle / path).read_bytes()
    (bundle / path).write_bytes({"cut": data[:-1], "longer": data + b"\n", "empty": b""}[change])
    with pytest.raises((BundleBroken, BundleUnreadable), match=path):
        verify_bundle(bundle, space.public)
