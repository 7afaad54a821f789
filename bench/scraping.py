# SPDX-License-Identifier: Apache-2.0
"""What a scrape of many containers costs the agent, beside reading the kernel's files and beside two peers that do so.

CPU time is that of the process that answers, not of the one that asks. Nothing runs in the containers.
"""

from __future__ import annotations

import functools
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from bench import agents, counting, kernel_files, netdata, peers, system_calls
from bench.tables import Cell, Table
from containeragent.host import cgroup2
from containeragent.loader.load import unload

NUMBERS = (100, 1_000, 10_000)
OPTIONS = ("--series-cap", "1000000", "--metrics-min-age-seconds", "0", "--rescan-percent", "0")
PROMETHEUS = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
_NETDATA_SECONDS = 5
TARGET_MS, TARGET_TIMES = 250, 10
Row = tuple[float, float, Cell, int]  # CPU ms, ms, system calls, series


def scrape(address: str, headers: dict[str, str]) -> bytes:
    """One answer of /metrics."""
    request = urllib.request.Request(f"http://{address}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return bytes(answer.read())


def _measured(
    pid: int, act: Callable[[], object], times: int, before_each: Callable[[], object] = lambda: None
) -> tuple[float, float]:
    """Medians of CPU time and time, in ms."""
    cpu: list[float] = []
    wall: list[float] = []
    for _ in range(times):
        before_each()
        time.sleep(0.1)
        before, begin = agents.cpu_seconds(pid), time.perf_counter()
        act()
        wall.append((time.perf_counter() - begin) * 1e3)
        time.sleep(0.1)  # the worker that answered has gone to sleep: only then its CPU time is all counted
        cpu.append((agents.cpu_seconds(pid) - before) * 1e3)
    return median(cpu), median(wall)


def _agent(number: int, folder: str, times: int) -> dict[str, Row]:
    root = cgroup2.mount_point() / f"bench-{os.getpid()}"
    rows: dict[str, Row] = {}
    try:
        with agents.answering(folder, root, *OPTIONS) as (pid, address):
            for inner in range(number):
                (root / f"container-{inner}").mkdir()
            other = {"Accept": PROMETHEUS["Accept"]}
            for name, headers, between in (
                ("agent", {}, {}),
                ("agent, as Prometheus asks", PROMETHEUS, PROMETHEUS),
                ("agent, if all had changed", {}, other),  # text of one format is not kept for the other
            ):
                ask, prepare = functools.partial(scrape, address, headers), functools.partial(scrape, address, between)
                series = sum(not line.startswith(b"#") for line in scrape(address, {}).splitlines())
                cpu, wall = _measured(pid, ask, times, prepare)
                rows[name] = cpu, wall, system_calls.of_process(pid, ask, 5), series
    finally:
        unload(counting.OPTIONS.bpffs, counting.silent)
        for path in [*root.glob("container-*"), root] if root.exists() else []:
            path.rmdir()
    return rows


def _files(tops: dict[str, Path], times: int) -> Row:
    kernel_files.read(tops)
    found = [kernel_files.read_ms(tops) for _ in range(times)]
    calls = system_calls.between_marks("bench.kernel_files", list(map(str, tops.values())), kernel_files.MARK)
    return median(cpu for cpu, _, _ in found), median(wall for _, wall, _ in found), calls, found[0][2]


def _peer(tops: dict[str, Path], number: int, times: int) -> Row:
    with peers.running(tops) as (pid, address):
        cpu, wall = peers.reading_seconds(pid)
        series = peers.scrape(address)
        answer_cpu, answer_wall = _measured(pid, lambda: peers.scrape(address), times)
    calls: Cell = "millions"  # which take minutes to count
    if number < max(NUMBERS):
        with peers.running(tops) as (pid, address):
            calls = system_calls.of_process(pid, lambda: (peers.reading_seconds(pid), peers.scrape(address)))
    return cpu * 1e3 + answer_cpu, wall * 1e3 + answer_wall, calls, series


def _netdata(tops: dict[str, Path], number: int, times: int) -> Row | None:
    """One reading of all, which it does once a second, and an answer. None where it does not find them in time."""
    with tempfile.TemporaryDirectory() as folder:
        unified = len(set(tops.values())) == 1
        with netdata.running(Path(folder), number, unified) as found:
            if found is None:
                return None
            pid, address = found
            cpu, _ = _measured(pid, lambda: time.sleep(_NETDATA_SECONDS), 3)
            answer_cpu, answer_wall = _measured(pid, lambda: netdata.metrics(address), times)
            calls = system_calls.of_process(pid, lambda: time.sleep(_NETDATA_SECONDS))
            series = sum(not line.startswith(b"#") for line in netdata.metrics(address).splitlines())
    each = calls if isinstance(calls, str) else round(calls / _NETDATA_SECONDS)
    return cpu / _NETDATA_SECONDS + answer_cpu, answer_wall, each, series


def _ways(number: int, folder: str, pairs: int) -> Iterator[tuple[str, Row]]:
    """The agent as anybody asks it first."""
    yield from _agent(number, folder, pairs).items()
    with kernel_files.containers(number) as tops:
        yield "reading the kernel's files", _files(tops, pairs)
        yield peers.PEER, _peer(tops, number, min(pairs, 3))
        heard = _netdata(tops, number, min(pairs, 3))
        if heard:
            yield netdata.version(), heard


def run(pairs: int) -> Table:
    """A row for each number of containers and way; ratios are to the agent as anybody asks it."""
    columns = ("way", "containers", "cpu_ms", "wall_ms", "system_calls", "series", "cpu_ratio", "target")
    table = Table(f"A scrape, medians of {pairs}", columns)
    with tempfile.TemporaryDirectory() as folder:
        for number in NUMBERS:
            least = 0.0
            for way, (cpu, wall, calls, series) in _ways(number, folder, pairs):
                least = least or cpu
                target: Cell = f"cpu_ratio {TARGET_TIMES}" if "files" in way else ""
                if "agent" in way and number == max(NUMBERS):
                    target = f"cpu_ms {TARGET_MS}"
                table.add(way, number, cpu, wall, calls, series, cpu / least, target)
    table.notes.append("Reading the kernel's files: memory.stat and pids.current, without serving them to anybody.")
    table.notes.append(
        "netdata: a reading of the memory of all, which it does every second, and an answer to Prometheus."
    )
    table.notes.append("Where it is not shown it had not found the containers after two minutes.")
    return table
