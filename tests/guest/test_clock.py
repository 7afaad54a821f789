# SPDX-License-Identifier: Apache-2.0
"""The time of day is set, hours ahead and back, under a running service: only what shows it differs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support.http import connect
from tests.e2e.support.processes import PYTHON, inside
from tests.e2e.support.waiting import until
from tests.guest.support.installation import AGENT, PATIENCE_SECONDS, ROOT, ctl, main_pid, shown

SOCKET = Path("/run/containeragent/agent.sock")
FORKS = "import os\nfor _ in range(23):\n os.waitpid(os.fork() or os._exit(0), 0)"
REQUEST = b"GET /v1/containers HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.contextmanager
def stepped(seconds: int) -> Iterator[None]:
    """CLOCK_REALTIME by so many seconds."""
    time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
    try:
        yield
    finally:
        time.clock_settime(time.CLOCK_REALTIME, time.time() - seconds)


def dead() -> list[str]:
    """Names of those that are gone a short while."""
    return [one["name"] for one in ctl("ls", "--dead") if one["state"] == "dead"]


@pytest.mark.parametrize("hours", [24, -24])
def test_a_step(web: int, hours: int) -> None:
    """Dead containers are shown as long as before, waiting connections live, limits, counts and the service go on."""
    pid = main_pid()
    ctl("create", "gone")
    ctl("rm", "gone")
    until(dead, lambda names: "/gone" in names, "the dead", PATIENCE_SECONDS)
    with connect(SOCKET) as waiting:
        waiting.send(REQUEST[:20])
        with stepped(hours * 3600):
            time.sleep(3)  # several rounds of upkeep and of connections, and less than a half request may take
            waiting.send(REQUEST[20:])
            assert waiting.recv(65536).startswith(b"HTTP/1.1 200")
    with stepped(hours * 3600):
        assert "/gone" in dead()
        ctl("limit", "web", "--task-limit", "9")
        with inside(ROOT / "empty", [*PYTHON, FORKS]) as forks:
            assert forks.wait(PATIENCE_SECONDS) == 0
        found = until(lambda: ctl("show", "empty"), lambda now: now["num_tasks"] == 0, "rest", PATIENCE_SECONDS)
        assert (found["forks"], found["exits"]) == (23, 24)
    assert "/gone" in dead() and ctl("show", "web")["task_limit"] == 9
    assert (shown(AGENT, "ActiveState"), main_pid()) == ("active", pid)
