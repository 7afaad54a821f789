# SPDX-License-Identifier: Apache-2.0
"""What a subsystem is. The model is the multi-subsystem API of the containers patches of 2006 (Paul Menage).

This module is an interface that others build on: what is here stays.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Value = str | int | float | bool | None
_STATE = "user.containeragent.subsystem."  # a service without CAP_SYS_ADMIN has no `trusted.` ones


@dataclass(frozen=True)
class Container:
    """A container as a subsystem sees it; `/` is the cgroup root.

    `cgroup` is the path under the cgroup2 mount, `path` the directory, `id` the kernel's, which no other cgroup ever
    gets. `existing`: in `create`, it was there before: the agent started anew, or somebody made it without the agent.
    """

    name: str
    cgroup: str
    id: int
    path: str
    existing: bool = False

    def load_state(self, subsystem: str) -> dict[str, Any]:
        """What save_state kept on this cgroup; {} when there is nothing, or nothing of ours."""
        try:
            state = json.loads(os.getxattr(self.path, _STATE + subsystem))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def save_state(self, subsystem: str, state: dict[str, Any]) -> None:
        """Keep JSON values as an extended attribute of the cgroup: they outlive the agent and die with the cgroup.

        OSError where the kernel has none on cgroups (before Linux 5.7), or they are too large (some KiB in all).
        """
        if state:
            os.setxattr(self.path, _STATE + subsystem, json.dumps(state).encode())
            return
        try:
            os.removexattr(self.path, _STATE + subsystem)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise


@dataclass(frozen=True)
class Task:
    """A process that is to move, with all its threads; `uid` is its real user id. It may end at any moment."""

    pid: int
    uid: int


@dataclass(frozen=True)
class Attribute:
    """One attribute of one container: `containerctl show` calls `show`, `containerctl set` calls `set`.

    Users know it as SUBSYSTEM.NAME. Without `show` it is not shown, without `set` it can only be read. `set` gets what
    the user wrote, and raises Refused or ValueError when that is not good. A shown value that `set` would not take as
    text cannot be put back when a later one of the same request is refused.
    """

    name: str
    help: str = ""
    show: Callable[[], Value] | None = None
    set: Callable[[str], None] | None = None


class Subsystem:
    """Any of these; those that are not overridden are not called.

    Calls of one subsystem come one at a time. While `create`, `destroy`, `can_attach`, `cancel_attach`, `attach` and
    attributes' `set` run, no other change to containers does, so be quick, and do not ask the agent for changes: they
    would wait for each other. Raise Refused(errno name, reason) to refuse; any other exception is a failure.
    """

    name = ""

    def create(self, container: Container) -> None:
        """A container was made; its parent's create came before. First of all it is called for the root.

        When it refuses or fails, the subsystems that were called before get destroy, the last one first, and the
        container is taken away. One that exists already stays, but takes no tasks until its create succeeds.
        """

    def destroy(self, container: Container) -> None:
        """A container is gone, or about to be because its creation is undone: its directory may be missing."""

    def can_attach(self, container: Container, task: Task) -> None:
        """Whether a task may come into a container; Refused if not. The root is where detached tasks go."""

    def cancel_attach(self, container: Container, task: Task) -> None:
        """It does not come after can_attach said yes, because something else refused. The last asked hears it first."""

    def attach(self, container: Container, origin: Container | None, task: Task) -> None:
        """It has come. `origin` is where it was, None outside the cgroup root. This cannot be refused any more."""

    def post_attach(self, container: Container, origin: Container | None, task: Task) -> None:
        """The same, when other changes may go on: for what takes time."""

    def populate(self, container: Container) -> Iterable[Attribute]:
        """The attributes of a container, at most 64."""
        return ()


HOOKS = ("create", "destroy", "can_attach", "cancel_attach", "attach", "post_attach", "populate")


def hooks(subsystem: object) -> frozenset[str]:
    """Which of them a subsystem has; it need not be derived from Subsystem."""
    found = {name: getattr(type(subsystem), name, None) for name in HOOKS}
    return frozenset(
        name for name, function in found.items() if callable(function) and function is not getattr(Subsystem, name)
    )
