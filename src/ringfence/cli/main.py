"""Builds the application, runs it, and turns every error into its sentences, remedy and exit code."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

import ringfence
from ringfence.cli import commands
from ringfence.cli.context import Options, emit, options, set_options
from ringfence.cli.helping import mend_help
from ringfence.cli.streams import finished, prepare_streams
from ringfence.cli.usage import as_ours
from ringfence.core import text
from ringfence.core.environment import language, silence_libraries
from ringfence.core.errors import Interrupted, RingfenceError
from ringfence.core.text import Language, t

# Options that may stand anywhere on the line; the value says whether an argument follows.
_GLOBAL = {
    "--workspace": True,
    "-w": True,
    "--passphrase-file": True,
    "--passphrase-fd": True,
    "--key-file": True,
    "--lang": True,
    "--json": False,
    "--quiet": False,
    "-q": False,
    "--verbose": False,
}


def main() -> None:
    """Run the command line and exit."""
    silence_libraries()
    prepare_streams()
    sys.exit(finished(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    arguments = hoisted(arguments)
    text.choose(_language(arguments))
    set_options(Options(json="--json" in arguments))
    try:
        result = application()(args=arguments, prog_name="ringfence", standalone_mode=False)
    except RingfenceError as error:
        return _report(error)
    except click.UsageError as error:
        return _report_usage(error)
    except (KeyboardInterrupt, click.Abort):
        return _report(Interrupted())
    except _BrokenPipe as error:
        return _report_unexpected(error.cause)
    except Exception as error:  # noqa: BLE001  the top of the command line: its text may quote a record, so only class and place are shown
        return _report_unexpected(error)
    return result if isinstance(result, int) else 0


class _BrokenPipe(Exception):
    """A pipe or socket other than standard output broke."""

    def __init__(self, cause: BrokenPipeError) -> None:
        super().__init__()
        self.cause = cause


class _Group(TyperGroup):
    """Lets no exception of a command become a bare exit code: Typer ends a broken pipe with 1 and Ctrl-C with 130, and says nothing."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  what a command returns
        """Return what the command returns.

        Raises: Interrupted.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as cause:
            raise Interrupted from cause
        except BrokenPipeError as cause:
            raise _BrokenPipe(cause) from cause

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the library's signature
        """Return the names in the order of the data; Typer would put those that have commands of their own last."""
        order = {module.__name__.rpartition(".")[2].rstrip("_"): module.ORDER for module in _modules()}
        return sorted(self.commands, key=order.__getitem__)


def hoisted(arguments: list[str]) -> list[str]:
    """Return the arguments with global options moved to the front, so that they may stand anywhere before `--`."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name = argument.partition("=")[0]
        if argument == "--":
            rest += [argument, *waiting]
        elif name in _GLOBAL:
            front.append(argument)
            if _GLOBAL[name] and "=" not in argument:
                front += [value for value in [next(waiting, None)] if value is not None]
        else:
            rest.append(argument)
    return front + rest


def application() -> typer.Typer:
    """Return the application with every command that is in the folder, in the order of the data."""
    mend_help()
    app = typer.Typer(
        name="ringfence",
        cls=_Group,
        help=t(
            "Fine-tune language models on private records inside your own boundary, and prove it.",
            "在自己的边界内用私有记录微调语言模型，并能证明这一点。",
        ),
        epilog=t(
            "The arrows, in order: import → scan → deid → train → audit → release → verify → chat · serve. Start with: ringfence init DIR",
            "步骤顺序：import → scan → deid → train → audit → release → verify → chat · serve。从 ringfence init DIR 开始",
        ),
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for module in _modules():
        module.register(app)
    return app


def _modules() -> list[Any]:
    """Return the modules of the folder `commands`, each named like its command, in their order."""
    modules = [importlib.import_module(f"{commands.__name__}.{found.name}") for found in pkgutil.iter_modules(commands.__path__)]
    return sorted(modules, key=lambda module: module.ORDER)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(ringfence.__version__)
        raise typer.Exit


def _root(
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", "-w", metavar="DIR", help=t("Workspace (default: here or above).", "工作区（默认：当前或上级目录）。")),
    ] = None,
    passphrase_file: Annotated[
        str | None, typer.Option("--passphrase-file", metavar="FILE", help=t("Read the passphrase from a file.", "从文件读取口令。"))
    ] = None,
    passphrase_fd: Annotated[
        int | None, typer.Option("--passphrase-fd", metavar="N", help=t("Read the passphrase from a descriptor.", "从文件描述符读取口令。"))
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option("--key-file", metavar="FILE", help=t("Open with a key file instead of a passphrase.", "用密钥文件代替口令。")),
    ] = None,
    lang: Annotated[
        str | None, typer.Option("--lang", metavar="zh|en", help=t("Language (default: from LANG).", "语言（默认取自 LANG）。"))
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help=t("One JSON object on standard output.", "在标准输出打印一个 JSON 对象。"))
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help=t("No progress, no advice.", "不显示进度与提示。"))] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help=t("Show where an unexpected error arose.", "显示意外错误发生的位置。"))
    ] = False,
    version: Annotated[  # noqa: ARG001  its callback prints and exits
        bool, typer.Option("--version", callback=_version, is_eager=True, help=t("Print the version.", "显示版本。"))
    ] = False,
) -> None:
    if lang is not None and lang not in ("zh", "en"):
        raise click.BadParameter(t("choose one of {known}", "请从 {known} 中选择", known="zh, en"), param_hint="--lang")
    set_options(
        Options(
            workspace=workspace,
            passphrase_file=passphrase_file,
            passphrase_fd=passphrase_fd,
            key_file=key_file,
            json=as_json,
            quiet=quiet,
            verbose=verbose,
        )
    )


def _language(arguments: list[str]) -> Language:
    for index, argument in enumerate(arguments):
        value = argument.partition("=")[2] if argument.startswith("--lang=") else ""
        if argument == "--lang" and index + 1 < len(arguments):
            value = arguments[index + 1]
        if value in ("zh", "en"):
            return "zh" if value == "zh" else "en"
    return language()


def _report(error: RingfenceError) -> int:
    what, remedy = error.sentences()
    document = {"code": error.code, "message": what, "remedy": remedy, "doc": f"ringfence explain {error.code}"}
    shown = f"✖ {error.code}  {what}\n  {t('do', '处理')}: {remedy}\n  {t('more', '详情')}: ringfence explain {error.code}"
    emit({"error": document}, lambda: print(shown, file=sys.stderr))
    return error.exit_code


def _report_usage(error: click.UsageError) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # the help itself
        return error.exit_code
    return _report(as_ours(error))


def _report_unexpected(error: Exception) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f"{f.filename.rpartition('/ringfence/')[2]}:{f.lineno}" for f in reversed(frames) if "/ringfence/" in f.filename), "?")
    if options().verbose:
        for frame in frames:  # places only: a message or a local could quote a record
            print(f"  {frame.filename}:{frame.lineno} {frame.name}", file=sys.stderr)

    class Unexpected(RingfenceError):
        """A fault of ringfence."""

        what = text.Text(f"unexpected {type(error).__name__} at {place}", f"意外错误 {type(error).__name__}，位置 {place}")

    return _report(Unexpected())
