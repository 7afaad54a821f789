# SPDX-License-Identifier: Apache-2.0
"""`containerctl ls`: the agent's list of containers comes in, a table or the list itself goes out."""

from collections.abc import Callable

import click

from containerctl.client import Document
from containerctl.commands import Settings, command
from containerctl.output import PARTIAL_FOOTNOTE, emit_json, local_time, pages, value, workload
from containerctl.tables import table

HEADERS = ("NAME", "TASKS", "ANON", "FILE", "SHMEM", "PEAK-TASKS", "PEAK-MEM")
MORE: dict[str, Callable[[Document], str]] = {
    "MANAGED": lambda container: value(container.get("managed")),
    "WORKLOAD": lambda container: workload(container.get("workload")),
    "STATE": lambda container: value(container.get("state")),
    "DIED": lambda container: local_time(container.get("died_at")),
}


@command("ls", "ls --all --dead", "ls --json | jq -r '.[] | select(.num_tasks == 0) | .name'")
@click.option("--all", "everything", is_flag=True, help="Also cgroups that are not managed.")
@click.option("--dead", is_flag=True, help="Also those that are gone a short while (grace_seconds).")
@click.pass_obj
def ls(settings: Settings, everything: bool, dead: bool) -> None:
    """List containers."""
    query = {"all": "true" if everything else "false"} | ({"dead": "true"} if dead else {})
    containers: list[Document] = settings.client().array("GET", "/v1/containers", query, dict)
    if settings.json:
        emit_json(containers)
        return
    # A managed container and another cgroup may have the same name.
    more = [*(["MANAGED", "WORKLOAD"] if everything else []), *(["STATE", "DIED"] if dead else [])]
    rows = [_row(container) + [MORE[header](container) for header in more] for container in containers]
    table((*HEADERS, *more), rows, frozenset(HEADERS[1:]))
    if any(container.get("partial_pages") for container in containers):
        click.echo(PARTIAL_FOOTNOTE)


def _row(container: Document) -> list[str]:
    return [
        str(container.get("name")),
        value(container.get("num_tasks")),
        pages(container, "num_anon_pages"),
        pages(container, "num_file_pages"),
        pages(container, "num_shmem_pages"),
        value(container.get("peak_tasks")),
        pages(container, "peak_pages"),
    ]
