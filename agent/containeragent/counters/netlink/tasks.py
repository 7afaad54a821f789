# SPDX-License-Identifier: Apache-2.0
"""What task events add to cgroups: totals of forks and exits, and peaks of tasks.

In: events (connector.py), and at every reading the tasks that were found in the cgroups. An event does not say which
cgroup its task is in, so /proc is asked (`locate`); where the task is gone already, what was known of it, or of its
parent, stands in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from containeragent.counters.netlink.nodes import Node

Locate = Callable[[int], Node | None]


class Tasks:
    """Which node each task is in. `unplaced` counts events whose cgroup could not be told."""

    def __init__(self, locate: Locate, patience_seconds: float = 2.0) -> None:
        self._locate = locate
        self._patience = patience_seconds  # for the event of an exit, which may come after the task is gone
        self._present: dict[int, Node] = {}
        self._ended: set[int] = set()  # since the reading began
        self._missing: dict[int, float] = {}  # at the last reading, and since when
        self.unplaced = 0

    def fork(self, parent: int, child: int) -> None:
        """A task was started."""
        node, known = self._locate(child), self._present.get(parent)
        if node is None or node is not known:  # its parent was moved since we last looked, or it was started elsewhere
            known = self._place(parent)
        # The event comes before the child has its cgroup (copy_process() in kernel/fork.c): until then it is the root.
        if node is None or (node.parent is None and known is not None):
            node = known
        if node is None:
            self.unplaced += 1
            return
        self._ended.discard(child)
        self._missing.pop(child, None)
        self._enter(child, node)
        for above in node.upwards():
            above.forks += 1

    def exit(self, task: int) -> None:
        """A task ended. Until its parent has waited for it, /proc knows where it was.

        The parent may be awake before the event comes (do_exit() in kernel/exit.c), so a peak may be a little too high.
        """
        node = self._place(task)
        self._ended.add(task)
        if node is None:
            self.unplaced += 1
            return
        self._leave(task)
        for above in node.upwards():
            above.exits += 1

    def begin(self) -> None:
        """A reading of the cgroups begins."""
        self._ended.clear()

    def reconcile(self, found: Mapping[int, Node], caught_up: bool) -> None:
        """The reading is done: `found` says where each task was. Only differences are looked at again.

        `caught_up`: no event is waiting, so that who is gone had its exit event, or it was lost.
        """
        for task, node in found.items():
            if task not in self._ended and self._present.get(task) is not node:
                now = self._locate(task)
                if now is not None:
                    self._enter(task, now)
        if not caught_up:
            return
        moment = time.monotonic()
        gone = [task for task in self._present.keys() - found.keys() if self._locate(task) is None]
        self._missing = {task: self._missing.get(task, moment) for task in gone}
        for task, since in self._missing.items():
            if moment - since > self._patience:  # the event of its exit was lost
                self._leave(task)

    def _place(self, task: int) -> Node | None:
        """Where a task is, after the table was set right if it had been moved; what is known of one that is gone."""
        node, known = self._locate(task), self._present.get(task)
        if node is None or node is known:
            return known
        if known is not None:  # one that is not there has ended, or the next reading finds it
            self._enter(task, node)
        return node

    def _enter(self, task: int, node: Node) -> None:
        self._leave(task)
        self._present[task] = node
        for above in node.upwards():
            above.tasks += 1
            above.peak = max(above.peak, above.tasks)

    def _leave(self, task: int) -> None:
        node = self._present.pop(task, None)
        if node is not None:
            for above in node.upwards():
                above.tasks -= 1
