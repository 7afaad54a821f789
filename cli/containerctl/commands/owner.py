# SPDX-License-Identifier: Apache-2.0
"""`containerctl owner`: a user goes to the agent, whose the container and all that is in it are from then on."""

import click

from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import emit_json


@command("owner web bob", "owner web 1001", "owner web none")
@click.argument("name", type=container_name, shell_complete=container_names)
@click.argument("user", metavar="USER|none")
@click.pass_obj
def owner(settings: Settings, name: str, user: str) -> None:
    """Give the container NAME to a USER, by name or number; none: to nobody.

    The owner may do everything inside it: create, limit, rename and remove containers below it, move his own tasks in,
    end all tasks. Its own limits, flags, name and removal are for root, and for who owns a container that it is in.
    """
    asked = {"owner": None if user == "none" else user}
    changed = settings.client().document("POST", "/v1/container/owner", {"name": name}, asked)
    if settings.json:
        emit_json(changed)
