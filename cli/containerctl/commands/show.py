# SPDX-License-Identifier: Apache-2.0
"""`containerctl show`: one container's document comes in, aligned keys and values or the document itself go out."""

from collections.abc import Iterator
from typing import Any

import click

from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import PARTIAL_FOOTNOTE, emit_json, local_time, pages, pairs, size, value, workload


@command("show web", "show --json web | jq .num_tasks")
@click.argument("name", type=container_name, shell_complete=container_names)
@click.pass_obj
def show(settings: Settings, name: str) -> None:
    """Show every counter of the container NAME, and what subsystems add; unknown is `-`.

    Of one that is gone a short while, its last: the state is `dead` then.
    """
    container = settings.client().document("GET", "/v1/container", {"name": name})
    if settings.json:
        emit_json(container)
        return
    click.echo(pairs(list(_rows(container))))
    if container.get("partial_pages"):
        click.echo(PARTIAL_FOOTNOTE)


def _rows(container: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """In the document's order, so that a counter which a later agent adds is shown too."""
    for key in container:
        if key not in ("local", "attributes"):
            yield value(key), _text(container, key)
    local = container.get("local")
    if isinstance(local, dict):
        # The counters of the container without what is below it; units and completeness are those of the whole.
        shared = {key: container.get(key) for key in ("page_size", "partial_pages")}
        for key in local:
            yield f"local {value(key)}", _text({**shared, **local}, key)
    attributes = container.get("attributes")
    if isinstance(attributes, dict):
        yield from ((value(key), value(attributes[key])) for key in attributes)


def _text(document: dict[str, Any], key: str) -> str:
    if key == "page_size" and isinstance(document[key], int):
        return size(document[key])
    if key == "workload":
        return workload(document[key])
    if key in ("born_at", "died_at"):
        return local_time(document[key])
    is_pages = (key.endswith("_pages") and key != "partial_pages") or key == "page_limit"
    return pages(document, key) if is_pages else value(document[key])
