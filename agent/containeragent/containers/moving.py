# SPDX-License-Identifier: Apache-2.0
"""Tasks move into containers and out of them, each with its whole process.

In: task ids as a caller gave them. Out: cgroup.procs written and an event for each, or Refused, which says what was
moved before.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from containeragent.cgroups import names
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.containers.caller import Caller
from containeragent.containers.involved import Involved
from containeragent.containers.permissions import Permissions
from containeragent.containers.view import Document
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.event import ATTACHED, DETACHED
from containeragent.host import cgroup2, process
from containeragent.host.process import Process
from containeragent.limits.admission import Admission
from containeragent.subsystems.api import Task
from containeragent.subsystems.registry import Moved


class Mover:
    """Of one tree. One move at a time: the caller holds the lock."""

    def __init__(
        self,
        tree: Tree,
        name_rules: Names,
        bus: Bus,
        admission: Admission,
        *,
        involved: Involved,
        permissions: Permissions,
    ) -> None:
        self._tree = tree
        self._names = name_rules
        self._bus = bus
        self._admission = admission
        self._involved = involved
        self._permissions = permissions

    def attach(self, parts: Parts, pids: list[int], move: bool, caller: Caller, moved: list[Moved]) -> list[int]:
        """Into a container that is not full; 0 is the caller. Without `move` a task of another container is refused."""
        return _each(pids, caller, lambda pid: self._attach_one(parts, pid, move, caller, moved), "attached")

    def detach(self, pids: list[int], caller: Caller, moved: list[Moved]) -> list[int]:
        """Out of their containers, into the cgroup root."""
        return _each(pids, caller, lambda pid: self._detach_one(pid, caller, moved), "detached")

    def _attach_one(self, parts: Parts, pid: int, move: bool, caller: Caller, moved: list[Moved]) -> None:
        with _held(pid, caller) as held:
            cgroup = cgroup_of(held.pid)
            inside = self._names.managed(cgroup)
            self._permissions.demand_way(self._inside(cgroup, inside), parts, caller)
            if not move and inside not in (None, "/", names.join(parts)):
                raise Refused("EBUSY", f"task {pid} is in container {inside} already, and --no-move was given")
            origin = None if inside is None else self._names.place(cgroup)
            self._admission.check(self._tree.directories(parts), origin, process.threads(held.pid))
            self._move(parts, held, inside, moved)
            told = _task(held.pid)
        self._bus.publish(ATTACHED, names.join(parts), self._names.cgroup(parts), task=told, origin=inside)

    def _detach_one(self, pid: int, caller: Caller, moved: list[Moved]) -> None:
        with _held(pid, caller) as held:
            cgroup = cgroup_of(held.pid).removesuffix("/" + names.LEAF)
            inside = self._names.managed(cgroup)
            if inside in (None, "/"):
                raise Refused("EINVAL", f"task {pid} is in no container; see containerctl which {pid}")
            self._permissions.demand_way(self._inside(cgroup, inside), (), caller)
            self._move((), held, inside, moved)
            told = _task(held.pid)
        self._bus.publish(DETACHED, str(inside), cgroup, task=told)

    def _inside(self, cgroup: str, name: str | None) -> Parts | None:
        """The container that a cgroup is, by its name or else its place; None outside of the cgroup root."""
        if name is not None:
            return tuple(part for part in name.split("/") if part)
        return self._names.place(cgroup) if cgroup.startswith(self._names.root + "/") else None

    def _move(self, parts: Parts, held: _Held, inside: str | None, moved: list[Moved]) -> None:
        with self._involved.attaching(parts, inside, Task(held.pid, held.uid), moved):
            held.check()
            self._tree.attach(parts, held.pid)


@dataclass(frozen=True)
class _Held:
    """A process with a descriptor: its id is its own as long as it has not ended."""

    pid: int
    uid: int
    descriptor: int

    def check(self) -> None:
        """ESRCH when it has ended: another may have its id soon."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        if poller.poll(0):
            raise Refused("ESRCH", f"task {self.pid} has ended meanwhile")


@contextlib.contextmanager
def _held(pid: int, caller: Caller) -> Iterator[_Held]:
    """The process of a task that the caller may move: what is looked at is what is moved, not who got its id since."""
    process_id = _movable(pid, caller).process
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        raise Refused("ESRCH", f"there is no task {process_id}") from None
    try:
        held = _Held(process_id, _movable(process_id, caller).uids[0], descriptor)
        held.check()
        yield held
    finally:
        os.close(descriptor)


def _each(pids: list[int], caller: Caller, step: Callable[[int], None], done_word: str) -> list[int]:
    done: list[int] = []
    for pid in pids:
        try:
            step(pid or caller.pid)
        except Refused as error:
            before = f"; {done_word} before: {', '.join(map(str, done))}" if done else ""
            raise Refused(error.code, error.message + before) from None
        done.append(pid or caller.pid)
    return done


def cgroup_of(task: int) -> str:
    """Path of a task's cgroup under the cgroup2 mount; ESRCH when there is no such task."""
    try:
        return cgroup2.path_of_task(task)
    except (FileNotFoundError, ProcessLookupError):
        raise Refused("ESRCH", f"there is no task {task}") from None


def _task(pid: int) -> Document:
    """A task as events name it; its comm is None when it has gone meanwhile."""
    try:
        comm = Path(f"/proc/{pid}/comm").read_bytes().rstrip(b"\n").decode("utf-8", "backslashreplace")
    except OSError:
        return {"pid": pid, "comm": None}
    return {"pid": pid, "comm": comm}


def _movable(pid: int, caller: Caller) -> Process:
    """The process of a task that the caller may move."""
    if pid < 0:
        raise Refused("EINVAL", f"{pid} is not a task id")
    found = process.look_up(pid)
    if found is None:
        raise Refused("ESRCH", f"there is no task {pid}")
    if found.ended:
        raise Refused("ESRCH", f"task {pid} has ended and only waits for its parent (a zombie)")
    if found.kernel_thread:
        raise Refused("EINVAL", f"task {pid} is a kernel thread; only processes can be in a container")
    if caller.uid not in (0, *found.uids):
        raise Refused("EACCES", f"task {pid} belongs to user {found.uids[0]}; only that user or root may move it")
    return found
