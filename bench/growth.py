# SPDX-License-Identifier: Apache-2.0
"""How the costs grow.

With containers and depth, measured here; with CPUs, by rows of as many made up in memory; and what a large host would
need, by the sizes of maps, which are held against what the kernel says of those of this host.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from bench import counting, reading
from bench.overhead import Workers
from bench.tables import Cell, Table, quartiles
from containeragent.counters import records
from containeragent.counters.maps import CounterMaps
from containeragent.counters.snapshot import Reader, page_columns
from containeragent.errors import Refused
from containeragent.host import cgroup2, cpus
from containeragent.loader.build import ids_cached
from containeragent.loader.load import load, unload
from containeragent.pins import Pins

CONTAINERS = (100, 1_000, 10_000)
DEPTHS = (1, 10, 30, 60)
CPUS = (2, 64, 512)
SIMULATED_CONTAINERS = (1_000, 10_000, 100_000)
LARGE_CPUS, LARGE_RAM_BYTES, LARGE_SLOTS, LARGE_TASKS = 512, 4 << 40, 131_072, 1 << 22
Row = tuple[Cell, ...]


def map_bytes(pins: Pins) -> dict[str, int]:
    """What the kernel says that each map takes."""
    found = {}
    for name in pins.names("maps"):
        descriptor = pins.get("maps", name)
        fields = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines())
        found[name] = int(fields["memlock"])
        os.close(descriptor)
    return found


def _ram_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _milliseconds(work: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        spent.append((time.perf_counter() - begin) * 1e3)
    return quartiles(spent)[1]


def _with_containers() -> Iterator[Row]:
    """Loading beside so many, snapshots of them, and the memory of maps."""
    for number in CONTAINERS:
        begin = time.perf_counter()
        with reading.containers(number):
            each_us = (time.perf_counter() - begin) / number * 1e6
            yield "containers", number, "a cgroup made, nothing loaded, us", each_us
            begin = time.perf_counter()
            with counting.switched_on() as pins:
                yield "containers", number, "load, s", time.perf_counter() - begin
                reader = reading.reader(pins)
                yield "containers", number, "first snapshot, ms", _milliseconds(reader.take, 1)
                yield "containers", number, "snapshot, ms", _milliseconds(reader.take, 51)
                yield "containers", number, "maps, MiB", sum(map_bytes(pins).values()) / (1 << 20)
                begin = time.perf_counter()
                with reading.containers(number, "more"):
                    each_us = (time.perf_counter() - begin) / number * 1e6
                    yield "containers", number, "a cgroup made, counting, us", each_us


@contextlib.contextmanager
def _deep(levels: int) -> Iterator[Path]:
    """A cgroup that many levels down."""
    made = [cgroup2.mount_point() / f"bench-{os.getpid()}"]
    made += [made[0].joinpath(*["d"] * below) for below in range(1, levels)]
    try:
        for path in made:
            path.mkdir()
        yield made[-1]
    finally:
        for path in reversed(made):
            with contextlib.suppress(FileNotFoundError):
                path.rmdir()


def _at_depths(pairs: int) -> Iterator[Row]:
    """What a fork and a page cost with counting and without, by how deep the container is."""
    for levels in DEPTHS:
        with _deep(levels) as path, counting.switch(counting.engines()[-1]) as switch:
            for name in ("fork", "fault"):
                with contextlib.closing(Workers(name, 1, path / "cgroup.procs")) as workers:
                    more = []
                    for _ in range(pairs):
                        spent = {}
                        for state in ("off", "on"):
                            switch.set(state)
                            spent[state] = workers.measure()
                        more.append(spent["on"] - spent["off"])
                yield (
                    "depth",
                    levels,
                    f"{name}, more by counting, ns",
                    quartiles(more)[1],
                )
            time.sleep(0.1)  # until the workers' exits are through, so that the cgroups can go


def _made_up(number: int, containers: int) -> CounterMaps:
    """Maps of a host with that many CPUs, every row of every container in use."""
    slots = containers + 2
    empty: dict[str, Any] = {
        "rows": np.zeros((number, slots), dtype=records.ROW),
        "groups": np.zeros(slots, dtype=records.GROUP),
        "limits": np.zeros(slots, dtype=records.LIMIT),
        "slots": np.zeros(slots, dtype=records.SLOT),
        "state": np.zeros(1, dtype=records.STATE),
        "seed_words": np.zeros(records.BLOCK_PAGES, dtype=np.uint32),
        "ends": np.zeros(2 * records.ENDS, dtype=records.END),
    }
    maps = CounterMaps(**empty)
    maps.rows["alloc_anon"] = maps.rows["mapped"] = 1
    maps.slots["state"][1:], maps.slots["cgroup_id"] = records.SLOT_LIVE, np.arange(slots)
    maps.slots["level"][2:], maps.groups["parent"][2:] = 1, records.SLOT_ROOT
    return maps


def _with_cpus() -> Iterator[Row]:
    for number, containers in itertools.product(CPUS, SIMULATED_CONTAINERS):
        maps, times = _made_up(number, containers), 5 if number * containers > 1_000_000 else 21
        where = f"{number} CPUs, {containers} containers"
        yield "made up", where, "snapshot, ms", _milliseconds(Reader(maps).take, times)
        sums = partial(page_columns, maps.rows, np.arange(1, len(maps.slots)))
        yield "made up", where, "of which sums of rows, ms", _milliseconds(sums, times)
        yield "made up", where, "reading the rows once, ms", _milliseconds(maps.rows.view(np.int64).sum, times)
    yield from _programs_of_many_cpus()


def _programs_of_many_cpus() -> Iterator[Row]:
    """Whether the kernel verifies programs that go through the rows of that many CPUs."""
    options = replace(counting.OPTIONS, slots=1024)
    begin = time.perf_counter()
    try:
        with mock.patch.object(cpus, "possible", return_value=LARGE_CPUS):
            load(options, False, counting.silent)
        yield "CPUs (made up)", LARGE_CPUS, "load with 1 024 slots, s", time.perf_counter() - begin
    except Refused as error:
        yield "CPUs (made up)", LARGE_CPUS, f"does not load: {error.message}", ""
    finally:
        unload(options.bpffs, counting.silent)


def calculated(number_of_cpus: int, ram_bytes: int, slots: int, tasks: int) -> dict[str, int]:
    """Bytes of the maps whose sizes follow the host's; hashes grow with use, here they are full."""
    entry = 64  # of a hash: its header, key and value, as the kernel's allocator rounds them
    return {
        "owners": ram_bytes // 4096 * 4,
        "rows": number_of_cpus * slots * records.ROW.itemsize,
        "groups, limits, slots": slots * (records.GROUP.itemsize + records.LIMIT.itemsize + records.SLOT.itemsize),
        "task_slots": tasks * (16 + entry),
        "id_slots": slots * 2 * 16 + slots * entry,
        "moves, taken": 2 * max(8192, number_of_cpus * 1024) * 88,
        "id_cache": ids_cached(slots) * 8,
    }


