# SPDX-License-Identifier: Apache-2.0
"""`containerctl top` on a terminal of its own, and for scripts, with a real agent."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import MakeAgent
from tests.e2e.support import command
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, SLEEP, inside
from tests.e2e.support.waiting import PATIENCE_SECONDS

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
FORKS = "import os, time\nwhile True:\n os.waitpid(os.fork() or os._exit(0), 0)\n time.sleep(0.01)"


class Top:
    """A live view on a pseudo terminal of 80x24, or as it is resized."""

    def __init__(self, agent: Agent, *options: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(80, 24)
        self.settings = termios.tcgetattr(self.theirs)
        self.seen = ""
        self.mark = 0
        environment = command.environment() | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
        self.process = subprocess.Popen(
            agent.ctl_line("top", "--interval", "0.3", *options),
            stdin=self.theirs, stdout=self.theirs, stderr=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds: float) -> str:
        """What is drawn until nothing comes for so long."""
        found = b""
        while select.select([self.ours], [], [], seconds)[0]:
            found += os.read(self.ours, 65536)
            if len(found) > 1 << 20:
                break
        self.seen += found.decode(errors="replace")
        return found.decode(errors="replace")

    def until(self, text: str) -> str:
        """What is drawn after what was waited for before, to the text."""
        end = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen[self.mark :]:
            assert time.monotonic() < end and self.process.poll() is None, f"no {text!r} in {self.seen[self.mark :]!r}"
            self.read(0.05)
        found = self.seen[self.mark : self.seen.index(text, self.mark) + len(text)]
        self.mark += len(found)
        return found

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def end(self) -> tuple[int, str]:
        """Exit status and stderr, after a look at the terminal: it is as it was."""
        _, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        self.read(0.05)
        assert termios.tcgetattr(self.theirs) == self.settings
        if ENTER in self.seen:
            assert self.seen.rstrip().endswith(LEAVE) and "\x1b[?25h" in self.seen and "\x1b[?7h" in self.seen
        return self.process.returncode, err.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def top(agent: Agent) -> Iterator[Top]:
    """Of two containers and one below."""
    for name in ("/web", "/web/db", "/shop"):
        agent.create(name)
    made = Top(agent)
    try:
        yield made
    finally:
        made.close()


def test_shown_and_quit(top: Top) -> None:
    """A tree; q ends it, and the terminal is as it was."""
    drawn = top.until("└─ db")
    assert ENTER in drawn and "NAME" in drawn and "├─ shop" in drawn
    top.press("q")
    assert top.end() == (0, "")


def test_keys(top: Top) -> None:
    """Order, list, filter, details and back, help."""
    top.until("db")
    top.press("t")
    top.until("/web/db")
    top.press("s")
    top.until("by anon")
    top.press("/shop\r")
    top.until("1 of 4")
    top.press("\x1b[B\r")
    top.until("forks, exits")
    top.press("h")
    top.until("any key")
    top.press("x")
    top.until("forks, exits")
    top.press("\x1b")
    top.until("1 of 4")
    top.press("\x1b")
    top.until("/web/db")
    top.press("q")
    assert top.end() == (0, "")


def test_resized(top: Top) -> None:
    """Drawn anew for the new size; nothing beyond it."""
    top.until("db")
    top.resize(40, 8)
    os.kill(top.process.pid, signal.SIGWINCH)
    drawn = top.until("q end")
    assert "\x1b[2J" in drawn
    assert max(int(line) for line in re.findall(r"\x1b\[(\d+)(?:;\d+)?H", drawn[drawn.rindex("\x1b[2J") :])) <= 8
    top.press("q")
    assert top.end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(top: Top, number: signal.Signals) -> None:
    """Each ends it with its status, on a terminal that is as it was."""
    top.until("db")
    top.process.send_signal(number)
    assert top.end() == (128 + number, "")


def test_few_bytes_where_nothing_happens(top: Top) -> None:
    """At rest no more than the clock and what rates fall to: a line, not a screen."""
    top.until("db")
    top.read(0.5)
    before, started = len(top.seen), time.monotonic()
    while time.monotonic() - started < 3:
        top.read(0.1)
    refreshes = 3 / 0.3
    assert (len(top.seen) - before) / refreshes < 200
    top.press("q")
    assert top.end()[0] == 0


def test_the_agent_goes(fresh: Agent) -> None:
    """One line, on a terminal that is as it was."""
    top = Top(fresh)
    try:
        top.until("NAME")
        fresh.end()
        status, err = top.end()
        assert status == 1 and err.startswith("containerctl: ") and err.count("\n") == 1
    finally:
        top.close()


def test_a_container_goes_while_it_is_looked_at(make_agent: MakeAgent) -> None:
    """Its end is said, then the list is back."""
    agent = make_agent("--grace-seconds", "0").start()
    agent.create("/web")
    top = Top(agent, "--filter", "web")
    try:
        top.until("web")
        top.press("\x1b[B\r")
        top.until("forks, exits")
        agent.ctl("rm", "web").ok()
        top.until("NAME")
        top.press("q")
        assert top.end() == (0, "")
    finally:
        top.close()


def test_odd_names_do_not_reach_the_terminal(agent: Agent) -> None:
    """Not as they are: a cgroup of others may have any name."""
    (agent.root / "odd\x1b]0;x\x07").mkdir()
    top = Top(agent)
    try:
        drawn = top.until("odd\\x1b]0;x")
        assert "\x1b]" not in drawn and "\x07" not in drawn
        top.press("q")
        assert top.end()[0] == 0
    finally:
        top.close()


def test_batch(agent: Agent) -> None:
    """Tables, or a line of JSON each; rates are there from the first on."""
    agent.create("/web")
    agent.create("/idle")
    with inside(agent.path("/web"), [*PYTHON, FORKS]), inside(agent.path("/idle"), SLEEP):
        out = agent.ctl("top", "--batch", "--iterations", "2", "--interval", "0.5", "--sort", "forks").ok().out
        first, second = out.split("\n\n")
        assert "3 of 3 containers, by forks" in first and first.count("\n") == 4 and "/web" in second
        line = agent.ctl("--json", "top", "--batch", "--iterations", "1", "--interval", "0.5", "--filter", "E").ok().out
    document: dict[str, Any] = json.loads(line)
    found = {one["name"]: one for one in document["containers"]}
    assert set(found) == {"/web", "/idle"} and (document["matched"], document["total"]) == (2, 3)
    assert found["/web"]["forks_per_second"] > 1 and found["/idle"]["forks_per_second"] == 0
    assert "page_faults_per_second" in found["/web"]


def test_wrong_usage(agent: Agent) -> None:
    """What belongs to --batch; and no terminal."""
    agent.ctl("top").refused("--batch")
    agent.ctl("top", "--iterations", "1").refused("--batch", status=2)
    agent.ctl("top", "--json").refused("--batch", status=2)
    agent.ctl("top", "--sort", "weight").refused("weight", status=2)
    agent.ctl("top", "--interval", "0").refused("--interval", status=2)
