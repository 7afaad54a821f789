# SPDX-License-Identifier: Apache-2.0
"""The registered subsystems, and which of them know which container.

In: what happens to containers, from who makes it happen and holds the lock that changes take. Out: calls of every
subsystem in the order of registration, undone in reverse order when one refuses or fails. A failure is an event and a
number for the metrics.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from containeragent.checks import Check
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.event import SUBSYSTEM_FAILED
from containeragent.subsystems.api import Container, Task
from containeragent.subsystems.members import Member
from containeragent.subsystems.perform import FAILED, NAME, Reply, request

log = logging.getLogger(__name__)

MOST = 8
Moved = tuple[Container, Container | None, Task]  # where to, where from, who


@dataclass
class _Entry:
    """A container, and in which of its lives each subsystem was told of it."""

    container: Container
    told: dict[str, int] = field(default_factory=dict)


class Registry:
    """Of one agent. Calls that change something come one at a time, `ask` from any thread."""

    def __init__(self, root: Container, bus: Bus) -> None:
        self._root = root
        self._bus = bus
        self._members: list[Member] = []
        self._entries: dict[int, _Entry] = {root.id: _Entry(root)}
        self._lock = threading.Lock()
        self.failures: dict[str, int] = {}
        self.refused: dict[str, str] = {}  # why one that is installed is not registered

    def register(self, member: Member) -> None:
        """Take one in and make it known the root. Nothing is left of one that is refused."""
        if len(self._entries) > 1:
            raise Refused("EBUSY", f"subsystem {member.name} comes too late: there are containers besides the root")
        if len(self._members) >= MOST:
            raise Refused("ENOSPC", f"subsystem {member.name} is one too many: {MOST} are registered")
        if not NAME.fullmatch(member.name):
            raise Refused("EINVAL", f"{member.name!r} is not the name of a subsystem; it has a-z, 0-9 and _")
        if any(other.name == member.name for other in self._members):
            raise Refused("EEXIST", f"there is a subsystem {member.name} already")
        try:
            member.start()
            self._demand(member, "create", self._root)
        except Refused:
            member.close()
            raise
        self._members.append(member)
        self._entries[self._root.id].told[member.name] = member.lives

    def checks(self) -> Iterator[Check]:
        """What the doctor says of subsystems."""
        for member in self._members:
            yield from member.checks()
        for name, reason in self.refused.items():
            hint = "mend it, or leave it out (subsystems in config.toml), and start the agent anew"
            yield Check(f"subsystem {name}", "no", reason, hint)

    def close(self) -> None:
        """End all, the last one first."""
        for member in reversed(self._members):
            member.close()

    @property
    def members(self) -> Sequence[Member]:
        """In order; those that are off too."""
        return tuple(self._members)

    def having(self, hook: str) -> list[Member]:
        """Those that have a hook and are not off."""
        return [member for member in self._members if hook in member.hooks and not member.off]

    def create(self, container: Container) -> None:
        """Of a container that was made; refused when one refuses or fails, and then nobody knows of it."""
        entry = _Entry(container)
        done: list[Member] = []
        try:
            for member in list(self._members):
                self._demand(member, "create", container)
                done.append(member)
                entry.told[member.name] = member.lives
        except Refused:
            for member in reversed(done):
                self._tell(member, "destroy", container)
            raise
        self._set_entry(container.id, entry)

    def knows(self, container: Container) -> bool:
        """Whether every subsystem that wants to know of containers was told of this one."""
        entry = self._entries.get(container.id)
        return entry is not None and not self._untold(entry)

    def _untold(self, entry: _Entry) -> list[Member]:
        return [member for member in self.having("create") if entry.told.get(member.name) != member.lives]

    def told(self, member: Member, container: Container) -> bool:
        """Whether one was told of a container, or has no wish to be."""
        entry = self._entries.get(container.id)
        return "create" not in member.hooks or (entry is not None and entry.told.get(member.name) == member.lives)

    def take_up(self, container: Container) -> None:
        """Tell of a container that is there already, after its parents; refused when one refuses or fails."""
        entry = self._entries.get(container.id) or _Entry(container)
        self._set_entry(container.id, entry)
        for member in self._untold(entry):
            self._demand(member, "create", replace(container, existing=True))
            entry.told[member.name] = member.lives

    def destroy(self, cgroup_id: int) -> None:
        """A container is gone; those that were told of it hear that, the last one first."""
        with self._lock:
            entry = self._entries.pop(cgroup_id, None)
        for member in reversed(self._members) if entry else ():
            if entry and entry.told.get(member.name) == member.lives:
                self._tell(member, "destroy", entry.container)

    def known(self) -> list[Container]:
        """Those that are known, the root left out."""
        with self._lock:
            return [entry.container for entry in self._entries.values() if entry.container.id != self._root.id]

    def renamed(self, cgroup_id: int, name: str) -> None:
        """A container has another name from now on; nobody is told."""
        with self._lock:
            entry = self._entries.get(cgroup_id)
            if entry is not None:
                entry.container = replace(entry.container, name=name)

    def _set_entry(self, cgroup_id: int, entry: _Entry) -> None:
        with self._lock:
            self._entries[cgroup_id] = entry

    @contextlib.contextmanager
    def attaching(self, container: Container, origin: Container | None, task: Task) -> Iterator[None]:
        """Around the move of a task, which those before may refuse and those after are told."""
        asked: list[Member] = []
        try:
            for member in self.having("can_attach") + self.having("cancel_attach"):
                if member not in asked:
                    self._demand(member, "can_attach", container, task=task)
                    asked.append(member)
            yield
        except BaseException:
            for member in reversed(asked):
                self._tell(member, "cancel_attach", container, task=task)
            raise
        for member in self.having("attach"):
            self._tell(member, "attach", container, origin=origin, task=task)

    def post_attach(self, moved: Sequence[Moved]) -> None:
        """After the lock."""
        for container, origin, task in moved:
            for member in self.having("post_attach"):
                self._tell(member, "post_attach", container, origin=origin, task=task)

    def ask(self, member: Member, call: str, container: Container, **more: Any) -> Reply:
        """One call that some subsystem has to answer; a failure is told everybody."""
        reply = member.call(request(call, container, **more))
        if reply.code == FAILED:
            self.failed(member.name, call, container, reply.reason)
        return reply

    def failed(self, name: str, call: str, container: Container, reason: str) -> None:
        """A subsystem is at fault."""
        with self._lock:
            self.failures[name] = self.failures.get(name, 0) + 1
        log.error("subsystem %s failed at %s of %s: %s", name, call, container.name, reason)
        self._bus.publish(SUBSYSTEM_FAILED, container.name, container.cgroup, subsystem=name, call=call, reason=reason)

    def _tell(self, member: Member, call: str, container: Container, **more: Any) -> None:
        """What it says does not matter."""
        if call not in member.hooks or member.off:
            return
        reply = self.ask(member, call, container, **more)
        if reply.code and reply.code != FAILED:
            self.failed(member.name, call, container, f"it refused what cannot be refused: {reply.reason}")

    def _demand(self, member: Member, call: str, container: Container, **more: Any) -> None:
        """It must agree. One that went off meanwhile has no say any more."""
        if call not in member.hooks or member.off:
            return
        reply = self.ask(member, call, container, **more)
        refuse(member, call, container, reply)


def refuse(member: Member, call: str, container: Container, reply: Reply) -> None:
    """Refused, if the reply is no."""
    if reply.code == FAILED:
        message = f"subsystem {member.name} failed at {call} of container {container.name}: {reply.reason}"
        raise Refused("EIO", f"{message}; see the log, or leave it out (subsystems in config.toml)")
    if reply.code:
        raise Refused(reply.code, reply.reason if member.built_in else f"subsystem {member.name}: {reply.reason}")
