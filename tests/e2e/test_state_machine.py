# SPDX-License-Identifier: Apache-2.0
"""Random operations, valid and invalid, on the real agent, against a small model: after every step the agent's answers,
the cgroup tree and the model say the same.

The agent is also ended and started meanwhile, and others change the tree behind its back.
"""

from __future__ import annotations

import functools
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import IN_GUEST
from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.model import Model, Node, Parts
from tests.e2e.support.nursery import Nursery
from tests.e2e.support.processes import zombie
from tests.e2e.support.waiting import until

WORDS = ("a", "b", "c", "ü x")
PATIENCE_SECONDS = 60.0  # a difference that stays is a failure; shorter than for what only has to happen at some time
WORKERS = 4
LEAF = "-tasks"  # where a container's own tasks are, if controllers are enabled in it

components = st.sampled_from(WORDS)
somewhere = st.lists(components, min_size=1, max_size=3).map(tuple)
anywhere = st.lists(components, max_size=3).map(tuple)
limits = st.one_of(st.none(), st.integers(0, 4))
often = st.sampled_from((True, True, True, False))
maybe = st.one_of(st.none(), st.booleans())
index = st.integers(0, 99)
BAD_NAMES = ("", "a//b", "/a/", "..", "a/../b", "-a", "cgroup.x", "memory.y", "a\nb", "x" * 256)


def name_of(parts: Parts) -> str:
    """As callers write it."""
    return "/" + "/".join(parts)


class World:
    """What outlives one run of the machine: an agent, and tasks to move around."""

    def __init__(self, agent: Agent, nursery: Nursery, zombie: int) -> None:
        self.agent = agent
        self.nursery = nursery
        tried = agent.api.call("POST", "/v1/container/limits", {"name": "/"}, {"task_limit": 5})
        self.limits_hold = tried.status == 200
        self.nobodies = [zombie, int(Path("/proc/sys/kernel/pid_max").read_text()) + 1]

    def clear(self) -> None:
        """No container, no task, nothing set on the root."""
        self.nursery.end_all()
        cgroups.empty(self.agent.root)
        self.agent.api.call("POST", "/v1/container/limits", {"name": "/"}, {"task_limit": None})
        self.agent.api.call("POST", "/v1/container/notify", {"name": "/"}, {"notify_on_release": False})


