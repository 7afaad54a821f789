# SPDX-License-Identifier: Apache-2.0
"""The workload's side of a rest: say where it is, wait to be told to go on.

A workload is a generator of rests; the first one, "start", is what its counters are compared with. support/running.py
is the test's side. Standard library only, and little of it: every page of the interpreter is counted too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping

Rest = dict[str, object]
Rests = Iterator[Rest]


def rest(
    label: str,
    pages: Mapping[str, int] | None = None,
    tasks: Mapping[str, int] | None = None,
    too_high_anon: int = 0,
    facts: Mapping[str, int] | None = None,
) -> Rest:
    """What the test is to find by now: changes since the start, in pages and tasks."""
    return {
        "label": label,
        "pages": dict(pages or {}),
        "tasks": dict(tasks or {}),
        "too_high_anon": too_high_anon,
        "facts": dict(facts or {}),
    }


def main(*workloads: Callable[..., Rests]) -> None:
    """Run the workload that the command line names."""
    by_name = {workload.__name__: workload for workload in workloads}
    _pause(rest("start"))
    for point in by_name[sys.argv[1]](*sys.argv[2:]):
        _pause(point)


def _pause(point: Rest) -> None:
    sys.stdout.write(json.dumps(point) + "\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        sys.exit("the test went away")
