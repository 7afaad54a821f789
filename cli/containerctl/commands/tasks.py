# SPDX-License-Identifier: Apache-2.0
"""`containerctl tasks`: a container's name goes to the agent, its sorted task ids or their statistics come back."""

import click

from containerctl.client import Document
from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import UNKNOWN, emit_json, size, value
from containerctl.tables import table

# Header, and key of the document, whose ending is the unit
COLUMNS = (
    ("USER", "user_seconds"),
    ("SYSTEM", "system_seconds"),
    ("CPU-DELAY", "cpu_delay_seconds"),
    ("BLKIO-DELAY", "blkio_delay_seconds"),
    ("SWAPIN-DELAY", "swapin_delay_seconds"),
    ("RECLAIM-DELAY", "reclaim_delay_seconds"),
    ("PEAK-RSS", "peak_rss_bytes"),
    ("PEAK-VM", "peak_vm_bytes"),
    ("READ", "read_bytes"),
    ("WRITTEN", "write_bytes"),
)


@command("tasks web", "tasks web | wc -l", "tasks web --stats")
@click.argument("name", type=container_name, shell_complete=container_names)
@click.option("--stats", is_flag=True, help="What the kernel accounts for each: CPU time, delays, peak memory, I/O.")
@click.pass_obj
def tasks(settings: Settings, name: str, stats: bool) -> None:
    """List the tasks (thread ids) of the container NAME.

    Those of the containers below it are among them.
    """
    if stats:
        _show_stats(settings, name)
        return
    ids = settings.client().array("GET", "/v1/container/tasks", {"name": name}, int)
    if settings.json:
        emit_json(ids)
    elif ids:
        click.echo("\n".join(value(number) for number in ids))


def _show_stats(settings: Settings, name: str) -> None:
    found = settings.client().document("GET", "/v1/container/tasks", {"name": name, "stats": "true"})
    if settings.json:
        emit_json(found)
        return
    headers = ("TID", "COMM", *(header for header, _ in COLUMNS))
    rows = [
        [value(task.get("tid")), str(task.get("comm")), *(_text(task, key) for _, key in COLUMNS)]
        for task in found.get("tasks") or []
    ]
    table(headers, rows, frozenset(headers) - {"COMM"})
    hints = [value(hint) for hint in found.get("hints") or []]
    if hints:
        click.echo("\n" + "\n".join(hints))


def _text(task: Document, key: str) -> str:
    number = task.get(key)
    if not isinstance(number, (int, float)):
        return UNKNOWN
    return f"{number:.3f} s" if key.endswith("_seconds") else size(int(number))
