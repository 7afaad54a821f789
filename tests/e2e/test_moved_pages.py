# SPDX-License-Identifier: Apache-2.0
"""Pages of a moved task: they stay with the container that paid for them, as the kernel has it, and audit agrees."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, inside
from tests.e2e.support.waiting import until

STEP = 3000  # pages that each line on stdin asks for
OTHERS = 1500  # of the interpreter, and what the kernel puts off
WORKLOAD = f"""
import mmap, sys
kept = []
for line in sys.stdin:
    kept.append(mmap.mmap(-1, {STEP} * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    if hasattr(mmap, "MADV_NOHUGEPAGE"): kept[-1].madvise(mmap.MADV_NOHUGEPAGE)
    for at in range({STEP}): kept[-1][at * mmap.PAGESIZE] = 1
    sys.stdout.write("touched\\n"); sys.stdout.flush()
"""


@dataclass(frozen=True)
class Toucher:
    """A process that touches pages when it is told to."""

    process: subprocess.Popen[str]

    def touch(self) -> None:
        """One STEP more."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "touched\n"

    def end(self) -> None:
        """And wait for it."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0


@contextlib.contextmanager
def toucher(agent: Agent, name: str) -> Iterator[Toucher]:
    """In a container from its first instruction on, with one STEP."""
    line = [*PYTHON, WORKLOAD]
    with inside(agent.create(name), line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        made = Toucher(process)
        made.touch()
        yield made


def anon(agent: Agent, name: str, at: str = "total") -> int:
    """Anonymous pages of a container, or only its own."""
    shown = agent.show(name)
    return int((shown if at == "total" else shown["local"])["num_anon_pages"])


def audit_agrees(agent: Agent, *names: str) -> None:
    """At rest, tasks and anonymous pages are the kernel's."""

    def lines(name: str) -> list[dict[str, Any]]:
        (found,) = agent.ctl("audit", name, "--json").json()
        return [line for line in found["counters"] if line["counter"] in ("num_tasks", "num_anon_pages")]

    for name in names:
        until(
            lambda name=name: lines(name),  # type: ignore[misc]
            lambda found: all(line["difference"] == 0 and not line["moving"] for line in found),
            f"an audit of {name} without a difference",
        )


def about(steps: int) -> Any:
    """So many STEPs and what the interpreter has."""
    return pytest.approx(steps * STEP, abs=OTHERS)


def test_pages_stay_with_who_paid(agent: Agent) -> None:
    """What it touches after the move is the new container's; at the end each gets its own back."""
    agent.create("/new")
    with toucher(agent, "/old") as task:
        agent.ctl("attach", "new", str(task.process.pid)).ok()
        assert (agent.show("/old")["num_tasks"], agent.show("/new")["num_tasks"]) == (0, 1)
        task.touch()
        task.touch()
        assert anon(agent, "/old") == about(1) and anon(agent, "/new") == about(2)
        audit_agrees(agent, "old", "new")
        task.end()
    assert (anon(agent, "/old"), anon(agent, "/new")) == (0, 0)
    audit_agrees(agent, "old", "new")


def test_a_detached_task_leaves_its_pages(agent: Agent) -> None:
    """They are the container's until they are freed, and the container cannot be told to forget them."""
    with toucher(agent, "/old") as task:
        agent.ctl("detach", str(task.process.pid)).ok()
        task.touch()
        assert agent.show("/old")["num_tasks"] == 0 and anon(agent, "/old") == about(1)
        assert anon(agent, "/", "local") == about(1)
        audit_agrees(agent, "old")
        task.end()
    assert anon(agent, "/old") == 0


def test_pages_of_a_removed_container_are_its_parents(agent: Agent) -> None:
    """The task lives on elsewhere; nothing is lost, and the last numbers say what was left."""
    agent.create("/shop")
    agent.create("/new")
    with toucher(agent, "/shop/old") as task:
        agent.ctl("attach", "new", str(task.process.pid)).ok()
        agent.ctl("rm", "shop/old").ok()
        assert anon(agent, "/shop") == about(1) and anon(agent, "/new") == pytest.approx(0, abs=OTHERS)
        gone = agent.show("/shop/old")
        assert gone["state"] == "dead" and gone["num_left_pages"] >= STEP
        audit_agrees(agent, "shop", "new")
        task.end()
    assert anon(agent, "/shop") == 0
