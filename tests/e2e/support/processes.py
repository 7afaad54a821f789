# SPDX-License-Identifier: Apache-2.0
"""Processes for tests: in a container from their first instruction on, ended by their own id afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from tests.e2e.support.cgroups import PROCS
from tests.e2e.support.waiting import PATIENCE_SECONDS, until

SLEEP = ["sleep", "1000"]
# Nothing but the interpreter: no site packages, so that a workload's numbers are its own.
PYTHON = [os.path.realpath(sys.executable), "-S", "-E", "-c"]


def state(pid: int) -> str | None:
    """The letter of proc(5); None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat[stat.rindex(")") + 2]


def is_gone(pid: int) -> bool:
    """Ended, whether its parent knows or not."""
    return state(pid) in (None, "Z", "X")


@contextlib.contextmanager
def running(line: Sequence[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed at the end if it still runs."""
    process = subprocess.Popen(line, text=True, **more)
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


@contextlib.contextmanager
def inside(cgroup: Path, line: Sequence[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that enters a cgroup, then becomes the command: all of the command's memory is the cgroup's."""
    with running(["sh", "-c", 'echo 0 > "$0" && exec "$@"', str(cgroup / PROCS), *line], **more) as process:
        until(lambda: process.poll() is not None or _is_in(cgroup, process.pid), bool, "the process in its cgroup")
        yield process


@contextlib.contextmanager
def forked_inside(cgroup: Path, work: Callable[[], None]) -> Iterator[ForkProcess]:
    """A fork of this process that enters a cgroup, then works."""
    process = get_context("fork").Process(target=_enter_and_work, args=(cgroup, work))
    process.start()
    try:
        until(lambda: process.exitcode is not None or _is_in(cgroup, process.pid), bool, "the process in its cgroup")
        yield process
    finally:
        process.kill()
        process.join(PATIENCE_SECONDS)
        process.close()


def _enter_and_work(cgroup: Path, work: Callable[[], None]) -> None:
    (cgroup / PROCS).write_text("0")
    work()


def _is_in(cgroup: Path, pid: int | None) -> bool:
    return str(pid) in (cgroup / PROCS).read_text().split()


@contextlib.contextmanager
def zombie() -> Iterator[int]:
    """A process that has ended and is not waited for."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    try:
        until(lambda: state(pid), lambda letter: letter == "Z", "the zombie")
        yield pid
    finally:
        os.waitpid(pid, 0)


def reap(pid: int) -> None:
    """Kill what a test left, by its id."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
