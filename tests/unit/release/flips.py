"""Flips of bytes in a bundle, and which of them a verification misses."""

from __future__ import annotations

import random
from pathlib import Path

from ringfence.core.errors import BundleBroken, WrongSigner
from ringfence.core.public_keys import PublicKeys
from ringfence.release.verify import verify_bundle

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
