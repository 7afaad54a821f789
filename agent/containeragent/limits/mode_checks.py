# SPDX-License-Identifier: Apache-2.0
"""Who holds a limit changes when controllers come or go under a running agent.

In: what the keeper remembers, and the controllers that there are. Out: limits in force anew, events and log lines.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable

from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused
from containeragent.events.event import MODE
from containeragent.limits.entry import Entry, with_lost
from containeragent.limits.holders import Holders, Modes
from containeragent.limits.model import NO_LIMITS, Kept

log = logging.getLogger(__name__)

_ROUND_SECONDS = 30  # in which every container is looked at
Update = Callable[[Parts, Callable[[Kept], Kept]], None]


class ModeChecks:
    """Of the containers in one tree."""

    def __init__(
        self,
        tree: Tree,
        holders: Holders,
        entries: Callable[[], dict[int, Entry]],
        update: Update,
        publish: Callable[..., None],
    ) -> None:
        """`entries` gives what is remembered, by cgroup id; `update` changes and keeps it."""
        self._tree = tree
        self._holders = holders
        self._entries = entries
        self._update = update
        self._publish = publish
        self._siblings: list[list[Entry]] = []
        self._rounds = itertools.cycle(range(_ROUND_SECONDS))

    def upkeep(self) -> None:
        """Called about every second: look whether controllers are still there, at a few containers each time."""
        self._holders.look()
        second = next(self._rounds)
        if second == 0:
            self._siblings = self._find_siblings()
        for siblings in self._siblings[second % max(1, len(self._siblings)) :: _ROUND_SECONDS]:
            self._check(siblings)

    def _find_siblings(self) -> list[list[Entry]]:
        """Those that have limits: what is directly below one cgroup has the same controllers."""
        found: dict[tuple[Parts | None, Modes], list[Entry]] = {}
        for entry in self._entries().values():
            if entry.kept.limits != NO_LIMITS:
                found.setdefault((entry.parts[:-1] if entry.parts else None, entry.modes), []).append(entry)
        return list(found.values())

    def _check(self, siblings: list[Entry]) -> None:
        """One stands for all."""
        for seen in siblings:
            with contextlib.suppress(Refused):  # it is gone
                if self._holders.modes(seen.parts) == seen.modes:
                    return
                break
        now = self._entries()
        for seen in siblings:
            with contextlib.suppress(Refused):
                entry = now.get(self._tree.identity(seen.parts))
                if entry:
                    self._check_one(entry)
        self._siblings = self._find_siblings()

    def _check_one(self, entry: Entry) -> None:
        present = self._holders.modes(entry.parts)
        if present == entry.modes:
            return
        limits, title = entry.kept.limits, self._tree.title(entry.parts)
        try:
            modes = self._holders.apply(entry.parts, limits, limits)
        except Refused as error:
            modes = self._holders.modes(entry.parts)
            log.error("%s", error.message)
        self._update(entry.parts, lambda kept: with_lost(kept, entry, present))
        if modes == entry.modes:
            log.warning("controllers of container %s had vanished, its limits were set anew", title)
        for limit, was, now in (("tasks", entry.modes.tasks, modes.tasks), ("pages", entry.modes.pages, modes.pages)):
            if was != now:
                log.warning("the limit of %s of container %s was held by: %s; now: %s", limit, title, was, now)
                self._publish(MODE, entry.parts, limit=limit, mode=now)
