# SPDX-License-Identifier: Apache-2.0
"""A command line comes in; the command it names is run; a failure goes out as one line and an exit status."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from containerctl import __version__
from containerctl.client import SOCKET, Failure
from containerctl.commands import HELP_OPTIONS, Settings, json_option
from containerctl.output import emit_json, escape

COMMANDS = (
    "run",
    "create",
    "rm",
    "rename",
    "ls",
    "show",
    "top",
    "limit",
    "set",
    "attach",
    "detach",
    "tasks",
    "which",
    "notify",
    "file",
    "owner",
    "events",
    "audit",
    "export",
    "doctor",
    "completion",
)


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for, so that starting up costs no more than that command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"containerctl.commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


def _set_socket(ctx: click.Context, _param: click.Parameter, value: str) -> None:
    ctx.obj.socket = value


@click.group(
    cls=LazyGroup,
    no_args_is_help=False,
    context_settings=HELP_OPTIONS,
    epilog="\b\nExamples:\n  containerctl run -- make -j8\n  containerctl ls --json\n  containerctl doctor",
)
@click.option(
    "--socket",
    metavar="PATH",
    envvar="CONTAINERAGENT_SOCKET",
    default=SOCKET,
    show_default=True,
    show_envvar=True,
    expose_value=False,
    callback=_set_socket,
    help="The agent's socket.",
)
@json_option
@click.version_option(__version__, prog_name="containerctl", message="%(prog)s %(version)s")
def cli() -> None:
    """Count and manage the tasks and pages of containers (cgroups) through containeragent."""


def main() -> NoReturn:
    """The installed command."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the locale cannot show must not end in a traceback.
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(_status(sys.argv[1:]))


def _status(arguments: Sequence[str]) -> int:
    settings = Settings()
    try:
        status = cli.main(list(arguments), prog_name="containerctl", standalone_mode=False, obj=settings)
        return status if isinstance(status, int) else 0
    except click.UsageError as error:
        # Parsing may have stopped before it came to --json.
        settings.json = settings.json or "--json" in arguments
        command = error.ctx.command_path if error.ctx else "containerctl"
        message = f"{error.format_message().rstrip('.?')}; see {command} --help"
        return _fail(settings, Failure("EINVAL", message, status=2))
    except Failure as failure:
        return _fail(settings, failure)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        # The API's errors are Failures by now: this was our own output, onto a full disk for example.
        _silence(sys.stdout)
        return _fail(Settings(), Failure("EIO", f"cannot write the output: {error.strerror or error}"))


def _fail(settings: Settings, failure: Failure) -> int:
    line = " ".join(failure.message.split())
    try:
        if settings.json and not failure.shown:
            emit_json({"error": {"code": failure.code, "message": line}})
    except OSError:
        _silence(sys.stdout)
    try:
        click.echo(f"containerctl: {escape(line)}", err=True)
    except OSError:
        _silence(sys.stderr)
    return failure.status


def _silence(stream: object) -> None:
    """Let what is still buffered go nowhere, or the interpreter would complain about it when it ends."""
    with suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[attr-defined]
