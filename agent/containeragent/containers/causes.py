# SPDX-License-Identifier: Apache-2.0
"""Why containers will end, beyond their removal: that they were killed for a limit, say.

In: causes by cgroup id. Out: the same, once, when the container is gone. They are kept on the cgroup root, which
outlives both the container and the agent. Bounded: the oldest go first.
"""

from __future__ import annotations

import json
import logging
import threading

from containeragent.cgroups import attributes
from containeragent.cgroups.tree import Tree
from containeragent.errors import Refused

log = logging.getLogger(__name__)

KEY = "causes"
MOST = 256  # of some hundred bytes, where an attribute has at most 64 KiB (xattr(7))


class Causes:
    """From any thread."""

    def __init__(self, tree: Tree) -> None:
        """With those of an agent before this one."""
        self._tree = tree
        self._lock = threading.Lock()
        self._known = self._load()

    def put(self, cgroup_id: int, cause: str) -> None:
        """The newest counts."""
        with self._lock:
            self._known.pop(cgroup_id, None)
            self._known[cgroup_id] = cause
            while len(self._known) > MOST:
                self._known.pop(next(iter(self._known)))
            self._keep()

    def pop(self, cgroup_id: int) -> str | None:
        """None where there is no other than its removal."""
        with self._lock:
            cause = self._known.pop(cgroup_id, None)
            if cause is not None:
                self._keep()
            return cause

    def _keep(self) -> None:
        try:
            with self._tree.opened(()) as directory:
                attributes.put(directory, KEY, json.dumps(self._known) if self._known else None)
        except (OSError, Refused) as error:
            log.warning("why containers end is not known to the next agent: %s", error)

    def _load(self) -> dict[int, str]:
        with self._tree.opened(()) as directory:
            value = attributes.get(directory, KEY)
        try:
            return {int(number): str(cause) for number, cause in json.loads(value or "{}").items()}
        except (ValueError, TypeError, AttributeError):
            log.error("the attribute %s of the cgroup root is not ours to read: %r", attributes.PREFIX + KEY, value)
            return {}
