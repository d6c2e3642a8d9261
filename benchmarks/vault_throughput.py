"""Megabytes per second of CPU time through the vault, beside Tink alone and SHA-256 alone.

Run: python benchmarks/vault_throughput.py [--quick] >> benchmarks/results.jsonl
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from frame import tell
from tink import new_keyset_handle, proto_keyset_format, secret_key_access, streaming_aead

from ringfence.core.order import Slot
from ringfence.core.records import Record
from ringfence.vault.index import RowIndex, row_hmac
from ringfence.vault.keys import KeyFile, KeyStore, Passphrase
from ringfence.vault.sets import SHARD_BYTES, SetReader, SetWriter
from ringfence.vault.store import Store
from ringfence.vault.streams import opened, seal

TENANT, RUN, MB = "ab" * 16, "import-0123456789ab", 1_000_000
TEMPLATE = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
KEY = proto_keyset_format.serialize(new_keyset_handle(TEMPLATE), secret_key_access.TOKEN)
CONTENT = secrets.token_bytes(32)

Row = tuple[bytes, bytes, bytes, bytes]  # line, record id, unit id, content


def rows_of(size: int, total: int) -> list[Row]:
    """Return `total` bytes of rows whose lines have about `size` bytes."""
    rows = []
    for _ in range(total // size):
        text = "结节性甲状腺肿 review in 3 months; " * (size // 40)
        record = Record(secrets.token_hex(16), secrets.token_hex(16), "f", "text", ("text",), (text[: max(1, size - 150)],))
        rows.append((record.to_line(), bytes.fromhex(record.id), bytes.fromhex(record.unit), record.content()))
    return rows


class Bench:
    """One set size: every measurement is a method that returns MB/s of CPU time."""

    def __init__(self, folder: Path, size: int, total: int) -> None:
        self.store, self.rows = Store(folder), rows_of(size, total)
        self.records = [Record.from_line(row[0]) for row in self.rows]
        self.data = b"".join(row[0] for row in self.rows)
        self.spare = folder / "tink"
        self.set = self._slot()
        self._fill(self.set)

    def _slot(self) -> Slot:
        slot = secrets.token_hex(16)
        return Slot(slot=slot, tenant=TENANT, kind="set", path=str(self.store.incoming(RUN, slot)))

    def _rate(self, work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return len(self.data) / MB / (time.process_time() - start)

    def _fill(self, slot: Slot) -> None:
        digest = row_hmac(CONTENT)
        with SetWriter(slot, KEY, CONTENT) as writer:
            for line, record_id, unit_id, content in self.rows:
                writer.write_line(line, record_id=record_id, unit_id=unit_id, content_hmac=digest(content))
        self.store.collect(Path(slot.path))

    def _fill_records(self, slot: Slot) -> None:
        with SetWriter(slot, KEY, CONTENT) as writer:
            for record in self.records:
                writer.write(record)
        self.store.collect(Path(slot.path))

    def check(self) -> None:
        """A fast wrong answer is not a result."""
        assert b"".join(SetReader(self.set, KEY).lines()) == self.data
        assert list(SetReader(self.set, KEY)) == self.records

    def write(self) -> float:
        """Lines with their ids in, row HMACs, ciphertext and file digests out."""
        slot = self._slot()
        return self._rate(lambda: self._fill(slot))

    def write_records(self) -> float:
        """The same from Records: JSON encoding included."""
        slot = self._slot()
        return self._rate(lambda: self._fill_records(slot))

    def read(self) -> float:
        """Ciphertext to lines."""
        return self._rate(lambda: sum(len(line) for line in SetReader(self.set, KEY).lines()))

    def read_records(self) -> float:
        """Ciphertext to Records."""
        return self._rate(lambda: sum(1 for _ in SetReader(self.set, KEY)))

    def tink_encrypts(self) -> float:
        """Tink over the same bytes, in shards, to a file."""
        shards = [self.data[i : i + SHARD_BYTES] for i in range(0, len(self.data), SHARD_BYTES)]
        self.spare.unlink(missing_ok=True)
        return self._rate(lambda: [self._tink(shard) for shard in shards])

    def _tink(self, shard: bytes) -> None:
        seal(self.spare, [shard], key=KEY, tenant=TENANT, slot=TENANT, version=1, position="0", last=True)
        self.spare.unlink()

    def tink_decrypts(self) -> float:
        """Tink over the same bytes, from a file."""
        self.spare.unlink(missing_ok=True)
        seal(self.spare, [self.data], key=KEY, tenant=TENANT, slot=TENANT, version=1, position="0", last=True)
        place = {"key": KEY, "tenant": TENANT, "slot": TENANT, "version": 1, "position": "0", "last": True}
        return self._rate(lambda: sum(len(block) for block in opened(self.spare, **place)))

    def sha256(self) -> float:
        """One pass of SHA-256 over the same bytes."""
        return self._rate(lambda: hashlib.sha256(self.data).digest())

    def clear(self) -> None:
        """Drop what was written and make the set anew."""
        self.store.clear_incoming(RUN)
        self.set = self._slot()
        self._fill(self.set)


def report(case: str, metric: str, unit: str, ours: list[float], **peers: list[float]) -> None:
    """Print one line a peer: medians, and the spread of ours."""
    value = statistics.median(ours)
    for peer, theirs in peers.items():
        other = statistics.median(theirs)
        line = {"bench": "vault_throughput", "case": case, "metric": metric, "unit": unit, "ours": round(value, 3), "peer": peer}
        line |= {"peer_value": round(other, 3), "ratio": round(value / other, 3), "min": round(min(ours), 3), "max": round(max(ours), 3)}
        tell(line)


def throughput(size: int, *, total: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), size, total)
        bench.check()
        work = ("write", "write_records", "read", "read_records", "tink_encrypts", "tink_decrypts", "sha256")
        rates: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(rounds):  # interleaved: a busy moment hits all
            for name in work:
                rates[name].append(getattr(bench, name)())
            bench.clear()
        case = f"rows of {len(bench.data) // len(bench.rows)} bytes"
        peers = {name: rates[name] for name in ("tink_encrypts", "sha256")}
        report(case, "write: line bytes to HMAC, ciphertext and digest", "MB/cpu-s", rates["write"], **peers)
        report(case, "write: Record to HMAC, ciphertext and digest", "MB/cpu-s", rates["write_records"], write=rates["write"])
        report(case, "read: lines", "MB/cpu-s", rates["read"], tink_decrypts=rates["tink_decrypts"])
        report(case, "read: Records", "MB/cpu-s", rates["read_records"], read=rates["read"])


def keys(count: int) -> None:
    """Seconds to open, and to destroy one of `count` object keys."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        KeyStore.create(Path(folder, "a"), Passphrase(b"correct horse"), tenant=TENANT)
        created = time.perf_counter() - start
        start = time.perf_counter()
        KeyStore.open(Path(folder, "a"), Passphrase(b"correct horse"))
        report("Argon2id, 64 MiB, t=3, p=4", "open a key store", "s", [time.perf_counter() - start], create=[created])
        store = KeyStore.create(Path(folder, "b"), KeyFile(bytes(32)), tenant=TENANT)
        slots = [secrets.token_hex(16) for _ in range(count)]
        start = time.perf_counter()
        store.store(dict.fromkeys(slots, KEY))
        stored = time.perf_counter() - start
        start = time.perf_counter()
        store.destroy(slots[:1])
        assert store.slots() == sorted(slots[1:])
        report(f"{count} object keys", "destroy one, rewrap the others", "s", [time.perf_counter() - start], store_all=[stored])


def index_memory(rows: int) -> None:
    """Bytes a row while a set is written."""
    tracemalloc.start()
    index = RowIndex()
    for start in range(0, rows, 8_000):  # as a writer does, a shard at a time
        some = range(start, min(start + 8_000, rows))
        index.add([i.to_bytes(16, "big") for i in some], [(i // 3).to_bytes(16, "big") for i in some], [bytes(16)] * len(some))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    assert index.duplicates() == 0
    assert index.units() == -(-rows // 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    report(f"{rows} rows", "index while writing", "bytes/row", [held / rows], peak_while_counting_ids=[peak / rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    quick = parser.parse_args().quick
    total, rounds = (24 * MB, 3) if quick else (200 * MB, 7)
    for size in (400, 1_500):
        throughput(size, total=total, rounds=rounds)
    keys(1_000 if quick else 10_000)
    index_memory(200_000 if quick else 2_000_000)


if __name__ == "__main__":
    main()
