# SPDX-License-Identifier: Apache-2.0
"""Subsystem `cpuset`: on which CPUs and memory nodes a container runs (admin-guide/cgroup-v2.rst, Cpuset).

A container has no cpuset of its own while both lists are empty: that of its parent applies, and the controller is not
even on. From the first set on it has: then a task is refused while either list is empty.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Iterable
from pathlib import Path

from containeragent.cgroups import controllers, names
from containeragent.cgroups.tree import Tree
from containeragent.checks import Check, answer
from containeragent.errors import Refused
from containeragent.subsystems.api import Attribute, Container, Subsystem, Task

_CONTROLLER = "cpuset"
_EFFECTIVE = ".effective"
_LISTS = {"cpus": "CPUs", "mems": "memory nodes"}


class Cpuset(Subsystem):
    """Of the containers in one tree."""

    name = "cpuset"

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def can_attach(self, container: Container, task: Task) -> None:
        """Both lists or none."""
        empty = [name for name in _LISTS if not _read(_file(container, name))]
        if len(empty) == 1:
            hint = f"containerctl set {container.name} cpuset.{empty[0]}=0, or as in cpuset.effective_{empty[0]}"
            raise Refused("ENOSPC", f"the cpuset of container {container.name} has no {_LISTS[empty[0]]}; {hint}")

    def populate(self, container: Container) -> Iterable[Attribute]:
        """The container's own lists, and those that apply."""
        for name, what in _LISTS.items():
            yield Attribute(
                name,
                f"{what} such as 0-1,3; empty: those of the parent",
                functools.partial(_own, container, name),
                functools.partial(self._set, container, name),
            )
        for name, what in _LISTS.items():
            yield Attribute(f"effective_{name}", f"{what} that apply", functools.partial(_effective, container, name))

    def _set(self, container: Container, name: str, value: str) -> None:
        if container.name == "/":
            raise Refused("EACCES", "the cpuset of the container / is not ours to set: it is the cgroup root's")
        if not value and not _own(container, name):
            return
        check = self.check()
        if check.hint:
            raise Refused("ENOTSUP", f"{check.detail}; {check.hint}")
        controllers.enable(self._tree, names.parse(container.name), {_CONTROLLER})
        try:
            _file(container, name).write_text(value + "\n", encoding="ascii")
        except (OSError, UnicodeEncodeError) as error:
            number = getattr(error, "errno", None) or errno.EINVAL
            hint = "it has tasks, which need some" if number == errno.ENOSPC else f"{_LISTS[name]} are like 0-1,3"
            raise Refused.of_errno(number, f"the kernel refused {value!r}", hint) from None

    def check(self) -> Check:
        """Whether there is a controller to ask."""
        there = _CONTROLLER in controllers.offered(self._tree)
        root = self._tree.root
        return answer(
            "controller cpuset",
            there,
            f"the cgroup root {root} has {'the' if there else 'no'} cpuset controller",
            f"echo +cpuset > {root.parent}/cgroup.subtree_control, unless it is on a v1 hierarchy",
        )


def _file(container: Container, name: str, kind: str = "") -> Path:
    return Path(container.path, f"cpuset.{name}{kind}")


def _own(container: Container, name: str) -> str | None:
    """Empty: that of the parent; None: there is no controller at all, so nothing that could apply."""
    own = _read(_file(container, name))
    return "" if own is None and _effective(container, name) is not None else own


def _effective(container: Container, name: str) -> str | None:
    """Of the nearest cgroup upwards that has the controller."""
    folder = Path(container.path)
    while (folder / controllers.CONTROLLERS).exists():
        found = _read(folder / f"cpuset.{name}{_EFFECTIVE}")
        if found is not None:
            return found
        folder = folder.parent
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None
