"""Every byte of a bundle counts: no flip goes unnoticed by a verifier that has only the public keys."""

from __future__ import annotations

from collections import Counter

import pytest

from ringfence.core.errors import BundleBroken, BundleUnreadable
from ringfence.core.public_keys import PublicKeys
from ringfence.release.verify import verify_bundle
from tests.unit.release.flips import missed, places, somehow
from tests.unit.release.release_parts import read

SMALL = 2_000  # bytes; every byte of a smaller file is flipped in the full run


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
