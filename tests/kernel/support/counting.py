# SPDX-License-Identifier: Apache-2.0
"""A set of programs of the tests' own, loaded beside whatever else counts on this machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator

import numpy as np

from containeragent import libbpf, tasks
from containeragent.counters.maps import CounterMaps
from containeragent.counters.pinned import PinnedSource
from containeragent.counters.records import SLOT_FREE
from containeragent.counters.settle import Settler
from containeragent.counters.snapshot import Reader, Reading, Snapshot
from containeragent.counters.sweep import Programs, Sweeper
from containeragent.loader.load import BPFFS, Options, load, unload
from containeragent.pins import Pins
from containeragent.runnable import Runnable
from tests.kernel.support.containers import Container, Pages
from tests.kernel.support.waiting import until


def no_say(_line: str) -> None:
    """Nobody is told."""


class Counting:
    """Loaded when made; `close` removes every pin."""

    def __init__(self, name: str, slots: int = 16384, engine: str = "auto") -> None:
        self.options = Options(BPFFS / f"test-{os.getpid()}-{name}-{engine}", slots=slots, engine=engine)
        self.pins = Pins(self.options.bpffs)
        self.said: list[str] = []
        try:
            self.stamp = load(self.options, False, self.said.append)
            self.map_again()
        except BaseException:
            self.close()
            raise

    def map_again(self) -> None:
        """Map what is pinned now."""
        self.stamp = self.pins.stamp() or self.stamp
        self.maps = CounterMaps.from_pins(self.pins, self.stamp)
        self._reader = Reader(self.maps, self.stamp.engine == "fentry")
        self._settler = Settler()

    def close(self) -> None:
        """Remove every pin."""
        unload(self.options.bpffs, no_say)

    def take(self) -> Snapshot:
        """A snapshot of pages that are all on their lists."""
        self._settler.settle()
        return self._reader.take()

    def reading(self, container: Container) -> Reading:
        """A container's counters, which it has from its beginning on."""
        reading = self.take().reading(container.id)
        assert reading is not None, f"{container.path} has no slot"
        return reading

    def pages(self, container: Container) -> Pages:
        """What is counted in a container and below it."""
        reading = self.reading(container)
        return Pages(*(reading.total[kind] for kind in ("anon", "file", "shmem", "mapped")))

    @contextlib.contextmanager
    def looking(self) -> Iterator[Callable[[Container], dict[str, int]]]:
        """What a look at every page frame finds of a container, taken as the agent takes it."""
        source = PinnedSource(self.pins)

        def look(container: Container) -> dict[str, int]:
            view = source.rescan(lambda ids: {})
            pages = view.pages(container.id) if view else None
            assert pages is not None, f"{container.path} was not seen"
            return pages

        try:
            yield look
        finally:
            source.close()

    def slot(self, container: Container) -> int:
        """The slot of a container, living or dead."""
        slots = self.maps.slots
        found = np.flatnonzero((slots["cgroup_id"] == container.id) & (slots["state"] != SLOT_FREE))
        assert len(found) == 1, f"{container.path} has slots {found.tolist()}"
        return int(found[0])

    def give_out_again_last(self, below: int) -> None:
        """Free slots with numbers below go to the end of the queue, as when each was taken and given back."""
        queue, number = self.pins.get("maps", "free_slots"), ctypes.c_uint32(0)
        while number.value < below - 1:
            assert libbpf.library().bpf_map_lookup_and_delete_elem(queue, None, ctypes.byref(number)) == 0
            libbpf.map_update(queue, None, bytes(number))
        os.close(queue)

    def state_of_slot(self, slot: int) -> int:
        """SLOT_FREE, SLOT_LIVE or SLOT_DEAD."""
        return int(self.maps.slots["state"][slot])

    @contextlib.contextmanager
    def sweeper(self, patience_seconds: float = 60.0) -> Iterator[Sweeper]:
        """The agent's, on these programs."""
        descriptors = {name: self.pins.get("programs", name) for name in ("sweep_block", "retire_slot")}
        programs = Programs(**{name: Runnable(descriptor) for name, descriptor in descriptors.items()})
        try:
            yield Sweeper(self.maps, programs, self.stamp.blocks, patience_seconds)
        finally:
            for descriptor in descriptors.values():
                os.close(descriptor)

    def scan_tasks(self) -> None:
        """What the agent does when the kernel side says that it lost tasks."""
        iterator, process = (self.pins.get("programs", name) for name in ("task", "scan_process"))
        try:
            tasks.scan(iterator, Runnable(process), self.maps.all_tasks)
        finally:
            os.close(iterator)
            os.close(process)

    def tasks_lost(self) -> int:
        """Times that the kernel side could not enter a task, since the load."""
        return self.take().health.tasks_lost

    def assert_pages_at_rest(
        self, container: Container, too_high_anon: int = 0, slack: int = 0, kernel_counts: Container | None = None
    ) -> Pages:
        """Counted pages are the kernel's, which can be old; `too_high_anon` is how far anon may be above.

        `slack` is how far each may be off either way. Engine fentry has no excuses.
        """
        if self.stamp.engine == "fentry":
            too_high_anon = slack = 0

        def off() -> tuple[Pages, Pages, Pages]:
            ours, kernel = self.pages(container), (kernel_counts or container).kernel_pages()
            return ours - kernel, ours, kernel

        def good(values: tuple[Pages, Pages, Pages]) -> bool:
            off = values[0]
            anon_is_good = -slack <= off.anon <= too_high_anon + slack
            return anon_is_good and max(abs(off.file), abs(off.shmem), abs(off.mapped or 0)) <= slack

        values = until(off, good)
        said = "off by {}: counted {}, the kernel says {}; missed runs: {}"
        assert good(values), said.format(*values, self.missed())
        return values[1]

    def missed(self) -> dict[str, int]:
        """Runs that the kernel left out, by program."""
        found = {}
        for name in self.pins.names("links"):
            descriptor = self.pins.get("programs", name)
            found[name] = libbpf.program_info(descriptor).missed
            os.close(descriptor)
        return {name: number for name, number in found.items() if number}

    def assert_tasks_at_rest(self, container: Container) -> int:
        """Counted tasks are the lines of cgroup.threads over the subtree."""
        values = until(
            lambda: (self.reading(container).total["tasks"], container.threads()), lambda pair: pair[0] == pair[1]
        )
        assert values[0] == values[1], "counted {} tasks, cgroup.threads has {}".format(*values)
        return int(values[0])
