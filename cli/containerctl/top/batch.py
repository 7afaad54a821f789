# SPDX-License-Identifier: Apache-2.0
"""The live view for scripts: the agent's answers come in, a table or a line of JSON for each goes out."""

import itertools
import json
import time

import click

from containerctl.client import Client, Document
from containerctl.output import pages, value
from containerctl.tables import table
from containerctl.top.draw import rate
from containerctl.top.model import Model, Row
from containerctl.top.view import View

HEADERS = ("NAME", "TASKS", "TASK-LIMIT", "ANON", "FILE", "PAGE-LIMIT", "FORKS/S", "FAULTS/S", "HITS")
_RATES = ("forks_per_second", "page_faults_per_second")


def run(client: Client, view: View, rows: int, iterations: int | None, as_json: bool) -> None:
    """`iterations` answers, None is without end. Rates are of the interval before each: the first is late."""
    known = Model()
    query = view.query() | {"limit": rows, "tree": "false"}
    known.update(client.document("GET", "/v1/top", query), time.monotonic(), view.sort)
    due = time.monotonic()
    for number in itertools.count() if iterations is None else range(iterations):
        due = max(due + view.interval_seconds, time.monotonic())
        time.sleep(due - time.monotonic())
        known.update(client.document("GET", "/v1/top", query), time.monotonic(), view.sort)
        if as_json:
            click.echo(json.dumps(_document(known)))
            continue
        if number:
            click.echo()
        moment = time.strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{moment}  {known.matched} of {known.total} containers, by {view.sort}")
        table(HEADERS, [_cells(row) for row in known.rows], frozenset(HEADERS[1:]))


def _document(known: Model) -> Document:
    rows = [
        row.document | dict(zip(_RATES, (row.forks_per_second, row.faults_per_second), strict=True))
        for row in known.rows
    ]
    return {"time": time.time(), "matched": known.matched, "total": known.total, "containers": rows}


def _cells(row: Row) -> list[str]:
    document = row.document
    return [
        row.name,
        value(row.tasks),
        value(row.task_limit),
        pages(document, "num_anon_pages"),
        pages(document, "num_file_pages"),
        pages({**document, "partial_pages": False}, "page_limit"),
        rate(row.forks_per_second),
        rate(row.faults_per_second),
        value(row.hits),
    ]
