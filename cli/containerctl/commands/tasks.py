# SPDX-License-Identifier: Apache-2.0
"""`containerctl tasks`: a container's name goes to the agent, its sorted task ids come back, one a line."""

import click

from containerctl.commands import Name, Settings, command
from containerctl.output import emit_json, value


@command("tasks web", "tasks web | xargs ps -L -p")
@click.argument("name", type=Name())
@click.pass_obj
def tasks(settings: Settings, name: str) -> None:
    """List the task (thread) ids of the container NAME and everything below it."""
    ids = settings.client().array("GET", "/v1/container/tasks", {"name": name})
    if settings.json:
        emit_json(ids)
    elif ids:
        click.echo("\n".join(value(number) for number in ids))
