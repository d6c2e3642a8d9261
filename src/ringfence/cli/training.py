"""What `train` and `run resume` share: the bar, the summary, and a run that outlives the terminal."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringfence.cli.candidates import note_unreviewed
from ringfence.cli.context import advise, clock, emit, options, progress, say, secret
from ringfence.cli.words import lifetime_told, word
from ringfence.core import text
from ringfence.core.bounds import epsilon_told, exact
from ringfence.core.errors import JobDied, OutOfMemory
from ringfence.core.text import t

if TYPE_CHECKING:
    from ringfence.flows.memory import Expected
    from ringfence.flows.train import Price, Trained
    from ringfence.recipe.read import Recipe
    from ringfence.train.settings import PriceFigures, TrainFigures
    from ringfence.workspace.space import Workspace
    from ringfence.workspace.state import Run

AnnounceFd = Annotated[int | None, typer.Option("--announce-fd", hidden=True)]


def follow(space: Workspace, *, plan: Recipe | None = None, again: Run | None = None, announce: int | None = None) -> None:
    """Train or resume with a bar, and print what was made.

    announce: the descriptor on which a detached run tells its id.
    """
    from ringfence.flows.train import resume, train

    started = announcing(announce, is_kept=plan is None or plan.order.train.drawn is None)
    if plan is not None:
        bring_sets(space, plan)
        note_before(space, plan)
    with progress(t("train", "训练")) as bar:
        if again is not None:
            trained = resume(space, again, show=bar, started=started)
        elif plan is not None:
            trained = train(space, plan, show=bar, started=started)
    planted = [
        one.made.stage for one in space.state.things.values() if one.made.digest == trained.committed.statement.predicate.inputs["set"]
    ]
    show_trained(trained, is_planted="planted" in planted, needs_audit=space.policy().release.needs_audit)


def announcing(announce: int | None, *, is_kept: bool = True) -> Callable[[str], None]:
    """Return what is called with the id of each run that begins: it tells the person, or the first one on the descriptor `announce`.

    is_kept: a run that is stopped leaves a checkpoint.
    """
    waiting = [] if announce is None else [announce]

    def started(run: str) -> None:
        if waiting:
            with contextlib.suppress(BrokenPipeError), os.fdopen(waiting.pop(), "wb") as pipe:  # whoever asked may be gone; the run goes on
                pipe.write(f"{run}\n".encode())
        elif not options().quiet:
            line = t("run {run} (Ctrl-C stops, and nothing of it is kept)", "运行 {run}（Ctrl-C 停止，不保留任何内容）", run=run)
            if is_kept:
                line = t("run {run} (Ctrl-C saves a checkpoint and stops)", "运行 {run}（Ctrl-C 保存检查点并停止）", run=run)
            print(line, file=sys.stderr, flush=True)

    return started


def bring_sets(space: Workspace, plan: Recipe, *, dry_run: bool = False) -> None:
    """Import the sets that a recipe names and only `dataset_info.json` knows, and say so; a dry run refuses them, as it writes nothing."""
    from ringfence.flows.lookup import bring_in, refuse_absent, refuse_unprepared

    refuse_unprepared(space, plan)
    if dry_run:
        refuse_absent(space, plan)
        return
    with progress(t("import", "导入")) as bar:
        for brought in bring_in(space, plan, show=bar):
            line = t(
                "✔ {name}@sealed  {rows} rows of {path}",
                "✔ {name}@sealed  {path} 的 {rows} 行",
                name=brought.name,
                rows=brought.figures.rows,
                path=brought.path,
            )
            if not options().quiet:
                print(line, file=sys.stderr, flush=True)


def note_before(space: Workspace, plan: Recipe) -> None:
    """Say what a person may want to change before a run: no canaries where an audit will be asked for, or terms that nobody has decided on."""
    _note_missing_canaries(space, plan)
    for name in plan.datasets:
        note_unreviewed(space, name)


def _note_missing_canaries(space: Workspace, plan: Recipe) -> None:
    if plan.audit is None and space.policy().release.needs_audit and not options().quiet:
        note = t(
            "note: the policy asks for an audit before a release, and this recipe plants no canaries (audit: block)",
            "提示：策略要求放行前审计，而此配方没有植入金丝雀（audit: 块）",
        )
        print(note, file=sys.stderr, flush=True)


def show_trained(trained: Trained, *, is_planted: bool = False, needs_audit: bool = False) -> None:
    """Print a finished run.

    is_planted: its set holds canaries, so that it can be audited.  needs_audit: without one the policy releases nothing.
    """
    figures, run = trained.figures, trained.committed.run

    def show() -> None:
        a, b = (figures.rewards[0], figures.rewards[-1]) if figures.rewards else (figures.loss_first, figures.loss_last)
        say(
            t(
                "✔ {run}  {steps} steps, {what} {a:.3f} → {b:.3f}, {s:.2f} s a step on {device} ({dtype})",
                "✔ {run}  {steps} 步，{what} {a:.3f} → {b:.3f}，每步 {s:.2f} 秒，{device}（{dtype}）",
                run=run,
                steps=figures.steps,
                what=t("reward", "奖励") if figures.rewards else t("loss", "损失"),
                a=math.nan if a is None else a,
                b=math.nan if b is None else b,
                s=figures.seconds_per_step,
                device=_devices(figures),
                dtype=figures.dtype,
            )
        )
        if figures.rewards:
            say(_drew(figures))
        if plan := trained.plan:
            say(f"  {plan.statement()}")
            if figures.steps < plan.steps:
                say(
                    t(
                        "  {made} updates of {planned}: the run was interrupted, and what it had been granted stays spent",
                        "  完成 {made}/{planned} 次更新：运行曾被中断，已授予的步数视为已用",
                        made=figures.steps,
                        planned=plan.steps,
                    )
                )
        if figures.eval_before is not None and figures.eval_after is not None:
            say(
                t(
                    "  held-out loss {a:.3f} → {b:.3f} on {n} rows",
                    "  留出集损失 {a:.3f} → {b:.3f}（{n} 行）",
                    a=figures.eval_before,
                    b=figures.eval_after,
                    n=figures.eval_rows,
                )
            )

        if trained.plan:
            say(t("  losses are of real rows: no ε covers them, and they stay inside", "  损失来自真实数据行：不受 ε 保护，须留在内部"))
        if figures.dropped or figures.truncated:
            say(
                t(
                    "  {dropped} rows had no question within cutoff_len and were left out",
                    "  {dropped} 行在 cutoff_len 内没有问题，未使用",
                    dropped=figures.dropped,
                )
                if figures.rewards
                else t(
                    "  {dropped} rows had no answer within cutoff_len and were left out; {cut} were cut, by {tokens} tokens",
                    "  {dropped} 行在 cutoff_len 内没有回答，未使用；{cut} 行被截断，共截去 {tokens} 词元",
                    dropped=figures.dropped,
                    cut=figures.truncated,
                    tokens=figures.tokens_cut,
                )
            )

    promise = (
        {
            "plan": trained.plan.model_dump(mode="json"),
            "granted": trained.granted,
            "not_private": _not_private(figures),
        }
        if trained.plan
        else {}
    )
    emit({"run": run, "adapter": trained.committed.things["adapter"].made.digest, **figures.model_dump(mode="json"), **promise}, show)
    if is_planted or not needs_audit:
        advise(f"ringfence audit {run}" if is_planted else f"ringfence release {run} --name NAME")


def _not_private(figures: TrainFigures | PriceFigures) -> list[str]:
    """Return the names of what was computed from private rows: no ε covers it, and it stays inside."""
    return sorted(type(figures).model_fields.keys() - figures.public())


def _drew(figures: TrainFigures) -> str:
    """Return the line of a run that learned from answers of its own: how long they are, how far it went, and what it does not promise."""
    far = t(", KL {kl:.4f}", "，KL {kl:.4f}", kl=figures.kls[-1]) if figures.kls else ""
    return t(
        "  answers of {n:.0f} tokens{far}; learned by TRL, without a privacy guarantee",
        "  回答 {n:.0f} 词元{far}；由 TRL 训练，没有隐私保证",
        n=figures.answer_tokens[-1],
        far=far,
    )


def foretell(space: Workspace, plan: Recipe) -> None:
    """Price a run with a bar, and print what it would cost and write."""
    from ringfence.flows.train import price

    bring_sets(space, plan, dry_run=True)
    note_before(space, plan)

    def started() -> None:
        if not options().quiet:
            print(t("timing a few steps in the sandbox …", "正在沙箱中为几步计时……"), file=sys.stderr, flush=True)

    with progress(t("price", "估算")) as bar:
        found = price(space, plan, show=bar, started=started)
    _show_price(plan, found)


def _reads(figures: PriceFigures) -> str:
    rows = t(
        "  rows     {rows} with an answer ({dropped} without), longest {longest} tokens",
        "  行数     {rows} 行有回答（{dropped} 行没有），最长 {longest} 词元",
        rows=figures.rows,
        dropped=figures.dropped,
        longest=figures.longest,
    )
    cut = t(
        "           {n} tokens after cutoff_len are not learned", "           cutoff_len 之后的 {n} 词元不会被学习", n=figures.tokens_cut
    )
    return f"{rows}\n{cut}" if figures.tokens_cut else rows


def _show_price(plan: Recipe, price: Price) -> None:
    figures, every, promised = price.figures, plan.order.train.save_steps, _promised(price)
    written = ("adapter", "figures", "statement", *(("checkpoint",) if every else ()))

    def show() -> None:
        say(t("Plan   {model} on {data}", "计划   {model}，数据 {data}", model=plan.model, data=plan.dataset))
        say(_reads(figures))
        say(
            t(
                "  work     {steps} steps, {tokens} tokens, {device} {dtype}",
                "  工作量   {steps} 步，{tokens} 词元，{device} {dtype}",
                steps=figures.steps,
                tokens=figures.tokens,
                device=_devices(figures),
                dtype=figures.dtype,
            )
        )
        say(_learns(plan, figures.learning_rate))
        say(t("  time     about {time}", "  时间     约 {time}", time=clock(figures.seconds)))
        if figures.directions:
            say(
                t(
                    "           of it {time} for the directions of GaLore: {n} × {s:.1f} s",
                    "           其中 {time} 用于寻找 GaLore 的方向：{n} × {s:.1f} 秒",
                    time=clock(figures.directions * figures.seconds_directions),
                    n=figures.directions,
                    s=figures.seconds_directions,
                )
            )
        if plan.order.train.drawn:
            say(
                t(
                    "           as long as answers stay as long as they are now; without a privacy guarantee",
                    "           前提是回答的长度与现在相当；没有隐私保证",
                )
            )
        say(t("  RAM      about {gb:.1f} GiB", "  内存     约 {gb:.1f} GiB", gb=figures.peak_memory / 2**30))
        for line in _promise(price, promised):
            say(line)
        for line in _memory(price.memory) if price.memory else ():
            say(line)
        if price.reach:
            from ringfence.cli.audits import show_reach

            show_reach(price.reach, price.missing)
        parts = ", ".join(word(kind) for kind in written)
        say(t("  writes   {parts}; all sealed but the statement", "  写出     {parts}；除声明外均封存", parts=parts))
        if every:
            say(t("           a checkpoint every {n} steps replaces the one before", "           每 {n} 步一个检查点，取代前一个", n=every))
        say(t("Nothing was started.", "尚未启动任何任务。"))

    learns = plan.order.train.model_dump(mode="json", include={"optim", "momentum"})
    more = {"learns": learns, **promised}
    if price.memory:
        more["memory"] = price.memory.as_json()
    if price.reach:
        more["audit"] = {"reach": price.reach._asdict(), "missing": price.missing}
    emit({"plan": figures.model_dump(mode="json"), "model": plan.model, "dataset": plan.dataset, "writes": written, **more}, show)


def _learns(plan: Recipe, rate: float) -> str:
    """Return the line of what turns gradients into updates: a private recipe has other defaults than an ordinary one."""
    train = plan.order.train
    momentum = t(", momentum {m:g}", "，动量 {m:g}", m=train.momentum) if train.momentum else ""
    line = t(
        "  learns   by {name} at {rate:g}{momentum}",
        "  学习     {name}，学习率 {rate:g}{momentum}",
        name=train.optim,
        rate=rate,
        momentum=momentum,
    )
    if plan.privacy is not None and train.optim != "sgd":
        line += t(
            "; sgd learns more under noise: leave optim and learning_rate out", "；噪声下 sgd 学到更多：请不写 optim 与 learning_rate"
        )
    return line


def _devices(figures: TrainFigures | PriceFigures) -> str:
    return figures.device if figures.processes == 1 else f"{figures.processes} × {figures.device}"


def _promised(price: Price) -> dict[str, Any]:
    """Return what a private run promises, what it spends, and what it means to somebody with several units where each row is one."""
    if price.plan is None:
        return {}
    from ringfence.flows.budget import groups, overview

    together = {"groups": groups(price.plan)} if price.plan.unit is None else {}
    charged = [overview(account, more=price.plan) for account in price.accounts]
    return {"privacy": price.plan.model_dump(mode="json"), "budgets": charged, "not_private": _not_private(price.figures), **together}


def _promise(price: Price, promised: dict[str, Any]) -> Iterator[str]:
    if price.plan is None:
        return
    yield t("  privacy  {promise}", "  隐私     {promise}", promise=price.plan.statement())
    if together := promised.get("groups"):
        told = ", ".join(f"{one['units']}: {epsilon_told(one['epsilon'])}" for one in together)
        yield t("           ε of somebody with so many rows  {told}", "           拥有若干行的人的 ε  {told}", told=told)
    for account in promised["budgets"]:
        yield t(
            "  budget   ε {spent} spent and {held} reserved, {total} with this run, of {limit}; lifetime bound {bound}{whose}",
            "  预算     已用 ε {spent}，预留 {held}，加上本次运行 {total}，上限 {limit}；终身上限{bound}{whose}",
            spent=epsilon_told(account["spent"]),
            held=epsilon_told(account["reserved"]),
            total=epsilon_told(account["with_this_run"]),
            limit="-" if account["epsilon"] is None else exact(account["epsilon"]),
            bound=lifetime_told(account),
            whose=f" ({', '.join(account['sets'])})" if len(promised["budgets"]) > 1 else "",
        )
    yield t(
        "           rows, tokens, time and memory are of real rows: no ε covers them, and they stay inside",
        "           行数、词元数、用时与内存来自真实数据行：不受 ε 保护，须留在内部",
    )


def _memory(expected: Expected) -> Iterator[str]:
    """Yield what the run will remember, and how good such forecasts were so far."""
    once, often = expected.once, expected.repeated
    if once is None:
        yield t(
            "  memory   no forecast of memorisation yet: it takes five audited runs, there are {n}",
            "  记忆     尚无记忆泄露预测：需要五次已审计的运行，现有 {n} 次",
            n=expected.runs,
        )
        return
    yield t(
        "  memory   about {b:.1f} bits of exposure (of 19.9) for what stands in the data once; off by {e:.1f} on {n} runs so far",
        "  记忆     只出现一次的内容约 {b:.1f} 比特暴露度（满 19.9）；在已有 {n} 次运行上平均误差 {e:.1f}",
        b=once.bits,
        e=once.error,
        n=once.runs,
    )
    if often is not None:
        yield t(
            "           about {b:.1f} bits for the row that stands there {k} times",
            "           出现 {k} 次的那一行约 {b:.1f} 比特",
            b=often.bits,
            k=expected.repeats,
        )


def shared_as(processes: int | None, *, shard: bool) -> list[str]:
    """Return the options again that say how a run is shared."""
    return [*([] if processes is None else ["--processes", str(processes)]), *(["--shard"] if shard else [])]


def launch(arguments: list[str]) -> None:
    """Start the same command in a session of its own, hand it the secret through a pipe, and return once its run has an id.

    The id comes on a descriptor of its own, so nothing that the command prints can be mistaken for it.

    Raises: WrongPassphrase, OutOfMemory, JobDied. A command that ends before it has an id says so in its own words, and its exit code is ours.
    """
    from pathlib import Path

    from ringfence.vault.keys import KeyFile
    from ringfence.workspace.space import Workspace, find

    chosen = options()
    path = Path(chosen.workspace).resolve() if chosen.workspace else find(Path.cwd())
    held = secret()
    Workspace.open(path, held)  # a wrong passphrase is an error here, not in a log that nobody reads
    secret_in, secret_out = os.pipe()
    id_in, id_out = os.pipe()
    how = ["--key-file", f"/proc/self/fd/{secret_in}"] if isinstance(held, KeyFile) else ["--passphrase-fd", str(secret_in)]
    how += ["--lang", text.chosen(), *(["--json"] if chosen.json else []), *(["--quiet"] if chosen.quiet else [])]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # nameless: gone with their last reader
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "ringfence", "-w", str(path), *how, *arguments, "--announce-fd", str(id_out)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            pass_fds=(secret_in, id_out),
            start_new_session=True,
        )
        os.close(secret_in)
        os.close(id_out)
        with contextlib.suppress(BrokenPipeError), os.fdopen(secret_out, "wb") as pipe:
            pipe.write(held)
        run = _announced(child, id_in)
        if run is None:
            for file, stream in ((out, sys.stdout), (err, sys.stderr)):
                file.seek(0)
                print(file.read().decode(errors="replace"), file=stream, end="")
            status = child.wait()
            if status < 0:  # killed before it could say anything
                raise OutOfMemory if status == -signal.SIGKILL else JobDied(job="train", status=status, at="-")
            raise typer.Exit(status)
    emit({"run": run, "pid": child.pid}, lambda: say(t("✔ {run} goes on in the background", "✔ {run} 在后台继续", run=run)))
    advise(f"ringfence run watch {run}")


def _announced(child: subprocess.Popen[bytes], id_in: int) -> str | None:
    """Return the id of the child's run; None when it ended without one. Waits as long as the child lives."""
    with os.fdopen(id_in, "rb") as pipe:
        try:
            return pipe.readline().decode().strip() or None
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            raise
