"""`ringfence policy set|show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import emit, say, table, workspace
from ringfence.core.text import t

ORDER = 130


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("What may be trained and released.", "什么可以训练和放行。"), no_args_is_help=True)
    group.command(
        "set",
        help=t(
            "Sign a policy file into the ledger.\n\nExample: ringfence policy set policy.yaml",
            "把策略文件签入账本。\n\n示例：ringfence policy set policy.yaml",
        ),
    )(set_)
    group.command("show", help=t("Print the policy in force.", "显示当前策略。"))(show)
    app.add_typer(group, name="policy")


def set_(file: Annotated[Path, typer.Argument(metavar="FILE", help=t("Policy file (YAML).", "策略文件（YAML）。"))]) -> None:
    """Sign a policy file into the ledger."""
    from ringfence.core.policy import looser, not_asked
    from ringfence.flows.policy import compared, explained, least_samples, left_out, read_policy, set_policy

    policy, space = read_policy(file), workspace()
    more = looser(space.policy(), policy)
    digest = set_policy(space, policy)
    least, meaning = least_samples(policy), explained(policy)

    def show_() -> None:
        say(t("✔ policy {digest} holds from here on", "✔ 策略 {digest} 自此生效", digest=digest[:12]))
        for sentence in [*left_out(policy), *meaning]:
            say(sentence)
        if more:
            say(t("It allows more than the policy before:", "它比之前的策略放宽了："))
            for line in compared(more):
                say(f"  {line}")
        if least:
            title = t("The least sample that can pass each limit:", "能通过各限值的最小样本：")
            columns = [t("rule", "规则"), t("limit", "限值"), t("least sample", "最小样本"), ""]
            table(title, columns, [list(one) for one in least])

    result = {
        "policy": digest,
        "least_samples": [one._asdict() for one in least],
        "meaning": meaning,
        "needs_audit": policy.release.needs_audit,
        "not_asked": not_asked(policy),
        "looser": [one._asdict() for one in more],
    }
    emit(result, show_)


def show() -> None:
    """Print the policy in force."""
    from ringfence.core.policy import not_asked
    from ringfence.flows.policy import as_yaml, explained, left_out

    space = workspace(unlock=False)
    policy = space.policy()
    note = t(
        "# The policy in force. To change it, edit a copy and sign that: ringfence policy set FILE",
        "# 当前生效的策略。如需修改，请编辑副本再签署：ringfence policy set FILE",
    )
    notes = "\n".join([note, *(f"# {sentence}" for sentence in [*left_out(policy), *explained(policy)])])
    result = {
        "policy": policy.model_dump(mode="json", exclude_none=True),
        "needs_audit": policy.release.needs_audit,
        "not_asked": not_asked(policy),
    }
    emit(result, lambda: say(f"{notes}\n{as_yaml(policy).rstrip()}"))
