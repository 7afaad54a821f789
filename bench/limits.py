# SPDX-License-Identifier: Apache-2.0
"""Limits that the agent holds: how long a container is above its task limit, and what limits cost at rest.

Eight programs fork as fast as they can below one limit, and cgroup.threads is read all the time by somebody who runs
before others. At rest: CPU time of an agent with a thousand containers, before and after each got limits.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import agents, counting
from bench.tables import Table, median_p99_max
from bench.waiting import Connection
from containeragent.host import cgroup2
from containeragent.loader.load import unload

TASK_LIMIT, FORKERS, STORM_SECONDS = 20, 8, 10.0
CONTAINERS, SETTLING_SECONDS, REST_SECONDS = 1000, 10, 60
_FORKER = """
import os, signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try: os.fork() or (time.sleep(0.05), os._exit(0))
    except BlockingIOError: time.sleep(0.001)
"""
# How long it was above, in ms, and the most tasks.
_WATCHER = """
import os, sys, time
os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
file, limit = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2])
end, since = time.perf_counter() + float(sys.argv[3]), None
while (now := time.perf_counter()) < end or since:
    tasks = os.pread(file, 1 << 16, 0).count(10)
    if tasks > limit:
        most = max(most, tasks) if since else tasks
        since = since or now
    elif since:
        print((time.perf_counter() - since) * 1e3, most)
        since = None
    time.sleep(0.0005)
"""


def _ask(path: str, target: str, body: object) -> None:
    with contextlib.closing(Connection(path)) as connection:
        connection.request("POST", target, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{target}: {text.decode()}")


@contextlib.contextmanager
def _agent() -> Iterator[tuple[int, str, Path]]:
    """Its process, its socket, and its cgroup root, which is taken away with what is in it."""
    root = cgroup2.mount_point() / f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with agents.answering(folder, root, "--rescan-percent", "0", "--drift-seconds", "0") as (pid, _):
                yield pid, f"{folder}/agent.sock", root
        finally:
            unload(counting.OPTIONS.bpffs, counting.silent)
            for path in [*root.glob("*/"), root] if root.exists() else []:
                path.rmdir()


def _storm(_: int, api: str, root: Path) -> Table:
    table = Table(
        f"Above a limit of {TASK_LIMIT} tasks, while {FORKERS} programs fork for {STORM_SECONDS:g} s",
        ("excursions", "most_tasks", "median_ms", "p99_ms", "max_ms"),
    )
    _ask(api, "/v1/containers", {"name": "/storm", "task_limit": TASK_LIMIT})

    def enter() -> None:
        (root / "storm" / "cgroup.procs").write_text("0")

    watcher = [sys.executable, "-c", _WATCHER, str(root / "storm" / "cgroup.threads"), str(TASK_LIMIT)]
    with subprocess.Popen([*watcher, str(STORM_SECONDS)], stdout=subprocess.PIPE, text=True) as watching:
        forker = [sys.executable, "-c", _FORKER, str(STORM_SECONDS)]
        forkers = [subprocess.Popen(forker, preexec_fn=enter) for _ in range(FORKERS)]  # noqa: PLW1509
        for process in forkers:
            process.wait()
        lines = [line.split() for line in watching.communicate()[0].splitlines()]
    times, most = [float(ms) for ms, _ in lines], max((int(tasks) for _, tasks in lines), default=TASK_LIMIT)
    table.rows.append((len(times), most, *(median_p99_max(times) if times else [0.0] * 3)))
    while (root / "storm" / "cgroup.procs").read_text():
        time.sleep(0.05)
    return table


def _rest(pid: int, api: str, root: Path) -> Table:
    table = Table(
        f"An agent at rest, {CONTAINERS} containers, over {REST_SECONDS} s", ("limits", "cpu_s", "percent_of_a_core")
    )
    for number in range(CONTAINERS):
        (root / f"container-{number}").mkdir()
    for limited in (False, True):
        for number in range(CONTAINERS) if limited else ():
            _ask(api, f"/v1/container/limits?name=/container-{number}", {"task_limit": 50, "page_limit": 25600})
        time.sleep(SETTLING_SECONDS)
        before = agents.cpu_seconds(pid)
        time.sleep(REST_SECONDS)
        spent = agents.cpu_seconds(pid) - before
        table.rows.append(("of tasks and of pages" if limited else "none", spent, 100 * spent / REST_SECONDS))
    return table


def storm(_pairs: int) -> Table:
    """One row."""
    with _agent() as agent:
        return _storm(*agent)


def rest(_pairs: int) -> Table:
    """Without limits and with them."""
    with _agent() as agent:
        return _rest(*agent)
