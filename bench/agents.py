# SPDX-License-Identifier: Apache-2.0
"""An agent to be measured, on pins and a cgroup of the bench's own."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench import counting


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """What all threads of a process took that are not running just now."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@contextlib.contextmanager
def answering(folder: str, root: Path, *options: str) -> Iterator[tuple[int, str]]:
    """The id of one that has answered its first scrape, and the address of its metrics.

    It ends afterwards, and what it loaded stays.
    """
    address = f"127.0.0.1:{free_port()}"
    line = [sys.executable, "-m", "containeragent", "run", "--bpffs", str(counting.OPTIONS.bpffs)]
    line += ["--socket", f"{folder}/agent.sock", "--metrics-address", address, "--cgroup-root", str(root), *options]
    # In a session of its own, as a service is: the CPUs are shared among sessions.
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, start_new_session=True) as agent:
        try:
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics") as answer:
                    answer.read()
                    break
                if agent.poll() is not None:
                    raise RuntimeError(f"the agent ended with {agent.returncode}")
                time.sleep(0.005)
            yield agent.pid, address
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(timeout=60)  # also when interrupted: then `with` does not
