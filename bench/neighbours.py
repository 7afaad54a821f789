# SPDX-License-Identifier: Apache-2.0
"""How late a neighbour is that wants to run every millisecond, and an API call, beside bombs with and without limits.

The bombs are bounded whatever the limits do: 200 tasks, or 512 MiB.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import agents, counting
from bench.tables import Cell, Table, median_p99_max
from bench.waiting import api_ms
from containeragent.host import cgroup2
from containeragent.loader.load import unload

_SECONDS = 4.0
_LIMITS = ("--task-limit", "20", "--page-limit", "64M")
_PERIODIC = """
import sys, time
due = time.perf_counter()
end = due + float(sys.argv[1])
while due < end:
    due += 0.001
    time.sleep(max(0, due - time.perf_counter()))
    now = time.perf_counter()
    print((now - due) * 1e3)
    due = max(due, now - 0.001)
"""
_BOMBS = {
    "forks": """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    for _ in range(200):
        try: os.fork() or (time.sleep(0.2), os._exit(0))
        except OSError: time.sleep(0.001)
    time.sleep(0.2)
""",
    "allocations": """
import mmap
while True:
    memory = mmap.mmap(-1, 512 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(memory), 4096): memory[at] = 1
    memory.close()
""",
    "tmpfs": """
import os
while True:
    file = os.memfd_create("bomb")
    for _ in range(512): os.write(file, bytes(1 << 20))
    os.close(file)
""",
    "page cache": """
import tempfile
while True:
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        for _ in range(512): file.write(bytes(1 << 20))
""",
}


def _start(folder: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    """A program of a container from its first instruction on."""

    enter = ["sh", "-c", 'echo 0 > "$0" && exec "$@"', str(folder / "cgroup.procs")]
    return subprocess.Popen(
        [*enter, sys.executable, "-S", "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    )


@contextlib.contextmanager
def _bomb(folder: Path, program: str | None) -> Iterator[None]:
    """It goes on until the end, when nothing of it is left."""
    if program is None:
        yield
        return
    with _start(folder, program) as bomb:
        try:
            time.sleep(1)
            yield
        finally:
            (folder / "cgroup.kill").write_text("1")
            bomb.wait()


def _measured(what: str, when: str, quiet: Path, api: str) -> Iterator[tuple[Cell, ...]]:
    with _start(quiet, _PERIODIC, str(_SECONDS)) as periodic:
        late = [float(line) for line in periodic.communicate()[0].split()]
    yield (what, when, "a task, every ms", *median_p99_max(late))
    yield (what, when, "a call of the API", *median_p99_max(api_ms(api, 500)))


def run(_pairs: int) -> Table:
    """Alone, then beside each bomb, limited and not."""
    table = Table("Beside bombs", ("bomb", "limits", "who waits", "median_ms", "p99_ms", "max_ms"))
    root = cgroup2.mount_point() / f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        api = f"{folder}/agent.sock"
        try:
            with agents.answering(folder, root):
                for name, limits in {"quiet": (), "limited": _LIMITS, "free": ()}.items():
                    line = [sys.executable, "-m", "containerctl", "--socket", api, "create", name, *limits]
                    subprocess.run(line, check=True)
                table.rows += _measured("none", "", root / "quiet", api)
                for what, program in _BOMBS.items():
                    for name in ("limited", "free"):
                        with _bomb(root / name, program):
                            table.rows += _measured(what, name, root / "quiet", api)
        finally:
            unload(counting.OPTIONS.bpffs, counting.silent)
            for path in [*root.glob("*/"), root] if root.exists() else []:
                path.rmdir()
    return table
