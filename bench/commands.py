# SPDX-License-Identifier: Apache-2.0
"""Whole-process time of `containerctl show` beside a Python that does nothing, cgget and systemctl show, in turn."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import agents, counting
from bench.tables import Table, quartiles
from containeragent.host import cgroup2
from containeragent.loader.load import unload


def _commands(socket: str) -> dict[str, list[str]]:
    """Those that work here."""
    containerctl = shutil.which("containerctl", path=str(Path(sys.executable).parent)) or "containerctl"
    wanted = {
        "containerctl show": [containerctl, "--socket", socket, "show", "/"],
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -I -S -c pass": [sys.executable, "-I", "-S", "-c", "pass"],
        "cgget memory.stat": ["cgget", "-r", "memory.stat", "/"],
        "systemctl show": ["systemctl", "show", "init.scope", "--property=MemoryCurrent,TasksCurrent"],
    }
    return {name: line for name, line in wanted.items() if shutil.which(line[0]) and _spent_ms(line)}


def _spent_ms(line: list[str]) -> tuple[float, float] | None:
    """Time and CPU time; None of what fails."""
    begin = time.perf_counter()
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begin
    return None if process.returncode else (wall * 1e3, (used.ru_utime + used.ru_stime) * 1e3)


def run(pairs: int) -> Table:
    """One row a command."""
    table = Table(f"Commands, {pairs} times in turn", ("command", "q1_ms", "median_ms", "q3_ms", "cpu_ms", "of_show"))
    root = cgroup2.mount_point() / f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with agents.answering(folder, root):
                commands = _commands(f"{folder}/agent.sock")
                spent: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
                for _ in range(pairs):
                    for name, line in commands.items():
                        spent[name].append(_spent_ms(line) or (float("nan"), float("nan")))
        finally:
            unload(counting.OPTIONS.bpffs, counting.silent)
            with contextlib.suppress(FileNotFoundError):
                root.rmdir()
    ours = [cpu for _, cpu in spent["containerctl show"]]
    for name, values in spent.items():
        cpu_ms = [cpu for _, cpu in values]
        ratio = quartiles([one / our for one, our in zip(cpu_ms, ours, strict=True)])[1]
        table.rows.append((name, *quartiles([wall for wall, _ in values]), quartiles(cpu_ms)[1], ratio))
    table.notes.append("of_show: CPU time, as a part of that of containerctl show in the same turn")
    return table
