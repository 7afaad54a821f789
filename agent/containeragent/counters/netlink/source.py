# SPDX-License-Identifier: Apache-2.0
"""Engine `netlink` as a Source (counters/source.py): the fallback where BPF is refused.

A snapshot is a reading of every cgroup's files, which costs time. One is used again for ten times as long as it took,
so that scrapes never take more than a tenth of a CPU; `changed` makes the next new, `settled` does where it is cheap.
"""

from __future__ import annotations

import logging
import mmap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from containeragent.checks import Check
from containeragent.counters.ends import End
from containeragent.counters.hits import LimitHit
from containeragent.counters.netlink import checks, columns
from containeragent.counters.netlink.connector import Connector
from containeragent.counters.netlink.nodes import Node, Nodes
from containeragent.counters.netlink.tasks import Tasks
from containeragent.counters.netlink.walk import Row, walk
from containeragent.counters.pageview import AskActive
from containeragent.counters.snapshot import Snapshot
from containeragent.counters.source import Engine
from containeragent.errors import Refused
from containeragent.libbpf import ProgramInfo

log = logging.getLogger(__name__)

_AGAIN = 10  # a reading is used for so many times the time it took
_CHEAP_SECONDS = 0.05
_LONGEST_SECONDS = 60.0  # without anybody asking, so that what is gone is forgotten
_WAIT_SECONDS = 0.5


class NetlinkSource:
    """`reason` says why this engine counts."""

    slots = None  # as many as there are
    page_size = mmap.PAGESIZE

    def __init__(self, mount: Path, reason: str) -> None:
        self.reason = reason
        self.no_events: str | None = None
        self._mount = mount
        self._nodes = Nodes(mount)
        self._tasks = Tasks(self._nodes.locate)
        self._counting = threading.Lock()  # nodes and tasks
        self._reading = threading.Lock()
        self._last: Snapshot | None = None
        self._good_until = 0.0
        self._took = 0.0
        self._changes = 0
        self._lost = 0
        self._stopped = threading.Event()
        self._connector = self._connect()
        self.snapshot()
        self._thread = threading.Thread(target=self._follow, name="task events", daemon=True)
        if self._connector:
            self._thread.start()

    def _connect(self) -> Connector | None:
        try:
            return Connector()
        except Refused as error:
            self.no_events = error.message
            log.warning("forks and exits are unknown: %s", error.message)
            return None

    @property
    def engine(self) -> Engine:
        """Without events or without the memory controller there is nothing that counts."""
        known = self._last is not None and bool((self._last.total["anon"] >= 0).any())
        return Engine("netlink" if self._connector else "cgroup.threads", "memory.stat" if known else "none")

    @property
    def files(self) -> None:
        """The kernel decides whose pages are."""
        return None

    def snapshot(self) -> Snapshot:
        """A reading that is fresh enough."""
        with self._reading:
            if self._last is None or self._changes or time.monotonic() >= self._good_until:
                self._changes, started = 0, time.thread_time()
                self._last = self._read()
                self._took = time.thread_time() - started
                self._good_until = time.monotonic() + self._took * _AGAIN
            return self._last

    def settled(self) -> Snapshot:
        """A reading that began after the call, as long as that is cheap."""
        if self._took < _CHEAP_SECONDS:
            self.changed()
        return self.snapshot()

    def rescan(self, _ask_active: AskActive) -> None:
        """Not needed: the kernel's files say it all."""

    def changed(self) -> None:
        """The next snapshot is a new reading, and what was told so far counts where its tasks are now."""
        self._changes = 1
        if self._connector:
            with self._counting:
                self._take_events(self._connector)

    def _read(self) -> Snapshot:
        with self._counting:
            self._nodes.reading += 1
            self._tasks.begin()
        rows = walk(self._mount)
        with self._counting:
            nodes = self._nodes_of(rows)
            if self._connector:
                self._take_events(self._connector)
                found = {task: node for row, node in zip(rows, nodes, strict=True) for task in row.tasks}
                self._tasks.reconcile(found, caught_up=not self._connector.wait(0))
            self._nodes.forget_unseen()
            return columns.snapshot(rows, nodes if self._connector else None, self.page_size, self.lost())

    def _nodes_of(self, rows: list[Row]) -> list[Node]:
        nodes: list[Node] = []
        for row in rows:
            nodes.append(self._nodes.node(row.cgroup_id, None if row.parent is None else nodes[row.parent]))
        return nodes

    def _follow(self) -> None:
        assert self._connector
        while not self._stopped.is_set():
            try:
                if self._connector.wait(_WAIT_SECONDS):
                    with self._counting:
                        self._take_events(self._connector)
            except OSError as error:
                log.error("task events cannot be read, it is tried again: %s", error)
                self._stopped.wait(_WAIT_SECONDS)

    def _take_events(self, connector: Connector) -> None:
        for event in connector.events():
            if event.is_fork:
                self._tasks.fork(event.parent, event.task)
            else:
                self._tasks.exit(event.task)

    def lost(self) -> int:
        """Messages that were not seen, and events whose cgroup could not be told."""
        return (self._connector.lost if self._connector else 0) + self._tasks.unplaced

    def programs(self) -> dict[str, ProgramInfo]:
        """None: nothing is loaded."""
        return {}

    def sweep(self) -> int:
        """Nothing is held that could be given back."""
        return 0

    def ends(self) -> list[End]:
        """None: no file says what a cgroup that is gone had."""
        return []

    def explain(self, end: End, reason: str) -> None:
        """There are no records."""

    def manage(self, cgroup_id: int) -> None:
        """Nothing differs."""

    denies_forks = None

    def set_limits(self, cgroup_id: int, task_limit: int | None, page_limit: int | None) -> None:
        """Refused: this engine reads, it is not asked."""
        if task_limit is not None or page_limit is not None:
            message = "engine netlink cannot hold limits; only the kernel's controllers can (`containerctl doctor`)"
            raise Refused("ENOTSUP", message)

    def rearm(self, cgroup_id: int) -> None:
        """There are no notices."""

    def listen_limits(self, hear: Callable[[list[LimitHit]], None]) -> None:
        """There are no notices."""

    def listen(self, kind: int, hear: Callable[[list[bytes]], None]) -> None:
        """There are no notices."""

    def upkeep(self) -> None:
        """Read anew after events were lost, and now and then."""
        lost = self._connector.lost if self._connector else 0
        if lost != self._lost:
            log.warning("%d messages of the process connector were lost; all cgroups are read anew", lost - self._lost)
            self._lost = lost
            self.changed()
        elif time.monotonic() < self._good_until + _LONGEST_SECONDS:
            return
        self.snapshot()

    def checks(self) -> Iterator[Check]:
        """What is missing, and why."""
        return checks.checks(self)

    def close(self) -> None:
        """Stop following. Nothing counts any more."""
        self._stopped.set()
        if self._connector:
            self._thread.join()
            self._connector.close()
