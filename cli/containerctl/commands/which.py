# SPDX-License-Identifier: Apache-2.0
"""`containerctl which`: a task id goes to the agent, the task's container comes back."""

import click

from containerctl.commands import Settings, command, task_id
from containerctl.output import emit_json, value


@command("which 4711", "which 0")
@click.argument("pid", type=task_id)
@click.pass_obj
def which(settings: Settings, pid: int) -> None:
    """Print the container of the task PID.

    0 is the caller: the process that started containerctl, which is the shell it was typed in.
    """
    found = settings.client().document("GET", "/v1/task", {"pid": pid})
    if settings.json:
        emit_json(found)
        return
    name = found.get("name")
    place = value(name) if name is not None else f"{value(found.get('cgroup'))} (not managed)"
    click.echo(f"{value(found.get('pid'))} {place}")
