"""An opened workspace. Reading the ledger and manifests needs no secret; opening objects does."""

from __future__ import annotations

import contextlib
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ringfence.core.digest import settings_digest, sha256
from ringfence.core.durable import make_folder, write_atomic
from ringfence.core.errors import (
    AlreadyExists,
    KeysBroken,
    LedgerBroken,
    NotAWorkspace,
    NotCanonical,
    RingfenceError,
    WorkspaceBroken,
    WrongPassphrase,
)
from ringfence.core.lineage import roles
from ringfence.core.order import Slot
from ringfence.core.policy import DEFAULT, Policy
from ringfence.core.public_keys import PublicKeys
from ringfence.core.settings import Settings, SlotId
from ringfence.core.statement import PAYLOAD_TYPE, Statement
from ringfence.core.text import t
from ringfence.core.work import Input
from ringfence.ledger.dsse import ed25519_public, verify
from ringfence.ledger.log import Ledger
from ringfence.vault.keys import KeyFile, KeyStore, Passphrase
from ringfence.vault.store import Store
from ringfence.workspace.entries import PARSE, AnyEntry, Genesis, PolicySet
from ringfence.workspace.locks import held
from ringfence.workspace.manifest import Manifest
from ringfence.workspace.state import State, Thing

Secret = Passphrase | KeyFile
_FILE = "ringfence.toml"
# Lock and mark of a workspace that is being made. Where it stands without ringfence.toml, an init was killed.
_BEGUN = ".ringfence-init"
_FOLDERS = ("vault", "vault/manifests", "keys", "evidence", "releases", "runs")
_MADE = {_BEGUN, *_FOLDERS, "ledger"}  # what an init that was killed can have left, besides temporary files of ringfence.toml


class SpaceFile(Settings):
    """`ringfence.toml`: settings of the workspace, no secrets."""

    format: Literal["ringfence.workspace/1"]
    tenant: SlotId


