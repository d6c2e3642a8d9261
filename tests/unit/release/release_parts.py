"""A real bundle: own keys, a real ledger, a small valid LoRA file, statements as the arrows write them."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ringfence.core.digest import canonical, sha256
from ringfence.core.policy import Policy, evaluate
from ringfence.core.public_keys import PublicKeys
from ringfence.core.statement import PAYLOAD_TYPE, Predicate, SandboxReport, SelfTest, Statement, Subject
from ringfence.ledger import dsse
from ringfence.ledger.log import Ledger
from ringfence.release.bundle import Signers, signatures
from ringfence.release.card import model_card
from ringfence.release.chain import Evidence
from ringfence.release.manifest import MANIFEST, MANIFEST_SIGNATURE, MODEL_SIGNATURE, BaseRef, BundleFile, Manifest

CAGE = SandboxReport(
    tier="T1",
    self_test=SelfTest(
        namespace_differs=True,
        interfaces=("lo",),
        ipv4="unreachable",
        ipv6="unreachable",
        environment=(),
        no_new_privileges=True,
        seccomp=True,
    ),
)
BASE = BaseRef(name="smollm2", digest=sha256(b"base"))
POLICY = Policy()
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"], "base_model_name_or_path": "smollm2"}
MODULES = ("layers.0.self_attn.q_proj", "layers.0.self_attn.v_proj")


def safetensors(tensors: dict[str, np.ndarray], *, metadata: dict | None = None, gap: bytes = b"") -> bytes:
    """Return a safetensors file; `gap` hides between the header and the first tensor."""
    header, body = ({"__metadata__": metadata} if metadata is not None else {}), gap
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(body), len(body) + array.nbytes]}
        body += array.astype("<f4").tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def lora(seed: int = 0, *, rank: int = 2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    tensors = {}
    for module in MODULES:
        tensors[f"base_model.model.model.{module}.lora_A.weight"] = random.normal(size=(rank, 8)).astype("f4")
        tensors[f"base_model.model.model.{module}.lora_B.weight"] = random.normal(size=(8, rank)).astype("f4")
    return tensors


@dataclass
class Space:
    """Keys and a ledger: as much of a workspace as a bundle needs."""

    folder: Path
    tenant: str
    evidence: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    ledger_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    release: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger.create(self.folder / "ledger", origin=self.public.origin, key=self.ledger_key)
        self.ledger.record({"type": "genesis"})

    @property
    def pem(self) -> str:
        encoding, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.release.public_key().public_bytes(encoding, kind).decode()

    @property
    def public(self) -> PublicKeys:
        return PublicKeys(
            tenant=self.tenant,
            evidence=self.evidence.public_key().public_bytes_raw().hex(),
            ledger=self.ledger_key.public_key().public_bytes_raw().hex(),
            release=self.pem,
            auditor="{}",
        )

    @property
    def signers(self) -> Signers:
        return Signers(self.evidence, self.release, self.public)

    def statement(self, step: str, *, subjects: dict[str, str], inputs: dict[str, str], run: str = "", **more: object) -> Statement:
        more = {"label": "sensitive", "sandbox": None if step == "release" else CAGE, **more}
        predicate = Predicate(
            run=run or f"{step}-{sha256(repr(subjects).encode())[:12]}",
            tenant=more.pop("tenant", self.tenant),
            inputs=inputs,
            settings_digest=sha256(b"settings"),
            started="2026-01-01T00:00:00Z",
            ended="2026-01-01T00:00:01Z",
            **more,
        )
        return Statement(step=step, subjects=tuple(Subject(name=n, sha256=d) for n, d in subjects.items()), predicate=predicate)

    def envelope(self, statement: Statement) -> bytes:
        return dsse.sign(statement.payload(), PAYLOAD_TYPE, self.evidence)

    def record(self, statement: Statement) -> int:
        entry = {"type": "outcome", "run": statement.predicate.run, "arrow": statement.step, "statement": sha256(self.envelope(statement))}
        return self.ledger.record(entry)

    def prove(self, statement: Statement, index: int) -> Evidence:
        return Evidence(self.envelope(statement), self.ledger.raw(index), self.ledger.prove(index))


def digest_of(*words: object) -> str:
    return sha256(repr(words).encode())


def chain_of(space: Space, *, seed: int, source: str = "clinic") -> list[Statement]:
    """Return import → scan → keep → deid → train over objects that are named by `source` and `seed`."""
    sealed, cleared, kept = (digest_of(source, stage) for stage in ("sealed", "cleared", "kept"))
    aside, masked = digest_of(source, "quarantine"), digest_of(source, "masked")
    return [
        space.statement("import", subjects={"set": sealed}, inputs={}, figures={"rows": 300}),
        space.statement("scan", subjects={"set": cleared, "quarantine": aside}, inputs={"set": sealed}, parts=("invisible.v1",)),
        space.statement("keep", subjects={"set": kept}, inputs={"set": cleared, "quarantine": aside}),
        space.statement(
            "deid", subjects={"set": masked}, inputs={"set": kept}, settings={"profile": "medical-zh"}, figures={"survivors": 0}
        ),
        space.statement(
            "train",
            subjects={"adapter": digest_of(source, "adapter", seed)},
            inputs={"set": masked, "evaluation": digest_of("other", "masked"), "model": BASE.digest},
            parts=("lora.v1", "sft.v1"),
            settings={"model": BASE.digest, "order": {"train": {"lora_rank": 2}}},
        ),
    ]


def joined_chain_of(space: Space, *, seed: int = 0, sources: tuple[str, ...] = ("clinic", "ward")) -> list[Statement]:
    """Return one branch after the other, then join → train."""
    branches = [chain_of(space, seed=seed, source=source)[:-1] for source in sources]
    joined = digest_of(*sources, "joined")
    roles = [f"set{n + 1}" if n else "set" for n in range(len(sources))]
    return [
        *(statement for branch in branches for statement in branch),
        space.statement(
            "join",
            subjects={"set": joined},
            inputs={role: branch[-1].subjects[0].sha256 for role, branch in zip(roles, branches, strict=True)},
            settings={"names": list(sources)},
        ),
        space.statement(
            "train",
            subjects={"adapter": digest_of(*sources, "adapter", seed)},
            inputs={"set": joined, "model": BASE.digest},
            parts=("lora.v1", "sft.v1"),
            settings={"model": BASE.digest, "order": {"train": {"lora_rank": 2}}},
        ),
    ]


def release_of(space: Space, chain: list[Statement], *, adapter: bytes, **more: object) -> Statement:
    verdicts = more.pop("as_if", None) or evaluate(POLICY, chain, moment="release")  # a signer may record what was judged of another chain
    more = {
        "subjects": {"adapter_model.safetensors": sha256(adapter)},
        "inputs": {"adapter": chain[-1].subjects[0].sha256},
        "policy": sha256(canonical(POLICY.model_dump(mode="json"))),
        "verdicts": tuple({"rule": v.rule, "outcome": v.outcome} for v in verdicts),
        **more,
    }
    return space.statement("release", **more)


def parts_of(
    space: Space,
    *,
    seed: int = 0,
    source: str = "clinic",
    name: str = "model",
    chain: list[Statement] | None = None,
    indices: list[int] | None = None,
) -> dict:
    """Return the arguments of `write_bundle` for one run, whose steps it records in the ledger unless `indices` say where they are."""
    chain = chain or chain_of(space, seed=seed, source=source)
    indices = indices or [space.record(statement) for statement in chain]
    adapter = safetensors(lora(seed))
    return {
        "base": BASE,
        "adapter": adapter,
        "adapter_config": CONFIG,
        "card": model_card(name, base=BASE, licence="apache-2.0", chain=chain, verdicts=evaluate(POLICY, chain, moment="release")),
        "policy": canonical(POLICY.model_dump(mode="json")),
        "evidence": [space.prove(statement, index) for statement, index in zip(chain, indices, strict=True)],
        "release": space.envelope(release_of(space, chain, adapter=adapter)),
        "extra": {"chat_template.jinja": b"{{ messages }}"},
    }


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reseal(folder: Path, signers: Signers, files: dict[str, bytes], **changes: object) -> None:
    """Replace a bundle by `files`, signed anew: what an insider with the keys could write."""
    old = Manifest.from_bytes(files[MANIFEST])
    inner = {path: data for path, data in files.items() if path not in (MANIFEST, MANIFEST_SIGNATURE, MODEL_SIGNATURE)}
    listed = tuple(BundleFile(path=path, size=len(data), sha256=sha256(data)) for path, data in sorted(inner.items()))
    manifest = old.model_copy(update={"files": listed, **changes})
    shutil.rmtree(folder)
    digests = {path: sha256(data) for path, data in inner.items()}
    for path, data in {**inner, **signatures(digests, manifest=manifest, signers=signers)}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
