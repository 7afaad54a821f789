# SPDX-License-Identifier: Apache-2.0
"""The cgroup2 mount: where it is, and what a cgroup's path on it is."""

from __future__ import annotations

from pathlib import Path

from containeragent.errors import Refused
from containeragent.host import mounts

KIND = "cgroup2"


def mount_point() -> Path:
    """Where cgroup2 is mounted, the whole of it if there are several mounts."""
    found = mounts.find(KIND)
    if found is None:
        raise Refused(
            "ENOTSUP", "no cgroup2 file system is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup/unified"
        )
    return Path(found.point)


def path_of_task(pid: int, proc: Path = Path("/proc")) -> str:
    """A task's cgroup as a path under the cgroup2 mount ("/" for its root), from /proc/PID/cgroup (cgroups(7))."""
    for line in (proc / str(pid) / "cgroup").read_text(errors="surrogateescape").splitlines():
        hierarchy, _, path = line.split(":", 2)
        if hierarchy == "0":
            return path
    raise Refused("ENOTSUP", f"/proc/{pid}/cgroup has no line for cgroup v2")
