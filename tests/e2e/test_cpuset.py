# SPDX-License-Identifier: Apache-2.0
"""cpuset where cgroup v2 has the controller: what is set holds, and a half set one takes no tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, SLEEP, running
from tests.e2e.support.waiting import until

THREADS = "import threading\nfor _ in range(3): threading.Thread(target=threading.Event().wait).start()"


@pytest.fixture
def handed_down() -> Iterator[None]:
    """The controller, from the root of the mount, where it may be off while nobody asks for it."""
    control = cgroups.mount_point() / "cgroup.subtree_control"
    was_on = "cpuset" in control.read_text().split()
    control.write_text("+cpuset")
    yield
    if not was_on:
        control.write_text("-cpuset")


def allowed(pid: int) -> set[tuple[str, ...]]:
    """CPUs of each of its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {tuple(map(str, sorted(os.sched_getaffinity(int(task.name))))) for task in tasks}


def attributes(agent: Agent, name: str) -> dict[str, object]:
    """Those of cpuset, without the prefix."""
    found = agent.show(name)["attributes"]
    return {key.removeprefix("cpuset."): value for key, value in found.items() if key.startswith("cpuset.")}


def test_cpuset(handed_down: None, agent: Agent) -> None:
    """From none of its own to one, half of one, and back; threads follow; children inherit."""
    assert "yes" in [
        check["status"] for check in agent.ctl("doctor", "--json").json()["checks"] if "cpuset" in check["name"]
    ]
    agent.create("/web")
    agent.create("/web/db")
    everything = attributes(agent, "/web")
    assert (everything["cpus"], everything["mems"]) == ("", "") and everything["effective_mems"] == "0"
    with running([*PYTHON, THREADS]) as task, running(SLEEP) as other:
        agent.ctl("attach", "web", str(task.pid)).ok()
        before = until(lambda: len(os.listdir(f"/proc/{task.pid}/task")), lambda number: number == 4, "threads")
        agent.ctl("set", "web", "cpuset.cpus=1", "cpuset.mems=0").ok()
        assert attributes(agent, "/web") == {"cpus": "1", "mems": "0", "effective_cpus": "1", "effective_mems": "0"}
        assert allowed(task.pid) == {("1",)} and before == 4
        assert attributes(agent, "/web/db")["effective_cpus"] == "1"
        agent.ctl("attach", "web/db", str(other.pid)).ok()
        assert allowed(other.pid) == {("1",)}
        assert set(agent.ctl("tasks", "web", "--json").json()) >= {task.pid, other.pid}
        agent.ctl("set", "web", "cpuset.cpus=0", "cpuset.mems=63").refused("cpuset.mems was not set")
        assert attributes(agent, "/web")["cpus"] == "1"
        agent.ctl("set", "web", "cpuset.cpus=many").refused("the kernel refused 'many'", "like 0-1,3")
        agent.ctl("detach", str(task.pid), str(other.pid)).ok()
        assert len(allowed(task.pid).pop()) > 1
        agent.ctl("set", "web", "cpuset.mems=").ok()
        agent.ctl("attach", "web", str(task.pid)).refused(
            "the cpuset of container /web has no memory nodes", "cpuset.mems=0"
        )
        agent.ctl("set", "web", "cpuset.cpus=").ok()
        agent.ctl("attach", "web", str(task.pid)).ok()
        assert attributes(agent, "/web") == everything
    agent.ctl("set", "/", "cpuset.cpus=0").refused("cgroup root")
