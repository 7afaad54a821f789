# SPDX-License-Identifier: Apache-2.0
"""Notify on release with a running agent and a program that writes down how it was called."""

from __future__ import annotations

import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import cgroups, command
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import PYTHON, SLEEP, inside, running
from tests.e2e.support.waiting import until

QUIET_SECONDS = 0.3  # within which a second run would have been seen
ENVIRONMENT = "HOME=/ PATH=/sbin:/bin:/usr/sbin:/usr/bin "

# One line a run: number of arguments, the last one, environment, rights. It waits for `block` to go.
PROGRAM = """#!/bin/sh
cd {folder}
printf '%s|%s|%s|%s\\n' $# "$1" "$(tr '\\0' ' ' < /proc/$$/environ)" "$(grep NoNewPrivs /proc/self/status)" >> runs
while [ -e block ]; do sleep 0.05; done
exit $(cat status)
"""

# One child for each cgroup; when all are where they belong, all end.
STORM = """
import os, sys
(ready, tell), (wait, end) = os.pipe(), os.pipe()
for path in sys.argv[1:]:
    if not os.fork():
        os.close(end)
        open(path + "/cgroup.procs", "w").write("0")
        os.write(tell, b"1")
        os.read(wait, 1)
        os._exit(0)
there = 0
while there < len(sys.argv) - 1:
    there += len(os.read(ready, 4096))
os.close(end)
for path in sys.argv[1:]:
    os.wait()
"""


class Program:
    """The release agent and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "release-agent"
        self.path.write_text(PROGRAM.format(folder=folder))
        self.path.chmod(0o755)
        self.reset()

    def reset(self) -> None:
        (self.folder / "runs").write_text("")
        (self.folder / "status").write_text("0")
        (self.folder / "block").unlink(missing_ok=True)

    def runs(self) -> list[str]:
        """Names that it was called with."""
        return [line.split("|")[1] for line in (self.folder / "runs").read_text().splitlines()]

    def ran(self, *names: str) -> None:
        """Wait until it has run for these, and for nothing else."""
        until(self.runs, lambda found: len(found) >= len(names), f"runs of {names}")
        time.sleep(QUIET_SECONDS)
        assert sorted(self.runs()) == sorted(names)


def serves_metrics(agent: Agent) -> bool:
    """They come a moment after the API."""
    try:
        return bool(scrape(agent.address))
    except OSError:
        return False


@pytest.fixture(scope="module", params=["auto", "netlink"])
def module_agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With a release agent, on each kind of engine."""
    made = Agent("--engine", request.param)
    made.options += ("--release-agent", str(Program(made.folder).path))
    try:
        made.start()
        until(lambda: serves_metrics(made), bool, "its metrics")
        yield made
    finally:
        made.close()


@pytest.fixture
def agent(module_agent: Agent) -> Iterator[Agent]:
    """Without any container before and after."""
    yield module_agent
    module_agent.ctl("notify", "/", "off").ok()
    cgroups.empty(module_agent.root)
    time.sleep(QUIET_SECONDS)  # parents are released while their children are taken away


@pytest.fixture
def program(agent: Agent) -> Iterator[Program]:
    """That has not run yet."""
    made = Program(agent.folder)
    yield made
    made.reset()


def events(agent: Agent, name: str, *kinds: str) -> list[dict[str, Any]]:
    """Of a container, of these kinds."""
    found = agent.api.call("GET", "/v1/events", {"container": name}).document
    return [event for event in found if event["container"] == name and event["kind"] in kinds]


def released(agent: Agent) -> dict[str, float]:
    """containeragent_releases_total by result."""
    lines = [
        line for line in scrape(agent.address)[0].splitlines() if line.startswith("containeragent_releases_total{")
    ]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


def run_through(folder: Path) -> None:
    """A task comes into a cgroup and ends there."""
    with inside(folder, ["true"]) as process:
        assert process.wait(60) == 0


def test_the_last_task_that_ends(agent: Agent, program: Program) -> None:
    """One run, as it is promised: one argument, that environment, no way to more rights; told and counted."""
    before = released(agent)
    agent.ctl("create", "--parents", "--notify-on-release", "web/dä b").ok()
    folder = agent.path("web/dä b")
    with inside(folder, SLEEP), inside(folder, SLEEP):
        pass
    program.ran("/web/dä b")
    line = (program.folder / "runs").read_text()
    assert line == f"1|/web/dä b|{ENVIRONMENT}|NoNewPrivs:\t1\n"
    (told,) = events(agent, "/web/dä b", "released")
    (done,) = until(lambda: events(agent, "/web/dä b", "release_done", "release_failed"), bool, "the end of the run")
    assert told["details"] == {"action": "program"} and done["kind"] == "release_done"
    assert done["details"]["program"] == str(program.path) and done["details"]["exit_status"] == 0
    assert released(agent)["done"] - before["done"] == 1


