"""Serve: a verified bundle answers OpenAI clients on this machine."""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, get_args

from ringfence.core.digest import sha256
from ringfence.core.environment import cores, vllm_python
from ringfence.core.errors import (
    AmbiguousName,
    BadArgument,
    BundleBroken,
    BundleUnreadable,
    GuardRefused,
    NotByEngine,
    NotLoopback,
    NotServable,
    NotTogether,
    PythonUnfit,
    RingfenceError,
    ServerMissing,
    UnknownRun,
)
from ringfence.core.order import Progress
from ringfence.core.public_keys import PublicKeys
from ringfence.core.text import t
from ringfence.deid.settings import DeidSettings, kinds
from ringfence.deid.tagger import TAGGERS
from ringfence.flows.chat import Speaker, quantised_of, refuse_reward, with_filter, work_for
from ringfence.flows.extras import require_low_memory
from ringfence.flows.guard import FROM_ELSEWHERE, Choice, Guarding, of_bundle, refuse_on, released
from ringfence.jobs.start import Handlers, start
from ringfence.models import store as models
from ringfence.models.settings import Quantisation
from ringfence.models.store import ModelEntry
from ringfence.release.folder import claimed
from ringfence.release.manifest import CONFIG, Manifest
from ringfence.release.verify import verify_bundle
from ringfence.sandbox.cgroup import memory_here
from ringfence.sandbox.python import Python, of_environment
from ringfence.serve.desk import Desk
from ringfence.serve.settings import ACTIVE, RANKS, Engine, ServeFigures, ServeSettings
from ringfence.serve.supervisor import Supervisor
from ringfence.train.settings import RuntimeHints
from ringfence.vault.files import read_file
from ringfence.workspace.entries import Alarm, Filtered, Guarded, Opened
from ringfence.workspace.space import Workspace

if TYPE_CHECKING:
    from ringfence.serve.front import Served

_TOKEN = (16, 512)  # least and most characters
_NEEDED = ("vllm", "torch", "transformers", "pydantic", "tink")  # what an engine in an environment of its own imports
_ENDING = 15.0  # s for an engine to end


@dataclass(frozen=True)
class Computed:
    """By which engine answers are computed. python: under which it runs, where it has an environment of its own."""

    engine: Engine = "ringfence"
    python: Python | None = None


OURS = Computed()


def computed_by(engine: str, python: Path | None, profile: DeidSettings | None = None) -> Computed:
    """Return who computes. Asked for before anything is opened.

    python: of vLLM's environment; None: RINGFENCE_VLLM_PYTHON names it.  profile: of the answers' filter, which runs beside the engine.

    Raises: BadArgument, PythonUnfit.
    """
    if engine not in get_args(Engine):
        problem = t("there is no engine {name}: {names}", "没有引擎 {name}：{names}", name=engine, names=", ".join(get_args(Engine)))
        raise BadArgument(option="--engine", problem=problem, verb="serve")
    if engine == "ringfence":
        if python is not None:
            raise BadArgument(
                option="--engine-python", problem=t("it goes with --engine vllm", "它须与 --engine vllm 一起使用"), verb="serve"
            )
        return OURS
    path = python or vllm_python()
    if path is None:
        problem = t("--engine vllm needs the bin/python of vLLM's environment", "--engine vllm 需要 vLLM 所在环境的 bin/python")
        raise BadArgument(option="--engine-python", problem=problem, verb="serve")
    found = of_environment(path)
    taggers = [needs for name in profile.taggers if (needs := TAGGERS.create(name).needs)] if profile else []
    if missing := found.lacks(*_NEEDED, *(library for needs in taggers for library in needs.libraries)):
        raise PythonUnfit(path=str(path), problem=t("it lacks {names}", "其中缺少 {names}", names=", ".join(missing)))
    return Computed("vllm", found)


