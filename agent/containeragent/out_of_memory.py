# SPDX-License-Identifier: Apache-2.0
"""Events of memory that ran out.

In: notices of the kernel side, when the kernel chooses a task to kill. Out: an event `oom` of the victim's cgroup, with
who was killed and who found no memory. Those of cgroups that are not managed go by their path.
"""

from __future__ import annotations

from dataclasses import asdict

from containeragent.cgroups.naming import Names
from containeragent.cgroups.paths import PathResolver
from containeragent.counters.hits import out_of_memory
from containeragent.counters.records import NOTICE_OOM
from containeragent.counters.source import Source
from containeragent.events.bus import Bus
from containeragent.events.event import OOM


def tell(source: Source, bus: Bus, names: Names, resolver: PathResolver) -> None:
    """From now on."""

    def hear(batch: list[bytes]) -> None:
        for raw in batch:
            found = out_of_memory(raw)
            path = resolver.path(found.cgroup_id) if found.cgroup_id else None
            cgroup = path or "unknown"
            bus.publish(
                OOM, names.managed(cgroup) or cgroup, cgroup, victim=asdict(found.victim), trigger=asdict(found.trigger)
            )

    source.listen(NOTICE_OOM, hear)
