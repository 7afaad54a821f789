# SPDX-License-Identifier: Apache-2.0
"""`containerctl notify`: flags go to the agent, which acts by them when nothing is left in the container."""

import click

from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import emit_json


@command("notify web on", "notify / on", "notify web off --remove-on-release")
@click.argument("name", type=container_name, shell_complete=container_names)
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--remove-on-release/--no-remove-on-release", default=None, help="Remove it then, and run no program.")
@click.pass_obj
def notify(settings: Settings, name: str, state: str, remove_on_release: bool | None) -> None:
    """Say what happens when nothing is left in the container NAME, neither tasks nor children.

    on: the agent runs its release_agent with the container's name. New containers inherit it from their
    parents; that of / is only for them.
    """
    body = {"notify_on_release": state == "on"}
    if remove_on_release is not None:
        body["remove_on_release"] = remove_on_release
    flags = settings.client().document("POST", "/v1/container/notify", {"name": name}, body)
    if settings.json:
        emit_json(flags)
