# SPDX-License-Identifier: Apache-2.0
"""A tree of cgroups that is only files: what the kernel would write there, a test writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.cgroups import attributes

CONTENTS = {
    "cgroup.controllers": "cpu memory pids",
    "cgroup.subtree_control": "memory pids",
    "cgroup.events": "populated 0\nfrozen 0",
    "cgroup.procs": "",
    "cgroup.threads": "",
    "cgroup.freeze": "0",
    "pids.max": "max",
    "pids.events": "max 0",
    "pids.events.local": "max 0",
    "memory.high": "max",
    "memory.max": "max",
    "memory.current": "0",
    "memory.oom.group": "0",
    "memory.events": "low 0\nhigh 0\nmax 0",
    "memory.events.local": "low 0\nhigh 0\nmax 0",
}


class CgroupFiles:
    """Below `root`, which is one itself. Extended attributes are kept here: not every file system has them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.attributes: dict[tuple[int, str], bytes | None] = {}
        monkeypatch.setattr(attributes, "get", lambda directory, key: self.attributes.get(_name(directory, key)))
        monkeypatch.setattr(attributes, "put", self._put)
        self.make("")

    def _put(self, directory: int, key: str, value: str | bytes | None) -> None:
        self.attributes[_name(directory, key)] = value.encode() if isinstance(value, str) else value

    def make(self, name: str, tasks: int = 0, pages: int = 0) -> Path:
        """A cgroup with so many tasks and pages."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        for file, text in CONTENTS.items():
            (folder / file).write_text(text + "\n")
        (folder / "cgroup.threads").write_text("".join(f"{pid}\n" for pid in range(100, 100 + tasks)))
        (folder / "memory.current").write_text(f"{pages * 4096}\n")
        return folder


def _inode(directory: int) -> int:
    return Path(f"/proc/self/fd/{directory}").stat().st_ino


def _name(directory: int, key: str) -> tuple[int, str]:
    return _inode(directory), attributes.PREFIX + key
