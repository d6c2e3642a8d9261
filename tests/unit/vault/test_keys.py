from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import hybrid, json_proto_keyset_format, proto_keyset_format, secret_key_access

from ringfence.core.digest import canonical, parse_canonical, sha256
from ringfence.core.errors import AlreadyExists, BadArgument, KeyMissing, KeysBroken, ObjectBroken, StorageFull, WrongPassphrase
from ringfence.core.public_keys import PublicKeys
from ringfence.vault.keys import Argon2Cost, KeyFile, KeyStore, Passphrase, auditor_keyset
from ringfence.vault.sets import SetReader, SetWriter
from tests.unit.vault.vault_tools import AUDITOR, CHEAP, OTHER, PASS, TENANT, flipped, new_slot, quick, record

KEY_FILE = KeyFile(bytes(range(48)))
FILES = ("root", "ring", "auditor", "public.json")
A, B, C = "aa" * 16, "bb" * 16, "cc" * 16


def copy(folder, name):
    return shutil.copytree(folder, folder.parent / name)


# ── creating and opening ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("secret", [PASS, KEY_FILE, Passphrase("口令 with spaces".encode())], ids=["typed", "file", "zh"])
def test_what_was_created_opens(tmp_path, secret):
    made = KeyStore.create(tmp_path / "keys", secret, tenant=TENANT, auditor=AUDITOR, cost=CHEAP)
    made.store({A: made.new_data_key()})
    again = KeyStore.open(tmp_path / "keys", secret)
    assert again.tenant == made.tenant == TENANT
    assert again.public == made.public
    assert again.slots() == [A]
    assert again.data_key(A) == made.data_key(A)
    assert again.purpose("content") == made.purpose("content")
    assert again.evidence_key().private_bytes_raw() == made.evidence_key().private_bytes_raw()
    assert again.tenant_version == 1
    assert not again.is_solo


@pytest.mark.parametrize("wrong", [Passphrase(b"wrong"), Passphrase(b""), KeyFile(bytes(PASS)), KEY_FILE, AUDITOR], ids=range(5))
def test_a_wrong_secret_is_exit_4(tmp_path, keys, wrong):
    with pytest.raises(WrongPassphrase) as caught:
        KeyStore.open(tmp_path / "keys", wrong)
    assert caught.value.exit_code == 4


def test_a_wrong_key_file(tmp_path):
    KeyStore.create(tmp_path / "keys", KEY_FILE, tenant=TENANT, cost=CHEAP)
    for wrong in (KeyFile(bytes(48)), KeyFile(KEY_FILE[:32]), KeyFile(b"short"), Passphrase(bytes(KEY_FILE))):
        with pytest.raises(WrongPassphrase):
            KeyStore.open(tmp_path / "keys", wrong)


@pytest.mark.parametrize("secret", [KeyFile(bytes(31)), KeyFile(b""), Passphrase(b"")])
def test_a_secret_that_is_too_short_makes_nothing(tmp_path, secret):
    with pytest.raises(BadArgument):
        KeyStore.create(tmp_path / "keys", secret, tenant=TENANT, cost=CHEAP)
    with pytest.raises(BadArgument):
        KeyStore.create(tmp_path / "keys", PASS, tenant=TENANT, auditor=secret, cost=CHEAP)
    assert not (tmp_path / "keys").exists()


def test_keys_are_never_overwritten(tmp_path, keys):
    with pytest.raises(AlreadyExists):
        KeyStore.create(tmp_path / "keys", PASS, tenant=TENANT, cost=CHEAP)


def test_default_cost_is_the_second_option_of_rfc_9106(tmp_path):
    assert Argon2Cost().model_dump() == {"kdf": "argon2id", "memory": 65536, "iterations": 3, "lanes": 4}
    KeyStore.create(tmp_path / "keys", PASS, tenant=TENANT, cost=Argon2Cost(memory=64, iterations=2, lanes=2))
    header = parse_canonical((tmp_path / "keys" / "root").read_bytes())["header"]
    assert header["cost"] == {"kdf": "argon2id", "memory": 64, "iterations": 2, "lanes": 2}


