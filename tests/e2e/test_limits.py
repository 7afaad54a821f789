# SPDX-License-Identifier: Apache-2.0
"""Limits as users set and meet them, whoever holds them here: the kernel's controllers, or the agent."""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.agent import Agent
from tests.e2e.support.command import NOBODY
from tests.e2e.support.http import scrape
from tests.e2e.support.nursery import Nursery
from tests.e2e.support.processes import PYTHON, SLEEP, inside, is_gone, running
from tests.e2e.support.waiting import until

FORKS = """
import os, sys, time
end, denied = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    try:
        if not os.fork():
            time.sleep(0.05)
            os._exit(0)
    except BlockingIOError:
        denied += 1
        time.sleep(0.001)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
print(denied, flush=True)
sys.stdin.read()
"""
# A mebibyte in one call of the kernel: what faults page by page sleeps two seconds at every 64th above memory.high.
LEAK = """
import sys, time
kept, zeros = [], open("/dev/zero", "rb", buffering=0)
for number in range(int(sys.argv[1])):
    kept.append(zeros.read(1 << 20))
    time.sleep(0.005)
print("done", flush=True)
for line in sys.stdin:
    kept = None
    print("freed", flush=True)
"""


def events(agent: Agent, name: str, *kinds: str) -> list[dict[str, Any]]:
    """Those of a container, oldest first."""
    lines = agent.ctl("events", "--json", "--container", name).ok().out.splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] in kinds]


def frozen(cgroup: Path) -> bool:
    """Whether it is stopped."""
    return "frozen 1" in (cgroup / "cgroup.events").read_text()


def test_a_full_container_refuses_tasks(agent: Agent) -> None:
    """The tightest of it and those that it is in is named; a limit below present use is accepted and ends nothing."""
    agent.create("/shop")
    agent.create("/shop/web")
    with inside(agent.path("/shop/web"), SLEEP) as first, inside(agent.path("/shop/web"), SLEEP):
        agent.ctl("limit", "shop/web", "--task-limit", "3").ok()
        agent.ctl("limit", "shop", "--task-limit", "1").ok()
        shown = agent.show("/shop")
        assert (shown["num_tasks"], shown["task_limit"], shown["task_limit_hits"]) == (2, 1, 1)
        with running(SLEEP) as other, running(SLEEP) as another:
            agent.ctl("attach", "shop/web", str(other.pid)).refused("container /shop has 2 of 1 tasks")
            assert agent.ctl("attach", "--json", "shop/web", str(other.pid)).json()["error"]["code"] == "EAGAIN"
            agent.ctl("attach", "/", str(other.pid), str(another.pid)).ok()
            agent.ctl("limit", "/", "--task-limit", "4").ok()
            agent.ctl("limit", "shop", "--task-limit", "max").ok()
            agent.ctl("attach", "shop/web", str(other.pid)).ok()  # it is in / already
            agent.ctl("attach", "shop", str(first.pid)).ok()
        agent.ctl("limit", "/", "--task-limit", "max").ok()


def test_a_task_limit_holds(agent: Agent) -> None:
    """Against parallel forks. Where forks cannot be denied the newest are ended, never the oldest."""
    agent.ctl("create", "bomb", "--task-limit", "12").ok()
    with contextlib.ExitStack() as stack:
        cgroup, pipe = agent.path("/bomb"), subprocess.PIPE
        line = [*PYTHON, FORKS, "10"]
        forkers = [stack.enter_context(inside(cgroup, line, stdin=pipe, stdout=pipe)) for _ in range(8)]
        until(lambda: agent.show("/bomb")["task_limit_hits"], lambda hits: hits > 23, "hits")
        oldest = forkers[0]
        assert oldest.stdout and int(oldest.stdout.readline()) >= 0  # it has come to its end
        shown = until(lambda: agent.show("/bomb"), lambda found: found["num_tasks"] <= 12, "the limit")
        if shown["limit_mode"]["tasks"] == "kernel":
            assert shown["peak_tasks"] <= 12
        assert events(agent, "/bomb", "limit_hit")
    agent.ctl("rm", "bomb").ok()
    record = agent.show("/bomb")
    assert record["state"] == "dead" and record["task_limit_hits"] >= shown["task_limit_hits"]


def test_what_ended_below_a_lowered_limit_does_not_come_back(agent: Agent) -> None:
    """Nobody is ended for the lower limit; but those that ended make no room above it."""
    agent.create("/low")
    with Nursery() as nursery:
        tasks = [nursery.new() for _ in range(3)]
        agent.ctl("attach", "low", *map(str, tasks)).ok()
        agent.ctl("limit", "low", "--task-limit", "2").ok()
        nursery.end(tasks[1])
        nursery.end(tasks[2])
        assert nursery.fork(tasks[0]) is not None
        beyond = nursery.fork(tasks[0])
        assert beyond is None or until(lambda: nursery.is_gone(beyond), bool, "the end of one too many")
        assert agent.show("/low")["num_tasks"] == 2


