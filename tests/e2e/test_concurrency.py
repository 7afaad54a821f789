# SPDX-License-Identifier: Apache-2.0
"""Callers at the same time: one wins, the others are told why not, and nothing is left half done."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import SLEEP, running
from tests.e2e.support.waiting import until

CALLERS, ROUNDS = 8, 23
DONE = "done"


@pytest.fixture(scope="module", params=["auto", "netlink"])
def module_agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """On each kind of engine."""
    made = Agent("--engine", request.param)
    try:
        made.start()
        Caller(made).create("/watched")  # what is opened with the first flag stays open
        Caller(made).notify("/watched")
        yield made
    finally:
        made.close()


@pytest.fixture
def agent(module_agent: Agent) -> Iterator[Agent]:
    """Without any container before and after, and without a descriptor more."""
    cgroups.empty(module_agent.root)
    before, process = descriptors(module_agent), module_agent.pid
    yield module_agent
    cgroups.empty(module_agent.root)
    if module_agent.pid == process:
        until(lambda: descriptors(module_agent), lambda now: now <= before, "the descriptors are closed", seconds=60)


def descriptors(agent: Agent) -> int:
    """Open in the agent, connections of clients left out."""
    found = Path(f"/proc/{agent.pid}/fd")
    links = []
    for entry in os.listdir(found):
        try:
            links.append(os.readlink(found / entry))
        except FileNotFoundError:
            continue
    return sum(not link.startswith("socket:") for link in links)


class Caller:
    """Calls that give the code of what was refused, or DONE."""

    def __init__(self, agent: Agent) -> None:
        self.api = agent.api

    def create(self, name: str) -> str:
        return self._code("POST", "/v1/containers", {}, {"name": name})

    def remove(self, name: str, recursive: str = "false") -> str:
        return self._code("DELETE", "/v1/container", {"name": name, "recursive": recursive}, None)

    def rename(self, old: str, new: str) -> str:
        return self._code("POST", "/v1/container/rename", {"name": old}, {"to": new})

    def attach(self, name: str, pid: int) -> str:
        return self._code("POST", "/v1/container/tasks", {"name": name}, {"pids": [pid]})

    def notify(self, name: str) -> str:
        return self._code("POST", "/v1/container/notify", {"name": name}, {"notify_on_release": True})

    def _code(self, method: str, path: str, query: dict[str, str], body: dict[str, object] | None) -> str:
        answer = self.api.call(method, path, query, body=body)
        return DONE if answer.status in (200, 201) else answer.code()


def together(*calls: Callable[[], str]) -> list[str]:
    """All at once; their codes."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], str]) -> str:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_creates_of_one_name(agent: Agent) -> None:
    """One of them makes it."""
    caller = Caller(agent)
    for number in range(ROUNDS):
        codes = together(*[lambda name=f"/c{number}": caller.create(name)] * CALLERS)
        assert Counter(codes) == {DONE: 1, "EEXIST": CALLERS - 1}
    assert len(agent.names()) == ROUNDS == len(cgroups.folders(agent.root))


def test_create_against_rm(agent: Agent) -> None:
    """Either the child was there first, and its parent stays; or the parent went, and there is no place for it."""
    caller = Caller(agent)
    for _ in range(ROUNDS):
        agent.create("a")
        made, removed = together(lambda: caller.create("/a/b"), lambda: caller.remove("/a"))
        assert (made, removed) in ((DONE, "EBUSY"), ("ENOENT", DONE)), (made, removed)
        assert agent.names() == (["/a", "/a/b"] if made == DONE else [])
        cgroups.empty(agent.root)


def test_attach_against_rm(agent: Agent) -> None:
    """Either the task is in it, and it stays; or it went, and the task is where it was."""
    caller = Caller(agent)
    with running(SLEEP) as task:
        home = cgroups.path_of(task.pid)
        for _ in range(ROUNDS):
            folder = agent.create("a")
            put, removed = together(lambda: caller.attach("/a", task.pid), lambda: caller.remove("/a"))
            assert (put, removed) in ((DONE, "EBUSY"), ("ENOENT", DONE)), (put, removed)
            assert cgroups.path_of(task.pid) == (f"{agent.cgroup}/a" if put == DONE else home)
            if put == DONE:
                (agent.root.parent / home.lstrip("/") / "cgroup.procs").write_text(str(task.pid))
                folder.rmdir()


def test_renames_of_one_container(agent: Agent) -> None:
    """One gets it; and of two that want one name, one."""
    caller = Caller(agent)
    for _ in range(ROUNDS):
        agent.create("a")
        agent.create("b")
        codes = together(*(lambda new=f"/n{number}": caller.rename("/a", new) for number in range(4)))
        assert Counter(codes) == {DONE: 1, "ENOENT": 3}
        winner = f"/n{codes.index(DONE)}"
        codes = together(lambda: caller.rename("/b", "/x"), lambda old=winner: caller.rename(old, "/x"))  # type: ignore[misc]
        assert sorted(codes) == ["EEXIST", DONE]
        assert len(agent.names()) == 2 and "/x" in agent.names()
        for name in agent.names():
            agent.ctl("rm", name).ok()


def test_rename_against_create_and_rm(agent: Agent) -> None:
    """Whatever comes first, every call is done or says why not, and every name is one container."""
    caller = Caller(agent)
    allowed = {DONE, "EEXIST", "ENOENT"}
    for _ in range(ROUNDS):
        agent.create("a")
        codes = together(
            lambda: caller.rename("/a", "/b"),
            lambda: caller.create("/a"),
            lambda: caller.create("/b"),
            lambda: caller.remove("/a"),
        )
        assert set(codes) <= allowed, codes
        names = agent.names()
        assert len(names) == len(set(names)) == len(cgroups.folders(agent.root))
        assert 1 + codes[1:3].count(DONE) - codes[3:].count(DONE) == len(names)
        for name in names:
            assert caller.remove(name) == DONE


def test_everything_at_once(agent: Agent) -> None:
    """Many callers on few names. Afterwards the next agent sees what this one saw, and all of it can be removed."""
    caller = Caller(agent)
    with running(SLEEP) as task:

        def step(number: int, turn: int) -> str:
            name, other = f"/{'abc'[(number + turn) % 3]}", f"/{'abc'[(number * turn) % 3]}"
            steps: tuple[Callable[[], str], ...] = (
                lambda: caller.create(name),
                lambda: caller.rename(name, other),
                lambda: caller.attach(name, task.pid),
                lambda: caller.notify(name),
                lambda: caller.remove(other),
                lambda: caller.create(name + other),
                lambda: caller.remove(name, "true" if turn % 7 == 0 else "false"),
            )
            return steps[(number + turn) % len(steps)]()

        def work(number: int) -> list[str]:
            return [step(number, turn) for turn in range(ROUNDS)]

        with ThreadPoolExecutor(CALLERS) as pool:
            seen = Counter(code for codes in pool.map(work, range(CALLERS)) for code in codes)
    assert set(seen) <= {DONE, "EEXIST", "ENOENT", "EBUSY", "ENODEV", "ESRCH"}, seen
    assert seen[DONE] > 10 and sum(seen.values()) == CALLERS * ROUNDS
    names = agent.names()
    ids = {name: agent.show(name)["id"] for name in names}
    assert len(set(ids.values())) == len(names) == len(cgroups.folders(agent.root))
    agent.restart()
    assert {name: agent.show(name)["id"] for name in agent.names()} == ids
    for name in [name for name in names if name.count("/") == 1]:
        assert caller.remove(name, "true") == DONE
    assert cgroups.folders(agent.root) == []
