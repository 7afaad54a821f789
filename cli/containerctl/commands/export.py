# SPDX-License-Identifier: Apache-2.0
"""`containerctl export`: the present state comes from the agent, a definition file goes out."""

import click

from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import emit_json, escape


@command("export > all.toml", "export web", "export web --json | jq -r .toml")
@click.argument("name", type=container_name, shell_complete=container_names, required=False)
@click.pass_obj
def export(settings: Settings, name: str | None) -> None:
    """Print a definition file of the container NAME and all below it, or of all containers.

    It has what is set: limits, owner, flags, files, attributes of subsystems; no tasks and no counters. In
    /etc/containeragent/containers.d it makes the same containers after every start. The same state gives the same text.
    """
    document = settings.client().document("GET", "/v1/export", {"name": name} if name else None)
    for line in document.get("left_out") or []:
        click.echo(f"containerctl: left out: {escape(str(line))}", err=True)
    if settings.json:
        emit_json(document)
    else:
        click.echo(str(document.get("toml")), nl=False)
