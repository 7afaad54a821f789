# SPDX-License-Identifier: Apache-2.0
"""`containerctl tasks`: a container's name goes to the agent, its sorted task ids come back, one a line."""

import click

from containerctl.commands import Settings, command, container_name
from containerctl.output import emit_json, value


@command("tasks web", "tasks web | wc -l")
@click.argument("name", type=container_name)
@click.pass_obj
def tasks(settings: Settings, name: str) -> None:
    """List the tasks (thread ids) of the container NAME.

    Those of the containers below it are among them.
    """
    ids = settings.client().array("GET", "/v1/container/tasks", {"name": name}, int)
    if settings.json:
        emit_json(ids)
    elif ids:
        click.echo("\n".join(value(number) for number in ids))
