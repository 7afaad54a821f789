# SPDX-License-Identifier: Apache-2.0
"""All metrics put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from containeragent.cgroups.naming import Names
from containeragent.containers.audit import Differences
from containeragent.containers.ended import Ended
from containeragent.counters.source import Source
from containeragent.definitions.definitions import Definitions
from containeragent.events.bus import Bus
from containeragent.limits.limiting import Limiting
from containeragent.metrics import about_itself, limits, subsystems
from containeragent.metrics.choice import Choice
from containeragent.metrics.containers import ContainerMetrics
from containeragent.metrics.drift import Drift
from containeragent.metrics.labels import Labels
from containeragent.metrics.scrape import Scrape
from containeragent.release.releases import Releases
from containeragent.subsystems.registry import Registry
from containeragent.workloads.patterns import Workload


def scrape(
    source: Source,
    names: Names,
    choice: Choice,
    *,
    paths_of: Callable[[Sequence[int]], list[str | None]],
    workload_of: Callable[[str], Workload | None],
    drift: Callable[[], Differences],
    bus: Bus,
    ended: Ended,
    limiting: Limiting,
    registry: Registry,
    releases: Releases,
    definitions: Definitions,
) -> Scrape:
    """The application that serves them."""
    labels = Labels(names, paths_of, workload_of, choice.is_wanted)
    kept = Drift()
    containers = ContainerMetrics(source, labels, choice, ended=ended, limits=limiting.states)
    return Scrape(
        source.snapshot,
        {
            "containers": containers.families,
            "drift": lambda _: kept.families(drift(), choice.series_cap - containers.series),
            "limits": lambda _: limits.families(limiting),
            "subsystems": lambda _: subsystems.families(registry),
            "releases": lambda _: about_itself.of_releases(releases),
            "definitions": lambda _: about_itself.of_definitions(definitions),
            "agent": lambda snapshot: about_itself.families(source, snapshot, bus, ended),
        },
    )
