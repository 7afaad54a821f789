# SPDX-License-Identifier: Apache-2.0
"""What every command shares: settings, options, kinds of arguments; declarations come in, click commands go out."""

import os
from collections.abc import Callable
from typing import Any

import click

from containerctl.client import SOCKET, TIMEOUT_SECONDS, Client

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
PID_MAX = 2**31 - 1


class Settings:
    """What the global options said."""

    def __init__(self) -> None:
        self.socket = SOCKET
        self.json = False

    def client(self, timeout_seconds: float = TIMEOUT_SECONDS, tells: bool = True) -> Client:
        return Client(self.socket, timeout_seconds, tells)


def container_name(text: str) -> str:
    """A container's name; the leading slash may be left out. Whether the name is good is for the agent to say."""
    if not text:
        # "/" + "" would be the root: rm "$UNSET" must not mean that.
        raise click.BadParameter("a container's name cannot be empty")
    return text if text.startswith("/") else f"/{text}"


def task_id(text: str) -> int:
    """A task's id. 0 is whoever called containerctl, which is the user's shell."""
    # int() alone would also take "1_000", " 7" and other scripts' digits
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(PID_MAX)) and int(text) <= PID_MAX):
        raise click.BadParameter(f"{text!r} is not a task's id, a number from 0 on")
    # The agent would take 0 for its peer, which is this process and about to end.
    return int(text) or os.getppid()


def _set_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.obj.json = True


json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_set_json, help="Print one JSON document instead of text."
)


_LIMITS = (
    click.option("--task-limit", metavar="N|max", help="Most tasks at a time; a fork beyond fails with EAGAIN."),
    click.option("--page-limit", metavar="SIZE|max", help="Memory above which the kernel takes it back."),
    click.option("--kill-after", metavar="SECONDS|never", help="End it when it stays above the page limit this long."),
    click.option("--dry-run/--no-dry-run", default=None, help="Only log and count what the page limit would do."),
)


def limit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of limits; what is good is for the agent to say."""
    for option in reversed(_LIMITS):
        function = option(function)
    return function


def asked_limits(options: dict[str, Any]) -> dict[str, Any]:
    """Those that were given, as the API takes them."""
    return {key: value for key, value in options.items() if value is not None}


def command(*examples: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command that takes --json and whose help ends with examples."""
    context_settings = {**HELP_OPTIONS, **settings.pop("context_settings", {})}
    epilog = "\b\nExamples:\n" + "\n".join(f"  containerctl {example}" for example in examples)

    def declare(function: Callable[..., Any]) -> click.Command:
        decorate: Callable[[Callable[..., Any]], click.Command]
        decorate = click.command(context_settings=context_settings, epilog=epilog, **settings)
        return decorate(json_option(function))

    return declare