def test_files_are_private_and_hold_no_key(tmp_path, keys):
    keys.store({A: keys.new_data_key()})
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    held = b""
    for path in (tmp_path / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        held += path.read_bytes()
    for key in (keys.data_key(A), keys.evidence_key().private_bytes_raw(), keys.ledger_key().private_bytes_raw(), bytes(PASS)):
        assert key not in held
        assert key.hex().encode() not in held


def test_secrets_do_not_print():
    assert "horse" not in repr(PASS)
    assert "0102" not in repr(KEY_FILE)
    assert "\\x01" not in f"{[KEY_FILE]}"


# ── what the keys are ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_public_file_belongs_to_the_private_keys(tmp_path, keys):
    public = PublicKeys.from_bytes((tmp_path / "keys" / "public.json").read_bytes())
    assert public == keys.public
    for key, private in ((public.evidence, keys.evidence_key()), (public.ledger, keys.ledger_key())):
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(private.sign(b"x"), b"x")
    assert load_pem_public_key(public.release.encode()) == keys.release_key().public_key()
    assert keys.release_key().curve.name == "secp256r1"
    assert public.evidence != public.ledger


@pytest.mark.parametrize(("auditor", "opens", "closed"), [(AUDITOR, AUDITOR, PASS), (None, PASS, AUDITOR), (KEY_FILE, KEY_FILE, PASS)])
def test_the_auditor_reads_what_is_sealed_to_the_public_key(tmp_path, auditor, opens, closed):
    keys = KeyStore.create(tmp_path / "keys", PASS, tenant=TENANT, auditor=auditor, cost=CHEAP)
    assert keys.is_solo == (auditor is None)
    encrypt = json_proto_keyset_format.parse_without_secret(keys.public.auditor).primitive(hybrid.HybridEncrypt)
    sealed = encrypt.encrypt(b"canary register", b"context")
    private = proto_keyset_format.parse(auditor_keyset(tmp_path / "keys", opens), secret_key_access.TOKEN)
    assert private.primitive(hybrid.HybridDecrypt).decrypt(sealed, b"context") == b"canary register"
    with pytest.raises(WrongPassphrase):
        auditor_keyset(tmp_path / "keys", closed)


def test_purpose_keys_differ_by_name_and_workspace_and_stay_after_a_delete(tmp_path, keys):
    other = KeyStore.create(tmp_path / "other", PASS, tenant=OTHER, cost=CHEAP)
    made = [store.purpose(name) for store in (keys, other) for name in ("record-id", "unit-id", "content", "surrogate")]
    assert len(set(made)) == 8
    assert {len(key) for key in made} == {32}
    keys.store({A: keys.new_data_key()})
    keys.destroy([A])
    assert keys.purpose("content") == made[2]


@settings(quick, max_examples=8)
@given(slots=st.lists(st.integers(0, 2**128 - 1).map(lambda n: f"{n:032x}"), unique=True, max_size=5), data=st.data())
def test_a_history_of_stores_and_deletes(tmp_path, slots, data):
    folder = tmp_path / secrets.token_hex(4)
    keys = KeyStore.create(folder, KEY_FILE, tenant=TENANT)
    model = {}
    for slot in slots:
        model[slot] = keys.new_data_key()
        keys.store({slot: model[slot]})
        for gone in data.draw(st.sets(st.sampled_from(sorted(model)), max_size=1)):
            keys.destroy([gone])
            del model[gone]
    for store in (keys, KeyStore.open(folder, KEY_FILE)):
        assert store.slots() == sorted(model)
        assert {slot: store.data_key(slot) for slot in model} == model


# ── several processes ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_process_is_seen(tmp_path, keys):
    other = KeyStore.open(tmp_path / "keys", PASS)
    keys.store({A: keys.new_data_key()})
    other.store({B: other.new_data_key()})  # looks at the file first: A is not lost
    assert other.slots() == [A, B]
    other.destroy([A])
    assert keys.slots() == [A]
    keys.reload()
    assert keys.slots() == [B]
    assert keys.data_key(B) == other.data_key(B)
    keys.store({C: keys.new_data_key()})
    assert KeyStore.open(tmp_path / "keys", PASS).slots() == [B, C]


def test_a_delete_between_two_reads_of_one_opening(tmp_path, monkeypatch):
    """The reader has the old root file in hand when both files are replaced."""
    folder = tmp_path / "keys"
    writer = KeyStore.create(folder, KEY_FILE, tenant=TENANT)
    writer.store({A: writer.new_data_key()})
    reader, read, turns = KeyStore.open(folder, KEY_FILE), Path.read_bytes, iter([True])

    def interrupted(path):
        if path.name == "ring" and next(turns, False):
            writer.destroy([A])
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", interrupted)
    reader.reload()
    assert reader.slots() == []


def test_readers_never_see_half_a_delete(tmp_path):
    """A reader without the lock opens again and again while another process destroys keys."""
    folder = tmp_path / "keys"
    keys = KeyStore.create(folder, KEY_FILE, tenant=TENANT)
    slots = [secrets.token_hex(16) for _ in range(30)]
    keys.store({slot: keys.new_data_key() for slot in slots})
    writer = subprocess.Popen([sys.executable, "-c", DESTROY_EACH, str(folder), KEY_FILE.hex(), *slots])
    seen = set()
    while writer.poll() is None:
        seen.add(len(KeyStore.open(folder, KEY_FILE).slots()))
    assert writer.returncode == 0
    assert len(seen) > 2
    assert KeyStore.open(folder, KEY_FILE).slots() == []


DESTROY_EACH = """
import sys
from pathlib import Path
from ringfence.vault.keys import KeyFile, KeyStore
keys = KeyStore.open(Path(sys.argv[1]), KeyFile(bytes.fromhex(sys.argv[2])))
for slot in sys.argv[3:]:
    keys.destroy([slot])
"""


# ── destroying ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_destroyed_key_is_gone_and_the_others_stay(keys):
    kept = keys.new_data_key()
    keys.store({A: keys.new_data_key(), B: kept})
    old = (keys._root, keys._ring.tenant_key)
    keys.destroy([A])
    assert keys._root != old[0]
    assert keys._ring.tenant_key != old[1]
    with pytest.raises(KeyMissing) as caught:
        keys.data_key(A)
    assert caught.value.facts == {"object": A}
    assert keys.data_key(B) == kept
    assert keys.tenant_version == 2


def test_destroying_twice_changes_nothing(tmp_path, keys):
    keys.store({A: keys.new_data_key()})
    keys.destroy([A, B])
    before = {name: (tmp_path / "keys" / name).read_bytes() for name in FILES}
    keys.destroy([A, B])
    keys.destroy([])
    assert {name: (tmp_path / "keys" / name).read_bytes() for name in FILES} == before
    assert keys.tenant_version == 2


def test_an_older_ring_put_back_opens_no_more(tmp_path, keys):
    """The point of a delete: object and ring from a backup, with the passphrase and today's root file, give nothing."""
    slot, data_key = new_slot(tmp_path), keys.new_data_key()
    with SetWriter(slot, data_key) as writer:
        writer.write(record(1))
    keys.store({slot.slot: data_key})
    assert len(SetReader(slot, keys.data_key(slot.slot))) == 1
    backup = (tmp_path / "keys" / "ring").read_bytes()
    keys.destroy([slot.slot])
    with pytest.raises(KeyMissing):
        KeyStore.open(tmp_path / "keys", PASS).data_key(slot.slot)
    (tmp_path / "keys" / "ring").write_bytes(backup)
    with pytest.raises(KeysBroken):
        KeyStore.open(tmp_path / "keys", PASS)
    with pytest.raises(KeysBroken):
        keys.reload()


def test_leftovers_of_a_crash_go_with_the_key(tmp_path, keys):
    keys.store({A: keys.new_data_key()})
    (tmp_path / "keys" / ".root.0011aabb.tmp").write_bytes((tmp_path / "keys" / "root").read_bytes())
    keys.destroy([A])
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == sorted(FILES)


# ── crashes and full disks ────────────────────────────────────────────────────────────────────────────────────────────

CRASH = """
import os, signal, sys
from pathlib import Path
from ringfence.vault.keys import KeyFile, KeyStore
folder, secret, verb, at, when, slot = Path(sys.argv[1]), KeyFile(bytes.fromhex(sys.argv[2])), sys.argv[3], int(sys.argv[4]), sys.argv[5], sys.argv[6]
keys, rename, count = KeyStore.open(folder, secret), Path.replace, 0
def crash(self, target):
    global count
    count += 1
    if count == at and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    rename(self, target)
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
Path.replace = crash
keys.store({slot: keys.new_data_key()}) if verb == "store" else keys.destroy([slot])
"""


def crashed(folder, verb, at, when, slot):
    command = [sys.executable, "-c", CRASH, str(folder), KEY_FILE.hex(), verb, str(at), when, slot]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize(("when", "stored"), [("before", False), ("after", True)])
def test_kill_9_around_the_rename_of_a_store(tmp_path, when, stored):
    keys = KeyStore.create(tmp_path / "keys", KEY_FILE, tenant=TENANT)
    keys.store({A: keys.new_data_key()})
    crashed(tmp_path / "keys", "store", 1, when, B)
    again = KeyStore.open(tmp_path / "keys", KEY_FILE)
    assert again.slots() == ([A, B] if stored else [A])
    assert again.data_key(A) == keys.data_key(A)
    again.store({C: again.new_data_key()})


@pytest.mark.parametrize(("at", "when"), [(1, "before"), (1, "after"), (2, "before"), (2, "after"), (3, "before"), (3, "after")])
def test_kill_9_at_every_rename_of_a_destroy(tmp_path, at, when):
    folder = tmp_path / "keys"
    keys = KeyStore.create(folder, KEY_FILE, tenant=TENANT)
    keys.store({A: keys.new_data_key(), B: keys.new_data_key()})
    old_ring, kept = (folder / "ring").read_bytes(), keys.data_key(B)
    crashed(folder, "destroy", at, when, A)
    again = KeyStore.open(folder, KEY_FILE)
    assert again.data_key(B) == kept
    again.destroy([A])  # finishes it
    assert again.slots() == [B]
    assert again.data_key(B) == kept
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert KeyStore.open(folder, KEY_FILE).slots() == [B]
    (folder / "ring").write_bytes(old_ring)
    with pytest.raises(KeysBroken):
        KeyStore.open(folder, KEY_FILE)


def test_a_store_between_a_crash_and_the_repeated_delete(tmp_path):
    folder = tmp_path / "keys"
    keys = KeyStore.create(folder, KEY_FILE, tenant=TENANT)
    keys.store({A: keys.new_data_key()})
    crashed(folder, "destroy", 2, "after", A)  # ring replaced, the old root key is still in the root file
    again = KeyStore.open(folder, KEY_FILE)
    again.store({B: again.new_data_key()})
    again.destroy([A])
    assert KeyStore.open(folder, KEY_FILE).slots() == [B]


def test_a_full_disk_leaves_the_old_ring(small_disk):
    folder = small_disk(64 << 10) / "keys"
    keys = KeyStore.create(folder, KEY_FILE, tenant=TENANT)
    keys.store({A: keys.new_data_key()})
    (folder.parent / "filler").write_bytes(bytes(28 << 10))
    with pytest.raises(StorageFull):
        keys.store({secrets.token_hex(16): keys.new_data_key() for _ in range(200)})
    with pytest.raises(KeyMissing):
        keys.data_key(B)
    assert KeyStore.open(folder, KEY_FILE).slots() == [A]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


# ── alterations ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "secret"), [("root", PASS), *((name, KEY_FILE) for name in FILES)], ids=["typed", *FILES])
def test_every_flipped_byte_is_found(tmp_path, name, secret):
    folder = tmp_path / "keys"
    keys = KeyStore.create(folder, secret, tenant=TENANT, auditor=AUDITOR, cost=CHEAP)
    keys.store({A: keys.new_data_key()})
    data = (folder / name).read_bytes()
    bits = random.Random(name)
    for at in range(len(data)):
        (folder / name).write_bytes(flipped(data, at, bits.randrange(8)))
        with pytest.raises((KeysBroken, WrongPassphrase)):
            KeyStore.open(folder, secret)
    (folder / name).write_bytes(data)
    assert KeyStore.open(folder, secret).slots() == [A]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["absent", "empty", "cut", "longer", "folder"])
