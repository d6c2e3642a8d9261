"""The evidence inside a bundle: which files it is, what the ledger says about it, and how the statements join."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ringfence.core.digest import parse_canonical, sha256
from ringfence.core.errors import BundleBroken, NotCanonical
from ringfence.core.lineage import flaw
from ringfence.core.statement import Statement
from ringfence.core.text import t
from ringfence.release.manifest import EVIDENCE

_FILE = re.compile(EVIDENCE + r"/(?P<number>\d\d)-(?P<step>[a-z]+)\.(?P<part>dsse\.json|entry\.json|proof|figures\.json)")
_BETWEEN = {"scan", "keep", "deid", "plant"}  # what may lie between import and train; the policy says what must
_JOINED = {"import", "join", *_BETWEEN}  # and where several sets were joined
_LOOKS = {"audit", "eval"}  # at the adapter, between train and release, once each and in the order of the ledger
MOST_STEPS = 99  # that a bundle can hold: their numbers have two digits


@dataclass(frozen=True, slots=True)
class Evidence:
    """One step with its place in the ledger."""

    envelope: bytes  # the signed statement (DSSE)
    entry: bytes  # the ledger's outcome entry, which names the envelope's digest
    proof: bytes  # C2SP tlog-proof of that entry, checkpoint included
    figures: bytes | None = None  # what the statement names by its salted digest; it stays behind where a run is private


@dataclass(frozen=True, slots=True)
class Exhibit:
    """The files of one step of the chain; a release has no entry and no proof yet when its bundle is written."""

    number: int
    step: str
    has_figures: bool = False

    @property
    def envelope(self) -> str:
        """Return the path of the signed statement."""
        return f"{self._stem}.dsse.json"

    @property
    def entry(self) -> str:
        """Return the path of the ledger entry."""
        return f"{self._stem}.entry.json"

    @property
    def proof(self) -> str:
        """Return the path of the proof of inclusion."""
        return f"{self._stem}.proof"

    @property
    def figures(self) -> str:
        """Return the path of the opened figures."""
        return f"{self._stem}.figures.json"

    @property
    def _stem(self) -> str:
        return f"{EVIDENCE}/{self.number:02d}-{self.step}"

    def paths(self) -> Iterator[str]:
        """Yield the paths of the step's files."""
        yield self.envelope
        if self.step != "release":
            yield from (self.entry, self.proof)
        if self.has_figures:
            yield self.figures


def exhibits(paths: Iterable[str]) -> list[Exhibit]:
    """Return the steps that the file names promise, in order; the last one is the release.

    Raises: BundleBroken for a file that is no part of such a list, or a gap in it.
    """
    inside = sorted(path for path in paths if path.startswith(f"{EVIDENCE}/"))
    matches = {path: _FILE.fullmatch(path) for path in inside}
    found = sorted({(int(m["number"]), m["step"]) for m in matches.values() if m})
    opened = {(int(m["number"]), m["step"]) for m in matches.values() if m and m["part"] == "figures.json" and m["step"] in _LOOKS}
    steps = [Exhibit(number, step, (number, step) in opened) for number, step in found]
    wanted = {path for step in steps for path in step.paths()}
    for path in inside:
        if path not in wanted:
            raise BundleBroken(problem=t("{path} is not a file of its evidence", "{path} 不是其证据文件", path=path))
    missing = sorted(wanted - set(inside))
    if missing:
        raise BundleBroken(problem=t("{path} is missing", "缺少 {path}", path=missing[0]))
    if [step.number for step in steps] != list(range(1, len(steps) + 1)) or not steps or steps[-1].step != "release":
        raise BundleBroken(problem=t("the files of evidence/ are not one numbered chain", "evidence/ 中的文件不是一条编号的链"))
    return steps


@dataclass(frozen=True, slots=True)
class Parts:
    """The statements of a bundle by what they are for."""

    chain: tuple[Statement, ...]  # import to train; of joined sets one branch after the other, then what they have in common
    audit: Statement | None
    evaluation: Statement | None
    release: Statement

    @property
    def train(self) -> Statement:
        """The statement of the training."""
        return self.chain[-1]