def test_the_flag_comes_from_the_parent(agent: Agent, program: Program) -> None:
    """Off at the root, taken over at creation and only then, unless it is said otherwise."""
    assert agent.show("/")["notify_on_release"] is False
    for words, flag in (
        (("a",), False),
        (("--notify-on-release", "b"), True),
        (("b/inherits",), True),
        (("--no-notify-on-release", "b/not"), False),
        (("b/not/either",), False),
        (("--parents", "b/x/y"), True),
    ):
        agent.ctl("create", *words).ok()
        assert agent.show("/" + words[-1])["notify_on_release"] is flag, words
    assert agent.show("/b/x")["notify_on_release"] is True
    agent.ctl("notify", "b", "off").ok()
    assert agent.show("/b")["notify_on_release"] is False and agent.show("/b/x")["notify_on_release"] is True
    answer = agent.ctl("--json", "notify", "/", "on").ok().json()
    assert answer == {"name": "/", "notify_on_release": True, "remove_on_release": False}
    assert agent.ctl("--json", "create", "c").ok().json()["notify_on_release"] is True
    assert agent.show("/a")["notify_on_release"] is False
    agent.ctl("notify", "/", "on", "--remove-on-release").refused("cgroup root")
    agent.ctl("notify", "nowhere", "on").refused("/nowhere")
    assert program.runs() == []


def test_each_release_is_one_run(agent: Agent, program: Program) -> None:
    """23 tasks one after the other, each shorter than the kernel's pause between two notifications."""
    agent.ctl("create", "--notify-on-release", "often").ok()
    for number in range(23):
        run_through(agent.path("often"))
        until(program.runs, lambda found, want=number + 1: len(found) >= want, "the next run")  # type: ignore[misc]
    program.ran(*["/often"] * 23)


def test_tasks_that_leave(agent: Agent, program: Program) -> None:
    """By the agent, and by others; who only passed through too."""
    agent.ctl("create", "--notify-on-release", "left").ok()
    with running(SLEEP) as sleeper:
        for turn in (1, 2):
            agent.ctl("attach", "left", str(sleeper.pid)).ok()
            agent.ctl("detach", str(sleeper.pid)).ok()
            program.ran(*["/left"] * turn)
        (agent.path("left") / "cgroup.procs").write_text(str(sleeper.pid))
        time.sleep(QUIET_SECONDS)
        (cgroups.mount_point() / "cgroup.procs").write_text(str(sleeper.pid))
        program.ran(*["/left"] * 3)


def test_nothing_is_released_that_has_children(agent: Agent, program: Program) -> None:
    """Not when its tasks are gone; when the last child is gone. Whoever removes it."""
    agent.ctl("create", "--notify-on-release", "top").ok()
    agent.ctl("create", "--no-notify-on-release", "top/one").ok()
    agent.path("top/two").mkdir()
    with running(SLEEP) as sleeper:  # with controllers for its children, only the agent knows where a task can go
        agent.ctl("attach", "top", str(sleeper.pid)).ok()
    run_through(agent.path("top/one"))
    agent.ctl("rm", "top/one").ok()
    time.sleep(QUIET_SECONDS)
    assert program.runs() == []
    agent.path("top/two").rmdir()
    program.ran("/top")
    agent.ctl("create", "top/three").ok()
    agent.ctl("rm", "top/three").ok()
    program.ran("/top", "/top")


def test_what_was_never_used_is_not_released(agent: Agent, program: Program) -> None:
    """Making, freezing, thawing and removing it are no releases."""
    agent.ctl("create", "--notify-on-release", "new").ok()
    for value in "10":
        (agent.path("new") / "cgroup.freeze").write_text(value)
        time.sleep(QUIET_SECONDS)
    agent.ctl("rm", "new").ok()
    program.ran()


def test_remove_on_release(agent: Agent, program: Program) -> None:
    """From the inside out, without a program; and the reason is known."""
    before = released(agent)
    agent.ctl("create", "--remove-on-release", "--notify-on-release", "job").ok()
    agent.ctl("create", "--remove-on-release", "--no-notify-on-release", "job/step").ok()
    assert agent.show("/job/step")["remove_on_release"] is True
    run_through(agent.path("job/step"))
    until(agent.names, lambda names: names == [], "the removal of both")
    assert [event["details"]["action"] for event in events(agent, "/job", "released")] == ["remove"]
    (removed,) = until(lambda: events(agent, "/job", "removed"), bool, "the event of the removal")
    assert removed["details"]["reason"] == "removed on its release"
    until(lambda: released(agent)["removed"] - before["removed"], lambda number: number == 2, "both are counted")
    assert program.runs() == []


def test_notify_off(agent: Agent, program: Program) -> None:
    """Then nothing happens; on again, in use or not."""
    agent.ctl("create", "--notify-on-release", "switch").ok()
    agent.ctl("notify", "switch", "off").ok()
    run_through(agent.path("switch"))
    time.sleep(QUIET_SECONDS)
    agent.ctl("notify", "switch", "on").ok()
    program.ran()
    agent.ctl("notify", "switch", "off").ok()
    with inside(agent.path("switch"), SLEEP):
        agent.ctl("notify", "switch", "on").ok()
    program.ran("/switch")


