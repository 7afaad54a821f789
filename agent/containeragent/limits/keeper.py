# SPDX-License-Identifier: Apache-2.0
"""The limits of all containers: who has which, who holds them, how often they were hit.

In: changes that users ask for, and what is counted. Out: what documents and metrics say of limits, an event for hits.
A change is in force, kept on the cgroup and remembered, or it is refused and nothing is different.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from containeragent.cgroups.tree import Parts, Tree
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.events.event import LIMIT_HIT
from containeragent.limits import store
from containeragent.limits.entry import Entry, fewer, gone_below, more, set_limits, with_hits
from containeragent.limits.holders import KERNEL, Holders, Modes
from containeragent.limits.kernel import MEMORY_EVENTS, NO_COUNTS, PIDS_EVENTS, Counts, KernelLimits
from containeragent.limits.mode_checks import ModeChecks
from containeragent.limits.model import NO_HITS, NO_LIMITS, NOTHING, Hits, Kept, Limits
from containeragent.limits.usage import Usage
from containeragent.limits.watch import HitsWatcher

log = logging.getLogger(__name__)

Publish = Callable[..., None]  # kind, parts, details


class Keeper:
    """Limits of the containers in one tree. From any thread.

    `above` is called with the id of a container that may be above its page limit, `out_of_memory` with one in which
    the kernel has killed for want of memory, `task_limit_set` with one that has a new task limit; from
    threads that must not wait.
    """

    def __init__(self, tree: Tree, source: Source, publish: Publish, recover: Callable[[Parts], None]) -> None:
        """`recover` lets a container go on that an agent before this one stopped."""
        self._tree = tree
        self._source = source
        self._kernel = KernelLimits(tree)
        self._holders = Holders(tree, source)
        self._usage = Usage(tree, source)
        self.publish = publish
        self._recover = recover
        self.above: Callable[[int], None] = lambda _: None
        self.out_of_memory: Callable[[int], None] = lambda _: None
        self.task_limit_set: Callable[[int], None] = lambda _: None
        self._entries: dict[int, Entry] = {}  # by cgroup id
        self._lock = threading.RLock()
        self._watcher = HitsWatcher(self._recount)
        self._mode_checks = ModeChecks(tree, self._holders, self.entries, self._update, publish)

    def start(self) -> None:
        """Take over what an agent before this one left."""
        for parts in self._below(()):
            try:
                self._recover(parts)
                self._load(parts)
            except Refused as error:  # it goes at this moment; or nobody can hold its limits any more
                log.warning("%s", error.message)

    def close(self) -> None:
        """Limits hold on; hits are not looked at any more."""
        self._watcher.close()

    def _below(self, parts: Parts) -> Iterator[Parts]:
        yield parts
        with contextlib.suppress(Refused):
            for name in self._tree.children(parts):
                yield from self._below((*parts, name))

    def _load(self, parts: Parts) -> None:
        with self._tree.opened(parts) as directory:
            kept = store.read(directory)
        if kept.limits != NO_LIMITS:
            self._remember(parts, kept, self._holders.apply(parts, kept.limits, kept.limits))
            identity = self._tree.identity(parts)
            self.task_limit_set(identity)
            self.above(identity)
        elif kept != NOTHING or self._kernel.counts(parts) != NO_COUNTS:
            self._remember(parts, kept, self._holders.modes(parts))

    def prepare(self, parent: Parts) -> None:
        """Before a container is made below `parent`: with controllers from its beginning, all its pages are its own."""
        with contextlib.suppress(Refused):  # it is said when a limit is set
            self._kernel.enable((*parent, "any"))

    def entry(self, cgroup_id: int) -> Entry | None:
        """None of a container that never had any limit."""
        return self._entries.get(cgroup_id)

    def entries(self) -> dict[int, Entry]:
        """All of them, by cgroup id."""
        with self._lock:
            return dict(self._entries)

    @property
    def usual_modes(self) -> Modes:
        """Of a container that has no limits yet."""
        return self._holders.usual

    def refresh(self, cgroup_id: int) -> None:
        """Take in what the kernel has counted by now."""
        self._recount({cgroup_id})

    def ended(self, cgroup_id: int, hits: Hits) -> Entry | None:
        """The last of a container that is gone. Hits that the programs counted stay with those that it was in.

        All others count there already.
        """
        with self._lock:
            entry = self._entries.pop(cgroup_id, None)
        self._watcher.forget(cgroup_id)
        if entry is None:
            return None
        if hits != NO_HITS:
            self._add_above(entry.parts, hits)
        elif entry.counts.hits != NO_HITS:
            self._recount_up(entry.parts[:-1])
        return replace(entry, kept=with_hits(entry.kept, hits, True))

    def _add_above(self, parts: Parts, hits: Hits) -> None:
        """To all that a container is in."""
        for length in range(len(parts)):
            with contextlib.suppress(Refused):  # it is gone
                self._update(parts[:length], lambda kept: with_hits(kept, hits, False))

    def add_throttled(self, cgroup_id: int, seconds: float) -> None:
        """It was stopped for so long."""
        entry = self._entries.get(cgroup_id)
        if entry:
            self._update(entry.parts, lambda kept: replace(kept, throttled_seconds=kept.throttled_seconds + seconds))

    def _update(self, parts: Parts, change: Callable[[Kept], Kept]) -> None:
        with self._lock, self._tree.opened(parts) as directory:
            kept = change(store.read(directory))
            store.write(directory, kept)
            self._remember(parts, kept, self._holders.modes(parts))

    def _remember(self, parts: Parts, kept: Kept, modes: Modes) -> None:
        """Hits are watched before they are read, so that none is missed in between."""
        identity = self._tree.identity(parts)
        if kept.limits != NO_LIMITS:
            with self._tree.opened(parts) as directory:
                self._watcher.watch(identity, directory, (PIDS_EVENTS, MEMORY_EVENTS))
        with self._lock:
            counts, before = self._kernel.counts(parts), self._entries.get(identity)
            gone = gone_below(before.counts, counts) if before else NO_HITS
            if gone != NO_HITS:
                kept = with_hits(kept, gone, False)
                with self._tree.opened(parts) as directory:
                    store.write(directory, kept)
            self._entries[identity] = Entry(parts, modes, kept, counts)
        if parts and self._tree.identity(parts[:-1]) not in self._entries:
            self._remember_above(parts[:-1])

    def _remember_above(self, parts: Parts) -> None:
        """Hits count in all that it is in."""
        with self._tree.opened(parts) as directory:
            kept = store.read(directory)
        self._remember(parts, kept, self._holders.modes(parts))

    def _recount(self, cgroup_ids: set[int]) -> None:
        """Of these containers and those that they are in."""
        for entry in filter(None, map(self._entries.get, cgroup_ids)):
            self._recount_up(entry.parts)

    def _recount_up(self, parts: Parts) -> None:
        for length in range(len(parts), -1, -1):
            with contextlib.suppress(Refused):  # it is gone
                self._recount_one(parts[:length])

    def _recount_one(self, parts: Parts) -> None:
        identity = self._tree.identity(parts)
        with self._lock:
            before = self._entries.get(identity)
            counts = self._kernel.counts(parts)
            if before is None or before.counts == counts:
                return
            if gone_below(before.counts, counts) != NO_HITS:
                self._update(parts, lambda kept: kept)  # which takes it in
                return
            if fewer(counts.hits, before.counts.hits):
                return
            after = self._entries[identity] = replace(before, counts=counts)
        self._tell(identity, before.counts, after)

    def _tell(self, cgroup_id: int, before: Counts, entry: Entry) -> None:
        limits, parts = entry.kept.limits, entry.parts
        if limits.task_limit is not None and more(before, entry.counts, "tasks"):
            self.hit(parts, "tasks", self._usage.tasks(parts), limits.task_limit, None)
        if limits.page_limit is not None and more(before, entry.counts, "pages"):
            self.hit(parts, "pages", self._usage.pages(parts), limits.page_limit, None)
            self.above(cgroup_id)
        if entry.counts.oom_kills > before.oom_kills:
            self.out_of_memory(cgroup_id)

    def hit(self, parts: Parts, limit: str, usage: int | None, value: int, task: Mapping[str, Any] | None) -> None:
        """Tell that a limit was hit."""
        self.publish(LIMIT_HIT, parts, limit=limit, usage=usage, limit_value=value, task=task)

    def parts_of(self, path: str) -> Parts:
        """The container that a directory is."""
        return Path(path).relative_to(self._tree.root).parts

    def change(self, parts: Parts, asked: Mapping[str, Any]) -> None:
        """Set what was asked for, leave the rest."""
        with self._tree.opened(parts) as directory:
            present = store.read(directory)
        wanted = present.limits.changed(asked, self._source.page_size)
        modes = self._holders.apply(parts, present.limits, wanted)
        above = self._above(parts, present.limits, wanted)
        # The kernel counts no hit of that, the programs do.
        by_programs = modes.pages != KERNEL or wanted.dry_run
        more = Hits(int("tasks" in above and modes.tasks == KERNEL), int("pages" in above and not by_programs))
        try:
            self._update(parts, lambda kept: set_limits(with_hits(kept, more, True), wanted, above))
        except Refused as error:
            self._holders.apply(parts, wanted, present.limits)
            raise Refused(
                error.code, f"{error.message}: its limits cannot be kept on it, nothing was changed"
            ) from None
        if more != NO_HITS:
            self._add_above(parts, more)
        for limit, (usage, value) in above.items():
            self.hit(parts, limit, usage, value, None)
        identity = self._tree.identity(parts)
        if wanted.task_limit != present.limits.task_limit:
            self.task_limit_set(identity)
        self.above(identity)

    def _above(self, parts: Parts, present: Limits, wanted: Limits) -> dict[str, tuple[int, int]]:
        """Use and limit where one is set below what is used."""
        found = {}
        if wanted.task_limit is not None and wanted.task_limit != present.task_limit:
            found["tasks"] = (self._usage.tasks(parts), wanted.task_limit)
        if wanted.page_limit is not None and wanted.page_limit != present.page_limit:
            found["pages"] = (self._usage.pages(parts) or 0, wanted.page_limit)
        return {limit: pair for limit, pair in found.items() if pair[0] > pair[1]}

    def upkeep(self) -> None:
        """Called about every second."""
        self._mode_checks.upkeep()