@dataclass(frozen=True)
class Bundle:
    """A bundle to serve.

    name: as clients know it. token: what a request for it must bring in place of the server's own.
    alarm, where its audit left a canary filter: conversation -> answer so far -> how many canaries it tells.
    """

    folder: Path
    public: PublicKeys
    manifest: Manifest
    name: str
    token: str | None = field(default=None, repr=False)
    alarm: Callable[[str, str], Callable[[str], int]] | None = None
    space: Workspace | None = None
    guarding: Guarding = FROM_ELSEWHERE
    quantised: Quantisation | None = None  # the base, as it was in training

    def speaker(self, model: ModelEntry) -> Speaker:
        """Return what the engine opens, verified anew: an engine that is started again must not open what was altered or put there since.

        Raises: BundleUnreadable, BundleBroken, WrongSigner.
        """
        if verify_bundle(self.folder, self.public).manifest != self.manifest:
            raise BundleBroken(problem=t("another bundle lies in its folder now", "其文件夹中现在是另一个发布包"))
        return Speaker(model, quantised=self.quantised, bundle=self.folder, guarding=self.guarding)

    def record(self, count: int) -> None:
        """Put an alarm on record, where there is a workspace.

        Raises: Busy, LedgerUnavailable.
        """
        self._record(Alarm(run=self.manifest.run, name=self.manifest.name, count=count))

    def record_masked(self, profile: str, masked: Mapping[str, int]) -> None:
        """Put on record what a filter masked, where there is a workspace.

        Raises: Busy, LedgerUnavailable.
        """
        self._record(Filtered(run=self.manifest.run, name=self.manifest.name, profile=profile, masked=dict(sorted(masked.items()))))

    def record_blocked(self, answers: int, blocked: int) -> None:
        """Put on record how many tokens a replay guard refused, in how many answers, where there is a workspace.

        Raises: Busy, LedgerUnavailable.
        """
        self._record(Guarded(run=self.manifest.run, name=self.manifest.name, answers=answers, blocked=blocked))

    def _record(self, entry: Alarm | Filtered | Guarded) -> None:
        if self.space is not None:
            with self.space.locked():
                self.space.record(entry)


def from_elsewhere(
    folders: Sequence[Path], public: PublicKeys, *, guard: Choice = "auto", named: Collection[str] = (), computed: Computed = OURS
) -> tuple[Bundle, ...]:
    """Return bundles that passed verification under their owner's public keys, and that one base model carries.

    There is no canary alarm and no replay guard: their filters never leave their vault.  named: names that must be among theirs.  computed: by which engine.

    Raises: GuardRefused where a guard is to be on; BadArgument for a name that none has, before any is verified; OnlyScores, BundleUnreadable, BundleBroken,
    WrongSigner; NotTogether, LowMemoryMissing, NotByEngine.
    """
    refuse_on(guard)
    manifests = [manifest for folder in folders if (manifest := claimed(folder))] if named else []
    if manifests and len(manifests) == len(folders):  # of one that cannot be read, verification says why
        _refuse_unserved(named, _names(manifests))
    reports = [verify_bundle(folder, public) for folder in folders]
    for folder, report in zip(folders, reports, strict=True):
        refuse_reward(report.chain, name=str(folder))
    manifests, held = [report.manifest for report in reports], [quantised_of(report) for report in reports]
    _refuse_strangers(manifests, held)
    require_low_memory(held[0])
    names = _names(manifests)
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise NotTogether(name=twice, why=t("another one has its name and its run", "另有一个与其同名且属于同一运行"))
    each = zip(folders, manifests, names, held, strict=True)
    opened = tuple(Bundle(folder, public, manifest, name, quantised=quantised) for folder, manifest, name, quantised in each)
    refuse_unread(opened, computed)
    return opened


def from_workspace(
    space: Workspace,
    targets: Sequence[str],
    *,
    guard: Choice = "auto",
    named: Collection[str] = (),
    computed: Computed = OURS,
    show: Callable[[Progress], None] = lambda _: None,
) -> tuple[Bundle, ...]:
    """Return released bundles by their names or folders, each with its canary alarm where its audit left a filter; serving them is put on record.

    guard: whether their answers pass a replay guard. named: names that must be among theirs. computed: by which engine. show: how far the building of a guard is.

    Raises: NotServable for an unreleased run, and what `from_elsewhere` and `of_adapter` raise.
    """
    bundles = from_elsewhere([_folder(space, target) for target in targets], space.public, named=named, computed=computed)
    opened = [replace(one, space=space, guarding=_guarding(space, one, guard, show)) for one in bundles]
    entries = [released(space, one.folder) for one in bundles]
    with space.locked():
        for bundle, entry in zip(opened, entries, strict=True):
            space.record(Opened(object=entry.adapter if entry else sha256(bundle.manifest.to_bytes()), purpose="serve"))
    return tuple(replace(one, alarm=_filter(space, entry.adapter)) if entry else one for one, entry in zip(opened, entries, strict=True))


