# SPDX-License-Identifier: Apache-2.0
"""A container is renamed where it stands: what stays, who sees the new name, and what becomes of the old one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import SLEEP, inside, running
from tests.e2e.support.waiting import until


@pytest.fixture(scope="module", params=["auto", "netlink"])
def module_agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """On each kind of engine."""
    made = Agent("--engine", request.param)
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def agent(module_agent: Agent) -> Iterator[Agent]:
    """Without any container before and after."""
    yield module_agent
    cgroups.empty(module_agent.root)


def _shown_twice(agent: Agent, name: str) -> list[dict[str, Any]]:
    """Before and after memory.stat, which may be 2 s late, is new."""
    first = agent.show(name)
    time.sleep(2.5)
    return [first, agent.show(name)]


def test_everything_stays(agent: Agent) -> None:
    """Id, tasks, children, counters, flags; nobody is moved, nothing waits. Only the name is another, everywhere."""
    agent.ctl("create", "--notify-on-release", "--parents", "shop/web/db").ok()
    with inside(agent.path("shop/web/db"), SLEEP) as process:
        place = cgroups.path_of(process.pid)
        before, _ = until(lambda: _shown_twice(agent, "/shop/web"), lambda two: two[0] == two[1], "rest")
        assert agent.api.call("GET", "/v1/names", {"prefix": "/shop/w"}).document == ["/shop/web", "/shop/web/db"]
        renamed = agent.ctl("--json", "rename", "shop/web", "shop/www").ok().json()
        assert renamed == before | {"name": "/shop/www"} and renamed["num_tasks"] == 1
        assert cgroups.path_of(process.pid) == place
        assert agent.ctl("which", str(process.pid)).ok().out == f"{process.pid} /shop/www/db\n"
        assert agent.names() == ["/shop", "/shop/www", "/shop/www/db"]
        found = agent.api.call("GET", "/v1/names", {"prefix": "/shop/"}).document
        assert found == ["/shop/www", "/shop/www/db"]
        assert agent.ctl("tasks", "shop/www").ok().out == f"{process.pid}\n"
        (info,) = [line for line in scrape(agent.address)[0].splitlines() if f'_info{{cgroup="{place}",' in line]
        assert 'name="/shop/www/db"' in info and 'managed="true"' in info
        agent.ctl("show", "shop/web").refused("no container /shop/web")
        agent.ctl("attach", "shop/web/db", str(process.pid)).refused("no container /shop/web")
        agent.ctl("attach", "--no-move", "shop/www/db", str(process.pid)).ok()
        agent.ctl("detach", str(process.pid)).ok()
    (event,) = [event for event in agent.api.call("GET", "/v1/events").document if event["kind"] == "renamed"][-1:]
    assert (event["container"], event["details"]) == ("/shop/web", {"to": "/shop/www"})
    assert event["cgroup"] == f"{agent.cgroup}/shop/web"


def test_the_old_name_is_free(agent: Agent) -> None:
    """For another container, with counters of its own; both are seen apart, also by the next agent."""
    first = agent.create("web")
    agent.ctl("rename", "web", "old").ok()
    agent.ctl("create", "web").ok()
    agent.ctl("create", "web").refused("exists already")
    agent.ctl("create", "old").refused("exists already")
    agent.ctl("create", "--parents", "web/a").ok()
    ids = {name: agent.show(name)["id"] for name in ("/old", "/web", "/web/a")}
    assert len(set(ids.values())) == 3
    with inside(first, SLEEP) as one, running(SLEEP) as two:
        agent.ctl("attach", "web/a", str(two.pid)).ok()
        for restart in (False, True):
            if restart:
                agent.restart(signal.SIGKILL)
            assert agent.names() == ["/old", "/web", "/web/a"]
            assert {name: agent.show(name)["id"] for name in ids} == ids
            assert agent.ctl("which", str(one.pid)).ok().out == f"{one.pid} /old\n"
            assert agent.ctl("which", str(two.pid)).ok().out == f"{two.pid} /web/a\n"
            assert [agent.show(name)["num_tasks"] for name in ids] == [1, 1, 1]
    removed = agent.ctl("--json", "rm", "--recursive", "web").ok().json()
    assert removed == {"removed": ["/web/a", "/web"]} and agent.names() == ["/old"]
    agent.ctl("rename", "old", "web").ok()
    assert agent.names() == ["/web"] and agent.show("/web")["id"] == ids["/old"]
    agent.ctl("rm", "web").ok()
    assert cgroups.folders(agent.root) == []


def test_what_is_refused(agent: Agent) -> None:
    """And changes nothing."""
    for name in ("a", "a/x", "b"):
        agent.create(name)
    for old, new, words in (
        ("a", "b", "/b exists already"),
        ("a", "a", "/a exists already"),
        ("none", "c", "no container /none"),
        ("a/x", "x", "stays below its parent"),
        ("a", "b/a", "stays below its parent"),
        ("/", "c", "cgroup root"),
        ("a", "-c", "begins with a dash"),
        ("a", "memory.x", "reserves"),
    ):
        agent.ctl("rename", "--", old, new).refused(words)
    assert agent.names() == ["/a", "/a/x", "/b"]


def test_the_dead_have_their_last_name(agent: Agent) -> None:
    """Whoever removed them; of the engine netlink there is only the event."""
    agent.create("a")
    agent.create("b")
    agent.ctl("rename", "a", "first").ok()
    agent.ctl("rename", "b", "second").ok()
    agent.ctl("rm", "first").ok()
    (agent.root / "b").rmdir()
    assert until(agent.names, lambda names: not names, "both are gone") == []
    agent.ctl("rename", "second", "third").refused("no container /second")
    told = [event for event in agent.api.call("GET", "/v1/events").document if event["kind"] == "removed"]
    assert (told[-1] if agent.options[1] == "netlink" else told[-2])["container"] == "/first"
    if agent.options[1] != "netlink":
        assert told[-1]["container"] == "/second"
        assert agent.show("/first")["state"] == agent.show("/second")["state"] == "dead"
        dead = [one["name"] for one in agent.ctl("--json", "ls", "--dead").ok().json() if one["state"] == "dead"]
        assert {"/first", "/second"} <= set(dead)
    agent.create("a")
    assert agent.names() == ["/a"]


def test_a_directory_of_others_in_its_place(agent: Agent) -> None:
    """It is no container while a renamed one has its name, and goes with its parent."""
    top = agent.create("top")
    agent.create("top/a")
    agent.ctl("rename", "top/a", "top/b").ok()
    (top / "b").mkdir()
    (top / "b" / "c").mkdir()
    with inside(top / "b" / "c", SLEEP) as process:
        assert agent.names() == ["/top", "/top/b"]
        assert agent.ctl("which", str(process.pid)).ok().out.endswith(f"{agent.cgroup}/top/b/c (not managed)\n")
        assert agent.show("/top/b")["num_tasks"] == 0 and agent.show("/top")["num_tasks"] == 1
        agent.ctl("rm", "top").refused("2 child containers")
        agent.ctl("rm", "--recursive", "top").ok()
        assert process.wait(60) == -signal.SIGKILL
    assert cgroups.folders(agent.root) == []


def test_release_of_a_renamed_one(agent: Agent) -> None:
    """Its flags are its own still, and its removal is that of its name."""
    agent.ctl("create", "--remove-on-release", "job").ok()
    agent.ctl("rename", "job", "work").ok()
    agent.create("job")
    with inside(agent.path("job"), SLEEP):
        pass
    until(agent.names, lambda names: names == ["/job"], "its removal")
    assert agent.show("/job")["remove_on_release"] is False
    told = [event for event in agent.api.call("GET", "/v1/events").document if event["kind"] == "removed"]
    assert told[-1]["container"] == "/work"


def test_who_holds_a_removed_one(agent: Agent) -> None:
    """Gets ENODEV from the kernel."""
    with (agent.create("web") / "cgroup.procs").open() as held:
        agent.ctl("rm", "web").ok()
        with pytest.raises(OSError, match="No such device"):
            held.read()


def test_the_number_of_containers(agent: Agent) -> None:
    """Without the root, and without what we make inside them."""
    for name in ("a", "b", "a/c"):
        agent.create(name)
    (agent.path("a") / "-tasks").mkdir()

    def number() -> float:
        lines = scrape(agent.address)[0].splitlines()
        return float(next(line for line in lines if line.startswith("containeragent_containers_managed ")).split()[1])

    assert until(number, lambda found: found == 3, "three containers") == 3


def test_limits_of_a_renamed_one(agent: Agent) -> None:
    """They hold on, are changed by the new name, and the next agent has them; messages have that name."""
    if agent.options[1] == "netlink":
        return  # nothing holds limits there without controllers
    with inside(agent.create("few"), SLEEP) as one, running(SLEEP) as two:
        agent.ctl("limit", "few", "--task-limit", "1").ok()
        agent.ctl("rename", "few", "single").ok()
        agent.create("few")
        assert agent.show("/single")["task_limit"] == 1 and agent.show("/few")["task_limit"] is None
        agent.ctl("attach", "single", str(two.pid)).refused("/single has 1 of 1 tasks")
        agent.ctl("attach", "few", str(two.pid)).ok()
        agent.restart()
        assert agent.show("/single")["task_limit"] == 1 and agent.show("/few")["task_limit"] is None
        agent.ctl("set", "single", "task_limit=3").ok()
        agent.ctl("limit", "few", "--task-limit", "1").ok()
        assert agent.show("/single")["task_limit"] == 3 and agent.show("/few")["task_limit"] == 1
        agent.ctl("limit", "single", "--task-limit", "2").ok()
        agent.ctl("attach", "single", str(two.pid)).ok()
        assert agent.ctl("tasks", "single").ok().out.split() == sorted(map(str, (one.pid, two.pid)), key=int)
