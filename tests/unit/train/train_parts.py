"""A child of our own making: real sealed objects in a folder, a channel that remembers, no process and no sandbox."""

from __future__ import annotations

import secrets
from pathlib import Path

from tink import new_keyset_handle, proto_keyset_format, secret_key_access, streaming_aead

from ringfence.core.order import CheckpointGrant, Child, Keys, Limits, Order, Slot, StoredFile
from ringfence.core.records import Record
from ringfence.train.settings import TrainOrder
from ringfence.vault.sets import SetWriter

TENANT = "0" * 32


def data_key() -> bytes:
    handle = new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    return proto_keyset_format.serialize(handle, secret_key_access.TOKEN)


class Vault:
    """Slots and their keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys: dict[str, bytes] = {}

    def output(self, kind) -> Slot:
        name = secrets.token_hex(16)
        (self.folder / name).mkdir(parents=True)
        self.keys[name] = data_key()
        return Slot(slot=name, tenant=TENANT, kind=kind, path=str(self.folder / name))

    def as_input(self, slot: Slot) -> Slot:
        names = sorted(path.name for path in Path(slot.path).iterdir())
        files = tuple(StoredFile(name=n, size=(Path(slot.path) / n).stat().st_size, sha256="0" * 64) for n in names)
        return slot.model_copy(update={"files": files})

    def write_set(self, records) -> Slot:
        slot = self.output("set")
        with SetWriter(slot, self.keys[slot.slot], secrets.token_bytes(32)) as writer:
            for record in records:
                writer.write(record)
        return self.as_input(slot)


class Memory:
    """The host's end, remembered. `stop_at`: asks to stop after so many steps. `left`: steps of a private run that may be granted."""

    def __init__(self, vault: Vault, *, stop_at: int | None = None, questions=(), left: int = 0) -> None:
        self.vault, self.stop_at, self.left = vault, stop_at, left
        self.leases = []
        self.frames, self.checkpoints, self.said = [], [], []
        self.questions = list(questions)
        self.granted: Slot | None = None

    def progress(self, progress) -> None:
        self.frames.append(progress)

    def checkpoint(self, ready):
        self.checkpoints.append((ready, self.granted))
        self.granted = self.vault.output("checkpoint")
        return CheckpointGrant(next=self.granted, stop=self.should_stop()), self.vault.keys[self.granted.slot]

    def lease(self, steps: int) -> int:
        granted = min(steps, self.left)
        self.left -= granted
        self.leases.append(granted)
        return granted

    def should_stop(self) -> bool:
        return self.stop_at is not None and bool(self.frames) and self.frames[-1].done >= self.stop_at

    def say(self, text) -> None:
        self.said.append(text)

    def hear(self):
        return self.questions.pop(0) if self.questions else None


def child(vault: Vault, channel: Memory, settings, *, inputs=None, outputs=None, files=None) -> Child[TrainOrder]:
    order = Order[type(settings)](
        job="train.v1",
        run="train-0123456789ab",
        tenant=TENANT,
        settings=settings,
        inputs=inputs or {},
        outputs=outputs or {},
        files=files or {},
        limits=Limits(threads=1),
    )
    channel.granted = (outputs or {}).get("checkpoint")
    return Child(order, Keys(data=vault.keys), channel)


def pair(question: str, answer: str) -> Record:
    return Record(secrets.token_hex(16), secrets.token_hex(16), "test", "pair", ("user", "assistant"), (question, answer))


def pairs(count: int, start: int = 0) -> list[Record]:
    return [pair(f"number {i}?", "yes, " * (1 + i % 7) + str(i * 37 % 101)) for i in range(start, start + count)]