def _calculated() -> Iterator[Row]:
    with counting.switched_on() as pins:
        said, ram, stamp = map_bytes(pins), _ram_bytes(), pins.stamp()
    assert stamp
    total = sum(said.values())
    for name in sorted(said, key=lambda name: -said[name])[:6]:
        yield "this host", name, "MiB by the kernel's word", said[name] / (1 << 20)
    yield "this host", "all maps", "MiB by the kernel's word", total / (1 << 20)
    yield "this host", "all maps", "% of memory", 100 * total / ram
    wanted = calculated(stamp.cpus, stamp.blocks << 21, stamp.slots, 0)
    for name in ("owners", "rows"):
        yield "this host", name, "calculated / kernel's word", wanted[name] / said[name]
    for slots in (16_384, LARGE_SLOTS):
        sizes = calculated(LARGE_CPUS, LARGE_RAM_BYTES, slots, LARGE_TASKS)
        where = f"{LARGE_CPUS} CPUs, 4 TiB, {slots} slots"
        for name, size in sizes.items():
            yield where, name, "MiB calculated", size / (1 << 20)
        yield where, "all maps", "% of memory", 100 * sum(sizes.values()) / LARGE_RAM_BYTES


def run(pairs: int) -> Table:
    """A row a figure."""
    table = Table("Growth", ("grows_with", "at", "what", "value"))
    table.rows += [*_with_containers(), *_at_depths(pairs), *_with_cpus(), *_calculated()]
    return table
