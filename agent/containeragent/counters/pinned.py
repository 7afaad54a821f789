# SPDX-License-Identifier: Apache-2.0
"""The pinned counters of the BPF engines, opened once and kept.

Everything pinned is held open, so that counting goes on when somebody removes the pins; the agent puts them back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from containeragent import libbpf, tasks
from containeragent.checks import Check
from containeragent.counters import pinned_checks
from containeragent.counters.charged import ChargedFiles
from containeragent.counters.ends import End, Ends
from containeragent.counters.filescan import FileFrames, FileLook
from containeragent.counters.hits import LimitHit, limit_notice
from containeragent.counters.kept_pins import KeptPins
from containeragent.counters.limits import Limits
from containeragent.counters.maps import CounterMaps
from containeragent.counters.notices import Notices
from containeragent.counters.pagescan import KINDS as PAGE_KINDS, PageScanner
from containeragent.counters.pageview import AskActive, PageView, of_counts
from containeragent.counters.records import NOTICE_LIMIT, SLOT_LIVE
from containeragent.counters.settle import Settler
from containeragent.counters.snapshot import Reader, Snapshot
from containeragent.counters.source import Engine
from containeragent.counters.stale import StaleWords
from containeragent.counters.sweep import Programs, Sweeper
from containeragent.errors import Refused
from containeragent.host import page_flags
from containeragent.libbpf import ProgramInfo
from containeragent.pins import KINDS, Pins
from containeragent.runnable import Runnable
from containeragent.stamp import Stamp

log = logging.getLogger(__name__)


class PinnedSource:
    """A Source (source.py) over the pins of one folder."""

    reason = ""

    def __init__(self, pins: Pins) -> None:
        stamp = pins.stamp()
        if stamp is None:
            raise Refused("ENOENT", f"nothing is loaded under {pins.folder}; run `containeragent load`")
        self.pins = pins
        self._lock = threading.Lock()
        self._locks = contextlib.ExitStack()
        self._managed_id = 0
        self._hear_limits: Callable[[list[LimitHit]], None] = lambda _: None
        self._kept_pins = KeptPins(pins, self._locks)
        self._listeners: dict[int, Callable[[list[bytes]], None]] = {}
        set_limits = self._open(stamp)
        self._limits = Limits(self._maps, set_limits)
        self._notices = self._hear_notices()

    def _open(self, stamp: Stamp) -> Runnable:
        """Map what is pinned now. The program that sets limits, for whom it is."""
        pins = self.pins
        maps = CounterMaps.from_pins(pins, stamp)
        descriptors = {kind: {name: pins.get(kind, name) for name in pins.names(kind)} for kind in KINDS}
        runnable = {name: Runnable(descriptors["programs"][name]) for name in ("sweep_block", "retire_slot")}
        set_limits = Runnable(descriptors["programs"]["set_limits"])
        self.stamp = stamp
        self._maps = maps
        self._descriptors = descriptors
        self._reader = Reader(maps, stamp.engine == "fentry")
        self._settler = Settler()
        self._scanner = _page_scanner(descriptors, stamp.blocks)
        self._sweeper = Sweeper(maps, Programs(**runnable), stamp.blocks, unread=self._lock)
        self._ends = Ends(maps.ends, maps.state)
        self._files = ChargedFiles(maps, descriptors, in_two_steps=stamp.engine == "fentry")
        self._file_frames = FileFrames(descriptors)
        self._tasks_lost = int(maps.state["tasks_lost"][0])
        self._notices_lost = int(maps.state["notices_lost"][0])
        return set_limits

    def _hear_notices(self) -> Notices:
        return Notices(self._descriptors["maps"]["notices"], self._listeners)

    def close(self) -> None:
        """Let go of everything; what is pinned goes on counting."""
        self._locks.close()
        self._notices.close()
        if self._scanner:
            self._scanner.close()
        _close(self._descriptors)

    @property
    def engine(self) -> Engine:
        """The one that was loaded."""
        return Engine(self.stamp.engine, self.stamp.engine)

    @property
    def page_size(self) -> int:
        """Bytes."""
        return self.stamp.page_size

    @property
    def slots(self) -> int:
        """Containers that can be told apart."""
        return self.stamp.slots

    def snapshot(self) -> Snapshot:
        """The counters now."""
        with self._lock:
            return self._reader.take()

    def settled(self) -> Snapshot:
        """The counters after the kernel has finished what it put off: exact at rest."""
        self._settler.settle()
        return self.snapshot()

    def ends(self) -> list[End]:
        """What ended since the last call; no peak is lower than one that was shown before."""
        with self._lock:
            found, reader = self._ends.new(), self._reader
            return [
                replace(end, peak_pages=max(end.peak_pages, reader.highest_pages(end.slot, end.cgroup_id)))
                for end in found
            ]

    def explain(self, end: End, reason: str) -> None:
        """Write the reason into the record, where a later agent finds it."""
        with self._lock:
            self._ends.explain(end, reason)

    @property
    def files(self) -> ChargedFiles:
        """Those that are charged to cgroups."""
        return self._files

    def manage(self, cgroup_id: int) -> None:
        """The ends of cgroups below this one are told at once, and are not pushed out by those of others."""
        self._managed_id = cgroup_id
        slots = self._maps.slots
        slot = np.flatnonzero((slots["cgroup_id"] == cgroup_id) & (slots["state"] == SLOT_LIVE))
        self._maps.state["managed_root"] = slot[0] if len(slot) else 0

    @property
    def denies_forks(self) -> bool:
        """Whether the program that denies them is attached."""
        return "security_task_alloc" in self._descriptors["links"]

    def set_limits(self, cgroup_id: int, task_limit: int | None, page_limit: int | None) -> None:
        """Limits of a cgroup and everything below it; source.py."""
        self._limits.set(cgroup_id, task_limit, page_limit)

    def rearm(self, cgroup_id: int) -> None:
        """Have the next hit told."""
        self._limits.rearm(cgroup_id)

    def listen_limits(self, hear: Callable[[list[LimitHit]], None]) -> None:
        """Hits, as they come; those whose notices were lost, in the next upkeep."""

        def decoded(batch: list[bytes]) -> None:
            hits = [hit for raw in batch for hit in self._limits.hits(limit_notice(raw))]
            if hits:
                hear(hits)

        self._hear_limits = hear
        self.listen(NOTICE_LIMIT, decoded)

    def listen(self, kind: int, hear: Callable[[list[bytes]], None]) -> None:
        """Notices of a kind, as they come; before, what comes is dropped."""
        self._listeners[kind] = hear

    def rescan(self, ask_active: AskActive) -> PageView | None:
        """Look at every page now; snapshots have what is found from then on. None if the kernel does not show it."""
        scanner, reader, maps = self._scanner, self._reader, self._maps
        if scanner is None:
            return None
        self._settler.settle()
        taken_at, before = time.monotonic(), maps.slots["cgroup_id"].copy()
        files = FileLook(self._file_frames, before, len(PAGE_KINDS))
        counts = scanner.look(len(before), files)
        if counts is None:
            return None
        with self._lock:
            tree = reader.tree()
        view = of_counts(taken_at, counts, tree, maps.slots["cgroup_id"] == before, files.result())
        if not page_flags.tell_active():
            view = view.with_active(ask_active(view.ids.tolist()))
        with self._lock:
            reader.see(view)
        return view

    def changed(self) -> None:
        """Nothing to do: a snapshot is always new."""

    def programs(self) -> dict[str, ProgramInfo]:
        """The attached programs, by tracepoint."""
        programs = self._descriptors["programs"]
        return {name: libbpf.program_info(programs[name]) for name in self._descriptors["links"]}

    def sweep(self) -> int:
        """Look for slots that can be taken again; how many there were."""
        started = time.monotonic()
        freed = self._sweeper.sweep()
        log.info("swept: %d slots of removed cgroups are free again, %.2f s", freed, time.monotonic() - started)
        return freed

    def upkeep(self) -> None:
        """What is due now: sweep, scan tasks that the kernel side could not enter, put lost pins back."""
        if self._sweeper.due(time.monotonic()):
            self.sweep()
        lost = int(self._maps.state["tasks_lost"][0])
        if lost != self._tasks_lost:
            log.warning(
                "%d tasks could not be entered when they started; all tasks are scanned", lost - self._tasks_lost
            )
            programs = self._descriptors["programs"]
            tasks.scan(programs["task"], Runnable(programs["scan_process"]), self._maps.all_tasks)
            self._tasks_lost = lost
        self._tell_untold()
        self._complete_partial()
        self._look_after_pins()

    def _tell_untold(self) -> None:
        lost = int(self._maps.state["notices_lost"][0])
        if lost != self._notices_lost:
            self._notices_lost = lost
            hits = self._limits.untold()
            if hits:
                self._hear_limits(hits)

    def checks(self) -> Iterator[Check]:
        """What the programs and their pins need and have."""
        return pinned_checks.checks(self.pins, self.stamp, self.programs(), self._kept_pins.not_put_back)

    def _complete_partial(self) -> None:
        """A container that was there before the load and has no task any more has no unknown anonymous page either."""
        slots, groups = self._maps.slots, self._maps.groups
        empty = (slots["partial"] != 0) & (groups["tasks"] == 0)
        if empty.any():
            slots["partial"][empty] = 0

    def _look_after_pins(self) -> None:
        """Put back what somebody removed, and follow a load that put its own in place of ours."""
        try:
            present = self.pins.stamp()
        except Refused:
            present = None
        if present is not None and present != self.stamp:
            self._follow(present)
        else:
            self._kept_pins.look_after(self._descriptors)

    def _follow(self, present: Stamp) -> None:
        """Let go of the replaced programs: they count as long as we hold them."""
        replaced, scanner = self._descriptors, self._scanner
        self._notices.close()
        with self._lock:
            set_limits = self._open(present)
            self.manage(self._managed_id)
            self._limits.move(self._maps, set_limits)
        self._notices = self._hear_notices()
        if scanner:
            scanner.close()
        _close(replaced)
        log.info("the programs were replaced by those of version %s", present.version)


def _page_scanner(descriptors: dict[str, dict[str, int]], blocks: int) -> PageScanner | None:
    programs = descriptors["programs"]
    stale = None
    if "mark_stale" in programs:  # engine tracepoint, which counts word by word
        stale = StaleWords(Runnable(programs["mark_stale"]), Runnable(programs["settle_stale"]))
    try:
        return PageScanner(descriptors["maps"]["owners"], blocks, stale=stale)
    except OSError as error:
        log.warning("mapped and active pages are unknown: page frames cannot be looked at: %s", error)
        return None


def _close(descriptors: dict[str, dict[str, int]]) -> None:
    for kind in descriptors.values():
        for descriptor in kind.values():
            os.close(descriptor)