def test_a_file_absent_cut_or_longer(tmp_path, keys, name, change):
    path = tmp_path / "keys" / name
    data = path.read_bytes()
    path.unlink()
    if change == "folder":
        path.mkdir()
    elif change != "absent":
        path.write_bytes({"empty": b"", "cut": data[:-1], "longer": data + b"\n"}[change])
    with pytest.raises(KeysBroken) as caught:
        KeyStore.open(tmp_path / "keys", PASS)
    assert caught.value.facts["file"] == name
    assert caught.value.exit_code == 12


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_workspace_under_the_same_passphrase(tmp_path, keys, name):
    KeyStore.create(tmp_path / "other", PASS, tenant=OTHER, auditor=AUDITOR, cost=CHEAP)
    shutil.copy(tmp_path / "other" / name, tmp_path / "keys" / name)
    with pytest.raises(KeysBroken):
        KeyStore.open(tmp_path / "keys", PASS)


def test_an_object_and_the_ring_of_another_workspace_copied_in(tmp_path, keys):
    other = KeyStore.create(tmp_path / "other", Passphrase(b"theirs"), tenant=OTHER, cost=CHEAP)
    slot, data_key = new_slot(tmp_path, tenant=OTHER), other.new_data_key()
    with SetWriter(slot, data_key) as writer:
        writer.write(record(1))
    other.store({slot.slot: data_key})
    with pytest.raises(KeyMissing):
        keys.data_key(slot.slot)
    own = keys.new_data_key()
    keys.store({slot.slot: own})  # even if the slot were registered here
    with pytest.raises(ObjectBroken):
        SetReader(slot.model_copy(update={"tenant": TENANT}), own)
    for names in (["ring"], ["ring", "root"], list(FILES)):
        folder = copy(tmp_path / "keys", "mixed" + "-".join(names))
        for name in names:
            shutil.copy(tmp_path / "other" / name, folder / name)
        with pytest.raises((KeysBroken, WrongPassphrase)):
            KeyStore.open(folder, PASS)