def _folder(space: Workspace, target: str) -> Path:
    folder = space.path / "releases" / target if target in space.state.releases else Path(target)
    if not folder.is_dir() and _is_run(space, target):
        raise NotServable(run=target)
    if not target:
        raise BundleUnreadable(path=target)
    return folder


def _guarding(space: Workspace, bundle: Bundle, guard: Choice, show: Callable[[Progress], None]) -> Guarding:
    try:
        return of_bundle(space, bundle.folder, guard, show=show)
    except GuardRefused as cause:
        raise GuardRefused(why=f"{bundle.name}: {cause.facts['why']}") from cause


def _refuse_strangers(manifests: Sequence[Manifest], held: Sequence[Quantisation | None]) -> None:
    """Return when one base model carries all bundles. held: how the base of each was held in training.

    Raises: NotTogether.
    """
    first, *others = manifests
    for at, one in enumerate(others, start=1):
        if one in manifests[:at]:
            raise NotTogether(name=one.name, why=t("it is named twice", "它被写了两次"))
        if one.base.digest != first.base.digest:
            told = {"base": one.base.name, "other": first.base.name, "first": first.name}
            raise NotTogether(
                name=one.name,
                why=t("its base model is {base}, and that of {first} is {other}", "其基础模型为 {base}，而 {first} 的为 {other}", **told),
            )
        if held[at] != held[0]:
            why = t("its base is held in other bits than that of {first}", "其基础模型的位数与 {first} 的不同", first=first.name)
            raise NotTogether(name=one.name, why=why)
    for one in manifests if others else ():
        if CONFIG not in {file.path for file in one.files}:
            why = t("it holds the weights of a whole model, which no other bundle can share", "它含有整个模型的权重，其他发布包无法共用")
            raise NotTogether(name=one.name, why=why)


def _names(manifests: Sequence[Manifest]) -> list[str]:
    """Return what clients call each bundle: its name; where others have the same one, `NAME@RUN`, which stays so in whatever order they are served."""
    count = Counter(one.name for one in manifests)
    return [one.name if count[one.name] == 1 else f"{one.name}@{one.run}" for one in manifests]


def refuse_unread(bundles: Sequence[Bundle], computed: Computed) -> None:
    """Return when the engine reads all that the bundles hold.

    vLLM takes a LoRA adapter, beside a base that is held as it was trained.  Source: vLLM 0.32, config/lora.py and lora/peft_helper.py.

    Raises: NotByEngine.
    """
    for one in bundles if computed.engine == "vllm" else ():
        if why := _unread(one):
            raise NotByEngine(engine="vLLM", name=one.name, why=why)


def _unread(bundle: Bundle) -> str | None:
    """Return why vLLM would refuse what a verified bundle holds, or compute something else; None where it does neither."""
    if CONFIG not in {file.path for file in bundle.manifest.files}:
        return t("it holds the weights of a whole model", "它含有整个模型的权重")
    if bundle.quantised is not None:
        return t("its base was held in {bits} bits in training", "其基础模型在训练时以 {bits} 位保存", bits=bundle.quantised.bits)
    config = json.loads((bundle.folder / CONFIG).read_bytes())
    if config.get("peft_type") != "LORA":
        return t("its adapter is {kind}, and vLLM reads LoRA", "其适配器为 {kind}，而 vLLM 只读 LoRA", kind=config.get("peft_type"))
    if config.get("use_dora"):
        return t("its adapter is DoRA, and vLLM reads LoRA", "其适配器为 DoRA，而 vLLM 只读 LoRA")
    if config["r"] > RANKS[-1]:
        return t("its rank is {rank}, and vLLM has room for {most}", "其秩为 {rank}，而 vLLM 至多 {most}", rank=config["r"], most=RANKS[-1])
    return None


def _is_run(space: Workspace, name: str) -> bool:
    try:
        space.state.run(name)
    except UnknownRun:
        return False
    except AmbiguousName:
        return True
    return True


