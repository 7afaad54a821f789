# SPDX-License-Identifier: Apache-2.0
"""The kernel's own figures of containers, memory.stat and pids.current, read as a program without eBPF has to.

They are in cgroup v2 where its root has the controllers, else in the hierarchies of version 1.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from containeragent.errors import Refused
from containeragent.host import cgroup2

FILES = {"memory": "memory.stat", "pids": "pids.current"}
MARK = "getppid"


def hierarchies() -> dict[str, Path]:
    """Where the files of each controller are."""
    unified = cgroup2.mount_point()
    if set(FILES) <= set((unified / "cgroup.controllers").read_text().split()):
        return dict.fromkeys(FILES, unified)
    found: dict[str, Path] = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup":
            found |= {name: Path(place) for name in FILES if name in options.split(",")}
    if set(found) != set(FILES):
        raise Refused("ENOENT", "there are no controllers for memory and pids here")
    return found


@contextlib.contextmanager
def containers(number: int) -> Iterator[dict[str, Path]]:
    """That many cgroups for each controller; the folders that they are in."""
    tops = {name: place / f"bench-files-{os.getpid()}" for name, place in hierarchies().items()}
    try:
        for top in dict.fromkeys(tops.values()):
            top.mkdir()
            if (top / "cgroup.subtree_control").exists():
                (top / "cgroup.subtree_control").write_text("+memory +pids")
            for inner in range(number):
                (top / f"container-{inner}").mkdir()
        yield tops
    finally:
        for top in dict.fromkeys(tops.values()):
            for path in [*top.glob("container-*"), top] if top.exists() else []:
                path.rmdir()


def read(tops: dict[str, Path]) -> int:
    """All figures of all containers as numbers; how many there are."""
    count = 0
    for name, top in tops.items():
        file = FILES[name]
        for container in os.listdir(top):
            if not container.startswith("container-"):
                continue
            descriptor = os.open(f"{top}/{container}/{file}", os.O_RDONLY)
            text = os.read(descriptor, 1 << 16)
            os.close(descriptor)
            words = text.split()
            count += len({words[at]: int(words[at + 1]) for at in range(0, len(words) - 1, 2)} or [int(text)])
    return count


def read_ms(tops: dict[str, Path]) -> tuple[float, float, int]:
    """CPU time and time of a reading, and how many numbers it found."""
    cpu, begin = time.thread_time(), time.perf_counter()
    count = read(tops)
    return (time.thread_time() - cpu) * 1e3, (time.perf_counter() - begin) * 1e3, count


if __name__ == "__main__":  # to be traced between the marks
    places = {"memory": Path(sys.argv[1]), "pids": Path(sys.argv[2])}
    os.getppid()
    read(places)
    os.getppid()
