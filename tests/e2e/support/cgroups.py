# SPDX-License-Identifier: Apache-2.0
"""The cgroup tree seen without the agent, and taken away again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from containeragent.cgroups.names import LEAF
from tests.e2e.support.waiting import until
from tests.kernel.support.containers import is_removed

PROCS = "cgroup.procs"


def mount_point() -> Path:
    """Where cgroup2 is mounted (proc(5), mountinfo)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ")[0] == "cgroup2":
            return Path(before.split(" ")[4])
    raise AssertionError("cgroup2 is not mounted")


def path_of(pid: int) -> str:
    """A task's cgroup under the cgroup2 mount."""
    for line in Path(f"/proc/{pid}/cgroup").read_bytes().split(b"\n"):
        if line.startswith(b"0::"):
            return os.fsdecode(line[3:])
    raise AssertionError(f"/proc/{pid}/cgroup has no line for cgroup2")


def folders(top: Path) -> list[str]:
    """Everything below a cgroup, sorted."""
    return sorted(os.path.relpath(folder, top) for folder, _, _ in os.walk(top) if folder != str(top))


def containers(top: Path) -> list[str]:
    """The same, without where the agent keeps tasks beside children, which is there once controllers are in use."""
    return [folder for folder in folders(top) if LEAF not in Path(folder).parts]


def empty(top: Path) -> None:
    """Kill and remove everything below a cgroup that a test made."""
    if not top.is_dir():
        return
    for folder in [entry.path for entry in os.scandir(top) if entry.is_dir()]:
        with contextlib.suppress(FileNotFoundError):
            Path(folder, "cgroup.kill").write_text("1")
        for below, _, _ in os.walk(folder, topdown=False):
            _rmdir(Path(below))


def remove(top: Path) -> None:
    """The cgroup itself too."""
    if top.is_dir():
        (top / "cgroup.kill").write_text("1")
        empty(top)
        _rmdir(top)


def _rmdir(folder: Path) -> None:
    until(lambda: is_removed(folder), bool, f"removing {folder}")
