from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ringfence.ledger.log import Ledger

ORIGIN = "ringfence/00112233445566778899aabbccddeeff"


@dataclass
class Maker:
    """Makes logs below one folder, all with one key."""

    folder: Path
    key: Ed25519PrivateKey
    origin: str = ORIGIN

    @property
    def public(self) -> Ed25519PublicKey:
        return self.key.public_key()

    def log(self, name: str = "ledger", *, batches: tuple[int, ...] = ()) -> Ledger:
        log = Ledger.create(self.folder / name, origin=self.origin, key=self.key)
        for count in batches:
            log.record_many([{"n": log.size + i, "type": "intent"} for i in range(count)])
        return log

    def open(self, name: str = "ledger", *, writable: bool = False) -> Ledger:
        return Ledger.open(self.folder / name, origin=self.origin, public=self.public, key=self.key if writable else None)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