class Workspace:
    """The folder that a team works in."""

    def __init__(self, path: Path, settings: SpaceFile, public: PublicKeys, ledger: Ledger) -> None:
        self.path, self.settings, self.public, self.ledger = path, settings, public, ledger
        self.store = Store(path / "vault")
        self.state = State()
        self._read = 0
        self._keys: KeyStore | None = None
        self._catch_up()

    # ── making and opening ────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def create(cls, path: Path, secret: Secret, *, tenant: str, auditor: Secret | None = None) -> Workspace:
        """Make a workspace in a new or empty folder, or in one where this was begun and killed, and return it unlocked.

        auditor: the secret of the auditor's private key; None = one person plays both parts, on record.

        Raises: AlreadyExists, StorageFull; Busy while another process makes one there.
        """
        if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not _is_unfinished(path))):
            raise AlreadyExists(path=str(path))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_folder(path)
        with held(path / _BEGUN, what="init", seconds=0):
            if (path / _FILE).exists():  # another process was faster
                raise AlreadyExists(path=str(path))
            _clear(path)
            cls._write(path, secret, tenant=tenant, auditor=auditor)
        return cls.open(path, secret)

    @classmethod
    def _write(cls, path: Path, secret: Secret, *, tenant: str, auditor: Secret | None) -> None:
        for folder in _FOLDERS:
            make_folder(path / folder)
        keys = KeyStore.create(path / "keys", secret, tenant=tenant, auditor=auditor)
        public = keys.public
        ledger = Ledger.create(path / "ledger", origin=public.origin, key=keys.ledger_key())
        entries: list[AnyEntry] = [
            Genesis(tenant=tenant, keys=public.fingerprint(), solo=auditor is None),
            policy_entry(DEFAULT),
        ]
        ledger.record_many([entry.model_dump(mode="json") for entry in entries])
        # It comes last: without it the folder is no workspace, so a crash before leaves nothing half-made in use
        write_atomic(path / _FILE, f'format = "ringfence.workspace/1"\ntenant = "{tenant}"\n'.encode(), mode=0o644)
        (path / _BEGUN).unlink()

    @classmethod
    def open(cls, path: Path, secret: Secret | None = None) -> Workspace:
        """Return the workspace at `path`, verified against its signed checkpoint; unlocked when `secret` is given.

        Raises: NotAWorkspace, LedgerBroken, KeysBroken, WrongPassphrase.
        """
        try:
            settings = SpaceFile.model_validate(tomllib.loads((path / _FILE).read_text()))
        except (OSError, ValueError) as cause:
            raise NotAWorkspace(path=str(path)) from cause
        keys = KeyStore.open(path / "keys", secret) if secret is not None else None
        public = keys.public if keys else _public(path / "keys" / "public.json")
        if public.tenant != settings.tenant:
            raise KeysBroken(file="public.json")
        key = keys.ledger_key() if keys else None
        ledger = Ledger.open(path / "ledger", origin=public.origin, public=ed25519_public(public.ledger), key=key)
        space = cls(path, settings, public, ledger)
        if keys:
            space._accept(keys)
        return space

    def _accept(self, keys: KeyStore) -> None:
        with self.locked():  # ring and ledger are compared as of one moment: another process may be committing
            keys.reload()
            if keys.tenant_version < self.state.generation:
                raise KeysBroken(file="ring")  # an older ring was put back: it would revive what was deleted
            if keys.mark > self.ledger.size:
                problem = t(
                    "it has {size} entries, the key ring remembers {mark}",
                    "账本有 {size} 条，密钥环记得 {mark} 条",
                    size=self.ledger.size,
                    mark=keys.mark,
                )
                raise LedgerBroken(problem=problem)
        self._keys = keys

    @property
    def keys(self) -> KeyStore:
        """The keys; only after opening with a secret."""
        if self._keys is None:
            raise WrongPassphrase
        return self._keys

    @property
    def is_unlocked(self) -> bool:
        """Whether the workspace was opened with its secret."""
        return self._keys is not None

    # ── what is true ──────────────────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def locked(self, *, seconds: float | None = 30.0) -> Iterator[State]:
        """Hold the workspace lock for one commit; the state inside is up to date.

        seconds: None waits as long as it takes, where giving up would lose finished work.

        Raises: Busy.
        """
        with held(self.path / "workspace.lock", what=t("the lock", "锁"), seconds=seconds):
            self.refresh()
            yield self.state

    def refresh(self) -> State:
        """Read what other processes recorded since, and return the state."""
        self.ledger.refresh()
        self._catch_up()
        if self._keys:
            self._keys.reload()
        return self.state

    def record(self, entry: AnyEntry) -> int:
        """Append one entry durably; the caller holds the lock.

        Raises: LedgerUnavailable.
        """
        index = self.ledger.record(entry.model_dump(mode="json"))
        self._catch_up()
        return index

    def _catch_up(self) -> None:
        for index, raw in self.ledger.entries(self._read):
            try:
                entry = PARSE.validate_python(raw)
                self.state.apply(index, entry)
            except (ValidationError, KeyError) as cause:
                raise LedgerBroken(problem=t("entry {index} makes no sense", "第 {index} 条没有意义", index=index)) from cause
            self._read = index + 1

    def policy(self) -> Policy:
        """Return the last signed policy."""
        if self.state.policy is None:
            raise LedgerBroken(problem=t("no policy was ever set", "从未设置过策略"))
        return Policy.model_validate(self.state.policy.policy)

    # ── objects ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def manifest(self, thing: Thing) -> Manifest:
        """Return the manifest of an object, checked against the ledger.

        Raises: WorkspaceBroken.
        """
        name = f"manifests/{thing.made.manifest}.json"
        data = self._checked(self.path / "vault" / name, name, lambda data: sha256(data) == thing.made.manifest)
        try:
            manifest = Manifest.from_bytes(data)
        except NotCanonical as cause:
            raise WorkspaceBroken(file=name) from cause
        if manifest.digest != thing.made.digest or manifest.slot != thing.made.slot or manifest.tenant != self.settings.tenant:
            raise WorkspaceBroken(file=name)
        return manifest

    def input(self, thing: Thing) -> Input:
        """Return an object as a child may be given it.

        Raises: WorkspaceBroken.
        """
        manifest = self.manifest(thing)
        slot = Slot(
            slot=manifest.slot,
            tenant=manifest.tenant,
            version=manifest.version,
            kind=manifest.kind,
            path=str(self.store.path(manifest.slot)),
            files=manifest.files,
        )
        return Input(slot=slot, folder=self.store.path(manifest.slot))

    def envelope(self, digest: str) -> bytes:
        """Return a signed statement's envelope, checked against its digest.

        Raises: WorkspaceBroken.
        """
        name = f"evidence/{digest}.json"
        return self._checked(self.path / name, name, lambda data: sha256(data) == digest)

    def statement(self, digest: str) -> Statement:
        """Return a statement, its signature verified.

        Raises: WorkspaceBroken, SignatureInvalid, NotCanonical.
        """
        return Statement.from_payload(verify(self.envelope(digest), PAYLOAD_TYPE, ed25519_public(self.public.evidence)))

    def chain(self, thing: Thing) -> list[Statement]:
        """Return the statements from the import to the one that made `thing`, in order; what a join reads stands before it, one branch after the other."""
        return [self.statement(digest) for digest in self.lineage(thing)]

    def lineage(self, thing: Thing) -> list[str]:
        """Return the envelope digests of `chain`, in order.

        The main input of every statement is its role "set" or "adapter", those of a join "set", "set2" and so on; side inputs (evaluation sets) are
        not walked.
        """
        if thing.statement is None:
            return []
        inputs = self.statement(thing.statement).predicate.inputs
        parents = [self.state.things.get(inputs[role]) for role in roles("set", inputs) or roles("adapter", inputs)]
        return [*(digest for parent in parents if parent for digest in self.lineage(parent)), thing.statement]

    def _checked(self, path: Path, name: str, is_right: Callable[[bytes], bool]) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as cause:
            raise WorkspaceBroken(file=name) from cause
        if not is_right(data):
            raise WorkspaceBroken(file=name)
        return data


def _is_unfinished(path: Path) -> bool:
    """Return True for what a killed `create` left, and nothing else: it will be cleared away."""
    names = {left.name for left in path.iterdir() if not left.name.startswith(f".{_FILE}.")}
    return _BEGUN in names and names <= _MADE


def _clear(path: Path) -> None:
    """Remove what a killed `create` left."""
    for left in path.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left.name != _BEGUN:
            left.unlink()


def policy_entry(policy: Policy) -> PolicySet:
    """Return the ledger entry that sets `policy`."""
    return PolicySet(digest=settings_digest(policy), policy=policy.model_dump(mode="json"))


def find(start: Path) -> Path:
    """Return the workspace folder at or above `start`.

    Raises: NotAWorkspace.
    """
    for folder in (start, *start.parents):
        if (folder / "ringfence.toml").is_file():
            return folder
    raise NotAWorkspace(path=str(start))


def _public(path: Path) -> PublicKeys:
    try:
        return PublicKeys.from_bytes(path.read_bytes())
    except (OSError, RingfenceError) as cause:
        raise KeysBroken(file="public.json") from cause
