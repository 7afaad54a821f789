# SPDX-License-Identifier: Apache-2.0
"""Where cgroup2 and, on older set-ups, the memory controller of cgroup v1 are mounted (/proc/self/mountinfo)."""

from __future__ import annotations

from pathlib import Path

from containeragent.host import cgroup2

MOUNTINFO = Path("/proc/self/mountinfo")


def unified() -> Path:
    """The cgroup2 mount."""
    return cgroup2.mount_point()


def memory_v1(text: str | None = None) -> Path | None:
    """The mount of the v1 memory controller; None on a host where memory is on cgroup v2."""
    for line in (text or MOUNTINFO.read_text()).splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ")[:3]
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(before.split(" ")[4])
    return None
