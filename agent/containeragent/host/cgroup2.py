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
    # Only a newline ends a line: it is what the kernel refuses in a name. Odd bytes become what paths.py makes them.
    text = (proc / str(pid) / "cgroup").read_bytes().decode("utf-8", "backslashreplace")
    for line in text.split("\n"):
        if line.startswith("0::"):
            return line[3:]
    raise Refused("ENOTSUP", f"/proc/{pid}/cgroup has no line for cgroup v2")
