# SPDX-License-Identifier: Apache-2.0
"""`containerctl rm`: a name goes to the agent, the names of what is gone come back."""

import click

from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import emit_json


@command("rm web", "rm --recursive shop")
@click.argument("name", type=container_name, shell_complete=container_names)
@click.option("--recursive", is_flag=True, help="Kill its tasks and remove its children too.")
@click.pass_obj
def rm(settings: Settings, name: str, recursive: bool) -> None:
    """Remove the container NAME; refused while it has tasks or children."""
    query = {"name": name, "recursive": "true" if recursive else "false"}
    removed = settings.client().document("DELETE", "/v1/container", query)
    if settings.json:
        emit_json(removed)
