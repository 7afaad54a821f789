# SPDX-License-Identifier: Apache-2.0
"""`containerctl attach`: task ids go to the agent, which moves them into a container."""

import click

from containerctl.commands import Settings, command, container_name, task_id
from containerctl.completion import container_names
from containerctl.output import emit_json


@command("attach web 4711 4712", "attach web 0", "attach --no-move web 4711")
@click.argument("name", type=container_name, shell_complete=container_names)
@click.argument("pids", type=task_id, metavar="PID...", nargs=-1, required=True)
@click.option("--no-move", is_flag=True, help="Refuse a task that is in another container.")
@click.pass_obj
def attach(settings: Settings, name: str, pids: tuple[int, ...], no_move: bool) -> None:
    """Put tasks into the container NAME.

    Each moves with its whole process; 0 is the caller: the process that started containerctl, which is the shell it was
    typed in. Pages that it has stay with the container that paid for them.
    """
    body = {"pids": list(pids), "move": not no_move}
    attached = settings.client().document("POST", "/v1/container/tasks", {"name": name}, body)
    if settings.json:
        emit_json(attached)
