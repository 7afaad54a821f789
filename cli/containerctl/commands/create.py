# SPDX-License-Identifier: Apache-2.0
"""`containerctl create`: a name goes to the agent, a new container comes back."""

from typing import Any

import click

from containerctl.commands import Settings, asked_limits, command, container_name, limit_options
from containerctl.output import emit_json


@command(
    "create --parents shop/web/cache",
    "create bob --owner bob --task-limit 100 --page-limit 1G",
    "create job --remove-on-release",
)
@click.argument("name", type=container_name)
@click.option("--parents", is_flag=True, help="Create missing parents too.")
@click.option(
    "--notify-on-release/--no-notify-on-release",
    default=None,
    help="Run the release agent when nothing is left in it.  [default: as its parent]",
)
@click.option("--remove-on-release", is_flag=True, default=None, help="Remove it when nothing is left in it.")
@click.option("--owner", metavar="USER", help="Who may do everything inside it.  [default: whose its parent is]")
@limit_options
@click.pass_obj
def create(settings: Settings, /, name: str, parents: bool, **options: Any) -> None:
    """Create the container NAME."""
    body = {"name": name, "parents": parents, **asked_limits(options)}
    created = settings.client().document("POST", "/v1/containers", body=body)
    if settings.json:
        emit_json(created)
