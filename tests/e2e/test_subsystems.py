# SPDX-License-Identifier: Apache-2.0
"""Subsystems of an agent that runs: the example of docs/subsystems.md, installed, and some that misbehave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeAgent
from tests.e2e.support.agent import Agent
from tests.e2e.support.command import REPOSITORY
from tests.e2e.support.processes import SLEEP, is_gone, running
from tests.e2e.support.waiting import until

EXAMPLE = REPOSITORY / "examples/subsystem-door"
ODD = """
import os, time
from containeragent.subsystems import Attribute, Subsystem

class Hanging(Subsystem):
    def create(self, container):
        if container.name != "/": time.sleep(1000)

class Dying(Subsystem):
    def attach(self, container, origin, task): os.abort()
    def populate(self, container): return [Attribute("good", show=lambda: 1), Attribute("bad", show=lambda: [1])]

class Broken(Subsystem):
    def __init__(self): raise RuntimeError("no such device")
"""


def install(source: Path, target: Path) -> Path:
    """With pip, from a copy, as a user would; the folder that it is in then."""
    copy = target.with_name(target.name + "-source")
    shutil.copytree(source, copy)
    line = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--root-user-action=ignore",
    ]
    line += ["--no-build-isolation", "--no-index", "--no-deps", "--target", str(target), str(copy)]
    subprocess.run(line, check=True)
    return target


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example."""
    return install(EXAMPLE, tmp_path_factory.mktemp("door") / "installed")


@pytest.fixture
def with_door(make_agent: MakeAgent, door: Path) -> Agent:
    """An agent that has the example."""
    agent = make_agent("--subsystem-seconds", "5")
    agent.packages = (door,)
    return agent.start()


@pytest.fixture
def with_odd(make_agent: MakeAgent, tmp_path: Path) -> Iterator[Agent]:
    """An agent that has some that misbehave."""
    (tmp_path / "odd.py").write_text(ODD)
    information = tmp_path / "odd-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    names = "hanging = odd:Hanging\ndying = odd:Dying\nbroken = odd:Broken\n"
    (information / "entry_points.txt").write_text("[containeragent.subsystems]\n" + names)
    agent = make_agent("--subsystem-seconds", "0.5", "--subsystems", "broken, dying, hanging, missing")
    agent.packages = (tmp_path,)
    yield agent.start()


def events(agent: Agent, kind: str) -> list[dict[str, Any]]:
    """What happened of a kind."""
    return [event for event in agent.api.call("GET", "/v1/events").document if event["kind"] == kind]


def subsystems(agent: Agent) -> dict[str, Any]:
    """By name."""
    return {one["name"]: one for one in agent.api.call("GET", "/v1/subsystems").document}


def test_the_example(with_door: Agent) -> None:
    """As docs/subsystems.md has it: attributes, inheritance, refusal, and its events."""
    agent = with_door
    assert subsystems(agent)["door"]["state"] == "on"
    agent.ctl("create", "web").ok()
    with running(SLEEP) as task:
        agent.ctl("set", "web", "door.open=no").ok()
        agent.ctl("attach", "web", str(task.pid)).refused("the door of container /web is closed")
        assert agent.show("/web")["num_tasks"] == 0
        agent.ctl("create", "web/db").ok()
        assert agent.show("/web/db")["attributes"]["door.open"] == "no"
        shown = agent.ctl("set", "web", "door.open=yes", "--json").ok().json()
        assert shown["attributes"]["door.open"] == "yes" and shown["name"] == "/web"
        agent.ctl("attach", "web", str(task.pid)).ok()
        assert agent.show("/web")["attributes"]["door.came"] == 1
        assert agent.ctl("run", "--name", "batch", "--", "true").status == 0
    agent.ctl("set", "web", "door.open=maybe").refused("door.open was not set", "'maybe' is neither yes nor no")
    agent.ctl("set", "web", "door.came=0").refused("can only be read")
    agent.ctl("set", "web", "door.shut=1").refused("no attribute", "door.open")
    agent.ctl("show", "web").ok().out.index("door.came")
    told = [event["message"] for event in events(agent, "set")]
    assert told == ["door.open set to no", "door.open set to yes"]