def test_who_was_there_before_a_lower_limit_outlives_the_agent(agent: Agent) -> None:
    """Who came later is ended, also if it came while no agent was there; the others are not, whoever forks."""
    agent.create("/low")
    with Nursery() as nursery:
        tasks = [nursery.new() for _ in range(3)]
        agent.ctl("attach", "low", *map(str, tasks)).ok()
        agent.ctl("limit", "low", "--task-limit", "1").ok()
        for how in (signal.SIGTERM, signal.SIGKILL):
            agent.end(how)
            late = nursery.fork(tasks[0])
            agent.start()
            assert late is None or until(functools.partial(nursery.is_gone, late), bool, "the end of a late one")
            beyond = nursery.fork(tasks[1])
            assert beyond is None or until(functools.partial(nursery.is_gone, beyond), bool, "the end of one too many")
            assert agent.ctl("tasks", "low", "--json").json() == sorted(tasks)


def test_tasks_of_others_are_ended_without_the_right_to_signal_them() -> None:
    """As the service is: those beyond a limit of a container that has one below it, nobody else; nothing is left."""
    agent = Agent()
    agent.without = ("kill",)
    try:
        agent.start()
        if agent.show("/")["limit_mode"]["tasks"] == "agent":
            assert "cgroup.kill" in agent.ctl("doctor").out or "denied" in agent.ctl("doctor").out
        agent.ctl("create", "web", "--task-limit", "3").ok()
        agent.create("/web/db")
        with Nursery(NOBODY) as nursery:
            tasks = [nursery.new() for _ in range(3)]
            agent.ctl("attach", "web", str(tasks[0])).ok()
            agent.ctl("attach", "web/db", *map(str, tasks[1:])).ok()
            for parent in tasks:
                beyond = nursery.fork(parent)
                assert beyond is None or until(
                    functools.partial(nursery.is_gone, beyond), bool, "the end of one too many"
                )
                assert agent.ctl("tasks", "web", "--json").json() == sorted(tasks)
        agent.ctl("rm", "web", "--recursive").ok()
        assert agent.names() == []
    finally:
        agent.close()


