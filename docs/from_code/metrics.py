# SPDX-License-Identifier: Apache-2.0
"""Every metric, from the code that makes them, over a source that has everything."""

from __future__ import annotations

import dataclasses
import re
import time
from types import SimpleNamespace
from typing import Any

from containeragent.cgroups.naming import Names
from containeragent.containers.ended import Ended
from containeragent.events.bus import Bus
from containeragent.limits.model import Hits, Limits, LimitState
from containeragent.metrics import assembly
from containeragent.metrics.choice import Choice
from containeragent.metrics.family import PREFIX, Family
from containeragent.workloads.patterns import of_path
from docs.from_code.markdown import code, table
from tests.unit.snapshots import FakeSource, end, snapshot

_LABEL = re.compile(r'(\w+)="')


def families() -> list[Family]:
    """As one scrape has them; each with a sample, so that its labels show."""
    anything: Any = SimpleNamespace(
        counts=lambda: {"done": 1},
        waiting=0,
        enforcer=SimpleNamespace(steps={("kill", False): 1}),
        held=lambda: {("tasks", "kernel"): 1},
        states=lambda *_: {1: LimitState(Limits(5, 10), "kernel", "kernel", Hits(1, 1), Hits(0, 0), 1.5)},
        members=[SimpleNamespace(name="cpu", off=False)],
        failures={},
        refused={},
        count=1,
        mistakes=(),
    )
    fake, names, bus = (
        FakeSource(dataclasses.replace(snapshot((1, 1)), pages_seen_at=time.monotonic())),
        Names("/c"),
        Bus(),
    )
    fake.reason, fake.ended = "only where it is a fallback", [end(9, "/c/gone")]
    source = fake.as_source()
    scrape = assembly.scrape(
        source,
        names,
        Choice(50000),
        paths_of=lambda ids: ["/"] * len(ids),
        workload_of=of_path,
        drift=lambda: {("tasks", 0): ["/"], ("anon", 0): ["/"]},
        bus=bus,
        ended=Ended(source, names, bus, 300),
        limiting=anything,
        registry=anything,
        releases=anything,
        definitions=anything,
    )
    return sorted(scrape.families(), key=lambda family: family.name)


def name(family: Family) -> str:
    """As it stands in a scrape."""
    return PREFIX + family.name + ("_total" if family.counter else "")


def labels(family: Family) -> tuple[str, ...]:
    """Of its samples."""
    return tuple(_LABEL.findall(family.labels[0])) if family.labels else ()


def text() -> str:
    """A table of those of each container, and one of the agent's own."""
    of_one = [family for family in families() if "cgroup" in labels(family)]
    of_agent = [family for family in families() if "cgroup" not in labels(family)]
    return f"## Of each container\n\n{_table(of_one)}\n## Of the agent itself\n\n{_table(of_agent)}"


def _table(found: list[Family]) -> str:
    rows = [
        [
            code(name(family)),
            "counter" if family.counter else "gauge",
            ", ".join(map(code, labels(family))),
            family.help,
        ]
        for family in found
    ]
    return table(["metric", "type", "labels", "what it is"], rows)