def test_its_attributes_outlive_the_agent(with_door: Agent) -> None:
    """Also one that is killed; its subsystem's process goes with it."""
    agent = with_door
    agent.create("/web")
    agent.ctl("set", "web", "door.open=no").ok()
    before = _children(agent.pid)
    assert len(before) == 1
    agent.restart(signal.SIGKILL)
    until(lambda: is_gone(before[0]), bool, "the end of the subsystem's process")
    assert agent.show("/web")["attributes"]["door.open"] == "no"
    assert agent.end() == 0
    agent.options += ("--subsystems", "")
    agent.start()
    assert "door.open" not in agent.show("/web")["attributes"] and _children(agent.pid) == []


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_misbehaviour(with_odd: Agent) -> None:
    """The agent says who and how, and goes on; who is lost three times in a row stays off."""
    agent = with_odd
    assert {name: one["state"] for name, one in subsystems(agent).items() if not one["built_in"]} == {
        **{"broken": "refused", "missing": "refused", "dying": "on", "hanging": "on"}
    }
    for _ in range(3):
        started = time.monotonic()
        agent.ctl("create", "web").refused("subsystem hanging failed at create of container /web", "within 0.5 s")
        assert time.monotonic() - started < 10 and not agent.path("/web").exists() and agent.names() == []
    agent.ctl("create", "web").ok()
    with running(SLEEP) as task:
        agent.ctl("attach", "web", str(task.pid)).ok()
        assert agent.ctl("tasks", "web", "--json").ok().json() == [task.pid]
    attributes = agent.show("/web")["attributes"]
    assert attributes["dying.good"] == 1 and attributes["dying.bad"] is None
    failed = [event["details"] for event in events(agent, "subsystem_failed")]
    assert {(one["subsystem"], one["call"]) for one in failed} == {
        *[("broken", "registration"), ("missing", "registration")],
        *[("hanging", "create"), ("dying", "attach"), ("dying", "show")],
    }
    with urllib.request.urlopen(f"http://{agent.address}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    assert 'containeragent_subsystem_failures_total{subsystem="hanging"} 3' in lines
    assert 'containeragent_subsystem_up{subsystem="hanging"} 0' in lines
    assert 'containeragent_subsystem_up{subsystem="dying"} 1' in lines
    checks = {check["name"]: check["status"] for check in agent.ctl("doctor", "--json").json()["checks"]}
    assert checks["subsystem hanging"] == checks["subsystem broken"] == "no" and checks["subsystem dying"] == "yes"
    assert agent.end() == 0


def test_cpu_time_is_the_kernels(agent: Agent) -> None:
    """What was used in it, from the move on."""
    cgroup = agent.create("/web")
    line = [
        sys.executable,
        "-S",
        "-c",
        "import time\nstart = time.process_time()\nwhile time.process_time() < start + 0.3: pass",
    ]
    with running(["sh", "-c", f'echo 0 > {cgroup}/cgroup.procs; exec "$@"', "sh", *line]) as busy:
        assert busy.wait(timeout=60) == 0
    shown = agent.show("/web")["attributes"]
    assert 0.3 <= shown["cpu.usage_seconds"] < 5
    assert abs(shown["cpu.usage_seconds"] - shown["cpu.user_seconds"] - shown["cpu.system_seconds"]) < 0.01


def test_who_may_set(session_agent: Agent) -> None:
    """Root."""
    session_agent.create("/owned")
    try:
        session_agent.ctl("set", "owned", "cpu.usage_seconds=0", uid=65534).refused("only root may set")
        session_agent.ctl("set", "owned", "cpu.usage_seconds=0").refused("can only be read")
        session_agent.ctl("set", "none", "cpu.usage_seconds=0").refused("no container /none")
    finally:
        os.rmdir(session_agent.path("/owned"))


def test_cpuset_without_its_controller(agent: Agent) -> None:
    """It says so; tasks come in all the same. With it: test_cpuset.py."""
    agent.create("/web")
    offered = "cpuset" in (agent.root / "cgroup.controllers").read_text().split()
    if not offered:
        agent.ctl("set", "web", "cpuset.cpus=0").refused("has no cpuset controller", "cgroup.subtree_control")
        assert agent.show("/web")["attributes"]["cpuset.cpus"] in (None, "")
    checks = {check["name"]: check["status"] for check in agent.ctl("doctor", "--json").json()["checks"]}
    assert checks["controller cpuset"] == ("yes" if offered else "no")
