# SPDX-License-Identifier: Apache-2.0
"""A peer: cgroups-exporter, an exporter from PyPI in Python that reads the kernel's files.

It is put into build/peers when it is first needed. It reads every so many seconds, whether or not somebody asks, and
answers with what it read last.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.agents import cpu_seconds, free_port

PEER = "cgroups-exporter==0.8.8"
_ITS_OPTIONS = "argclass<1.1"  # it does not start with newer ones
_FOLDER = Path(__file__).resolve().parents[1] / "build/peers/cgroups-exporter"
_DELAY_SECONDS = 6  # until it reads for the first time; its start is over before that
_QUIET_SECONDS = 3


def installed() -> str:
    """Path of its command."""
    command = _FOLDER / "bin/cgroups-exporter"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", str(_FOLDER)], check=True)
        subprocess.run([str(_FOLDER / "bin/pip"), "install", "--quiet", PEER, _ITS_OPTIONS], check=True)
    return str(command)


@contextlib.contextmanager
def running(tops: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """The id of one that is about to read for the first time, and its address."""
    port = free_port()
    line = [installed(), "--metrics-address", "127.0.0.1", "--metrics-port", str(port), "--cgroups-path"]
    line += [f"{top}/container-*" for top in dict.fromkeys(tops.values())]
    line += ["--collector-interval", "3600", "--collector-delay", str(_DELAY_SECONDS), "--log-level", "error"]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as peer:
        try:
            time.sleep(_DELAY_SECONDS / 2)
            yield peer.pid, f"127.0.0.1:{port}"
        finally:
            peer.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may be reading
                peer.wait(timeout=60)
            peer.kill()


def reading_seconds(pid: int) -> tuple[float, float]:
    """CPU time and time of its first reading, which is over when it is quiet."""
    before, begin, last, ended = cpu_seconds(pid), 0.0, 0.0, 0.0
    started = time.monotonic()
    while not begin or time.monotonic() - ended < _QUIET_SECONDS:
        time.sleep(0.05)
        now, spent = time.monotonic(), cpu_seconds(pid) - before
        if not begin and now - started > 60:
            raise RuntimeError(f"{PEER} reads nothing")
        if spent > last + 0.005:
            begin, last, ended = begin or now, spent, now
    return last, ended - begin


def scrape(address: str) -> int:
    """How many series it answered with."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=600) as answer:
        return sum(not line.startswith(b"#") for line in answer)
