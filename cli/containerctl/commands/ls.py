# SPDX-License-Identifier: Apache-2.0
"""`containerctl ls`: the agent's list of containers comes in, a table or the list itself goes out."""

import click

from containerctl.client import Document
from containerctl.commands import Settings, command
from containerctl.output import PARTIAL_FOOTNOTE, emit_json, pages, table, value

HEADERS = ("NAME", "TASKS", "ANON", "FILE", "SHMEM", "PEAK-TASKS", "PEAK-MEM")


@command("ls", "ls --all", "ls --json | jq -r '.[] | select(.num_tasks == 0) | .name'")
@click.option("--all", "everything", is_flag=True, help="Also cgroups that are not managed.")
@click.pass_obj
def ls(settings: Settings, everything: bool) -> None:
    """List containers."""
    query = {"all": "true" if everything else "false"}
    containers: list[Document] = settings.client().array("GET", "/v1/containers", query, dict)
    if settings.json:
        emit_json(containers)
        return
    # A managed container and another cgroup may have the same name.
    headers = (*HEADERS, "MANAGED") if everything else HEADERS
    table(headers, [_row(container)[: len(headers)] for container in containers], frozenset(HEADERS[1:]))
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
        value(container.get("managed")),
    ]
