"""`ringfence serve`."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringfence.cli.answering import filter_option, guard_choice, guard_option, keys_option, tell_guard
from ringfence.cli.context import emit, options, progress, say
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.core.errors import RingfenceError
    from ringfence.flows.serve import Bundle
    from ringfence.serve.front import Served

ORDER = 85


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "serve",
        help=t(
            "Let OpenAI clients on this machine talk to a verified bundle: /v1/models, /v1/chat/completions, /v1/completions. Every request needs the token.\n\n"
            "Several bundles of one base model share its memory; a request names one as its model.\n\n"
            "Temperature and top_p are OpenAI's (1 where a request says nothing; 0 always takes the likeliest token). Ctrl-C ends it.\n\n"
            "Examples: ringfence serve clinic-lora · ringfence serve clinic-lora --port 8080 --token-file token · "
            "ringfence serve ./clinic-lora --keys hospital-keys.json · ringfence serve clinic-lora --filter default · "
            "ringfence serve clinic-lora ward-lora --token-file ward-lora=ward-token · ringfence serve clinic-lora --engine vllm --engine-python vllm-env/bin/python",
            "让本机的 OpenAI 客户端与已验证的发布包对话：/v1/models、/v1/chat/completions、/v1/completions。每个请求都需要令牌。\n\n"
            "同一基础模型的多个发布包共用其内存；请求以模型名指明其一。\n\n"
            "temperature 与 top_p 与 OpenAI 相同（请求未写明时为 1；0 表示总取最可能的词元）。Ctrl-C 结束。\n\n"
            "示例：ringfence serve clinic-lora · ringfence serve clinic-lora --port 8080 --token-file token · "
            "ringfence serve ./clinic-lora --keys hospital-keys.json · ringfence serve clinic-lora --filter default · "
            "ringfence serve clinic-lora ward-lora --token-file ward-lora=ward-token · ringfence serve clinic-lora --engine vllm --engine-python vllm-env/bin/python",
        ),
    )(serve)


def serve(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE...",
            help=t("Bundles (names or folders), all of one base model.", "发布包（名称或文件夹），须为同一基础模型。"),
        ),
    ],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help=t("Port; 0 takes a free one.", "端口；0 表示任取空闲端口。"))
    ] = 8000,
    host: Annotated[str, typer.Option("--host", help=t("Loopback address to listen on.", "监听的本机回环地址。"))] = "127.0.0.1",
    token_file: Annotated[
        list[str] | None,
        typer.Option(
            "--token-file",
            metavar="[NAME=]FILE",
            help=t(
                "File with the token (default: a new one is drawn and shown once); with NAME= of that bundle alone, which then opens to no other. Repeatable.",
                "存放令牌的文件（默认：新生成一个并显示一次）；带 NAME= 时仅用于该发布包，且其他令牌不能打开它。可重复。",
            ),
        ),
    ] = None,
    keys: Annotated[Path | None, keys_option()] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, max=4096, help=t("Longest answer, in tokens.", "回答的最大词元数。"))
    ] = 1024,
    filter_: Annotated[str | None, filter_option()] = None,
    guard: Annotated[str, guard_option()] = "auto",
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="ringfence|vllm",
            help=t(
                "What computes: ringfence's own engine, or vLLM, faster where many ask at once. The same controls hold.",
                "由什么计算：ringfence 自己的引擎，或 vLLM（同时提问者多时更快）。控制措施相同。",
            ),
        ),
    ] = "ringfence",
    engine_python: Annotated[
        Path | None,
        typer.Option(
            "--engine-python",
            metavar="PYTHON",
            help=t(
                "The bin/python of vLLM's environment (default: RINGFENCE_VLLM_PYTHON).",
                "vLLM 所在环境的 bin/python（默认：RINGFENCE_VLLM_PYTHON）。",
            ),
        ),
    ] = None,
) -> None:
    """Serve bundles."""
    from ringfence.cli.verifying import owner_space, public_keys
    from ringfence.deid.profile import settings_for
    from ringfence.flows import serve as flow

    profile = settings_for(filter_) if filter_ is not None else None
    choice, tokens = guard_choice(guard, "serve"), flow.read_tokens(token_file or ())
    named = [name for name, _ in tokens if name]
    computed = flow.computed_by(engine, engine_python, profile)
    with flow.listen(host, port) as listener:
        if keys is not None:
            opened = flow.from_elsewhere(list(map(Path, bundles)), public_keys(keys), guard=choice, named=named, computed=computed)
        else:
            space = owner_space("serve")
            with progress(t("replay guard", "复现防护")) as bar:
                opened = flow.from_workspace(space, bundles, guard=choice, named=named, computed=computed, show=bar)
        opened, given = flow.with_tokens(opened, tokens)
        is_drawn = given is None and not all(one.token for one in opened)
        token = flow.new_token() if is_drawn else given

        def ready(url: str) -> None:
            if is_drawn:
                _note(t("token (shown once): {token}", "令牌（仅显示一次）：{token}", token=token))
            for one in opened:
                _tell(one, is_alone=len(opened) == 1)
            found = [{"name": one.name, "alarm": one.alarm is not None, "guard": one.guarding.guard is not None} for one in opened]
            names = ", ".join(one.name for one in opened)
            emit(
                {"url": url, "engine": computed.engine, "filter": profile.profile if profile else None, "models": found},
                lambda: say(t("✔ {names} answers at {url}", "✔ {names} 已在 {url} 提供服务", names=names, url=url)),
            )
            sys.stdout.flush()

        watcher = flow.Watcher(ready=ready, request=_log, alarm=_alarm, lost=_lost)
        came = flow.serve(opened, listener, token=token, max_new_tokens=max_new_tokens, watcher=watcher, profile=profile, computed=computed)
    if came == SIGINT:
        raise KeyboardInterrupt


def _tell(bundle: Bundle, *, is_alone: bool) -> None:
    """Say what a bundle's answers do not pass, and that they pass a guard."""
    before = "" if is_alone else f"{bundle.name}: "
    if bundle.alarm is None:
        _note(
            before + t("no canary alarm: no audit of this bundle left a filter here", "没有金丝雀警报：此处没有该发布包的审计留下的过滤器")
        )
    tell_guard(bundle.guarding, before)


