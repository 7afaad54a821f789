# SPDX-License-Identifier: Apache-2.0
"""`containerctl detach`: task ids go to the agent, which takes them out of their containers."""

import click

from containerctl.commands import Settings, command, task_id
from containerctl.output import emit_json


@command("detach 4711", "detach 0")
@click.argument("pids", type=task_id, metavar="PID...", nargs=-1, required=True)
@click.pass_obj
def detach(settings: Settings, pids: tuple[int, ...]) -> None:
    """Take tasks out of their container, into the cgroup root; their pages stay.

    0 is the caller: the process that started containerctl, which is the shell it was typed in.
    """
    detached = settings.client().document("POST", "/v1/detach", body={"pids": list(pids)})
    if settings.json:
        emit_json(detached)
