# SPDX-License-Identifier: Apache-2.0
"""`containerctl audit`: counters beside the kernel's own figures come in, a table of differences or they themselves go
out."""

from collections.abc import Iterator
from typing import Any

import click

from containerctl.client import Document
from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import emit_json, value
from containerctl.tables import Cell, table

HEADERS = ("CONTAINER", "COUNTER", "OURS", "KERNEL", "DIFFERENCE", "SOURCE", "NOTE")
RIGHT = frozenset(HEADERS[2:5])
TIMEOUT_SECONDS = 120.0  # it looks at every page of the host, up to three times


@command("audit", "audit web", "audit --json | jq -r '.[] | select(any(.counters[]; .difference != 0)) | .name'")
@click.argument("name", type=container_name, shell_complete=container_names, required=False)
@click.option("--all", "everything", is_flag=True, help="Also cgroups that are not managed.")
@click.pass_obj
def audit(settings: Settings, name: str | None, everything: bool) -> int:
    """Compare every counter of the container NAME, or of all, with the kernel's own figure; pages and tasks.

    The exit status is 1 if they differ while nothing moves.
    """
    if name and everything:
        raise click.UsageError("give NAME or --all, not both")
    query = {"name": name} if name else {"all": "true" if everything else "false"}
    found: list[Document] = settings.client(TIMEOUT_SECONDS).array("GET", "/v1/audit", query, dict)
    lines = [(str(container.get("name")), line) for container in found for line in _lines(container)]
    if settings.json:
        emit_json(found)
    else:
        table(HEADERS, [_row(container, line) for container, line in lines], RIGHT)
    return int(any(_is_wrong(line) for _, line in lines))


def _lines(container: Document) -> Iterator[dict[str, Any]]:
    return (line for line in container.get("counters") or [] if isinstance(line, dict))


def _is_wrong(line: dict[str, Any]) -> bool:
    return bool(line.get("difference")) and not line.get("moving") and line.get("age_seconds") is None


def _row(container: str, line: dict[str, Any]) -> list[str | Cell]:
    style = "" if not line.get("difference") else "bold red" if _is_wrong(line) else "yellow"
    return [
        container,
        value(line.get("counter")),
        value(line.get("ours")),
        value(line.get("kernel")),
        Cell(_signed(line.get("difference")), style),
        value(line.get("source")),
        _note(line),
    ]


def _signed(difference: object) -> str:
    return f"{difference:+d}" if isinstance(difference, int) and difference else value(difference)


def _note(line: dict[str, Any]) -> str:
    age = line.get("age_seconds")
    notes = ["moving"] if line.get("moving") else []
    if line.get("moved_by_files"):
        notes.append(f"{_signed(line['moved_by_files'])} by files")
    if isinstance(age, int | float):
        notes.append(f"ours is {age:.0f} s old")
    return ", ".join(notes)
