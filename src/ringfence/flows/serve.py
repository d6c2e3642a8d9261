"""Serve: a verified bundle answers OpenAI clients on this machine."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING

from ringfence.core.digest import sha256
from ringfence.core.environment import cores
from ringfence.core.errors import (
    AmbiguousName,
    BadArgument,
    BundleUnreadable,
    NotLoopback,
    NotServable,
    RingfenceError,
    ServerMissing,
    UnknownRun,
)
from ringfence.core.order import Progress
from ringfence.core.public_keys import PublicKeys
from ringfence.core.text import t
from ringfence.deid.settings import DeidSettings, kinds
from ringfence.flows.chat import Speaker, refuse_reward, with_filter, work_for
from ringfence.flows.guard import FROM_ELSEWHERE, Choice, Guarding, of_bundle, refuse_on, released
from ringfence.jobs.start import Handlers, start
from ringfence.models import store as models
from ringfence.release.manifest import MANIFEST
from ringfence.release.verify import verify_bundle
from ringfence.serve.desk import Desk
from ringfence.serve.settings import ServeFigures, ServeSettings
from ringfence.serve.supervisor import Supervisor
from ringfence.vault.files import read_file
from ringfence.workspace.entries import Alarm, Filtered, Guarded, Opened
from ringfence.workspace.space import Workspace

if TYPE_CHECKING:
    from ringfence.serve.front import Served

_TOKEN = (16, 512)  # least and most characters
_ENDING = 15.0  # s for an engine to end


@dataclass(frozen=True)
class Bundle:
    """A bundle to serve. `alarm`, where its audit left a canary filter: conversation -> answer so far -> how many canaries it tells."""

    folder: Path
    public: PublicKeys
    name: str
    run: str
    alarm: Callable[[str], Callable[[str], int]] | None = None
    space: Workspace | None = None
    guarding: Guarding = FROM_ELSEWHERE

    def speaker(self) -> Speaker:
        """Return what the engine opens, verified anew: an engine that is started again must not open what was altered since.

        Raises: BundleUnreadable, BundleBroken, WrongSigner, ModelUnknown, ModelBroken.
        """
        report = verify_bundle(self.folder, self.public)
        return Speaker(models.verify(report.manifest.base.digest), bundle=self.folder, guarding=self.guarding)

    def record(self, count: int) -> None:
        """Put an alarm on record, where there is a workspace.

        Raises: Busy, LedgerUnavailable.
        """
        self._record(Alarm(run=self.run, name=self.name, count=count))

    def record_masked(self, profile: str, masked: Mapping[str, int]) -> None:
        """Put on record what a filter masked, where there is a workspace.

        Raises: Busy, LedgerUnavailable.
        """
        self._record(Filtered(run=self.run, name=self.name, profile=profile, masked=dict(sorted(masked.items()))))

    def record_blocked(self, answers: int, blocked: int) -> None:
        """Put on record how many tokens a replay guard refused, in how many answers, where there is a workspace.

        Raises: Busy, LedgerUnavailable.
        """
        self._record(Guarded(run=self.run, name=self.name, answers=answers, blocked=blocked))

    def _record(self, entry: Alarm | Filtered | Guarded) -> None:
        if self.space is not None:
            with self.space.locked():
                self.space.record(entry)


def from_elsewhere(folder: Path, public: PublicKeys, *, guard: Choice = "auto") -> Bundle:
    """Return a bundle that passed verification under its owner's public keys. There is no canary alarm and no replay guard: their filters never leave their vault.

    Raises: GuardRefused where a guard is to be on; OnlyScores, BundleUnreadable, BundleBroken, WrongSigner.
    """
    refuse_on(guard)
    report = verify_bundle(folder, public)
    refuse_reward(report.chain, name=str(folder))
    return Bundle(folder, public, report.manifest.name, report.manifest.run)


def from_workspace(space: Workspace, target: str, *, guard: Choice = "auto", show: Callable[[Progress], None] = lambda _: None) -> Bundle:
    """Return a released bundle by its name or folder, with its canary alarm where the audit left a filter; serving it is put on record.

    guard: whether its answers pass a replay guard. show: how far the building of one is.

    Raises: NotServable for an unreleased run, and what `from_elsewhere` and `of_adapter` raise.
    """
    folder = space.path / "releases" / target if target in space.state.releases else Path(target)
    if not folder.is_dir() and _is_run(space, target):
        raise NotServable(run=target)
    if not target:
        raise BundleUnreadable(path=target)
    bundle = from_elsewhere(folder, space.public)
    passed = of_bundle(space, folder, guard, show=show)
    entry = released(space, folder)
    with space.locked():
        space.record(Opened(object=entry.adapter if entry else sha256((folder / MANIFEST).read_bytes()), purpose="serve"))
    return replace(bundle, alarm=_filter(space, entry.adapter) if entry else None, space=space, guarding=passed)


def _is_run(space: Workspace, name: str) -> bool:
    try:
        space.state.run(name)
    except UnknownRun:
        return False
    except AmbiguousName:
        return True
    return True


def _filter(space: Workspace, adapter: str) -> Callable[[str], Callable[[str], int]] | None:
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

    ready: the address and whether there is a canary alarm. alarm: how many canaries, and why it is not on record where it is not.
    """

    ready: Callable[[str, bool], None]
    request: Callable[[Served], None] = lambda _: None
    alarm: Callable[[int, RingfenceError | None], None] = lambda *_: None
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
    bundle: Bundle, listener: socket.socket, *, token: str, max_new_tokens: int, watcher: Watcher, profile: DeidSettings | None = None
) -> Signals | None:
    """Answer requests until SIGINT or SIGTERM and return which; the engine has ended and the port is closed by then.

    max_new_tokens: of one answer at most.  profile: whose identifiers are masked in the answers; how many is put on record at the end, and how many tokens the
    replay guard refused.

    Raises: TaggerMissing, ModelBroken; what the first engine failed of; BundleBroken and others when the bundle was altered since; JobMisbehaved.
    """
    from ringfence.serve.front import Front, run  # noqa: PLC0415  an extra: the base install has no web server

    with_filter(profile)  # here, too: what is missing is said before a sandbox starts
    desk = Desk(kinds=frozenset(kinds()) if profile else None, is_guarded=bundle.guarding.guard is not None)
    engine = Supervisor(desk, lambda: run_engine(bundle, desk, profile), on_lost=watcher.lost).start()
    recording = threading.Lock()
    masked: Counter[str] = Counter()
    blocked: list[int] = []  # tokens that the guard refused, of each answer with one

    def alarmed(count: int) -> None:
        refused = None
        try:
            with recording:  # two answers may tell at once, and one process has one ledger
                bundle.record(count)
        except RingfenceError as error:  # the answer is cut all the same
            refused = error
        watcher.alarm(count, refused)

    def over(request: Served) -> None:
        masked.update(request.masked)
        blocked.extend([request.blocked] if request.blocked else [])
        watcher.request(request)

    front = Front(desk, bundle.name, token, max_new_tokens, alarm=bundle.alarm, on_alarm=alarmed, on_request=over)
    try:
        with listener:
            desk.wait()
            came = (
                None
                if desk.has_closed()
                else run(front, listener, on_ready=lambda: watcher.ready(_url(listener), bundle.alarm is not None))
            )
    finally:
        desk.close()
        engine.join(_ENDING)
    if profile and masked:
        bundle.record_masked(profile.profile, masked)
    if blocked:
        bundle.record_blocked(len(blocked), sum(blocked))
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


def run_engine(bundle: Bundle, desk: Desk, profile: DeidSettings | None = None) -> None:
    """Run one engine until the desk is closed."""
    spared = max(
        1, cores() - 1
    )  # one is the front's: the engine's threads wait for each other, so a single one without its core holds all up
    used = with_filter(profile)
    work = work_for(bundle.speaker(), "serve", ServeSettings(filter=used.settings if used else None), threads=spared, used=used)
    try:
        start(work, ServeFigures, handlers=Handlers(say=desk.say, hear=desk.hear, stop=_Patience(desk)))
    except TimeoutError:
        if not desk.has_closed():
            raise
