# SPDX-License-Identifier: Apache-2.0
"""The limits of all containers: who has which, who enforces them, how often they were hit.

In: changes that users ask for, and what the kernel counts. Out: what documents and metrics say of limits, an event for
hits. A change is in force, kept on the cgroup and remembered, or it is refused and nothing is different.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from containeragent.cgroups.names import join
from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused
from containeragent.events.event import LIMIT_HIT
from containeragent.limits import kernel, store
from containeragent.limits.kernel import MEMORY, MEMORY_EVENTS, PIDS, PIDS_EVENTS, KernelLimits, Setting
from containeragent.limits.model import NO_HITS, NOTHING, Hits, Kept, Limits, LimitState
from containeragent.limits.watch import HitsWatcher

log = logging.getLogger(__name__)

Publish = Callable[..., None]  # kind, parts, details


@dataclass(frozen=True)
class _Entry:
    parts: Parts
    kept: Kept = NOTHING
    hits: Hits = NO_HITS  # as the kernel counts them
    local_hits: Hits = NO_HITS


class Keeper:
    """Limits of the containers in one tree. `page_size` is bytes. From any thread."""

    def __init__(self, tree: Tree, page_size: int, publish: Publish) -> None:
        self._tree = tree
        self._kernel = KernelLimits(tree)
        self._page_size = page_size
        self._publish = publish
        self._entries: dict[int, _Entry] = {}  # by cgroup id: what has or had limits, or something below that has
        self._lock = threading.RLock()
        self._offered = self._kernel.controllers()
        self._watcher = HitsWatcher(self._recount)
        for parts in self._below(()):
            with contextlib.suppress(Refused):  # it goes at this moment
                self._load(parts)

    def close(self) -> None:
        """Limits hold on; hits are not looked at any more."""
        self._watcher.close()

    def _below(self, parts: Parts) -> Iterator[Parts]:
        yield parts
        with contextlib.suppress(Refused):
            for name in self._tree.children(parts):
                yield from self._below((*parts, name))

    def _load(self, parts: Parts) -> None:
        """What an agent before this one left."""
        with self._tree.opened(parts) as directory:
            kept = store.read(directory)
        entry = self._counted(_Entry(parts, kept))
        if entry != _Entry(parts):
            self._remember(entry)

    def prepare(self, parent: Parts) -> None:
        """Before a container is made below `parent`: with controllers from its beginning, all its pages are its own."""
        with contextlib.suppress(Refused):  # it is said when a limit is set
            self._kernel.enable((*parent, "any"))

    def state(self, cgroup_id: int) -> LimitState:
        """Of one container, as it was when something last changed; no system call."""
        entry = self._entries.get(cgroup_id) or _Entry(())
        return LimitState(
            limits=entry.kept.limits,
            tasks_mode="kernel" if PIDS in self._offered else None,
            pages_mode="kernel" if MEMORY in self._offered else None,
            hits=entry.hits.plus(entry.kept.hits),
            local_hits=entry.local_hits.plus(entry.kept.local_hits),
            throttled_seconds=entry.kept.throttled_seconds,
        )

    def states(self) -> dict[int, LimitState]:
        """Of all containers that are known by limits or hits, by cgroup id."""
        return {cgroup_id: self.state(cgroup_id) for cgroup_id in list(self._entries)}

    def refresh(self, cgroup_id: int) -> None:
        """Take in what the kernel has counted by now."""
        if cgroup_id in self._entries:
            self._recount({cgroup_id})

    def ended(self, cgroup_id: int) -> LimitState | None:
        """The last of a container that is gone; None if it never had any."""
        known = cgroup_id in self._entries
        state = self.state(cgroup_id)
        with self._lock:
            self._entries.pop(cgroup_id, None)
        self._watcher.forget(cgroup_id)
        return state if known else None

    def _remember(self, entry: _Entry) -> None:
        """Hits are watched before they are read, so that none is missed in between."""
        identity = self._tree.identity(entry.parts)
        if entry.kept.limits != Limits():
            with self._tree.opened(entry.parts) as directory:
                self._watcher.watch(identity, directory, (PIDS_EVENTS, MEMORY_EVENTS))
        entry = self._counted(entry)
        with self._lock:
            self._entries[identity] = entry

    def _counted(self, entry: _Entry) -> _Entry:
        hits, local_hits = self._kernel.hits(entry.parts)
        return replace(entry, hits=hits, local_hits=local_hits)

    def _recount(self, cgroup_ids: set[int]) -> None:
        """Of these containers and those that they are in."""
        for cgroup_id in cgroup_ids:
            entry = self._entries.get(cgroup_id)
            for length in range(len(entry.parts), -1, -1) if entry else ():
                with contextlib.suppress(Refused):  # it is gone
                    self._recount_one(entry.parts[:length] if entry else ())

    def _recount_one(self, parts: Parts) -> None:
        identity = self._tree.identity(parts)
        with self._lock:
            before = self._entries.get(identity, _Entry(parts))
            after = self._counted(before)
            if after == before:
                return
            self._entries[identity] = after
        self._tell(before, after)

    def _tell(self, before: _Entry, after: _Entry) -> None:
        limits = after.kept.limits
        if limits.task_limit is not None and _more(before, after, "tasks"):
            self._hit(after.parts, "tasks", len(self._tree.tasks(after.parts)), limits.task_limit)
        if limits.page_limit is not None and _more(before, after, "pages"):
            self._hit(after.parts, "pages", self._kernel.pages(after.parts, self._page_size), limits.page_limit)

    def _hit(self, parts: Parts, limit: str, usage: int | None, value: int) -> None:
        self._publish(LIMIT_HIT, parts, limit=limit, usage=usage, limit_value=value, task=None)

    def change(self, parts: Parts, asked: Mapping[str, Any]) -> None:
        """Set what was asked for, leave the rest."""
        with self._tree.opened(parts) as directory:
            present = store.read(directory)
        wanted = present.limits.changed(asked, self._page_size)
        self._offered = offered = self._kernel.enable(parts)
        settings = self._settings(parts, wanted, offered)
        above = self._above(parts, present.limits, wanted)
        self._kernel.write(parts, settings)
        try:
            self._keep(parts, replace(_with_hits(present, above, True), limits=wanted))
        except Refused as error:
            self._kernel.write(parts, self._settings(parts, present.limits, offered))
            raise Refused(
                error.code, f"{error.message}: its limits cannot be kept on it, nothing was changed"
            ) from None
        self._say_above(parts, wanted, above)

    def _keep(self, parts: Parts, kept: Kept) -> None:
        with self._tree.opened(parts) as directory:
            store.write(directory, kept)
        self._remember(_Entry(parts, kept))

    def _above(self, parts: Parts, present: Limits, wanted: Limits) -> Mapping[str, int]:
        """What is above a limit that is set lower now, with its use: the kernel counts no hit of that."""
        found = {}
        if wanted.task_limit is not None and wanted.task_limit != present.task_limit:
            found["tasks"] = len(self._tree.tasks(parts))
        if wanted.page_limit is not None and wanted.page_limit != present.page_limit:
            found["pages"] = self._kernel.pages(parts, self._page_size) or 0
        most = {"tasks": wanted.task_limit or 0, "pages": wanted.page_limit or 0}
        return {limit: usage for limit, usage in found.items() if usage > most[limit]}

    def _say_above(self, parts: Parts, wanted: Limits, above: Mapping[str, int]) -> None:
        for length in range(len(parts)) if above else ():
            with contextlib.suppress(Refused):
                with self._tree.opened(parts[:length]) as directory:
                    kept = store.read(directory)
                self._keep(parts[:length], _with_hits(kept, above, False))
        for limit, usage in above.items():
            value = wanted.task_limit if limit == "tasks" else wanted.page_limit
            self._hit(parts, limit, usage, value or 0)

    def _settings(self, parts: Parts, wanted: Limits, offered: frozenset[str]) -> list[Setting]:
        settings: list[Setting] = []
        if PIDS in offered:
            settings += kernel.pids_settings(wanted)
        elif wanted.task_limit is not None:
            raise _nobody(parts, "task", PIDS)
        if MEMORY in offered:
            settings += kernel.memory_settings(wanted, self._page_size)
        elif wanted.page_limit is not None:
            raise _nobody(parts, "page", MEMORY)
        return settings

    def admit(self, parts: Parts, origin: Parts | None, threads: int) -> None:
        """Refuse to move tasks where a container, or one that it is in, would be above its task limit by them.

        `origin` is the container that they are in, None outside: who has them already is not asked again.
        """
        full: list[tuple[int, str]] = []
        for length in range(len(parts), -1, -1):
            above = parts[:length]
            limit = self.state(self._tree.identity(above)).limits.task_limit
            if limit is None or (origin is not None and origin[:length] == above):
                continue
            present = len(self._tree.tasks(above))
            if present + threads > limit:
                full.append((limit - present, f"container {join(above)} has {present} of {limit} tasks"))
        if full:
            tightest = min(full, key=lambda one: one[0])[1]
            raise Refused("EAGAIN", f"{tightest}; end some, or raise its task limit")


def _more(before: _Entry, after: _Entry, limit: str) -> bool:
    """Whether its own limit was hit; where the kernel does not tell, one of its own or of what is below."""
    earlier, later = getattr(before.local_hits, limit), getattr(after.local_hits, limit)
    if earlier is None or later is None:
        earlier, later = getattr(before.hits, limit), getattr(after.hits, limit)
    return bool((later or 0) > (earlier or 0))


def _with_hits(kept: Kept, above: Mapping[str, int], local: bool) -> Kept:
    more = Hits(int("tasks" in above), int("pages" in above))
    return replace(kept, hits=kept.hits.plus(more), local_hits=kept.local_hits.plus(more if local else Hits()))


def _nobody(parts: Parts, what: str, controller: str) -> Refused:
    message = (
        f"the {what} limit of container {join(parts)} was not set: the {controller} controller is not on cgroup v2 "
        "here; see containerctl doctor"
    )
    return Refused("ENOTSUP", message)
