# SPDX-License-Identifier: Apache-2.0
"""Limits where the kernel's controllers hold them: cgroup v2 alone, with pids and memory."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeAgent
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import PYTHON, SLEEP, inside, running
from tests.e2e.support.waiting import until

FORKS = """
import os, time
denied = 0
for _ in range(10):
    try:
        if not os.fork():
            time.sleep(600)
    except BlockingIOError:
        denied += 1
print(denied, flush=True)
time.sleep(600)
"""
READS = """
import os, sys
with open(sys.argv[1], "wb") as file:
    for _ in range(64):
        file.write(bytes(1 << 20))
    os.fsync(file.fileno())
print("done", flush=True)
sys.stdin.read()
"""


def hits(agent: Agent, name: str) -> list[dict[str, object]]:
    """Details of its limit_hit events."""
    found = agent.ctl("events", "--json", "--container", name).ok().out.splitlines()
    return [event["details"] for event in map(json.loads, found) if event["kind"] == "limit_hit"]


def test_a_task_limit_holds(agent: Agent) -> None:
    """A fork beyond it is EAGAIN in the program, counted as a hit, and told without being asked for."""
    agent.ctl("create", "--parents", "shop/web", "--task-limit", "5").ok()
    with inside(agent.path("/shop/web"), [*PYTHON, FORKS], stdout=subprocess.PIPE) as storm:
        assert storm.stdout
        assert int(storm.stdout.readline()) == 6
        listed = until(
            lambda: {one["name"]: one for one in agent.ctl("ls", "--json").json()},
            lambda found: found["/shop/web"]["task_limit_hits"] == 6,
            "hits that are known without asking",
        )
        assert (listed["/shop/web"]["num_tasks"], listed["/shop/web"]["peak_tasks"]) == (5, 5)
        assert listed["/shop/web"]["limit_mode"]["tasks"] == "kernel"
        assert listed["/shop"]["task_limit_hits"] == 6 and listed["/shop"]["local"]["task_limit_hits"] in (0, None)
        told = hits(agent, "/shop/web")
        assert told and told[0]["limit"] == "tasks" and told[0]["limit_value"] == 5
        text = scrape(agent.address)[0]
        cgroup = agent.cgroup + "/shop/web"
        assert f'containeragent_task_limit_hits_total{{cgroup="{cgroup}"}} 6\n' in text
        assert f'containeragent_task_limit{{cgroup="{cgroup}"}} 5\n' in text
        agent.ctl("limit", "shop/web", "--task-limit", "max").ok()
        assert agent.show("/shop/web")["task_limit"] is None
    agent.ctl("rm", "--recursive", "shop/web").ok()
    assert agent.show("/shop")["task_limit_hits"] == 6
    agent.ctl("rm", "shop").ok()
    for name in ("/shop/web", "/shop"):
        assert agent.show(name)["state"] == "dead" and agent.show(name)["task_limit_hits"] == 6


def test_a_page_limit_holds(agent: Agent, tmp_path: Path) -> None:
    """Page cache beyond it is taken back."""
    agent.ctl("create", "web", "--page-limit", "16M").ok()
    path = tmp_path / "file"
    with inside(agent.path("/web"), [*PYTHON, READS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        assert job.stdout and job.stdout.readline() == "done\n"
        shown = agent.show("/web")
        assert shown["page_limit"] == 4096 and shown["page_limit_hits"] > 0
        assert shown["num_anon_pages"] + shown["num_file_pages"] < 4096 * 9 // 8
        until(lambda: hits(agent, "/web"), bool, "the event of a hit")
    path.unlink()


def test_limits_outlive_the_agent(fresh: Agent) -> None:
    """They are on the cgroup, and so are hits."""
    fresh.ctl("create", "web", "--task-limit", "7", "--page-limit", "100M", "--kill-after", "3").ok()
    with inside(fresh.path("/web"), SLEEP), inside(fresh.path("/web"), SLEEP):
        fresh.ctl("limit", "web", "--task-limit", "1").ok()
    before = fresh.show("/web")
    assert (before["task_limit"], before["page_limit"], before["kill_after_seconds"]) == (1, 25600, 3.0)
    assert before["task_limit_hits"] == 1
    fresh.restart()
    after = fresh.show("/web")
    of_limits = [key for key in before if "limit" in key or "kill" in key]
    assert {key: after[key] for key in of_limits} == {key: before[key] for key in of_limits}


def test_what_the_kernel_refuses_changes_nothing(agent: Agent) -> None:
    """A file that cannot be written stands for it: none of the others keeps what was written before."""
    refusing = ["mount", "-o", "remount,bind,ro"]
    agent.create("/web")
    agent.ctl("limit", "web", "--task-limit", "9").ok()
    cgroup = agent.path("/web")
    subprocess.run(["mount", "--bind", cgroup / "memory.high", cgroup / "memory.high"], check=True)
    try:
        subprocess.run([*refusing, cgroup / "memory.high"], check=True)
        agent.ctl("limit", "web", "--task-limit", "3", "--page-limit", "1M").refused(
            "memory.high", "nothing was changed"
        )
    finally:
        subprocess.run(["umount", cgroup / "memory.high"], check=True)
    assert (cgroup / "pids.max").read_text() == "9\n" and agent.show("/web")["task_limit"] == 9


@pytest.mark.parametrize("depth", [1, 3])
def test_controllers_come_down_the_path(agent: Agent, depth: int) -> None:
    """Tasks in the way go to a leaf, and still count with their container."""
    name = "/".join(f"c{number}" for number in range(depth))
    agent.ctl("create", "--parents", name).ok()
    with running(SLEEP) as task:
        agent.ctl("attach", "c0", str(task.pid)).ok()
        agent.ctl("limit", name, "--task-limit", "3").ok()
        assert (agent.path("/" + name) / "pids.max").read_text() == "3\n"
        assert agent.show("/c0")["local"]["num_tasks"] == 1


def test_controllers_vanish_under_a_running_agent(make_agent: MakeAgent) -> None:
    """The programs hold the limits then, hits are not lost, and that is told everywhere."""
    agent = make_agent()
    outer = agent.root
    outer.mkdir()
    (outer / "cgroup.subtree_control").write_text("+pids +memory")
    agent.root, agent.cgroup = outer / "inner", agent.cgroup + "/inner"
    try:
        agent.start().ctl("create", "web", "--task-limit", "5", "--page-limit", "64M").ok()
        with inside(agent.path("/web"), [*PYTHON, FORKS], stdout=subprocess.PIPE) as storm:
            assert storm.stdout and int(storm.stdout.readline()) == 6
            until(lambda: agent.show("/web")["task_limit_hits"], lambda found: found == 6, "hits")
            assert agent.show("/web")["limit_mode"] == {"tasks": "kernel", "pages": "kernel"}
            for folder in (agent.root, outer):
                (folder / "cgroup.subtree_control").write_text("-pids -memory")
            found = until(lambda: agent.show("/web"), lambda shown: shown["limit_mode"]["tasks"] == "agent", "a change")
            assert (
                found["limit_mode"]["pages"] == "agent" and found["task_limit_hits"] >= 6 and found["task_limit"] == 5
            )
            kinds = [json.loads(line)["kind"] for line in agent.ctl("events", "--json").ok().out.splitlines()]
            assert kinds.count("mode") == 2
            checks = {check["name"]: check for check in agent.ctl("doctor", "--json").ok().json()["checks"]}
            assert "agent" in checks["limits of tasks"]["detail"]
            assert 'containeragent_limited_containers{limit="tasks",mode="agent"} 1\n' in scrape(agent.address)[0]
            with running(SLEEP) as other:
                agent.ctl("attach", "web", str(other.pid)).refused("5 of 5 tasks")
    finally:
        agent.close()
        outer.rmdir()
