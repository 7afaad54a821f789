# SPDX-License-Identifier: Apache-2.0
"""The release agent: a program of the administrator's, run as `PROGRAM /web/db`.

In: its path, and a container's name. Out: how it ended. It gets no shell, nothing of our environment, and no rights but
those of the agent's user: workers.py takes the rest away before.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from containeragent import trust
from containeragent.errors import Refused, reason

ENVIRONMENT = {"HOME": "/", "PATH": "/sbin:/bin:/usr/sbin:/usr/bin"}
LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """`exit_status` is 128+N after signal N; None if it could not be started. `error` is None after 0."""

    exit_status: int | None
    error: str | None
    seconds: float


def check(path: str) -> None:
    """Refused unless nobody but root can say what it does."""
    real = Path(os.path.realpath(path))
    try:
        found = real.stat()
    except OSError as error:
        raise _refuse(path, reason(error)) from None
    if not stat.S_ISREG(found.st_mode):
        raise _refuse(path, "it is not a regular file")
    if not found.st_mode & 0o111:
        raise _refuse(path, f"it is not executable; chmod 755 {path}")
    if why := trust.distrust(Path(path), found):
        raise _refuse(path, why)


def _refuse(path: str, why: str) -> Refused:
    return Refused("EACCES", f"release_agent {path} is not run: {why}")


def run(path: str, name: str, longest_seconds: float = LONGEST_SECONDS) -> Outcome:
    """Run it to its end. After `longest_seconds` it is killed, with what it started in its session."""
    started = time.monotonic()
    try:
        check(path)
        process = subprocess.Popen(
            [path, name.encode()],
            stdin=subprocess.DEVNULL,
            stdout=2,  # what it says goes where our log goes
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except Refused as refused:
        return Outcome(None, refused.message, time.monotonic() - started)
    except OSError as error:
        why = f"release_agent {path} was not started: {reason(error)}"
        return Outcome(None, why, time.monotonic() - started)
    _protect_no_more(process.pid)
    in_time = _ends(process.pid, longest_seconds)
    if not in_time:
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    status = status if status >= 0 else 128 - status
    if not in_time:
        return Outcome(status, f"{path} was killed after {longest_seconds:g} s", time.monotonic() - started)
    return Outcome(status, f"{path} ended with {status}" if status else None, time.monotonic() - started)


def _protect_no_more(pid: int) -> None:
    """What protects the agent when memory is short is not for what it starts."""
    file = Path(f"/proc/{pid}/oom_score_adj")
    with contextlib.suppress(OSError):  # it has ended, or is less protected than most
        file.write_text(str(max(0, int(file.read_text()))))


def _ends(pid: int, seconds: float) -> bool:
    """Whether our child ends in time; its status is still to be waited for."""
    descriptor = os.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(descriptor)
