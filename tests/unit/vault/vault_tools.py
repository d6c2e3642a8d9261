"""Keys, slots and records for the tests of the vault."""

from __future__ import annotations

import secrets
from pathlib import Path

from hypothesis import HealthCheck, settings
from tink import new_keyset_handle, proto_keyset_format, secret_key_access, streaming_aead

from ringfence.core.order import Slot
from ringfence.core.records import Record
from ringfence.vault.keys import Argon2Cost, Passphrase

TENANT, OTHER = "ab" * 16, "cd" * 16
CHEAP = Argon2Cost(memory=32, iterations=1, lanes=1)
PASS, AUDITOR = Passphrase(b"correct horse battery staple"), Passphrase(b"the auditor's own")

quick = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def new_key() -> bytes:
    template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
    return proto_keyset_format.serialize(new_keyset_handle(template), secret_key_access.TOKEN)


def new_slot(folder: Path, *, kind: str = "set", tenant: str = TENANT) -> Slot:
    slot = secrets.token_hex(16)
    (folder / slot).mkdir(parents=True)
    return Slot(slot=slot, tenant=tenant, kind=kind, path=str(folder / slot))


def record(i: int, text: str = "hello", **fields: object) -> Record:
    return Record(f"{i:032x}", f"{i // 2:032x}", "file.jsonl", "pair", ("user", "assistant"), (f"question {i}", text), dict(fields))


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
