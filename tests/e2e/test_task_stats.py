# SPDX-License-Identifier: Apache-2.0
"""`tasks --stats` beside what /proc says of the same tasks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, inside

WORKLOAD = (
    "import threading, time\n"
    "x = bytearray(32 << 20)\n"
    "end = time.thread_time() + 0.3\n"
    "while time.thread_time() < end: pass\n"
    "threading.Thread(target=input).start()\n"
    "print(flush=True)"
)
DELAYS = ("blkio_delay_seconds", "swapin_delay_seconds", "reclaim_delay_seconds")


def high_water_bytes(pid: int, key: str) -> int:
    """VmHWM or VmPeak of proc(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))


def test_they_agree_with_proc(agent: Agent) -> None:
    """Peak memory, CPU time by what the workload took; a thread is a task of its own."""
    folder = agent.create("/web")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with inside(folder, [*PYTHON, WORKLOAD], **pipes) as workload:
        assert workload.stdout
        workload.stdout.readline()
        found = agent.ctl("tasks", "web", "--stats", "--json").ok().json()
        shown = agent.ctl("tasks", "web", "--stats").ok().out.splitlines()
        ids = sorted(map(int, os.listdir(f"/proc/{workload.pid}/task")))
        peaks = {key: high_water_bytes(workload.pid, key) for key in ("VmHWM", "VmPeak")}
    first, second = found["tasks"]
    assert [first["tid"], second["tid"]] == ids and first["comm"].startswith("python")
    assert first["peak_vm_bytes"] == peaks["VmPeak"]
    assert (
        abs(first["peak_rss_bytes"] - peaks["VmHWM"]) < 1 << 20
    )  # the kernel adds up what each CPU counts now and then
    assert 0.25 <= first["user_seconds"] + first["system_seconds"] <= 3 and second["user_seconds"] < 0.2
    assert first["cpu_delay_seconds"] >= 0 and first["write_bytes"] == 0
    on = Path("/proc/sys/kernel/task_delayacct").read_text() != "0\n"
    assert [first[key] is not None for key in DELAYS] == [on] * 3 and bool(found["hints"]) is not on
    assert shown[0].split()[:3] == ["TID", "COMM", "USER"] and len({len(line) for line in shown[:3]}) == 1


def test_none(agent: Agent) -> None:
    """An empty container has no tasks; one that is missing is refused."""
    agent.create("/web")
    assert agent.ctl("tasks", "web", "--stats", "--json").ok().json()["tasks"] == []
    agent.ctl("tasks", "none", "--stats").refused("no container /none")
