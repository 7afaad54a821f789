# SPDX-License-Identifier: Apache-2.0
"""`containerctl create`: a name goes to the agent, a new container comes back."""

import click

from containerctl.commands import Settings, command, container_name
from containerctl.output import emit_json


@command("create web", "create --parents shop/web/cache")
@click.argument("name", type=container_name)
@click.option("--parents", is_flag=True, help="Create missing parents too.")
@click.pass_obj
def create(settings: Settings, name: str, parents: bool) -> None:
    """Create the container NAME."""
    created = settings.client().document("POST", "/v1/containers", body={"name": name, "parents": parents})
    if settings.json:
        emit_json(created)
