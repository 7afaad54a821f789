# SPDX-License-Identifier: Apache-2.0
"""`containerctl run`: the command's exit status, a report with the right numbers, and nothing left afterwards."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import command, processes
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, is_gone, reap
from tests.e2e.support.waiting import until

MIB = 1 << 20
FORKS = "import os\nfor _ in range(23):\n os.waitpid(os.fork() or os._exit(0), 0)"
ALLOCATE = "held = bytearray(64 << 20)\nfor at in range(0, len(held), 4096): held[at] = 1"
# The children stop at a read of a pipe whose other end their parent closes when all have said that they are there.
TOGETHER = """
import os
here, arrived = os.pipe()
gate, opened = os.pipe()
for _ in range(11):
    if os.fork() == 0:
        os.close(opened)
        os.write(arrived, b'.')
        os.read(gate, 1)
        os._exit(0)
for _ in range(11): os.read(here, 1)
os.close(opened)
for _ in range(11): os.wait()
"""
THREADS = """
import threading
barrier = threading.Barrier(8)
threads = [threading.Thread(target=barrier.wait) for _ in range(7)]
for thread in threads: thread.start()
barrier.wait()
for thread in threads: thread.join()
"""
# Forks twice, so that the sleeper's parent is init; its id goes out through a pipe.
LEAVE = """
import os
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open('/dev/null', os.O_RDWR)
        for stream in (0, 1, 2): os.dup2(null, stream)
        os.write(write, str(os.getpid()).encode())
        os.close(write)
        os.execvp('sleep', ['sleep', '1000'])
    os._exit(0)
os.wait()
print(os.read(read, 20).decode(), flush=True)
"""


def report_of(agent: Agent, *line: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """The report of a command that succeeds."""
    document = agent.ctl("run", "--json", *options, "--", *line).ok().out.splitlines()[-1]
    report = json.loads(document)
    assert isinstance(report, dict)
    return report


@pytest.mark.parametrize(
    "line, status",
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -9 $$"], 128 + 9),
        (["sh", "-c", "kill -TERM $$"], 128 + 15),
    ],
)
def test_the_exit_status_is_the_commands(agent: Agent, line: list[str], status: int) -> None:
    """With the report on stderr, and nothing of ours on stdout."""
    result = agent.ctl("run", "--", *line)
    assert result.status == status and result.out == ""
    shown = dict(text.split("  ", 1) for text in result.err.splitlines())
    assert shown["exit status"].split()[0] == str(status)
    assert set(shown) >= {"container", "wall time", "peak tasks", "peak memory", "forks"}
    assert agent.names() == []


@pytest.mark.parametrize(
    "line, status", [(["no-such-command"], 127), (["/no/such"], 127), (["/etc/passwd"], 126), (["/"], 126)]
)
def test_what_cannot_be_executed(agent: Agent, line: list[str], status: int) -> None:
    """One line, and the container is gone."""
    agent.ctl("run", "--", *line).refused(line[0], status=status)
    assert agent.names() == []


def test_streams_and_arguments_are_the_commands(agent: Agent) -> None:
    """Options after the command are not ours; stdout carries only what the command says."""
    result = agent.ctl("run", "--name", "job", "echo", "--json", "-x", "a  b").ok()
    assert result.out == "--json -x a  b\n" and "/job" in result.err


def test_the_container_is_the_named_one_while_it_runs(agent: Agent) -> None:
    """The command is in it from its first instruction on."""
    assert f"0::{agent.cgroup}/job\n" in agent.ctl("run", "--name", "job", "--", "cat", "/proc/self/cgroup").ok().out
    assert agent.names() == []


def test_forks_are_exact(agent: Agent) -> None:
    """23 of them: what the container's own counter says afterwards, and exits, the command's among them."""
    report = report_of(agent, *PYTHON, FORKS, options=("--keep", "--name", "job"))
    shown = agent.show("/job")
    assert (shown["forks"], shown["exits"], shown["num_tasks"]) == (23, 24, 0)
    assert report["kept"] is True


def test_the_report_says_23_forks(agent: Agent) -> None:
    """The same number as the container's counter."""
    assert report_of(agent, *PYTHON, FORKS)["forks"] == 23


@pytest.mark.parametrize("script, peak", [(TOGETHER, 12), (THREADS, 8)], ids=["processes", "threads"])
def test_peak_tasks_are_exact(agent: Agent, script: str, peak: int) -> None:
    """All of them wait for each other once."""
    assert report_of(agent, *PYTHON, script)["peak_tasks"] == peak


def test_peak_memory_covers_what_was_allocated(agent: Agent) -> None:
    """64 MiB, and not much more; nothing of it is left at the end."""
    report = report_of(agent, *PYTHON, ALLOCATE)
    assert 64 * MIB <= report["peak_pages"] * report["page_size"] <= 96 * MIB
    assert report["num_anon_pages"] * report["page_size"] < MIB
    assert report["wall_seconds"] > 0


def test_leftovers_are_killed(agent: Agent) -> None:
    """A daemon that the command left is gone when `run` returns, and so is the container."""
    result = agent.ctl("run", "--", *PYTHON, LEAVE).ok()
    pid = int(result.out)
    try:
        assert is_gone(pid)
        assert [line.split()[-1] for line in result.err.splitlines() if line.startswith("leftovers killed")] == ["1"]
        assert agent.names() == []
    finally:
        reap(pid)


def test_keep_leaves_the_container_and_its_tasks(agent: Agent) -> None:
    """Until someone removes it."""
    result = agent.ctl("run", "--keep", "--name", "job", "--", *PYTHON, LEAVE).ok()
    pid = int(result.out)
    try:
        assert "(kept)" in result.err
        assert agent.ctl("tasks", "--json", "job").json() == [pid] and not is_gone(pid)
        agent.ctl("rm", "job").refused("1 process")
        agent.ctl("rm", "--recursive", "job").ok()
        until(lambda: is_gone(pid), bool, "the leftover's end")
    finally:
        reap(pid)


def test_a_signal_reaches_the_command(agent: Agent) -> None:
    """SIGTERM to `run` is the command's; the report and the clean-up follow."""
    line = agent.ctl_line("run", "--name", "job", "--", "sleep", "1000")
    with processes.running(line, env=command.environment(), stderr=subprocess.PIPE) as run:
        until(agent.names, lambda names: names == ["/job"], "the container")
        until(lambda: agent.show("/job")["num_anon_pages"], bool, "the command")
        until(lambda: b"sleep" in _command_line(agent), bool, "the command's start")
        run.terminate()
        assert run.wait(30) == 128 + 15
    assert agent.names() == []


def _command_line(agent: Agent) -> bytes:
    ids = agent.api.call("GET", "/v1/container/tasks", {"name": "/job"}).document
    return Path(f"/proc/{ids[0]}/comm").read_bytes() if ids else b""


def test_without_an_agent_nothing_is_started(agent: Agent) -> None:
    """125, and the command has not run."""
    missing = agent.folder / "no.sock"
    result = agent.ctl("--socket", str(missing), "run", "--", "touch", str(agent.folder / "ran"))
    result.refused("not running", str(missing), status=125)
    assert not (agent.folder / "ran").exists()