def test_who_comes_back_is_left_alone(agent: Agent, program: Program) -> None:
    """All workers are busy when somebody enters a released container: nothing is done until it is empty again."""
    before = released(agent)
    (program.folder / "block").touch()
    for number in range(4):
        agent.ctl("create", "--notify-on-release", f"busy-{number}").ok()
        run_through(agent.path(f"busy-{number}"))
    until(program.runs, lambda found: len(found) == 4, "four programs")
    for flag, name in (("--notify-on-release", "back"), ("--remove-on-release", "back-too")):
        agent.ctl("create", flag, name).ok()
        run_through(agent.path(name))
        until(lambda name=name: events(agent, f"/{name}", "released"), bool, "its release")  # type: ignore[misc]
    with inside(agent.path("back"), SLEEP), inside(agent.path("back-too"), SLEEP):
        (program.folder / "block").unlink()
        until(lambda: released(agent)["occupied"] - before["occupied"], lambda number: number == 2, "the second look")
        assert "/back" not in program.runs() and agent.path("back-too").is_dir()
    program.ran(*(f"/busy-{number}" for number in range(4)), "/back")
    until(agent.path("back-too").exists, lambda there: not there, "its removal")


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda program: (program.folder / "status").write_text("3"), "ended with 3"),
        (lambda program: program.path.chmod(0o777), "others than root may write it"),
        (lambda program: program.path.chmod(0o644), "not executable"),
        (lambda program: program.path.unlink(), "no such file"),
        (lambda program: program.path.write_text("no program"), "exec format error"),
    ],
)
def test_a_program_that_fails(agent: Agent, program: Program, spoil: Any, words: str) -> None:
    """An event says why, a metric counts; the agent goes on."""
    before, known = released(agent), len(events(agent, "/failing", "release_failed"))
    agent.ctl("create", "--notify-on-release", "failing").ok()
    spoil(program)
    run_through(agent.path("failing"))
    failures = until(
        lambda: events(agent, "/failing", "release_failed"), lambda found: len(found) > known, "the failure"
    )
    event = failures[-1]
    assert words in event["message"] and event["details"]["exit_status"] == (3 if "3" in words else None)
    until(lambda: released(agent)["failed"] - before["failed"], lambda number: number == 1, "it is counted")
    Program(agent.folder)
    agent.ctl("rm", "failing").ok()


def test_released_while_the_agent_is_away(agent: Agent, program: Program) -> None:
    """Handled once at its start; what was never used, or handled before, is not."""
    for name in ("used", "emptied", "handled", "fresh"):
        agent.ctl("create", "--notify-on-release", name).ok()
    agent.ctl("create", "--remove-on-release", "job").ok()
    run_through(agent.path("handled"))
    program.ran("/handled")
    with inside(agent.path("emptied"), SLEEP), inside(agent.path("job"), SLEEP):
        time.sleep(QUIET_SECONDS)
        agent.end(signal.SIGKILL)
    counted = agent.options[1] != "netlink"  # netlink does not count while it is away
    if counted:
        run_through(agent.path("used"))
    agent.start()
    program.ran("/handled", "/emptied", *(["/used"] if counted else []))
    until(agent.path("job").exists, lambda there: not there, "its removal")
    assert agent.show("/fresh")["notify_on_release"] is True
    agent.restart()
    program.ran("/handled", "/emptied", *(["/used"] if counted else []))


def test_check_refuses_a_program_that_others_may_change(module_agent: Agent) -> None:
    """Itself, or a folder that it is in; and one that is no file."""
    folder = module_agent.folder / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    program = Program(folder).path
    check = ("check", "--config", "/dev/null", "--release-agent")
    command.containeragent(*check, str(program)).refused("release_agent", str(folder))
    folder.chmod(0o755)
    command.containeragent(*check, str(program)).ok()
    program.chmod(stat.S_IRWXU | stat.S_IWGRP)
    command.containeragent(*check, str(program)).refused("others than root may write it")
    command.containeragent(*check, str(folder)).refused("not a regular file")
    command.containeragent(*check, "release-agent").refused("not an absolute path")


def test_a_storm_of_releases(agent: Agent, program: Program) -> None:
    """230 at once, while the API answers: one run for each."""
    (program.folder / "block").touch()
    names = [f"storm-{number}" for number in range(230)]
    for name in names:
        agent.api.call("POST", "/v1/containers", body={"name": name, "notify_on_release": True})
    with running([*PYTHON, STORM, *(str(agent.path(name)) for name in names)]) as process:
        assert process.wait(60) == 0
    until(lambda: len(agent.api.call("GET", "/v1/events").document), lambda number: number >= 460, "all are told")
    assert agent.show("/storm-0")["num_tasks"] == 0
    (program.folder / "block").unlink()
    until(program.runs, lambda found: len(found) >= 230, "all runs")
    time.sleep(QUIET_SECONDS)
    assert sorted(program.runs()) == sorted("/" + name for name in names)
