# SPDX-License-Identifier: Apache-2.0
"""`containerctl rename`: two names go to the agent, the container comes back under the second."""

import click

from containerctl.commands import Settings, command, container_name
from containerctl.output import emit_json


@command("rename web web-old", "rename shop/web shop/www")
@click.argument("old", type=container_name)
@click.argument("new", type=container_name)
@click.pass_obj
def rename(settings: Settings, old: str, new: str) -> None:
    """Give the container OLD the name NEW, below the same parent.

    Nothing is moved or interrupted: tasks, children, counters and limits stay.
    """
    renamed = settings.client().document("POST", "/v1/container/rename", {"name": old}, {"to": new})
    if settings.json:
        emit_json(renamed)
