# SPDX-License-Identifier: Apache-2.0
"""`containerctl events`: what happened to containers comes in, one line of text or of JSON an event goes out."""

import json
from collections.abc import Iterable

import click

from containerctl.client import Document
from containerctl.commands import Settings, command, container_name
from containerctl.completion import container_names
from containerctl.output import escape, local_time, value


@command("events", "events --follow --container shop", "events --json | jq -r 'select(.kind == \"kill\") | .container'")
@click.option("--follow", is_flag=True, help="Show those to come, as they come, until Ctrl-C.")
@click.option(
    "--container",
    type=container_name,
    shell_complete=container_names,
    metavar="NAME",
    help="Only of NAME and the containers below it.",
)
@click.pass_obj
def events(settings: Settings, follow: bool, container: str | None) -> None:
    """Show what happened lately: created, removed, attached, limits hit, throttled, killed.

    With --json each event is one line.
    """
    query = {"container": container} if container else {}
    found: Iterable[Document]
    if follow:
        found = settings.client().stream("/v1/events", {**query, "follow": "true"})
    else:
        found = settings.client().array("GET", "/v1/events", query, dict)
    try:
        for event in found:
            # click.echo flushes, so that a pipe has every line at once.
            click.echo(json.dumps(event) if settings.json else _line(event))
    except KeyboardInterrupt:  # the usual end; click would write an empty line
        click.get_current_context().exit(130)


def _line(event: Document) -> str:
    return f"{local_time(event.get('time'))}  {value(event.get('container'))}  {escape(str(event.get('message')))}"
