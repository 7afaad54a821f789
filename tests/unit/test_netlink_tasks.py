# SPDX-License-Identifier: Apache-2.0
"""Task events folded into cgroups, with a /proc that knows what the test says it knows."""

from __future__ import annotations

import pytest

from containeragent.counters.netlink.nodes import Node
from containeragent.counters.netlink.tasks import Tasks


class World:
    """The root, `web` below it, `db` beside; `where` is what /proc knows."""

    def __init__(self) -> None:
        self.root = Node(1, None, 0)
        self.web = Node(2, self.root, 0)
        self.db = Node(3, self.root, 0)
        self.where: dict[int, Node] = {10: self.web}
        self.tasks = Tasks(self.where.get, patience_seconds=0)
        self.read()

    def read(self, *unseen: int) -> None:
        """A reading that finds everything but `unseen`."""
        self.tasks.begin()
        self.tasks.reconcile({task: node for task, node in self.where.items() if task not in unseen}, caught_up=True)

    def numbers(self, node: Node) -> tuple[int, int, int, int]:
        """Tasks, peak, forks, exits."""
        return node.tasks, node.peak, node.forks, node.exits


@pytest.fixture
def world() -> World:
    """With task 10 in web."""
    return World()


def test_a_child_that_lives(world: World) -> None:
    """Totals and peaks go up to the root."""
    world.where[11] = world.web
    world.tasks.fork(10, 11)
    assert world.numbers(world.web) == world.numbers(world.root) == (2, 2, 1, 0)
    world.tasks.exit(11)
    assert world.numbers(world.web) == world.numbers(world.root) == (1, 2, 1, 1)
    assert world.numbers(world.db) == (0, 0, 0, 0)


def test_children_that_are_gone_when_we_look(world: World) -> None:
    """They count with their parent."""
    for child in range(100, 123):
        world.tasks.fork(10, child)
        world.tasks.exit(child)
    assert world.numbers(world.web) == (1, 2, 23, 23)


def test_a_child_started_elsewhere(world: World) -> None:
    """CLONE_INTO_CGROUP: its own cgroup counts it."""
    world.where[11] = world.db
    world.tasks.fork(10, 11)
    assert world.numbers(world.db) == (1, 1, 1, 0) and world.numbers(world.web) == (1, 1, 0, 0)
    assert world.numbers(world.root) == (2, 2, 1, 0)


def test_a_child_that_has_no_cgroup_yet(world: World) -> None:
    """The kernel shows it in the root for a moment; it is where its parent is."""
    world.where[11] = world.root
    world.tasks.fork(10, 11)
    assert world.numbers(world.web) == (2, 2, 1, 0)


def test_a_process_whose_first_thread_has_ended(world: World) -> None:
    """It is a zombie, and no task again when another thread starts one."""
    world.tasks.exit(10)
    world.tasks.fork(10, 11)
    assert world.numbers(world.web) == (1, 1, 1, 1)


def test_a_move_is_seen_at_the_next_fork(world: World) -> None:
    """Then the child is gone already, but its parent is not."""
    world.where[10] = world.db
    world.tasks.fork(10, 11)
    assert world.numbers(world.db) == (2, 2, 1, 0) and world.numbers(world.web) == (0, 1, 0, 0)


def test_a_move_is_seen_at_the_exit(world: World) -> None:
    """A zombie still has its cgroup."""
    world.where[10] = world.db
    world.tasks.exit(10)
    assert world.numbers(world.db) == (0, 1, 0, 1) and world.numbers(world.web) == (0, 1, 0, 0)


def test_a_move_is_seen_at_the_next_reading(world: World) -> None:
    """With its peak; the root's stays as it is."""
    world.where[10] = world.db
    world.read()
    assert world.numbers(world.db) == (1, 1, 0, 0) and world.numbers(world.web) == (0, 1, 0, 0)
    assert world.numbers(world.root) == (1, 1, 0, 0)


def test_what_ended_during_a_reading_does_not_come_back(world: World) -> None:
    """The reading found it before it ended; it is a zombie now."""
    world.tasks.begin()
    world.tasks.exit(10)
    world.tasks.reconcile({10: world.web}, caught_up=True)
    assert world.numbers(world.web) == (0, 1, 0, 1)


def test_lost_exits_are_noticed(world: World) -> None:
    """At a later reading: until then the event may still come. They are no exits, for none was seen."""
    del world.where[10]
    world.read()
    assert world.numbers(world.web) == (1, 1, 0, 0)
    world.read()
    assert world.numbers(world.web) == (0, 1, 0, 0)


def test_nothing_is_missed_while_events_wait(world: World) -> None:
    """They may be the exits."""
    del world.where[10]
    for _ in range(3):
        world.tasks.begin()
        world.tasks.reconcile({}, caught_up=False)
    world.tasks.exit(10)
    assert world.numbers(world.web) == (0, 1, 0, 1)


def test_an_id_that_is_used_again_after_a_lost_exit(world: World) -> None:
    """It is one task, not two."""
    world.where[11] = world.web
    world.tasks.fork(10, 11)
    world.tasks.fork(10, 11)
    assert world.numbers(world.web) == (2, 2, 2, 0)


def test_a_reading_that_missed_a_new_task(world: World) -> None:
    """It was started after its cgroup was read, and stays counted."""
    world.where[11] = world.web
    world.tasks.fork(10, 11)
    world.read(11)
    world.read(11)
    assert world.numbers(world.web) == (2, 2, 1, 0)


def test_nobody_knows_where(world: World) -> None:
    """It is said."""
    world.tasks.fork(77, 78)
    world.tasks.exit(78)
    assert world.tasks.unplaced == 2 and world.numbers(world.root) == (1, 1, 0, 0)
