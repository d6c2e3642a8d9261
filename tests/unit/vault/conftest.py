from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tink import new_keyset_handle, proto_keyset_format, secret_key_access, streaming_aead

from ringfence.core.order import Slot
from ringfence.core.records import Record
from ringfence.vault.keys import Argon2Cost, KeyStore, Passphrase
from ringfence.vault.store import Store

settings.register_profile("vault", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("vault")

TENANT = "ab" * 16
CHEAP = Argon2Cost(memory=32, iterations=1, lanes=1)
PASS = Passphrase(b"correct horse battery staple")


def new_key() -> bytes:
    template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
    return proto_keyset_format.serialize(new_keyset_handle(template), secret_key_access.TOKEN)


@pytest.fixture
def key() -> bytes:
    return new_key()


@pytest.fixture
def new_slot(tmp_path: Path) -> Callable[..., Slot]:
    def make(*, kind: str = "set", tenant: str = TENANT) -> Slot:
        slot = secrets.token_hex(16)
        folder = tmp_path / slot
        folder.mkdir()
        return Slot(slot=slot, tenant=tenant, kind=kind, path=str(folder))

    return make


@pytest.fixture
def slot(new_slot: Callable[..., Slot]) -> Slot:
    return new_slot()


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore.create(tmp_path / "keys", PASS, tenant=TENANT, auditor=Passphrase(b"auditor"), cost=CHEAP)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "space").mkdir()
    return Store(tmp_path / "space" / "vault")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB that really fills up."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if os.spawnlp(os.P_WAIT, "mount", "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)) != 0:
        pytest.skip("this user or container may not mount a tmpfs, so a full disk cannot be made")
    yield folder
    os.spawnlp(os.P_WAIT, "umount", "umount", str(folder))


def record(i: int, text: str = "hello", **fields: object) -> Record:
    return Record(f"{i:032x}", f"{i // 2:032x}", "file.jsonl", "pair", ("user", "assistant"), (f"question {i}", text), dict(fields))


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
