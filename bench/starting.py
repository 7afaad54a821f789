# SPDX-License-Identifier: Apache-2.0
"""Time from starting `containeragent run` to the first answered scrape, with nothing loaded and on loaded programs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench import counting
from bench.tables import Table, quartiles
from containeragent.host import cgroup2
from containeragent.loader.load import unload

TARGET_SECONDS = 2.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_scrape_seconds(folder: str, root: Path) -> float:
    """Start an agent, wait for its first answer, stop it; what it loaded stays."""
    address = f"127.0.0.1:{_free_port()}"
    line = [sys.executable, "-m", "containeragent", "run", "--bpffs", str(counting.OPTIONS.bpffs)]
    line += ["--socket", f"{folder}/agent.sock", "--metrics-address", address, "--cgroup-root", str(root)]
    begin = time.perf_counter()
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as agent:
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics") as answer:
                answer.read()
                break
            if agent.poll() is not None:
                raise RuntimeError(f"the agent ended with {agent.returncode}")
            time.sleep(0.005)
        taken = time.perf_counter() - begin
        agent.send_signal(signal.SIGTERM)
    return taken


def run(pairs: int) -> Table:
    """One row each for a first start and for one on loaded programs."""
    table = Table(f"Start to first scrape, {pairs} times", ("start", "q1_s", "median_s", "q3_s", "target_s"))
    root = cgroup2.mount_point() / f"bench-{os.getpid()}"
    seconds: dict[str, list[float]] = {"first": [], "on loaded programs": []}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for _ in range(pairs):
                for values in seconds.values():
                    values.append(_first_scrape_seconds(folder, root))
                unload(counting.OPTIONS.bpffs, counting.silent)
        finally:
            unload(counting.OPTIONS.bpffs, counting.silent)
            with contextlib.suppress(FileNotFoundError):
                root.rmdir()
    table.rows += [(kind, *quartiles(values), TARGET_SECONDS) for kind, values in seconds.items()]
    return table
