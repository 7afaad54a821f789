# SPDX-License-Identifier: Apache-2.0
"""What the kernel side tells of memory that ran out becomes an event, whoever's it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from containeragent import out_of_memory
from containeragent.cgroups.naming import Names
from containeragent.cgroups.paths import PathResolver
from containeragent.counters.records import COMM_BYTES, NOTICE_OOM, OOM_NOTICE
from containeragent.counters.source import Source
from containeragent.events.bus import Bus


class FakeKernel:
    """Tells, and knows the paths of two cgroups."""

    def __init__(self) -> None:
        self.hear: Callable[[list[bytes]], None] = lambda _: None

    def listen(self, kind: int, hear: Callable[[list[bytes]], None]) -> None:
        """Of one kind."""
        assert kind == NOTICE_OOM
        self.hear = hear

    def path(self, cgroup_id: int) -> str | None:
        """Of a cgroup."""
        return {5: "/c/web", 6: "/system.slice"}.get(cgroup_id)


def _comm(name: bytes) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(name.ljust(COMM_BYTES, b"\0"), dtype=np.uint8)


@pytest.mark.parametrize(
    ("cgroup_id", "container", "cgroup"),
    [
        (5, "/web", "/c/web"),
        (6, "/system.slice", "/system.slice"),
        (7, "unknown", "unknown"),
        (0, "unknown", "unknown"),
    ],
)
def test_event(cgroup_id: int, container: str, cgroup: str) -> None:
    """Of the victim's container; without its name where the kernel did not say it."""
    kernel, bus, record = FakeKernel(), Bus(), np.zeros(1, OOM_NOTICE)
    out_of_memory.tell(cast(Source, kernel), bus, Names("/c"), cast(PathResolver, kernel))
    record["kind"], record["cgroup_id"], record["victim_pid"], record["trigger_pid"] = NOTICE_OOM, cgroup_id, 23, 7
    record["trigger_comm"] = _comm(b"eats\xff")
    kernel.hear([record.tobytes()])
    (event,) = bus.recent(lambda _: True)
    assert (event.kind, event.container, event.cgroup) == ("oom", container, cgroup)
    assert event.message == "out of memory: victim task 23 (unknown), trigger task 7 (eats\\xff)"
