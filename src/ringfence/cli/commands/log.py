"""`ringfence log verify|prove|export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.context import emit, say, workspace
from ringfence.core.text import t

ORDER = 150


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help=t("The ledger: what happened.", "账本：发生过什么。"), no_args_is_help=True)
    group.command("verify", help=t("Recompute the whole log against its signed checkpoint.", "按签名检查点重新计算整个账本。"))(verify)
    group.command(
        "prove",
        help=t(
            "Write an entry and the proof that it is in the log.\n\nExample: ringfence log prove 7 entry-7",
            "写出一个条目及其在账本中的证明。\n\n示例：ringfence log prove 7 entry-7",
        ),
    )(prove)
    group.command("export", help=t("Copy the log (tiles and checkpoint) to a folder.", "把账本（块与检查点）复制到文件夹。"))(export)
    app.add_typer(group, name="log")


def verify(
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            metavar="FILE",
            help=t("Public keys from elsewhere (default: the workspace's own).", "另行取得的公钥（默认用工作区自己的）。"),
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help=t("An exported log (default: the workspace's).", "导出的账本（默认为工作区的）。")),
    ] = None,
) -> None:
    """Recompute the whole log."""
    from ringfence.cli.verifying import owner_space, public_keys
    from ringfence.core.errors import BadArgument
    from ringfence.ledger.dsse import ed25519_public
    from ringfence.ledger.log import verify_log

    if folder and not (folder / "checkpoint").is_file():
        problem = t("{path} holds no exported log", "{path} 中没有导出的账本", path=folder)
        raise BadArgument(option="--folder", problem=problem, verb="log verify")
    space = None if keys and folder else owner_space("log verify", unlock=False)
    public = public_keys(keys) if keys else space.public  # type: ignore[union-attr]  # opened above whenever it is used
    where = folder or space.path / "ledger"  # type: ignore[union-attr]
    size = verify_log(where, public.origin, ed25519_public(public.ledger))
    emit(
        {"ok": True, "entries": size},
        lambda: say(t("✔ {n} entries match the signed checkpoint", "✔ {n} 个条目与签名检查点一致", n=size)),
    )


def prove(
    index: Annotated[int, typer.Argument(min=0, metavar="INDEX", help=t("Number of the entry.", "条目编号。"))],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help=t("Writes OUT.entry.json and OUT.proof.", "写出 OUT.entry.json 与 OUT.proof。"))
    ],
) -> None:
    """Write an entry and its proof."""
    from ringfence.cli.parse import new_path
    from ringfence.core.durable import write_atomic
    from ringfence.core.errors import BadArgument

    ledger = workspace(unlock=False).ledger
    if index >= ledger.size:
        raise BadArgument(option="INDEX", problem=t("the log has {n} entries", "账本有 {n} 个条目", n=ledger.size), verb="log prove")
    entry, proof = (new_path(out.absolute().with_name(out.name + ending), "OUT", "log prove") for ending in (".entry.json", ".proof"))
    write_atomic(entry, ledger.raw(index), mode=0o644)
    write_atomic(proof, ledger.prove(index), mode=0o644)
    emit({"entry": str(entry), "proof": str(proof)}, lambda: say(f"✔ {entry.name}  {proof.name}"))


def export(folder: Annotated[Path, typer.Argument(metavar="DIR", help=t("New folder.", "新文件夹。"))]) -> None:
    """Copy the log to a folder."""
    from ringfence.cli.parse import new_path

    ledger = workspace(unlock=False).ledger
    ledger.export(new_path(folder, "DIR", "log export"))
    emit(
        {"folder": str(folder), "entries": ledger.size},
        lambda: say(t("✔ {n} entries in {folder}", "✔ {folder} 中有 {n} 个条目", n=ledger.size, folder=folder)),
    )
