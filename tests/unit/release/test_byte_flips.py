"""Every byte of a bundle counts: no flip goes unnoticed by a verifier that has only the public keys."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ringfence.core.errors import BundleBroken, BundleUnreadable, WrongSigner
from ringfence.core.public_keys import PublicKeys
from ringfence.release.verify import verify_bundle
from tests.unit.release.release_parts import read

SMALL = 2_000  # bytes; every byte of a smaller file is flipped in the full run


def places(files: dict[str, bytes], *, seed: int, least: int, total: int) -> list[tuple[str, int]]:
    """Return (path, offset): at least `least` different bytes of every file (all of a shorter one), the rest anywhere."""
    chance = random.Random(seed)
    chosen = {(path, at) for path, data in files.items() for at in chance.sample(range(len(data)), min(least, len(data)))}
    everywhere = [(path, at) for path, data in files.items() for at in range(len(data))]
    while len(chosen) < total:
        chosen.add(chance.choice(everywhere))
    return sorted(chosen)


def missed(folder: Path, public: PublicKeys, flips: list[tuple[str, int]], *, seed: int) -> list[tuple[str, int, int]]:
    """Return the flips that a verification did not notice, or blamed on another file."""
    chance, unseen = random.Random(seed), []
    for path, at in flips:
        file = folder / path
        whole = file.read_bytes()
        mask = chance.randrange(1, 256)
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
    flips = places(read(bundle), seed=1, least=50, total=1_000)
    assert len(flips) >= 1_000
    assert missed(bundle, public, flips, seed=2) == []


@pytest.mark.parametrize("path", ["manifest.dsse.json", "model.sig"])
def test_every_kind_of_flip_in_the_signatures_themselves_is_found(bundle, space, path):
    """No digest covers these two files: each of their structural bytes is tried, and every bit of the signature."""
    data = (bundle / path).read_bytes()
    outside = [at for at in range(len(data)) if not data.find(b'"payload":"') + 40 < at < data.find(b'","payloadType') - 20]
    assert missed(bundle, space.public, [(path, at) for at in outside], seed=3) == []


@pytest.mark.full
def test_every_byte_of_the_small_files_and_of_the_signatures(bundle, space):
    files = read(bundle)
    whole = [path for path, data in files.items() if len(data) < SMALL or path in ("manifest.dsse.json", "model.sig", "manifest.json")]
    flips = [(path, at) for path in whole for at in range(len(files[path]))]
    assert missed(bundle, space.public, flips, seed=4) == []


@pytest.mark.parametrize("path", ["manifest.json", "adapter_model.safetensors", "evidence/01-import.proof", "model.sig"])
@pytest.mark.parametrize("change", ["cut", "longer", "empty"])
def test_a_cut_or_longer_file_is_found(bundle, space, path, change):
    data = (bundle / path).read_bytes()
    (bundle / path).write_bytes({"cut": data[:-1], "longer": data + b"\n", "empty": b""}[change])
    with pytest.raises((BundleBroken, BundleUnreadable), match=path):
        verify_bundle(bundle, space.public)
