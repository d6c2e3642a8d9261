"""Files, importers and job orders for the tests of ingest."""

import io
import json
import secrets
from pathlib import Path

from tink import new_keyset_handle, proto_keyset_format, secret_key_access, streaming_aead

from ringfence.core.digest import sha256
from ringfence.core.order import Child, Keys, Order, Slot, StoredFile
from ringfence.ingest.ids import IdKeys
from ringfence.ingest.importer import Importer
from ringfence.ingest.readers import FORMATS, read, sniff
from ringfence.ingest.settings import ImportSettings
from ringfence.vault.index import RowIndex, row_hmac

KEYS = IdKeys(record=b"r" * 32, unit=b"u" * 32)
SECRET = "Wang Xiaoming 110105"  # planted in bad rows; must never come out in an error


def imported(data, *, name="notes.jsonl", limit=16 << 20, **settings):
    """Return the records and the figures of importing `data` (bytes, or rows to be written as JSON Lines)."""
    if not isinstance(data, bytes):
        data = b"".join(json.dumps(row).encode() + b"\n" for row in data)
    wanted = ImportSettings(source=name, **settings)
    file = io.BytesIO(data)
    reader = sniff(file, name, named=wanted.format, limit=limit)
    importer, index, hmac = Importer(wanted, KEYS), RowIndex(), row_hmac(b"c" * 32)
    records = []
    for record in importer.records(read(file, reader, limit=limit)):
        index.add([bytes.fromhex(record.id)], [bytes.fromhex(record.unit)], [hmac(record.content())])
        records.append(record)
    return records, importer.figures(index, file_format=FORMATS[reader])


class Channel:
    """Keeps what a job says."""

    def __init__(self):
        self.said = []

    def progress(self, progress):
        self.said.append(progress)


def data_key():
    streaming_aead.register()
    handle = new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    return proto_keyset_format.serialize(handle, secret_key_access.TOKEN)


def child(job, settings, folder, *, inputs=None, outputs=("set",), files=None):
    """Return a Child with fresh output slots below `folder`. inputs: role -> (slot, key) of an earlier job."""
    slots, data = {}, {slot.slot: key for slot, key in (inputs or {}).values()}
    for role in outputs:
        name = secrets.token_hex(16)
        (folder / name).mkdir()
        slots[role] = Slot(slot=name, tenant="a" * 32, kind="quarantine" if role == "quarantine" else "set", path=str(folder / name))
        data[name] = data_key()
    order = Order[type(settings)](
        job=job,
        run="test-0123456789ab",
        tenant="a" * 32,
        settings=settings,
        inputs={role: slot for role, (slot, _) in (inputs or {}).items()},
        outputs=slots,
        files=files or {},
    )
    purpose = {"record-id": b"r" * 32, "unit-id": b"u" * 32, "content": b"c" * 32}
    return Child(order=order, keys=Keys(data=data, purpose=purpose), channel=Channel())


def made(done, role):
    """Return (slot with its files, key) of an output, as the host would hand it to the next job."""
    slot = done.order.outputs[role]
    paths = sorted(Path(slot.path).iterdir())
    files = tuple(StoredFile(name=path.name, size=path.stat().st_size, sha256=sha256(path.read_bytes())) for path in paths)
    return slot.model_copy(update={"files": files}), done.keys.data[slot.slot]