def test_a_wrapped_key_moved_to_another_slot(tmp_path, keys):
    """Even someone who could forge the ring's MAC cannot exchange two keys: each is wrapped for its slot."""
    keys.store({A: keys.new_data_key(), B: keys.new_data_key()})
    ring = keys._ring
    swapped = {A: ring.objects[B], B: ring.objects[A]}
    keys._write_ring(type(ring)(**{**vars(ring), "objects": swapped}), keys._root)
    with pytest.raises(KeysBroken):
        KeyStore.open(tmp_path / "keys", PASS).data_key(A)


@pytest.mark.parametrize(
    "change",
    [
        {"memory": 1 << 40},
        {"memory": 8},
        {"iterations": 10**6},
        {"lanes": 0},
        {"kdf": "scrypt"},
        {"kdf": "hkdf-sha256"},
        {"memory": 64},
        {"iterations": 2},
    ],
)
def test_forged_parameters_do_not_reach_the_key_derivation_or_do_not_open(tmp_path, change):
    """The check sum is no secret, so a forger writes a fitting one; the parameters are authenticated all the same."""
    KeyStore.create(tmp_path / "keys", PASS, tenant=TENANT, cost=Argon2Cost(memory=32, iterations=1, lanes=2))
    path = tmp_path / "keys" / "root"
    sealed = parse_canonical(path.read_bytes())
    sealed["header"]["cost"] |= change
    del sealed["check"]
    path.write_bytes(canonical(sealed | {"check": sha256(canonical(sealed))}))
    with pytest.raises((KeysBroken, WrongPassphrase)):
        KeyStore.open(tmp_path / "keys", PASS)


def test_the_auditors_file_is_not_a_root_file(tmp_path):
    folder = tmp_path / "keys"
    KeyStore.create(folder, PASS, tenant=TENANT, cost=CHEAP)
    shutil.copy(folder / "auditor", folder / "root")
    with pytest.raises(KeysBroken):
        KeyStore.open(folder, PASS)


def test_ten_thousand_keys_are_rewrapped_in_seconds(tmp_path):
    keys = KeyStore.create(tmp_path / "keys", KEY_FILE, tenant=TENANT)
    slots = [secrets.token_hex(16) for _ in range(10_000)]
    key = keys.new_data_key()
    keys.store(dict.fromkeys(slots, key))
    before = sum(os.times()[:2])
    keys.destroy(slots[:1])
    assert sum(os.times()[:2]) - before < 5
    assert len(keys.slots()) == 9_999
    assert Path(tmp_path / "keys" / "ring").stat().st_size < 4_000_000
