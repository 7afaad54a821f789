# SPDX-License-Identifier: Apache-2.0
"""What every command shares: the settings, the options and the kinds of arguments; declarations come in, click commands go out."""

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

    def client(self, timeout_seconds: float = TIMEOUT_SECONDS) -> Client:
        return Client(self.socket, timeout_seconds)


class Name(click.ParamType):
    """A container's name; the leading slash may be left out. Whether the name is good is for the agent to say."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            # "/" + "" would be the root: rm "$UNSET" must not mean that.
            self.fail("a container's name cannot be empty", param, ctx)
        return value if value.startswith("/") else f"/{value}"


class Pid(click.ParamType):
    """A task's id. 0 is whoever called containerctl, which is the user's shell."""

    name = "pid"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        # int() alone would also take "1_000", " 7" and other scripts' digits
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= PID_MAX):
            self.fail(f"{text!r} is not a task's id, a number from 0 on", param, ctx)
        # The agent would take 0 for its peer, which is this process and about to end.
        return int(text) or os.getppid()


def _set_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.obj.json = True


json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_set_json, help="Print one JSON document instead of text."
)


def command(*examples: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command that takes --json and whose help ends with examples."""
    context_settings = {**HELP_OPTIONS, **settings.pop("context_settings", {})}
    epilog = "\b\nExamples:\n" + "\n".join(f"  containerctl {example}" for example in examples)

    def declare(function: Callable[..., Any]) -> click.Command:
        return click.command(context_settings=context_settings, epilog=epilog, **settings)(json_option(function))

    return declare