def _filter(space: Workspace, adapter: str) -> Callable[[str, str], Callable[[str], int]] | None:
    """Return what finds the canaries of an adapter in an answer, as its newest audit left it; None where none did."""
    audits = [run for run in space.state.runs.values() if run.intent.arrow == "audit" and run.intent.inputs.get("adapter") == adapter]
    left = [(run.index, made) for run in audits for made in run.made if made.role == "filter"]
    live = space.state.live()
    found = [(index, live[made.digest]) for index, made in left if made.digest in live]
    if not found:
        return None
    from ringfence.audit.filter import FILE, CanaryFilter  # noqa: PLC0415  only where there is one

    source = space.input(max(found, key=lambda one: one[0])[1])
    slot = source.slot.model_copy(update={"path": str(source.folder)})
    data = read_file(slot, space.keys.data_key(slot.slot), FILE)
    return CanaryFilter.from_bytes(data).watch


# ── serving ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Watcher:
    """Who is told what happens.

    ready: the address. alarm: whose answer, how many canaries, and why it is not on record where it is not.
    """

    ready: Callable[[str], None]
    request: Callable[[Served], None] = lambda _: None
    alarm: Callable[[str, int, RingfenceError | None], None] = lambda *_: None
    lost: Callable[[RingfenceError, float], None] = lambda *_: None


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a loopback address; port 0 takes any that is free.

    Raises: ServerMissing, NotLoopback, BadArgument.
    """
    try:
        import ringfence.serve.front  # noqa: PLC0415, F401  of an extra: that it is missing is said before anything is built
    except ImportError as cause:
        raise ServerMissing from cause
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise NotLoopback(host=host) from None
    if not address.is_loopback:
        raise NotLoopback(host=host)
    listener = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)  # noqa: PLR2004  the version's own number
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen(2048)
    except OSError as cause:
        listener.close()
        problem = t("nothing can listen on port {port}: {why}", "无法监听端口 {port}：{why}", port=port, why=cause.strerror or "-")
        raise BadArgument(option="--port", problem=problem, verb="serve") from cause
    return listener


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)


def read_tokens(files: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the tokens that files hold, each with the name of the bundle whose own it is, or with nothing. Asked for before anything is opened.

    files: NAME=FILE, or FILE; a file that is there by the whole of it is one.

    Raises: BadArgument.
    """
    found = []
    for given in files:
        name, is_named, path = given.partition("=")
        is_own = bool(is_named) and not Path(given).exists()
        found.append((name if is_own else "", read_token(Path(path if is_own else given))))
    return tuple(found)


def with_tokens(bundles: Sequence[Bundle], tokens: Sequence[tuple[str, str]]) -> tuple[tuple[Bundle, ...], str | None]:
    """Return the bundles with tokens of their own, and the token of the others. tokens: as `read_tokens` returns them; the last one counts.

    Raises: BadArgument for a name that no bundle has.
    """
    own = dict(tokens)
    shared = own.pop("", None)
    _refuse_unserved(own, [one.name for one in bundles])
    return tuple(replace(one, token=own.get(one.name)) for one in bundles), shared


def _refuse_unserved(named: Collection[str], served: Collection[str]) -> None:
    """Return when every bundle that a token is for is served.

    Raises: BadArgument.
    """
    if strange := next((name for name in named if name not in served), None):
        problem = t("no served bundle is called {name}", "提供服务的发布包中没有 {name}", name=strange)
        raise BadArgument(option="--token-file", problem=problem, verb="serve")


def read_token(path: Path) -> str:
    """Return the token that a file holds.

    Raises: BadArgument.
    """
    try:
        token = path.read_bytes().strip()
    except OSError as cause:
        problem = t("{path} cannot be read", "{path} 无法读取", path=path)
        raise BadArgument(option="--token-file", problem=problem, verb="serve") from cause
    least, most = _TOKEN
    if not (least <= len(token) <= most and all(0x21 <= byte <= 0x7E for byte in token)):  # noqa: PLR2004  visible ASCII
        problem = t(
            "a token has {least} to {most} visible ASCII characters", "令牌须为 {least} 到 {most} 个可见 ASCII 字符", least=least, most=most
        )
        raise BadArgument(option="--token-file", problem=problem, verb="serve")
    return token.decode("ascii")