def test_above_the_page_limit_it_stands_still(agent: Agent) -> None:
    """For a second, then for longer; it goes on as soon as the limit is lifted, and nothing of it is left."""
    agent.ctl("create", "--parents", "shop/web").ok()
    agent.ctl("limit", "shop", "--page-limit", "16M").ok()
    shop = agent.path("/shop")
    with inside(agent.path("/shop/web"), [*PYTHON, LEAK, "40"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leak:
        until(lambda: frozen(shop), bool, "the first stop")
        begins = until(lambda: events(agent, "/shop", "throttle_begin"), lambda found: len(found) > 1, "a longer one")
        waits = [event["details"]["seconds"] for event in begins[:2]]
        # With its own reclaim the kernel may have it below for a moment, and then it begins anew.
        kernel = agent.show("/shop")["limit_mode"]["pages"] == "kernel"
        assert waits == [1.0, 2.0] or (kernel and waits == [1.0, 1.0])
        until(lambda: agent.show("/shop")["throttled_seconds"], lambda seconds: seconds > 0, "throttled seconds")
        assert agent.show("/shop/web")["throttled_seconds"] == 0
        assert events(agent, "/shop", "reclaim")
        agent.ctl("limit", "shop", "--page-limit", "max").ok()
        until(lambda: frozen(shop), lambda found: not found, "going on")
        assert leak.stdout and leak.stdout.readline() == "done\n"
        assert len(events(agent, "/shop", "throttle_end")) == len(events(agent, "/shop", "throttle_begin"))
        text = scrape(agent.address)[0]
        assert f'containeragent_page_limit_hits_total{{cgroup="{agent.cgroup}/shop"}}' in text
        assert 'containeragent_limit_steps_total{dry_run="false",step="throttle_begin"}' in text


def test_it_goes_on_as_soon_as_it_is_below(agent: Agent) -> None:
    """Not only at the end of its wait: here because the limit is raised."""
    agent.ctl("create", "below", "--page-limit", "8M").ok()
    below = agent.path("/below")
    with inside(below, [*PYTHON, LEAK, "200"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leak:
        until(lambda: len(events(agent, "/below", "throttle_begin")), lambda found: found > 2, "longer waits")
        until(lambda: frozen(below), bool, "a stop")
        agent.ctl("limit", "below", "--page-limit", "1G").ok()
        assert leak.stdout and leak.stdout.readline() == "done\n"
        begins, ends = (events(agent, "/below", kind) for kind in ("throttle_begin", "throttle_end"))
        assert len(ends) == len(begins) and not frozen(below)
        if ends[-1]["details"]["limit_pages"] == 1 << 18:  # it did not come to its end just before
            assert ends[-1]["details"]["seconds"] < begins[-1]["details"]["seconds"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_an_agent_leaves_nothing_stopped(fresh: Agent, stop: int) -> None:
    """When it ends; when it is killed, the next one lets go on what it stopped, and begins anew with what is above."""
    fresh.ctl("create", "web", "--page-limit", "8M").ok()
    fresh.create("/other")
    web = fresh.path("/web")
    (fresh.path("/other") / "cgroup.freeze").write_text("1")  # not ours to thaw
    with inside(web, [*PYTHON, LEAK, "100"], stdin=subprocess.PIPE, stdout=subprocess.PIPE):
        until(lambda: frozen(web), bool, "the first stop")
        fresh.end(stop)
        assert frozen(web) == (stop == signal.SIGKILL)
        fresh.start()
        until(lambda: events(fresh, "/web", "throttle_begin"), bool, "a stop by the next one")
        assert (fresh.path("/other") / "cgroup.freeze").read_text().strip() == "1"
        fresh.ctl("limit", "web", "--page-limit", "max").ok()
        until(lambda: frozen(web), lambda found: not found, "going on")


def test_a_dry_run_says_and_does_nothing(agent: Agent) -> None:
    """Each step is told and counted."""
    agent.ctl("create", "dry", "--page-limit", "8M", "--kill-after", "3", "--dry-run").ok()
    web = agent.path("/dry")
    with inside(web, [*PYTHON, LEAK, "40"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leak:
        assert leak.stdout and leak.stdout.readline() == "done\n"
        until(lambda: events(agent, "/dry", "kill"), bool, "the end that it would have had")
        assert not frozen(web) and leak.poll() is None and agent.show("/dry")["throttled_seconds"] == 0
        told = events(agent, "/dry", "reclaim", "throttle_begin", "throttle_end", "kill")
        assert {event["kind"] for event in told} == {"reclaim", "throttle_begin", "throttle_end", "kill"}
        assert all(event["details"]["dry_run"] for event in told)
        assert agent.show("/dry")["page_limit_hits"] > 0


def test_a_leak_is_stopped_and_ended(agent: Agent) -> None:
    """With the reason in its record, and nobody beside it comes to harm."""
    agent.ctl("create", "leak", "--page-limit", "64M", "--kill-after", "2").ok()
    agent.create("/beside")
    with inside(agent.path("/beside"), [*PYTHON, LEAK, "100"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        with inside(agent.path("/leak"), [*PYTHON, LEAK, "100000"]) as leak:
            until(lambda: is_gone(leak.pid), bool, "the end of the leak")
        shown = agent.show("/leak")
        assert shown["page_limit_hits"] > 0 and shown["peak_pages"] < 100 << 8
        assert [event["details"]["limit"] for event in events(agent, "/leak", "limit_hit")][:1] == ["pages"]
        until(lambda: events(agent, "/leak", "kill"), bool, "the event of its end")
        agent.restart(signal.SIGKILL)
        agent.ctl("rm", "leak").ok()
        record = agent.show("/leak")
        assert record["state"] == "dead" and record["reason"].startswith("killed: ")
        assert record["page_limit_hits"] == shown["page_limit_hits"]
        assert other.stdout and other.stdout.readline() == "done\n" and other.poll() is None
        assert not frozen(agent.path("/beside"))


@pytest.mark.parametrize(
    "option, value",
    [
        ("--task-limit", "-1"), ("--task-limit", "1.5"), ("--task-limit", "1" + "0" * 30), ("--task-limit", "5M"),
        ("--page-limit", "0"), ("--page-limit", "1K"), ("--page-limit", "10Q"), ("--page-limit", "-5M"),
        ("--page-limit", "1" + "0" * 30), ("--kill-after", "-1"), ("--kill-after", "soon"),
    ],
)  # fmt: skip
def test_bad_limits(agent: Agent, option: str, value: str) -> None:
    """One line; no container is made of them, none is changed."""
    agent.ctl("create", "a", f"{option}={value}").refused(value[:8])
    assert agent.names() == []
    agent.create("/web")
    before = agent.show("/web")
    agent.ctl("limit", "web", f"{option}={value}").refused(value[:8])
    assert agent.show("/web") == before


def test_who_may_limit_what(agent: Agent) -> None:
    """Only root, and only what is managed."""
    agent.create("/web")
    agent.ctl("limit", "web", "--task-limit", "5", uid=NOBODY).refused("only root")
    agent.ctl("limit", "nowhere", "--task-limit", "5").refused("no container /nowhere")
    agent.ctl("limit", "web").refused("no limit was given", status=2)
    assert agent.api.call("POST", "/v1/container/limits", {"name": "/web"}, {"cpu": 1}).code() == "EINVAL"