def parts(statements: Sequence[Statement]) -> Parts:
    """Return the statements apart.

    Raises: BundleBroken unless they are import → … → train → (audit →) (eval →) release.
    """
    steps = [statement.step for statement in statements]
    at = steps.index("train") + 1 if "train" in steps else 0
    between = _JOINED if "join" in steps else _BETWEEN
    looks = steps[at:-1]
    is_right = steps[:1] == ["import"] and set(steps[1 : at - 1]) <= between and steps[at:][-1:] == ["release"]
    if at < 2 or not is_right or not set(looks) <= _LOOKS or len(set(looks)) < len(looks):  # noqa: PLR2004  an import and a training at least
        raise BundleBroken(
            problem=t("its steps are not import → … → train → audit → release", "其步骤不是 import → … → train → audit → release")
        )
    audit, evaluation = (next((one for one in statements[at:-1] if one.step == step), None) for step in ("audit", "eval"))
    return Parts(tuple(statements[:at]), audit, evaluation, statements[-1])


def check_entry(entry: bytes, *, path: str, envelope: bytes, statement: Statement) -> None:
    """Return when a ledger entry is the outcome that names this envelope and run.

    Raises: BundleBroken.
    """
    try:
        value = parse_canonical(entry)
    except NotCanonical as cause:
        raise BundleBroken(problem=t("{path} is not canonical JSON", "{path} 不是规范 JSON", path=path)) from cause
    wanted = {"type": "outcome", "run": statement.predicate.run, "statement": sha256(envelope)}
    if not isinstance(value, dict) or any(value.get(key) != expected for key, expected in wanted.items()):
        raise BundleBroken(problem=t("{path} is the entry of another statement", "{path} 是另一份声明的条目", path=path))


def check_chain(chain: Sequence[Statement], *, tenant: str) -> None:
    """Return when the statements lead from the import to the release: each reads what the one before made, audit and release the adapter.

    An evaluation is there only where its figures may leave. Of joined sets every one has its import, and none is here that the join did not read. Roles count, not only digests: a training run also reads an
    evaluation set, and a scan also makes a quarantine, and neither may stand in for the set itself.

    Raises: BundleBroken.
    """
    found = parts(chain)
    for number, statement in enumerate(chain, 1):
        if statement.predicate.tenant != tenant:
            raise BundleBroken(problem=t("statement {n} belongs to another workspace", "第 {n} 份声明属于别的工作区", n=number))
    if found.release.predicate.label != found.train.predicate.label:
        raise BundleBroken(problem=t("the release has another label than its data", "放行的标签与其数据不同"))
    if problem := flaw(found.chain):
        raise BundleBroken(problem=problem)
    if found.evaluation and (
        "plan" in found.train.predicate.figures
        or found.evaluation.predicate.figures.get("stays_inside") is not False
        or found.evaluation.predicate.label != found.train.predicate.label
    ):
        raise BundleBroken(problem=t("it holds an evaluation that was to stay inside", "其中有一份本应留在内部的评估"))
    adapters = {subject.sha256 for subject in found.train.subjects if subject.name == "adapter"}
    for n, after in enumerate(chain[len(found.chain) :], len(found.chain) + 1):
        if after.predicate.inputs.get("adapter") not in adapters:
            raise BundleBroken(
                problem=t(
                    "statement {n} ({after}) did not read the adapter that was trained",
                    "第 {n} 份声明（{after}）读的不是训练得到的适配器",
                    n=n,
                    after=after.step,
                )
            )


def check_release(release: Statement, *, digests: Mapping[str, str], weights: Sequence[str]) -> None:
    """Return when the release statement names the weights of this bundle, and no file that the bundle does not hold.

    digests: path inside the bundle -> SHA-256.  weights: the paths of what was learned.

    Raises: BundleBroken.
    """
    named = {(subject.name, subject.sha256) for subject in release.subjects}
    if not weights:
        raise BundleBroken(problem=t("it holds no weights", "其中没有权重"))
    for path in weights:
        if (path, digests[path]) not in named:
            raise BundleBroken(problem=t("{path} is not the file that was released", "{path} 不是被放行的文件", path=path))
    if any(digests.get(subject.name) != subject.sha256 for subject in release.subjects):
        raise BundleBroken(problem=t("the release names a file that is not here", "放行声明所指的文件不在其中"))
