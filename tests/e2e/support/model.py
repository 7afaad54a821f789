# SPDX-License-Identifier: Apache-2.0
"""What containers are, in a hundred lines: the model that the agent is compared with.

Operations return the errno's name of what must be refused, or None. Nothing here knows of cgroups, files or time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Parts = tuple[str, ...]


@dataclass(eq=False)
class Node:
    """A container. `released` counts how often it became empty while somebody wanted to know."""

    notify: bool = False
    remove: bool = False
    task_limit: int | None = None
    tasks: set[int] = field(default_factory=set)
    children: dict[str, Node] = field(default_factory=dict)
    released: int = 0

    @property
    def empty(self) -> bool:
        """Nothing is in it."""
        return not self.tasks and not self.children

    def is_full_for(self, task: int) -> bool:
        """Whether a task that is not in it has no room."""
        inside = self.all_tasks()
        return self.task_limit is not None and task not in inside and len(inside) + 1 > self.task_limit

    def walk(self, parts: Parts = ()) -> Iterator[tuple[Parts, Node]]:
        """It and everything below it, parents first."""
        yield parts, self
        for name in sorted(self.children):
            yield from self.children[name].walk((*parts, name))

    def all_tasks(self) -> set[int]:
        """Of it and everything below it."""
        return {task for _, node in self.walk() for task in node.tasks}


class Model:
    """The containers, and the tasks that live; a task that is in no container's set is outside."""

    def __init__(self, limits_hold: bool = True) -> None:
        """Without `limits_hold` a limit cannot be set, because nothing here holds it."""
        self._limits_hold = limits_hold
        self.root = Node()
        self.living: set[int] = set()

    def find(self, parts: Parts) -> Node | None:
        """None when there is none."""
        node: Node | None = self.root
        for part in parts:
            node = node.children.get(part) if node else None
        return node

    def path(self, parts: Parts) -> list[Node]:
        """A container that exists, and those above it, from the root on."""
        found = [self.root]
        for part in parts:
            found.append(found[-1].children[part])
        return found

    def names(self) -> list[Parts]:
        """Of all containers, parents first."""
        return [parts for parts, _ in self.root.walk()]

    def where(self, task: int) -> Parts | None:
        """The container that a task is in."""
        return next((parts for parts, node in self.root.walk() if task in node.tasks), None)

    def create(self, parts: Parts, parents: bool, notify: bool | None, remove: bool, limit: int | None) -> str | None:
        """With the parent's flag if `notify` is None."""
        if self.find(parts):
            return "EEXIST"
        if not parents and self.find(parts[:-1]) is None:
            return "ENOENT"
        if not self._may_have(limit):
            return "ENOTSUP"
        node = self.root
        for part in parts:
            node = node.children.setdefault(part, Node(node.notify))
        node.notify, node.remove, node.task_limit = node.notify if notify is None else notify, remove, limit
        return None

    def _may_have(self, limit: int | None) -> bool:
        return limit is None or self._limits_hold

    def delete(self, parts: Parts, recursive: bool) -> str | None:
        """Tasks of it and below it end with it."""
        node = self.find(parts)
        if node is None:
            return "ENOENT"
        if not parts or not (recursive or node.empty):
            return "EBUSY"
        self.living -= node.all_tasks()
        self._unlink(parts)
        return None

    def _unlink(self, parts: Parts) -> None:
        parent = self.path(parts[:-1])[-1]
        del parent.children[parts[-1]]
        self._left(parts[:-1])

    def _left(self, parts: Parts) -> None:
        """Something left a container that was not empty."""
        node = self.path(parts)[-1]
        if not parts or not node.empty or not (node.notify or node.remove):
            return
        node.released += 1
        if node.remove:
            self._unlink(parts)

    def rename(self, old: Parts, new: Parts) -> str | None:
        """Below the same parent."""
        if not old:
            return "EBUSY"
        if not new or old[:-1] != new[:-1]:
            return "EINVAL"
        if self.find(old) is None:
            return "ENOENT"
        if self.find(new) is not None:
            return "EEXIST"
        siblings = self.path(old[:-1])[-1].children
        siblings[new[-1]] = siblings.pop(old[-1])
        return None

    def attach(self, parts: Parts, tasks: Sequence[int], move: bool) -> str | None:
        """One after the other, up to the first that is refused."""
        return next((code for task in tasks if (code := self._attach_one(parts, task, move))), None)

    def _attach_one(self, parts: Parts, task: int, move: bool) -> str | None:
        if self.find(parts) is None:
            return "ENOENT"
        if task not in self.living:
            return "ESRCH"
        origin = self.where(task)
        if not move and origin not in (None, (), parts):
            return "EBUSY"
        if any(node.is_full_for(task) for node in self.path(parts)):
            return "EAGAIN"
        self._move(task, origin, parts)
        return None

    def _move(self, task: int, origin: Parts | None, parts: Parts) -> None:
        if origin == parts:
            return
        self.path(parts)[-1].tasks.add(task)
        if origin is not None:
            self.path(origin)[-1].tasks.discard(task)
            self._left(origin)

    def detach(self, task: int) -> str | None:
        """Into the root."""
        if task not in self.living:
            return "ESRCH"
        origin = self.where(task)
        if not origin:
            return "EINVAL"
        self._move(task, origin, ())
        return None

    def is_full_for_child_of(self, task: int) -> bool:
        """Whether its fork is above a limit."""
        parts = self.where(task)
        return parts is not None and any(node.is_full_for(0) for node in self.path(parts))

    def forked(self, parent: int, child: int) -> None:
        """The child is where its parent is."""
        self.living.add(child)
        parts = self.where(parent)
        if parts is not None:
            self.path(parts)[-1].tasks.add(child)

    def ended(self, task: int) -> None:
        """Wherever it was."""
        self.living.discard(task)
        parts = self.where(task)
        if parts is not None:
            self.path(parts)[-1].tasks.discard(task)
            self._left(parts)

    def kill(self, parts: Parts) -> str | None:
        """Everything in it and below it ends."""
        if not parts:
            return "EBUSY"
        node = self.find(parts)
        if node is None:
            return "ENOENT"
        killed = node.all_tasks()
        self.living -= killed
        for below, found in reversed(list(node.walk(parts))):
            if found.tasks:
                found.tasks.clear()
                self._left(below)
        return None

    def limit(self, parts: Parts, task_limit: int | None) -> str | None:
        """Also below what is there."""
        node = self.find(parts)
        if node is None:
            return "ENOENT"
        if not self._may_have(task_limit):
            return "ENOTSUP"
        node.task_limit = task_limit
        return None

    def flags(self, parts: Parts, notify: bool | None, remove: bool | None) -> str | None:
        """None leaves one as it is."""
        node = self.find(parts)
        if node is None:
            return "ENOENT"
        if not parts and remove:
            return "EBUSY"
        node.notify = node.notify if notify is None else notify
        node.remove = node.remove if remove is None else remove
        return None
