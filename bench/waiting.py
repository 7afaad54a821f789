# SPDX-License-Identifier: Apache-2.0
"""What others wait while scrapes of 10 000 containers are made one after the other: the API, and a task limit.

The limit is one that the agent holds: a program forks beyond it, and notes how long the child lives.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import agents, counting
from bench.scraping import OPTIONS, PROMETHEUS, scrape
from bench.tables import Cell, Table, median_p99_max
from containeragent.host import cgroup2
from containeragent.loader.load import unload

CONTAINERS, CALLS = 10_000, 1000
_FORKS = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    begin = time.perf_counter()
    try:
        child = os.fork() or (time.sleep(5), os._exit(0))
    except BlockingIOError:
        sys.exit("denied")
    os.waitpid(child, 0)
    print((time.perf_counter() - begin) * 1e3)
    time.sleep(0.01)
"""


class Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def api_ms(path: str, calls: int = CALLS) -> list[float]:
    """How long each call takes, one after the other on one connection."""
    found = []
    with contextlib.closing(Connection(path)) as connection:
        for _ in range(calls):
            begin = time.perf_counter()
            connection.request("GET", "/v1/task?pid=1")
            connection.getresponse().read()
            found.append((time.perf_counter() - begin) * 1e3)
            time.sleep(0.002)
    return found


def _limit_ms(path: str, folder: Path) -> list[float]:
    """How long tasks beyond a limit live; none where forks are denied, so that there are no such tasks."""
    line = [sys.executable, "-m", "containerctl", "--socket", path, "create", folder.name, "--task-limit", "1"]
    if not folder.exists():
        subprocess.run(line, check=True)

    def enter() -> None:
        (folder / "cgroup.procs").write_text("0")

    forks = [sys.executable, "-c", _FORKS, str(CALLS // 5)]
    done = subprocess.run(forks, preexec_fn=enter, text=True, capture_output=True, check=False)
    return [float(word) for word in done.stdout.split()]


@contextlib.contextmanager
def _scraped(address: str) -> Iterator[None]:
    """One scrape after the other."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            scrape(address, PROMETHEUS)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _row(what: str, when: str, found: list[float]) -> tuple[Cell, ...]:
    if not found:
        return what, when, *["not measured: forks are denied"] * 3
    return what, when, *median_p99_max(found)


def run(_pairs: int) -> Table:
    """Each without scrapes and with them."""
    table = Table(
        f"Waiting beside scrapes of {CONTAINERS} containers", ("what", "when", "median_ms", "p99_ms", "max_ms")
    )
    root = cgroup2.mount_point() / f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        api = f"{folder}/agent.sock"
        try:
            with agents.answering(folder, root, *OPTIONS) as (_, address):
                for number in range(CONTAINERS):
                    (root / f"container-{number}").mkdir()
                measures: dict[str, Callable[[], list[float]]] = {
                    "a call of the API": lambda: api_ms(api),
                    "the end of a task beyond a limit": lambda: _limit_ms(api, root / "limited"),
                }
                for what, measure in measures.items():
                    table.rows.append(_row(what, "alone", measure()))
                    with _scraped(address):
                        table.rows.append(_row(what, "during scrapes", measure()))
        finally:
            unload(counting.OPTIONS.bpffs, counting.silent)
            for path in [*root.glob("*/"), root] if root.exists() else []:
                path.rmdir()
    return table
