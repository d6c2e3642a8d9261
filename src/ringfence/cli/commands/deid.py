"""`ringfence deid SET` and the commands below `ringfence deid`."""

from __future__ import annotations

import importlib
import pkgutil

import click
import typer
from typer.core import TyperGroup

from ringfence.cli import deid
from ringfence.core.text import t

ORDER = 40
_DEFAULT = "mask"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        cls=_MaskByDefault,
        help=t(
            "De-identification: mask a set, and what belongs to it. `deid SET` is short for `deid mask SET`.\n\n"
            "Examples:\n\n  ringfence deid clinic --profile medical-zh\n\n  ringfence deid mask --help",
            "脱敏：处理数据集及相关事项。`deid SET` 是 `deid mask SET` 的简写。\n\n"
            "示例：\n\n  ringfence deid clinic --profile medical-zh\n\n  ringfence deid mask --help",
        ),
        no_args_is_help=True,
    )
    modules = [importlib.import_module(f"{deid.__name__}.{found.name}") for found in pkgutil.iter_modules(deid.__path__)]
    for module in sorted(modules, key=lambda module: module.ORDER):
        module.register(group)
    app.add_typer(group, name="deid")


class _MaskByDefault(TyperGroup):
    """Reads what is no command as the arguments of `mask`; a set that is called like a command is masked by `deid mask SET`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments of the group."""
        asks_for_help = bool(args) and args[0] in ctx.help_option_names
        if args and args[0] not in self.commands and not asks_for_help:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)
