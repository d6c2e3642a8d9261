"""The keys of a workspace. Host only: a job gets the data keys and purpose keys of its order and never sees this folder.

keys/root         the root key, sealed under the passphrase or key file
keys/ring         everything else, wrapped under the root key (ring.py)
keys/auditor      the auditor's private HPKE key, sealed under the auditor's secret
keys/public.json  the public keys, for verifiers

Destroying object keys changes the tenant key and the root key, so that an older copy of the ring opens no more. Two files cannot change at once:
the root file first holds the old and the new root key, then the ring is replaced, then the old root key goes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_der_private_key
from tink import hybrid, json_proto_keyset_format, new_keyset_handle, proto_keyset_format, secret_key_access, streaming_aead

from ringfence.core.digest import canonical, sha256
from ringfence.core.durable import make_folder, sync_folder, write_atomic
from ringfence.core.errors import AlreadyExists, KeysBroken, NotCanonical
from ringfence.core.public_keys import PublicKeys
from ringfence.vault.ring import KEY, Ring
from ringfence.vault.sealing import Argon2Cost, KeyFile, Lock, Passphrase, Secret, hkdf

__all__ = ["Argon2Cost", "KeyFile", "KeyStore", "Passphrase", "Secret", "auditor_keyset"]

hybrid.register()
streaming_aead.register()


class KeyStore:
    """The opened keys of one workspace. Whoever calls `store` or `destroy` holds the workspace lock; both look at the files again first."""

    def __init__(self, folder: Path, lock: Lock) -> None:
        """Open with a lock that fits; use `create` or `open`."""
        self._folder, self._lock = folder, lock
        self._roots: list[bytes]
        self._root: bytes
        self._ring: Ring
        self.public: PublicKeys
        self.reload()

    @classmethod
    def create(
        cls, folder: Path, secret: Secret, *, tenant: str, auditor: Secret | None = None, cost: Argon2Cost | None = None
    ) -> KeyStore:
        """Return the keys of a new workspace. `auditor`: the auditor's own secret; None seals the audit key under `secret`, on record.

        Raises: AlreadyExists, BadArgument for a secret that is too short, StorageFull.
        """
        if (folder / "ring").exists():
            raise AlreadyExists(path=str(folder))
        cost = cost or Argon2Cost()
        lock = Lock.new(secret, purpose="root", tenant=tenant, cost=cost)
        audit_lock = Lock.new(auditor if auditor is not None else secret, purpose="auditor", tenant=tenant, cost=cost)
        secrets, public, audit_key = _new_keys(tenant)
        audit_file = audit_lock.seal(audit_key)
        root = os.urandom(KEY)
        ring = Ring(
            tenant=tenant,
            is_solo=auditor is None,
            public=public.fingerprint(),
            auditor=sha256(audit_file),
            version=1,
            tenant_key=os.urandom(KEY),
            secrets=secrets,
            objects={},
        )
        if not folder.is_dir():
            make_folder(folder)
        write_atomic(folder / "public.json", public.to_bytes())
        write_atomic(folder / "auditor", audit_file)
        write_atomic(folder / "root", lock.seal(root))
        write_atomic(folder / "ring", ring.to_bytes(root))
        return cls(folder, lock)

    @classmethod
    def open(cls, folder: Path, secret: Secret) -> KeyStore:
        """Return the keys of a workspace.

        Raises: WrongPassphrase, KeysBroken when a file is missing or altered.
        """
        return cls(folder, Lock.of(_read(folder, "root"), secret, purpose="root"))

    def reload(self) -> None:
        """Look at the files again: another process may have stored or destroyed keys.

        Raises: KeysBroken, WrongPassphrase when the secret was changed meanwhile.
        """
        root_file, ring_file = self._snapshot()
        content = self._lock.open(root_file)
        roots = [content[i : i + KEY] for i in range(0, len(content), KEY)]
        ring, root = Ring.from_bytes(ring_file, roots)
        public = _read(self._folder, "public.json")
        for name, found, expected in (
            ("root", self._lock.tenant, ring.tenant),
            ("public.json", sha256(public), ring.public),
            ("auditor", sha256(_read(self._folder, "auditor")), ring.auditor),
        ):
            if found != expected:
                raise KeysBroken(file=name)
        try:
            self.public = PublicKeys.from_bytes(public)
        except NotCanonical as cause:
            raise KeysBroken(file="public.json") from cause
        self._roots, self._ring, self._root = roots, ring, root

    @property
    def tenant(self) -> str:
        """The workspace's id, 32 hex digits."""
        return self._ring.tenant

    @property
    def tenant_version(self) -> int:
        """How often the tenant key was made: 1, and one more for every `destroy`."""
        return self._ring.version

    @property
    def mark(self) -> int:
        """How many entries the ledger had when a key was last stored; a shorter ledger was rolled back."""
        return self._ring.mark

    @property
    def is_solo(self) -> bool:
        """True when the audit key lies under the same secret as everything else."""
        return self._ring.is_solo

    def new_data_key(self) -> bytes:
        """Return a fresh key for one object, a serialised Tink keyset; `store` keeps it."""
        template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
        key: bytes = proto_keyset_format.serialize(new_keyset_handle(template), secret_key_access.TOKEN)
        return key

    def store(self, keys: Mapping[str, bytes], *, mark: int = 0) -> None:
        """Keep object keys, by slot id, in one atomic rewrite of the ring. mark: entries that the ledger has by now.

        Raises: StorageFull, KeysBroken.
        """
        self.reload()
        self._write_ring(replace(self._ring.with_keys(keys), mark=max(mark, self._ring.mark)), self._root)

    def data_key(self, slot_id: str) -> bytes:
        """Return the key of an object.

        Raises: KeyMissing.
        """
        return self._ring.data_key(slot_id)

    def slots(self) -> list[str]:
        """Return the ids of the objects whose keys are here, sorted."""
        return sorted(self._ring.objects)

    def destroy(self, slot_ids: Iterable[str]) -> None:
        """Forget object keys for good: a new tenant key and a new root key, the old ones gone. Doing it again finishes what a crash cut short.

        Raises: StorageFull, KeysBroken.
        """
        self.reload()
        gone = set(slot_ids) & self._ring.objects.keys()
        root = self._root
        if gone:
            root = os.urandom(KEY)
            self._write_root([self._root, root])
            self._write_ring(self._ring.without_keys(gone), root)
        if self._roots != [root]:
            self._write_root([root])
        self._clear_leftovers()

    def purpose(self, name: str) -> bytes:
        """Return the 32-byte key of one purpose, for example "content": HKDF-SHA256 of the fixed tenant secret."""
        return hkdf(self._ring.secrets["tenant"], f"ringfence/1|purpose|{self.tenant}|{name}")

    def evidence_key(self) -> Ed25519PrivateKey:
        """Return the key that signs statements."""
        return Ed25519PrivateKey.from_private_bytes(self._ring.secrets["evidence"])

    def ledger_key(self) -> Ed25519PrivateKey:
        """Return the key that signs checkpoints."""
        return Ed25519PrivateKey.from_private_bytes(self._ring.secrets["ledger"])

    def release_key(self) -> EllipticCurvePrivateKey:
        """Return the P-256 key that signs released folders."""
        key = load_der_private_key(self._ring.secrets["release"], password=None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise KeysBroken(file="ring")
        return key

    def _snapshot(self) -> tuple[bytes, bytes]:
        """Return the root and ring files of one moment, although another process may be replacing both just now."""
        while True:
            root, ring = _read(self._folder, "root"), _read(self._folder, "ring")
            if _read(self._folder, "root") == root:
                return root, ring

    def _write_root(self, roots: list[bytes]) -> None:
        write_atomic(self._folder / "root", self._lock.seal(b"".join(roots)))
        self._roots = roots

    def _write_ring(self, ring: Ring, root: bytes) -> None:
        write_atomic(self._folder / "ring", ring.to_bytes(root))
        self._ring, self._root = ring, root

    def _clear_leftovers(self) -> None:
        """Remove half-written files of a crash: one may hold a root key that opens an older ring."""
        leftovers = list(self._folder.glob(".*.tmp"))
        for path in leftovers:
            path.unlink(missing_ok=True)
        if leftovers:
            sync_folder(self._folder)


def auditor_keyset(folder: Path, secret: Secret) -> bytes:
    """Return the auditor's private HPKE key, a serialised Tink keyset.

    Raises: WrongPassphrase, KeysBroken.
    """
    data = _read(folder, "auditor")
    return Lock.of(data, secret, purpose="auditor").open(data)


def _new_keys(tenant: str) -> tuple[dict[str, bytes], PublicKeys, bytes]:
    """Return the secrets of the ring, the public keys, and the auditor's private keyset."""
    evidence, ledger, release = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), generate_private_key(SECP256R1())
    audit = new_keyset_handle(hybrid.hybrid_key_templates.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM)
    secrets = {
        "tenant": os.urandom(KEY),
        "evidence": evidence.private_bytes_raw(),
        "ledger": ledger.private_bytes_raw(),
        "release": release.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    }
    public = PublicKeys(
        tenant=tenant,
        evidence=evidence.public_key().public_bytes_raw().hex(),
        ledger=ledger.public_key().public_bytes_raw().hex(),
        release=release.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        auditor=canonical(json.loads(json_proto_keyset_format.serialize_without_secret(audit.public_keyset_handle()))).decode(),
    )
    return secrets, public, proto_keyset_format.serialize(audit, secret_key_access.TOKEN)


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as cause:
        raise KeysBroken(file=name) from cause
