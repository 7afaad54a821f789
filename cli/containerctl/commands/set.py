# SPDX-License-Identifier: Apache-2.0
"""`containerctl set`: values of attributes that subsystems add to a container go to the agent."""

import click

from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import emit_json


@command("set web cpuset.cpus=0-1 cpuset.mems=0", "set web cpuset.cpus=0 --json | jq .attributes")
@click.argument("name", type=container_name, shell_complete=container_names)
@click.argument("values", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.pass_obj
def set(settings: Settings, name: str, values: tuple[str, ...]) -> None:
    """Set attributes that subsystems add to the container NAME: all of them or none.

    `containerctl show NAME` lists them; what can be set, and by which subsystem, is at /v1/subsystems of the API.
    """
    chosen: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="KEY=VALUE")
        if key in chosen:
            raise click.BadParameter(f"{key} is given twice", param_hint="KEY=VALUE")
        chosen[key] = value
    container = settings.client().document("POST", "/v1/container/attributes", {"name": name}, {"attributes": chosen})
    if settings.json:
        emit_json(container)
