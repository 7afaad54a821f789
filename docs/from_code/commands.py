# SPDX-License-Identifier: Apache-2.0
"""The help of every command, as `--help` prints it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from containeragent.main import cli as agent
from containerctl.main import cli as ctl

_COLUMNS = 100


def text() -> str:
    """A section a program, one below it a command."""
    return "\n".join(
        part for name, program in (("containerctl", ctl), ("containeragent", agent)) for part in _of(name, program)
    )


def _of(name: str, program: click.Group) -> Iterator[str]:
    above = click.Context(program, info_name=name, max_content_width=_COLUMNS, terminal_width=_COLUMNS)
    yield _section(2, name, program.get_help(above))
    for command_name in program.list_commands(above):
        command = program.get_command(above, command_name)
        if command is not None and not command.hidden:
            context = click.Context(command, parent=above, info_name=command_name)
            yield _section(3, f"{name} {command_name}", command.get_help(context))


def _section(level: int, title: str, shown: str) -> str:
    return f"{'#' * level} {title}\n\n```text\n{shown}\n```\n"