def _note(line: str) -> None:
    """Print a line on standard error where that can be: a full disk or a closed stream is no reason to end the service."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _log(request: Served) -> None:
    """Print one line for a request: never what was asked, answered or called."""
    if not options().quiet:
        from ringfence.workspace.entries import now

        line: dict[str, Any] = {"time": now()} | ({"model": request.model} if request.model else {})
        line |= {"status": request.status, "tokens": request.tokens, "seconds": round(request.seconds, 3)}
        line |= {"masked": dict(sorted(request.masked.items()))} if request.masked else {}
        line |= {"blocked": request.blocked} if request.blocked else {}
        _note(json.dumps(line))


def _alarm(name: str, count: int, error: RingfenceError | None) -> None:
    if error is None:
        kept = t("it is in the ledger", "已记入账本")
    else:
        what, remedy = error.sentences()
        kept = t("it could not be recorded: {code} {what}; {do}", "未能记录：{code} {what}；{do}", code=error.code, what=what, do=remedy)
    _note(
        t(
            "⚠ an answer of {name} was about to tell {count} planted canaries and was cut; {kept}",
            "⚠ {name} 的一个回答即将泄露 {count} 个植入的金丝雀，已被截断；{kept}",
            name=name,
            count=count,
            kept=kept,
        )
    )


def _lost(error: RingfenceError, seconds: float) -> None:
    what, _ = error.sentences()
    _note(
        t(
            "⚠ {code} {what}; a new engine starts in {seconds:g} s",
            "⚠ {code} {what}；{seconds:g} 秒后启动新的引擎",
            code=error.code,
            what=what,
            seconds=seconds,
        )
    )