class Machine(RuleBasedStateMachine):
    """One sequence of operations."""

    world: World

    @initialize()
    def begin(self) -> None:
        """Some tasks outside of all containers."""
        self.world.clear()
        self.agent, self.nursery, self.model = self.world.agent, self.world.nursery, Model(self.world.limits_hold)
        self.ids: dict[Parts, int] = {}
        self.born: dict[Node, int] = {}  # the last event before it
        for number, word in enumerate(WORDS):
            self.create((word,), False, number % 2 == 0, number % 4 == 3, None)
            self.attach(0, (word,), False, [number], True)

    def teardown(self) -> None:
        """Whatever happened."""
        self.world.clear()

    def _workers(self) -> set[int]:
        """Those that live, and new ones for those that ended."""
        found = self.model.living & self.nursery.workers
        while len(found) < WORKERS:
            found.add(self.nursery.new())
        self.model.living |= found
        return found

    # What is done, to the agent and to the model. Both must say the same of it.

    def _call(self, method: str, path: str, parts: Parts | str, body: Any = None, **query: Any) -> str | None:
        name = parts if isinstance(parts, str) else name_of(parts)
        answer = self.agent.api.call(method, path, {"name": name} | query, body)
        return None if answer.status < 300 else answer.code()

    def _existing(self, number: int) -> Parts:
        known = self.model.names()
        return known[number % len(known)]

    def _task(self, number: int) -> int:
        """A living one, or an id that no other process can get."""
        self._workers()
        nobody = dict(enumerate(self.world.nobodies, 90)).get(number)
        return nobody or self._of(self.model.living, number)

    @staticmethod
    def _of(tasks: set[int], number: int) -> int:
        known = sorted(tasks)
        return known[number % len(known)]

    @rule(parts=somewhere, parents=often, notify=maybe, remove=often, limit=limits)
    def create(self, parts: Parts, parents: bool, notify: bool | None, remove: bool, limit: int | None) -> None:
        """Of any name, there or not."""
        body = {"name": name_of(parts), "parents": parents, "remove_on_release": remove, "task_limit": limit}
        answer = self.agent.api.call("POST", "/v1/containers", body=body | {"notify_on_release": notify})
        code = None if answer.status == 201 else answer.code()
        assert code == self.model.create(parts, parents, notify, remove, limit), answer.document

    @rule(number=index, word=components)
    def create_below(self, number: int, word: str) -> None:
        """Of one that is there, so that trees get deep."""
        self.create((*self._existing(number), word)[:5], False, None, False, None)

    @rule(bad=st.sampled_from(BAD_NAMES), other=st.sampled_from(WORDS))
    def bad_name(self, bad: str, other: str) -> None:
        """Every operation refuses it."""
        assert self.agent.api.call("POST", "/v1/containers", body={"name": bad}).code() == "EINVAL"
        assert self._call("DELETE", "/v1/container", bad) == "EINVAL"
        assert self._call("POST", "/v1/container/tasks", bad, {"pids": [self._task(0)]}) == "EINVAL"
        assert self._call("POST", "/v1/container/rename", f"/{other}", {"to": bad}) == "EINVAL"

    @rule(number=index, parts=anywhere, there=often, recursive=st.booleans())
    def remove(self, number: int, parts: Parts, there: bool, recursive: bool) -> None:
        """One that may be busy."""
        parts = self._existing(number) if there else parts
        code = self._call("DELETE", "/v1/container", parts, recursive=str(recursive).lower())
        assert code == self.model.delete(parts, recursive)

    @rule(number=index, word=components, other=anywhere, beside=often)
    def rename(self, number: int, word: str, other: Parts, beside: bool) -> None:
        """To a name beside it, or anywhere."""
        old = self._existing(number)
        new = (*old[:-1], word) if beside else other
        code = self._call("POST", "/v1/container/rename", old, {"to": name_of(new)})
        assert code == self.model.rename(old, new)
        if code is None:
            moved = {known: new + known[len(old) :] for known in self.ids if known[: len(old)] == old}
            self.ids = {moved.get(known, known): cgroup_id for known, cgroup_id in self.ids.items()}

    @rule(
        number=index,
        parts=anywhere,
        there=often,
        tasks=st.lists(index, min_size=1, max_size=3),
        move=often,
    )
    def attach(self, number: int, parts: Parts, there: bool, tasks: list[int], move: bool) -> None:
        """Tasks that may have ended, into what may be full."""
        parts = self._existing(number) if there else parts
        pids = [self._task(task) for task in tasks]
        code = self._call("POST", "/v1/container/tasks", parts, {"pids": pids, "move": move})
        assert code == self.model.attach(parts, pids, move)

    @rule(task=index, inside=often)
    def detach(self, task: int, inside: bool) -> None:
        """Where it may be outside already."""
        contained = self.model.root.all_tasks() - self.model.root.tasks
        pid = self._of(contained, task) if inside and contained else self._task(task)
        assert self._call("POST", "/v1/detach", (), {"pids": [pid]}) == self.model.detach(pid)

    @rule(task=index)
    def fork(self, task: int) -> None:
        """Above a limit it is denied, or the child is ended."""
        workers = self._workers()
        inside = {worker for worker in workers if self.model.where(worker) is not None}
        parent = self._of(inside or workers, task)
        full = self.model.is_full_for_child_of(parent)
        child = self.nursery.fork(parent)
        assert child is not None or full
        if child is not None and full:
            until(functools.partial(self.nursery.is_gone, child), bool, "the end of one too many", PATIENCE_SECONDS)
        elif child is not None:
            self.model.forked(parent, child)

    @precondition(lambda self: self.model.living)
    @rule(task=index)
    def end(self, task: int) -> None:
        """By a signal of somebody else."""
        pid = self._of(self.model.living, task)
        self.nursery.end(pid)
        self.model.ended(pid)

    @rule(number=index)
    def kill(self, number: int) -> None:
        """All that is in one."""
        parts = self._existing(number)
        code = self._call("POST", "/v1/container/kill", parts)
        assert code == self.model.kill(parts)

    @rule(number=index, room=st.one_of(st.none(), st.integers(-1, 1)))
    def limit(self, number: int, room: int | None) -> None:
        """Near what is there and also below it, also of the root."""
        parts = self._existing(number)
        present = len(self.model.path(parts)[-1].all_tasks())
        limit = None if room is None else max(0, present + room)
        code = self._call("POST", "/v1/container/limits", parts, {"task_limit": limit})
        assert code == self.model.limit(parts, limit)

    @rule(parts=somewhere)
    def limit_of_none(self, parts: Parts) -> None:
        """Refused if there is none."""
        if self.model.find(parts) is None:
            assert self._call("POST", "/v1/container/limits", parts, {"task_limit": 3}) == "ENOENT"

    @rule(number=index, notify=st.booleans(), remove=maybe)
    def flags(self, number: int, notify: bool, remove: bool | None) -> None:
        """Of a container, or those that others inherit from the root."""
        parts = self._existing(number)
        body = {"notify_on_release": notify, "remove_on_release": remove}
        assert self._call("POST", "/v1/container/notify", parts, body) == self.model.flags(parts, notify, remove)

    @rule(number=index, word=components)
    def others_make_one(self, number: int, word: str) -> None:
        """mkdir(2): a container like any other, that inherits nothing."""
        above = self._existing(number)
        node = self.model.path(above)[-1]
        directory = self._directory(above) / word
        if word in node.children or directory.exists() or node.notify or node.remove or len(above) > 3:
            return
        directory.mkdir()
        assert self.model.create((*above, word), False, False, False, None) is None

    @rule(number=index)
    def others_remove_one(self, number: int) -> None:
        """rmdir(2)."""
        parts = self._existing(number)
        if parts and self.model.path(parts)[-1].empty:
            directory = self._directory(parts)
            if (directory / LEAF).exists():
                (directory / LEAF).rmdir()
            directory.rmdir()
            assert self.model.delete(parts, False) is None

    @rule(how=st.sampled_from((None, None, signal.SIGTERM, signal.SIGKILL)), meanwhile=st.lists(index, max_size=2))
    def restart(self, how: int | None, meanwhile: list[int]) -> None:
        """Tasks may end while no agent is there: what became empty then is released when it is back."""
        if how is None:  # it takes a second: not too often
            return
        self.agent.end(how)
        for _, node in self.model.root.walk():
            node.released = 0
        for number in meanwhile:
            if self.model.living:
                self.end(number)
        self.agent.start()
        self.born = dict.fromkeys(self.born, 0)

    # What there is then.

    def _documents(self) -> list[dict[str, Any]]:
        found = self.agent.api.call("GET", "/v1/containers").document
        assert isinstance(found, list)
        return found

    def _directory(self, parts: Parts) -> Path:
        return cgroups.mount_point() / str(self.agent.show(name_of(parts))["cgroup"]).lstrip("/")

    def _last_event(self) -> int:
        events = self.agent.api.call("GET", "/v1/events").document
        return int(events[-1]["sequence"]) if events else 0

    def _observed(self) -> dict[Parts, tuple[Any, ...]]:
        """By name: task ids as the kernel has them, counters, limit and flags as the agent says."""
        found = {}
        for one in self._documents():
            folder = cgroups.mount_point() / one["cgroup"].lstrip("/")
            found[_parts(one)] = (
                _processes(folder) | _processes(folder / LEAF),
                (one["num_tasks"], one["local"]["num_tasks"]),
                one["task_limit"],
                (one["notify_on_release"], one["remove_on_release"]),
            )
        return found

    def _expected(self) -> dict[Parts, tuple[Any, ...]]:
        return {
            parts: (
                node.tasks,
                (len(node.all_tasks()), len(node.tasks)),
                node.task_limit,
                (node.notify, node.remove),
            )
            for parts, node in self.model.root.walk()
        }

    @invariant()
    def same(self) -> None:
        """Containers, tasks, limits and flags; what happens in its own time has some."""
        expected = self._expected()
        until(self._observed, lambda found: found == expected, f"as the model: {expected}", PATIENCE_SECONDS)

    @invariant()
    def same_ids(self) -> None:
        """A container is the same cgroup as long as it lives, under whichever name."""
        ids = {_parts(one): one["id"] for one in self._documents()}
        assert all(ids.get(parts, known) == known for parts, known in self.ids.items())
        self.ids = ids

    @invariant()
    def released_once(self) -> None:
        """Each time that it became empty, once."""
        cgroup_of = {_parts(one): one["cgroup"] for one in self._documents()}
        nodes = {cgroup_of[parts]: node for parts, node in self.model.root.walk()}
        last = self._last_event()
        for node in nodes.values():
            self.born.setdefault(node, last)
        expected = {cgroup: node.released for cgroup, node in nodes.items() if node.released}

        def told() -> dict[str, int]:
            events = self.agent.api.call("GET", "/v1/events").document
            released = [one for one in events if one["kind"] == "released" and one["cgroup"] in nodes]
            return Counter(one["cgroup"] for one in released if one["sequence"] > self.born[nodes[one["cgroup"]]])

        until(told, lambda found: found == expected, f"releases {expected}", PATIENCE_SECONDS)


def _parts(document: dict[str, Any]) -> Parts:
    return tuple(document["name"].strip("/").split("/")) if document["name"] != "/" else ()


def _processes(folder: Path) -> set[int]:
    try:
        return {int(word) for word in (folder / cgroups.PROCS).read_text().split()}
    except OSError:
        return set()


# Not made smaller when one fails: a difference takes a minute to be one, and the steps so far are printed.
BOUNDS = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


@pytest.fixture(scope="module", params=["auto", "netlink"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """On each kind of engine."""
    agent = Agent("--engine", request.param)
    try:
        with Nursery() as nursery, zombie() as ended:
            yield World(agent.start(), nursery, ended)
    finally:
        agent.close()


def test_as_the_model_says(world: World) -> None:
    """Whatever the order."""
    share = 3 if "netlink" in world.agent.options else 1
    examples = BOUNDS.max_examples // share // (6 if IN_GUEST else 1)
    bounds = settings(BOUNDS, max_examples=examples)
    run_state_machine_as_test(type("Here", (Machine,), {"world": world}), settings=bounds)
