"""Statements: what was done, in the in-toto format; `ledger` signs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from ringfence.core.digest import canonical, parse_canonical, sha256
from ringfence.core.errors import NotCanonical
from ringfence.core.order import ObjectKind, Tier
from ringfence.core.settings import Digest, PartName, RunId, Settings, SlotId

Step = Literal[
    "import",
    "scan",
    "keep",
    "deid",
    "review",
    "teach",
    "discover",
    "terms",
    "join",
    "plant",
    "train",
    "guard",
    "audit",
    "eval",
    "release",
    "model",
    "delete",
]
Stage = Literal[
    "sealed",
    "cleared",
    "quarantine",
    "masked",
    "spans",
    "joined",
    "held-out",
    "planted",
    "register",
    "adapter",
    "checkpoint",
    "filter",
    "guard",
    "tagger",
    "figures",
    "account",
    "review",
    "candidates",
    "dictionary",
    "bundle",
]
Label = Literal["public", "internal", "sensitive"]
LABELS: tuple[Label, ...] = ("public", "internal", "sensitive")

_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE = "urn:ringfence:evidence:{step}:v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


class SelfTest(Settings):
    """What the cage looked like from inside and outside, before any key was handed over."""

    namespace_differs: bool  # the child's network namespace is not the host's (bwrap --info-fd)
    interfaces: tuple[str, ...]  # what the child sees; only "lo" passes
    ipv4: Literal["unreachable", "timeout", "open", "untested"]  # connect to 192.0.2.1
    ipv6: Literal["unreachable", "unsupported", "timeout", "open", "untested"]  # connect to 2001:db8::1
    environment: tuple[str, ...]  # names of the variables that the child inherited
    no_new_privileges: bool
    seccomp: bool

    def failures(self) -> list[str]:
        """Return the names of the tests that failed; empty means that keys may be handed over."""
        bad = []
        if not self.namespace_differs:
            bad.append("namespace")
        if self.interfaces != ("lo",):
            bad.append("interfaces")
        if self.ipv4 != "unreachable":
            bad.append("ipv4")
        if self.ipv6 not in ("unreachable", "unsupported"):
            bad.append("ipv6")
        if not set(self.environment) <= {"PWD", "LC_CTYPE"}:
            bad.append("environment")
        if not self.no_new_privileges:
            bad.append("privileges")
        if not self.seccomp:
            bad.append("seccomp")
        return bad


class SandboxReport(Settings):
    """Where a job ran."""

    tier: Tier
    self_test: SelfTest | None = None  # absent under T0 only
    gpus: tuple[str, ...] = ()  # device nodes bound into the sandbox


class Subject(Settings):
    """One output: its role and the digest that names it."""

    name: str
    sha256: Digest


class Output(Settings):
    """What a subject is, so that nobody can pass a quarantine off as a cleared set."""

    slot: SlotId
    kind: ObjectKind
    stage: Stage


class Predicate(Settings):
    """What was done. Holds no record text."""

    run: RunId
    tenant: SlotId
    label: Label | None = None
    inputs: Mapping[str, Digest] = {}  # role -> object digest
    outputs: Mapping[str, Output] = {}  # role -> what the subject of that name is
    settings: Mapping[str, Any] = {}
    settings_digest: Digest
    parts: tuple[PartName, ...] = ()
    software: Mapping[str, str] = {}
    sandbox: SandboxReport | None = None
    figures: Mapping[str, Any] = {}  # public ones only
    sealed_figures: Digest | None = None  # salted digest of the sealed figures object's plaintext
    verdicts: tuple[Mapping[str, str], ...] = ()  # release only: rule, outcome
    policy: Digest | None = None  # the policy that was in force
    seconds: Mapping[str, float] = {}  # wall seconds per control
    cpu_seconds: Mapping[str, float] = {}
    started: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    ended: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class Statement(Settings):
    """One step of the chain from the raw file to the release."""

    step: Step
    subjects: Annotated[tuple[Subject, ...], Field(min_length=1)]
    predicate: Predicate

    def payload(self) -> bytes:
        """Return the in-toto Statement v1 as canonical JSON: the bytes that are signed."""
        return canonical(
            {
                "_type": _TYPE,
                "subject": [{"name": s.name, "digest": {"sha256": s.sha256}} for s in self.subjects],
                "predicateType": _PREDICATE.format(step=self.step),
                "predicate": self.predicate.model_dump(mode="json"),
            }
        )

    @classmethod
    def from_payload(cls, data: bytes) -> Statement:
        """Return the statement of signed bytes.

        Raises: NotCanonical when the bytes are not exactly what `payload` writes.
        """
        value = parse_canonical(data)
        try:
            assert isinstance(value, dict)  # noqa: S101  narrowed for the reader; a failure is caught below
            step = value["predicateType"].removeprefix("urn:ringfence:evidence:").removesuffix(":v1")
            subjects = tuple(Subject(name=s["name"], sha256=s["digest"]["sha256"]) for s in value["subject"])
            statement = cls(step=step, subjects=subjects, predicate=Predicate.model_validate(value["predicate"]))
        except (AssertionError, KeyError, TypeError, AttributeError, ValueError) as cause:
            raise NotCanonical from cause
        if statement.payload() != data:
            raise NotCanonical
        return statement

    def digest(self) -> str:
        """Return the SHA-256 of the signed bytes."""
        return sha256(self.payload())
