# SPDX-License-Identifier: Apache-2.0
"""Subsystem `door`: a container whose door is closed lets no task in; `door.came` says how many came.

containerctl set web door.open=no
containerctl attach web 4711        # refused: EPERM
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from containeragent.subsystems import Attribute, Container, Refused, Subsystem, Task


class Door(Subsystem):
    """What is kept, is kept on the cgroup, so it outlives the agent and this process."""

    name = "door"

    def create(self, container: Container) -> None:
        """A new container's door is as its parent's; one that is there already has its own."""
        if container.existing or container.name == "/":
            return
        parent = Container(name="", cgroup="", id=0, path=os.path.dirname(container.path))
        container.save_state(self.name, {"open": _is_open(parent), "came": 0})

    def can_attach(self, container: Container, task: Task) -> None:
        """The root's door is closed to nobody: detached tasks go there."""
        if container.name != "/" and not _is_open(container):
            hint = f"containerctl set {container.name} door.open=yes"
            raise Refused("EPERM", f"the door of container {container.name} is closed to task {task.pid}; {hint}")

    def attach(self, container: Container, origin: Container | None, task: Task) -> None:
        """One more has come."""
        state = container.load_state(self.name)
        container.save_state(self.name, state | {"came": state.get("came", 0) + 1})

    def populate(self, container: Container) -> Iterable[Attribute]:
        """One that can be set, and one that is only shown."""

        def set_open(value: str) -> None:
            if value not in ("yes", "no"):
                raise ValueError(f"{value!r} is neither yes nor no")
            container.save_state(self.name, container.load_state(self.name) | {"open": value == "yes"})

        return [
            Attribute("open", "whether tasks may come in", lambda: "yes" if _is_open(container) else "no", set_open),
            Attribute("came", "tasks that came in so far", lambda: container.load_state(self.name).get("came", 0)),
        ]


def _is_open(container: Container) -> bool:
    return bool(container.load_state(Door.name).get("open", True))
