"""Verify a bundle with nothing but the public keys that the verifier brings: offline, no workspace, no model library."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from ringfence.core.digest import parse_canonical, sha256
from ringfence.core.errors import BundleBroken, LedgerError, NotCanonical, SignatureInvalid, WrongSigner
from ringfence.core.gates import Audited
from ringfence.core.lineage import lines
from ringfence.core.policy import Policy, evaluate
from ringfence.core.public_keys import PublicKeys
from ringfence.core.statement import PAYLOAD_TYPE as STATEMENT_TYPE
from ringfence.core.statement import Predicate, Statement
from ringfence.core.text import Text, t
from ringfence.core.verdict import ON_ROWS, OUTCOMES, Outcome, RuleId, Verdict, refusals
from ringfence.ledger import dsse
from ringfence.ledger.log import verify_proof
from ringfence.release import adapter, chain, formats, openssf
from ringfence.release.folder import Content, read_folder, shown
from ringfence.release.manifest import (
    ADAPTER,
    CONFIG,
    EVIDENCE,
    MANIFEST,
    MANIFEST_SIGNATURE,
    MODEL_SIGNATURE,
    OF_ADAPTER,
    OPTIONAL,
    PAYLOAD_TYPE,
    POLICY,
    REQUIRED,
    Manifest,
)
from ringfence.release.steps import Progress, Report, Step

_FOLDER = Text("it is a folder of regular files", "它是只含普通文件的文件夹")
_MANIFEST = Text("the manifest is canonical", "清单是规范的 JSON")
_SIGNED = Text("the expected key signed the manifest", "清单由预期的密钥签名")
_LISTED = Text("no file was added, removed or renamed", "没有文件被添加、移除或改名")
_SAME = Text("every file has the size and SHA-256 of the manifest", "每个文件的大小与 SHA-256 都与清单一致")
_MODEL = Text("the OpenSSF model signature covers the same files", "OpenSSF 模型签名覆盖同样的文件")
_STATEMENTS = Text("the expected key signed every statement", "每份声明都由预期的密钥签名")
_LEDGER = Text("every statement is in the ledger", "每份声明都在账本中")
_CHAIN = Text("the statements lead from every import to this adapter", "声明从每次导入一直连到这个适配器")
_ADAPTER = Text(
    "the weights are of the shape that is said, and every other format was compared with what was trained",
    "权重的形状与所述相符，其他格式均已与训练所得比对",
)
_POLICY = Text("the policy allows it, as was recorded", "策略允许放行，且与记录一致")


def verify_bundle(folder: Path, public: PublicKeys, *, on_step: Callable[[Step], None] | None = None) -> Report:
    """Return what the bundle is, once every step has passed; a bundle that fails one raises.

    on_step: called with each step as it ends, the failing one included. Names, permissions and times of the folder do not count.

    Raises: BundleUnreadable, WrongSigner, BundleBroken (naming the file that was altered).
    """
    progress = Progress(on_step)
    with progress.step(_FOLDER):  # (1): links, devices and foreign folders end here; every file is read once
        files = read_folder(folder)
        progress.detail = t("{count} files", "{count} 个文件", count=len(files))
    with progress.step(_MANIFEST):  # (2): one encoding only, so that a changed byte is a changed value
        manifest = _manifest(files)
        progress.detail = f"{manifest.name} · {manifest.run} · {manifest.created}"
    with progress.step(_SIGNED):  # (3): under the key that the verifier brought; keys found in the bundle are not looked at
        _signed(files, manifest, public)
        progress.detail = t("key file {digest}", "公钥文件 {digest}", digest=public.fingerprint())
    with progress.step(_LISTED):  # (4): the manifest's list is the folder's list, and holds no kind of file that it may not
        _listed(files, manifest)
    with progress.step(_SAME):  # (5): now the bytes are what was signed
        _same(files, manifest)
        progress.detail = t("{size} bytes", "{size} 字节", size=sum(content.size for content in files.values()))
    with progress.step(_MODEL):  # (6): the second signature, by the second key, says the same
        digests = {path: content.sha256 for path, content in files.items()}
        _model_signature(files[MODEL_SIGNATURE].data, digests=digests, manifest=manifest, public=public)
    with progress.step(_STATEMENTS):  # (7)
        exhibits = chain.exhibits(digests)
        statements = [_statement(files, exhibit, public) for exhibit in exhibits]
        progress.detail = " → ".join(statement.step for statement in statements)
    with progress.step(_LEDGER):  # (8): under one checkpoint, every step after those that led to it
        last = _in_ledger(files, exhibits[:-1], statements=statements, public=public)
        progress.detail = t("entries up to {last}", "条目至 {last}", last=last)
    with progress.step(_CHAIN):  # (9)
        _joined(statements, digests=digests, manifest=manifest, public=public)
    with progress.step(_ADAPTER):  # (10): the header alone; tensors mean nothing to a host
        pairs = _adapter(files)
        heads = {path: (one.data, one.size) for path, one in files.items() if path.partition("/")[0] in (formats.MERGED, formats.GGUF)}
        compared = formats.check(statements[-1], heads=heads)
        told = "".join(f" · {one.format} {one.agreement:.1%}" for one in compared)
        own = t("the base's own weights", "基础模型自身的权重")
        progress.detail = (own if pairs is None else t("{pairs} adapted layers", "{pairs} 个带适配器的层", pairs=pairs)) + told
    with progress.step(_POLICY):  # (11): the rules are applied again, here
        policy, verdicts = _policy(files[POLICY].data, chain.parts(statements), rows=_figures(files, exhibits, statements).get("audit"))
        passed = sum(one.outcome == "pass" for one in verdicts)
        progress.detail = t(
            "{count} of {all} rules pass, none refuses", "{all} 条规则中 {count} 条通过，无一拒绝", count=passed, all=len(verdicts)
        )
    return Report(tuple(progress.steps), manifest, tuple(statements), policy, tuple(verdicts), public.fingerprint())


def _manifest(files: Mapping[str, Content]) -> Manifest:
    for name in (MANIFEST, MANIFEST_SIGNATURE, MODEL_SIGNATURE):
        if name not in files:
            raise BundleBroken(problem=t("{path} is missing", "缺少 {path}", path=name))
    with _blamed(MANIFEST):
        return Manifest.from_bytes(files[MANIFEST].data)


def _signed(files: Mapping[str, Content], manifest: Manifest, public: PublicKeys) -> None:
    signed = _opened(files[MANIFEST_SIGNATURE].data, PAYLOAD_TYPE, path=MANIFEST_SIGNATURE, public=public)
    if signed != files[MANIFEST].data:
        raise _changed(MANIFEST)
    if manifest.tenant != public.tenant:
        raise WrongSigner


def _listed(files: Mapping[str, Content], manifest: Manifest) -> None:
    listed = {file.path for file in manifest.files}
    there = files.keys() - {MANIFEST, MANIFEST_SIGNATURE, MODEL_SIGNATURE}
    problems = [t("{path} is missing", "缺少 {path}", path=path) for path in sorted(listed - there)]
    problems += [t("{path} is not in the manifest", "清单中没有 {path}", path=shown(path)) for path in sorted(there - listed)]
    if problems:
        raise BundleBroken(problem="; ".join(problems[:8]))
    adapter_files = OF_ADAPTER if set(OF_ADAPTER) & there else ()
    for path in sorted({*REQUIRED, *adapter_files, *there}):
        if path not in there:
            raise BundleBroken(problem=t("{path} is missing", "缺少 {path}", path=path))
        if (
            path not in REQUIRED
            and path not in OF_ADAPTER
            and path not in OPTIONAL
            and not path.startswith(f"{EVIDENCE}/")
            and not formats.belongs(path)
        ):
            raise BundleBroken(problem=t("{path} is no file that a bundle holds", "发布包不含 {path} 这类文件", path=path))


def _same(files: Mapping[str, Content], manifest: Manifest) -> None:
    for file in manifest.files:
        if (file.size, file.sha256) != (files[file.path].size, files[file.path].sha256):
            raise _changed(file.path)


def _model_signature(data: bytes, *, digests: Mapping[str, str], manifest: Manifest, public: PublicKeys) -> None:
    covered = {path: digest for path, digest in digests.items() if path != MODEL_SIGNATURE}
    with _blamed(MODEL_SIGNATURE):
        openssf.check(data, digests=covered, name=manifest.name, public=public.release)


def _statement(files: Mapping[str, Content], exhibit: chain.Exhibit, public: PublicKeys) -> Statement:
    payload = _opened(files[exhibit.envelope].data, STATEMENT_TYPE, path=exhibit.envelope, public=public)
    with _blamed(exhibit.envelope):
        statement = Statement.from_payload(payload)
    if statement.step != exhibit.step:
        raise BundleBroken(problem=t("{path} holds another step", "{path} 中是另一个步骤", path=exhibit.envelope))
    return statement


def _in_ledger(
    files: Mapping[str, Content], exhibits: Sequence[chain.Exhibit], *, statements: Sequence[Statement], public: PublicKeys
) -> int:
    """Return the last entry that was proven, once every statement has its own, after those of the steps that led to it."""
    key = dsse.ed25519_public(public.ledger)
    indices: list[int] = []
    checkpoints: set[bytes] = set()
    for exhibit, statement in zip(exhibits, statements, strict=False):  # the release has no proof yet
        entry, proof = files[exhibit.entry].data, files[exhibit.proof].data
        with _blamed(exhibit.proof):
            indices.append(verify_proof(entry, proof, origin=public.origin, public=key))
        chain.check_entry(entry, path=exhibit.entry, envelope=files[exhibit.envelope].data, statement=statement)
        checkpoints.add(proof.partition(b"\n\n")[2])
        if len(checkpoints) > 1 or len({*indices}) < len(indices):
            raise _out_of_order(exhibit)
    for way in lines(statements[: len(indices)]).ways:
        for before, after in pairwise(way):
            if indices[after] <= indices[before]:
                raise _out_of_order(exhibits[after])
    return max(indices, default=-1)


def _out_of_order(exhibit: chain.Exhibit) -> BundleBroken:
    return BundleBroken(
        problem=t(
            "{path} does not follow the one before under one checkpoint", "{path} 与前一条不在同一检查点下依次排列", path=exhibit.proof
        )
    )


def _joined(statements: Sequence[Statement], *, digests: Mapping[str, str], manifest: Manifest, public: PublicKeys) -> None:
    chain.check_chain(statements, tenant=public.tenant)
    train = chain.parts(statements).train.predicate
    chain.check_release(statements[-1], digests=digests, weights=_weights(train, digests))
    if (train.run, train.inputs.get("model")) != (manifest.run, manifest.base.digest):
        raise BundleBroken(problem=t("the manifest names another run or base model", "清单所指的运行或基础模型不同"))


def _weights(train: Predicate, digests: Mapping[str, str]) -> list[str]:
    """Return the files that hold what a run learned.

    Raises: BundleBroken where the bundle of a run that trained an adapter has none, or the other way round.
    """
    is_whole = bool(formats.OWN_WEIGHTS.intersection(train.parts))
    if is_whole == (ADAPTER in digests):
        raise BundleBroken(problem=t("the run left weights of another kind", "该运行留下的是另一种权重"))
    return formats.weights_of(formats.MERGED, digests) if is_whole else [ADAPTER]


def _adapter(files: Mapping[str, Content]) -> int | None:
    """Return how many layers the adapter adapts; None where there is none."""
    if ADAPTER not in files:
        return None
    weights = files[ADAPTER]
    return adapter.check_adapter(weights.data, size=weights.size, config=files[CONFIG].data)


def _figures(
    files: Mapping[str, Content], exhibits: Sequence[chain.Exhibit], statements: Sequence[Statement]
) -> dict[str, Mapping[str, Any]]:
    """Return the figures of real rows by step, once they are what its statement names; those that stayed behind are not among them."""
    found: dict[str, Mapping[str, Any]] = {}
    for exhibit, statement in zip(exhibits, statements, strict=True):
        if exhibit.has_figures:
            data = files[exhibit.figures].data
            if sha256(data) != statement.predicate.sealed_figures:
                raise _changed(exhibit.figures)
            with _blamed(exhibit.figures):
                value = parse_canonical(data)
            if not isinstance(value, dict) or not isinstance(value.get("figures"), dict):
                raise _changed(exhibit.figures)
            found[exhibit.step] = value["figures"]
    return found


def _policy(data: bytes, found: chain.Parts, *, rows: Mapping[str, Any] | None) -> tuple[Policy, list[Verdict]]:
    release = found.release.predicate
    if release.policy != sha256(data):
        raise BundleBroken(problem=t("{path} is not the policy of the release", "{path} 不是放行时的策略", path=POLICY))
    try:
        policy = Policy.model_validate(parse_canonical(data))
    except (ValueError, NotCanonical) as cause:
        raise BundleBroken(problem=t("{path} is no policy that can be read here", "{path} 不是此处可读的策略", path=POLICY)) from cause
    is_private = "plan" in found.train.predicate.figures  # alone then may the figures stay behind, and the release's word stand for them
    told: dict[RuleId, Outcome] = {rule: _told(release, rule) for rule in ON_ROWS} if is_private else {}
    audit = Audited(found.audit, rows, told) if found.audit else None
    try:
        verdicts = evaluate(policy, found.chain, moment="release", audit=audit)
    except (ValueError, KeyError, TypeError) as cause:
        raise BundleBroken(problem=t("a statement holds what no rule can read", "有声明的内容无法被规则读取")) from cause
    if [(v.get("rule"), v.get("outcome")) for v in release.verdicts] != [(v.rule, v.outcome) for v in verdicts]:
        raise BundleBroken(problem=t("the recorded verdicts are not what the policy says", "记录的裁决与策略不符"))
    if refused := refusals(verdicts):
        raise BundleBroken(problem=t("the policy refuses it: {rule}", "策略拒绝放行：{rule}", rule=refused[0].rule))
    return policy, verdicts


def _told(release: Predicate, rule: RuleId) -> Outcome:
    """Return what a release states of one rule; that it is inconclusive, which refuses, where it states nothing that can be read."""
    stated = {one.get("rule"): one.get("outcome") for one in release.verdicts}.get(rule)
    return next((outcome for outcome in OUTCOMES if outcome == stated), "inconclusive")


def _opened(data: bytes, payload_type: str, *, path: str, public: PublicKeys) -> bytes:
    """Return the payload of an envelope; a stranger's signature is told from a damaged one by the key id that it names."""
    key = dsse.ed25519_public(public.evidence)
    with _blamed(path):
        try:
            return dsse.verify(data, payload_type, key)
        except SignatureInvalid:
            if _signer(data) != dsse.key_id(key):
                raise WrongSigner from None
            raise


def _signer(envelope: bytes) -> object:
    value: Any = json.loads(envelope)  # `dsse.verify` has seen the shape
    return value["signatures"][0]["keyid"]


@contextmanager
def _blamed(path: str) -> Iterator[None]:
    """Turn the errors of lower layers into one that names the file of the bundle."""
    try:
        yield
    except (LedgerError, NotCanonical) as cause:
        raise _changed(path) from cause


def _changed(path: str) -> BundleBroken:
    return BundleBroken(problem=t("{path} was changed", "{path} 被改动", path=path))