def serve(
    bundles: Sequence[Bundle],
    listener: socket.socket,
    *,
    token: str | None,
    max_new_tokens: int,
    watcher: Watcher,
    profile: DeidSettings | None = None,
    computed: Computed = OURS,
) -> Signals | None:
    """Answer requests until SIGINT or SIGTERM and return which; the engine has ended and the port is closed by then.

    bundles: as `from_workspace` or `from_elsewhere` returned them together; a request names one.  token: for those that have none of their own.
    max_new_tokens: of one answer at most.  profile: whose identifiers are masked in the answers; how many is put on record at the end, and how many tokens the
    replay guard refused, of each bundle.  computed: by which engine.

    Raises: TaggerMissing, ModelBroken; what the first engine failed of; BundleBroken and others when a bundle was altered since; JobMisbehaved.
    """
    from ringfence.serve.front import Front, Model, run  # noqa: PLC0415  an extra: the base install has no web server

    with_filter(profile)  # here, too: what is missing is said before a sandbox starts
    guarded = frozenset(number for number, one in enumerate(bundles) if one.guarding.guard is not None)
    desk = Desk(active=ACTIVE[computed.engine], kinds=frozenset(kinds()) if profile else None, guarded=guarded)
    engine = Supervisor(desk, lambda: run_engine(bundles, desk, profile, computed=computed), on_lost=watcher.lost).start()
    recording = threading.Lock()
    of_name = {one.name: one for one in bundles}
    masked: dict[str, Counter[str]] = {name: Counter() for name in of_name}
    blocked: dict[str, list[int]] = {name: [] for name in of_name}  # tokens that the guard refused, of each answer with one

    def alarmed(name: str, count: int) -> None:
        refused = None
        try:
            with recording:  # two answers may tell at once, and one process has one ledger
                of_name[name].record(count)
        except RingfenceError as error:  # the answer is cut all the same
            refused = error
        watcher.alarm(name, count, refused)

    def over(request: Served) -> None:
        if request.model:
            masked[request.model].update(request.masked)
            blocked[request.model].extend([request.blocked] if request.blocked else [])
        watcher.request(request)

    models = [Model(one.name, one.alarm, one.token) for one in bundles]
    front = Front(desk, models, token, max_new_tokens, on_alarm=alarmed, on_request=over)
    try:
        with listener:
            desk.wait()
            came = None if desk.has_closed() else run(front, listener, on_ready=lambda: watcher.ready(_url(listener)))
    finally:
        desk.close()
        engine.join(_ENDING)
    for name, bundle in of_name.items():
        if profile and masked[name]:
            bundle.record_masked(profile.profile, masked[name])
        if blocked[name]:
            bundle.record_blocked(len(blocked[name]), sum(blocked[name]))
    if desk.end is not None:
        raise desk.end
    return came


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


@dataclass
class _Patience:
    """Ends an engine that does not end by itself once the desk is closed: it may be in the middle of a long prompt."""

    desk: Desk
    looks: int = field(default=12)  # about four a second

    def __call__(self) -> bool:
        """Return False, as long as there is patience.

        Raises: TimeoutError, which kills the engine.
        """
        self.looks -= self.desk.has_closed()
        if self.looks < 0:
            raise TimeoutError
        return False


def run_engine(
    bundles: Sequence[Bundle],
    desk: Desk,
    profile: DeidSettings | None = None,
    *,
    computed: Computed = OURS,
    hints: RuntimeHints = RuntimeHints(),  # noqa: B008  frozen
) -> None:
    """Run one engine for all bundles until the desk is closed. hints: where it computes, and in which precision.

    Raises: as `Bundle.speaker`; ModelUnknown, ModelBroken; SandboxError; JobMisbehaved.
    """
    spared = max(
        1, cores() - 1
    )  # one is the front's: the engine's threads wait for each other, so a single one without its core holds all up
    used = with_filter(profile)
    base = models.verify(bundles[0].manifest.base.digest)
    memory = memory_here() if computed.engine == "vllm" else None
    settings = ServeSettings(
        quantised=bundles[0].quantised, filter=used.settings if used else None, engine=computed.engine, memory=memory, hints=hints
    )
    work = work_for([one.speaker(base) for one in bundles], "serve", settings, threads=spared, used=used)
    try:
        start(work, ServeFigures, handlers=Handlers(say=desk.say, hear=desk.hear, stop=_Patience(desk)), python=computed.python)
    except TimeoutError:
        if not desk.has_closed():
            raise
