# SPDX-License-Identifier: Apache-2.0
"""Events and final records as a user sees them, with a running agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.support import command
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import connect, scrape
from tests.e2e.support.processes import PYTHON, SLEEP, inside, running
from tests.e2e.support.waiting import until
from tests.kernel.support.mountpoints import memory_v1

# Its own size in MiB, touched.
GROWS = """
import sys
kept = [bytearray(b"x") * (1 << 20) for _ in range(int(sys.argv[1]))]
print("done", flush=True)
sys.stdin.read()
"""
FORKS = "import os\nfor _ in range(23): os.waitpid(os.fork() or os._exit(0), 0)"


def kinds(agent: Agent, name: str) -> list[str]:
    """Of a container's events, oldest first."""
    return [event["kind"] for event in agent.api.call("GET", "/v1/events", {"container": name}).document]


def _events(agent: Agent, name: str) -> list[dict[str, Any]]:
    found = agent.api.call("GET", "/v1/events", {"container": name}).document
    assert isinstance(found, list)
    return found


@contextmanager
def following(agent: Agent, *more: str) -> Iterator[subprocess.Popen[str]]:
    """`containerctl --json events --follow`, once the agent has taken it on."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": command.environment()}
    with running(agent.ctl_line("--json", "events", "--follow", *more), **pipes) as process:
        assert process.stdout
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
        reader.start()
        folder = agent.create("probe")
        while reader.is_alive():
            with inside(folder, SLEEP) as task:
                agent.ctl("detach", str(task.pid)).ok()
            reader.join(0.1)
        agent.ctl("rm", "probe").ok()
        yield process


@contextmanager
def of_memory(cgroup: Path, limit_bytes: int) -> Iterator[list[Path]]:
    """Where a task has to be to be in a container that has no more memory: in a v1 cgroup too where that limits it."""
    mount = memory_v1()
    if mount is None:
        (cgroup / "memory.max").write_text(str(limit_bytes))
        yield [cgroup]
        return
    twin = mount / f"test-{os.getpid()}-oom"
    twin.mkdir()
    try:
        (twin / "memory.limit_in_bytes").write_text(str(limit_bytes))
        yield [twin, cgroup]
    finally:
        until(lambda: not (twin / "cgroup.procs").read_text(), bool, "the end of all in it")
        twin.rmdir()


def test_out_of_memory(agent: Agent) -> None:
    """The kernel ends the largest, here not the one that found no memory: both are told, with the container."""
    hog = agent.create("/hog")
    line = ["sh", "-c", 'for file in "$0" "$1"; do echo 0 > "$file"; done; shift; exec "$@"']
    with of_memory(hog, 64 << 20) as folders:
        line += [str(folder / "cgroup.procs") for folder in (folders[0], folders[-1])]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with running([*line, *PYTHON, GROWS, "36"], **pipes) as large:
            assert large.stdout and large.stdout.readline() == "done\n"
            with running([*line, *PYTHON, GROWS, "64"], **pipes) as growing:
                until(large.poll, lambda status: status is not None, "the end of the large one")
                found = until(
                    lambda: [one for one in _events(agent, "/hog") if one["kind"] == "oom"], bool, "the event"
                )
                growing.kill()
    details = found[0]["details"]
    assert (details["victim"]["pid"], details["trigger"]["pid"]) == (large.pid, growing.pid)
    assert details["victim"]["comm"] and f"victim task {large.pid}" in found[0]["message"]


def test_a_life_is_told(agent: Agent) -> None:
    """In order, to a follower and afterwards; of one container if asked."""
    with following(agent, "--container", "/") as process:
        agent.create("told")
        with running(SLEEP) as sleeper:
            agent.ctl("attach", "told", str(sleeper.pid)).ok()
            agent.ctl("detach", str(sleeper.pid)).ok()
        agent.ctl("rm", "told").ok()
        seen: list[dict[str, Any]] = []
        assert process.stdout
        while not seen or (seen[-1]["container"], seen[-1]["kind"]) != ("/told", "removed"):
            seen.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr and process.stderr.read() == ""
    life = [event["kind"] for event in seen if event["container"] == "/told"]
    assert life == kinds(agent, "/told") == ["created", "attached", "detached", "removed"]
    lines = agent.ctl("events", "--container", "told").ok().out.splitlines()
    assert len(lines) == 4 and lines[1].endswith(f"/told  attached task {sleeper.pid} (sleep)")


def test_a_container_that_somebody_else_removes(agent: Agent) -> None:
    """Its numbers are exact, though nobody took a sample; there is one event."""
    folder = agent.path("foreign")
    folder.mkdir()
    with inside(folder, [*PYTHON, FORKS]) as process:
        assert process.wait(60) == 0
    until((folder / "cgroup.events").read_text, lambda text: "populated 0" in text, "the end of its tasks")
    folder.rmdir()
    shown = agent.show("/foreign")
    assert (shown["state"], shown["forks"], shown["exits"], shown["peak_tasks"]) == ("dead", 23, 24, 2)
    assert shown["reason"] == "removed, not by containeragent" and shown["task_limit_hits"] is None
    assert kinds(agent, "/foreign") == ["removed"]
    assert "dead" in agent.ctl("show", "foreign").ok().out
    assert "/foreign" not in agent.ctl("ls").ok().out
    (row,) = [line for line in agent.ctl("ls", "--all", "--dead").ok().out.splitlines() if line.startswith("/foreign ")]
    assert " dead " in row
    text, _ = scrape(agent.address)
    assert f'containeragent_forks_total{{cgroup="{agent.cgroup}/foreign"}} 23\n' in text
    assert f'containeragent_died_timestamp_seconds{{cgroup="{agent.cgroup}/foreign"}}' in text


def test_a_living_one_stands_before_the_dead_of_its_name(agent: Agent) -> None:
    """Until it is gone too; then the newest is shown."""
    for reason in ("removed", "removed, 1 process killed"):
        with inside(agent.create("again"), SLEEP) as process:
            assert agent.show("/again")["state"] == "live"
            if reason == "removed":
                process.kill()
                process.wait()
                agent.ctl("rm", "again").ok()
            else:
                agent.ctl("rm", "again", "--recursive").ok()
        assert (agent.show("/again")["state"], agent.show("/again")["reason"]) == ("dead", reason)
    documents = agent.api.call("GET", "/v1/containers", {"dead": "true"}).document
    assert [one["reason"] for one in documents if one["name"] == "/again"] == ["removed", "removed, 1 process killed"]


def test_what_failed_is_not_told(agent: Agent) -> None:
    """Neither a creation that was refused, nor a removal."""
    agent.create("refusing")
    with inside(agent.path("refusing"), SLEEP):
        agent.ctl("rm", "refusing").refused("1 process")
        agent.ctl("create", "refusing").refused("exists")
    assert kinds(agent, "/refusing") == ["created"]


def test_records_and_reasons_outlive_the_agent(fresh: Agent) -> None:
    """What was removed before keeps its reason, what was removed meanwhile is told once."""
    fresh.create("before")
    fresh.ctl("rm", "before").ok()
    folder = fresh.create("meanwhile")
    with inside(folder, [*PYTHON, FORKS]) as process:
        assert process.wait(60) == 0
    fresh.end(signal.SIGKILL)
    until((folder / "cgroup.events").read_text, lambda text: "populated 0" in text, "the end of its tasks")
    folder.rmdir()
    fresh.start()
    assert fresh.show("/before")["reason"] == "removed"
    assert fresh.show("/meanwhile")["reason"] == "removed while the agent was not running"
    assert fresh.show("/meanwhile")["forks"] == 23
    assert (kinds(fresh, "/before"), kinds(fresh, "/meanwhile")) == ([], ["removed"])


def test_followers_hold_nobody_up(fresh: Agent) -> None:
    """64 that do not read and no more; all others are served meanwhile, and the agent stops at once with them."""
    request = b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    followers = []
    try:
        for _ in range(64):
            followers.append(connect(fresh.socket))
            followers[-1].sendall(request)
            assert followers[-1].recv(15) == b"HTTP/1.1 200 OK"
        assert fresh.api.call("GET", "/v1/events", {"follow": "true"}).code() == "EBUSY"
        fresh.create("web")
        followers.pop().close()
        until(lambda: fresh.ctl("events", "--container", "web").ok().out, bool, "an answer")
        with following(fresh) as one_more:
            assert fresh.end() == 0
            assert one_more.wait(30) == 1
            assert one_more.stderr and "stopped" in one_more.stderr.read()
        assert followers[0].recv(1 << 16)
    finally:
        for follower in followers:
            follower.close()


def test_a_storm(fresh: Agent) -> None:
    """2 000 containers come and go in a moment: history and records are bounded, the log has a few lines."""
    for number in range(2000):
        folder = fresh.path(f"storm-{number}")
        folder.mkdir()
        folder.rmdir()
    until(lambda: kinds(fresh, "/storm-1999"), lambda found: found == ["removed"], "the last one's event")
    dead = fresh.api.call("GET", "/v1/containers", {"dead": "true"}).document
    assert sum(one["state"] == "dead" for one in dead) == 1024
    assert fresh.api.call("GET", "/v1/container", {"name": "/storm-0"}).code() == "ENOENT"
    text, _ = scrape(fresh.address)
    (lost,) = [line for line in text.splitlines() if 'events_lost_total{event="final_record"}' in line]
    assert float(lost.split()[-1]) == 2000 - 1024
    assert fresh.log.read_text().count("/storm-") <= 200
