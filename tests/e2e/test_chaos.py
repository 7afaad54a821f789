# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the agent at random moments of storms. Afterwards the kernel and we say the same, and nothing is left.

Storms of forks, faults, moves, mkdir and rmdir, and of hits on both limits. `make chaos` kills a hundred times;
CONTAINERAGENT_CHAOS is how often, and the seed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, SLEEP, inside
from tests.e2e.support.waiting import until

KILLS, SEED = (int(word) for word in os.environ.get("CONTAINERAGENT_CHAOS", "7:23").split(":"))
FORKS = 499  # prime
FORK_STORM = "import os, sys\nfor _ in range(int(sys.argv[1])):\n os.waitpid(os.fork() or os._exit(0), 0)"
FAULT_STORM = """
import mmap, time
memory, end = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), time.monotonic() + 1
while time.monotonic() < end:
    for at in range(0, len(memory), 4096): memory[at] = 1
    memory.madvise(mmap.MADV_DONTNEED)
"""
# Has 30 MiB and 30 tasks at most, above both limits.
GREEDY = """
import mmap, os, time
memory = mmap.mmap(-1, 30 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, len(memory), 4096): memory[at] = 1
for _ in range(30):
    try: os.fork() or os.execvp("sleep", ["sleep", "100"])
    except BlockingIOError: time.sleep(0.02)
time.sleep(100)
"""


@contextlib.contextmanager
def _over_and_over(step: Callable[[], None]) -> Iterator[None]:
    """In a thread until the end."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.001):
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _come_and_go(folder: Path) -> Callable[[], None]:
    def step() -> None:
        (folder / "short").mkdir()
        (folder / "short").rmdir()

    return step


def _to_and_fro(pid: int, places: list[Path]) -> Callable[[], None]:
    def step() -> None:
        places.reverse()
        (places[0] / cgroups.PROCS).write_text(str(pid))

    return step


def _threads(folder: Path) -> int:
    """The kernel's count, those below included."""
    return sum(len((Path(top) / "cgroup.threads").read_text().split()) for top, _, _ in os.walk(folder))


def _come_to_rest(agent: Agent, name: str) -> None:
    """Tasks as the kernel has them, and of those that ended no page."""

    def pair() -> tuple[int, int]:
        return agent.show(name)["num_tasks"], _threads(agent.path(name))

    until(pair, lambda found: found[0] == found[1], f"tasks of {name}", 60)
    if not _threads(agent.path(name)):
        until(lambda: agent.show(name)["num_anon_pages"], lambda pages: pages == 0, f"pages of {name}", 60)


def _frozen(top: Path) -> list[str]:
    return [str(folder) for folder in top.rglob("cgroup.events") if "frozen 1" in folder.read_text()]


def _spare_slots(agent: Agent) -> int:
    """Those in use that belong to no cgroup; others make cgroups meanwhile."""
    slots = agent.api.call("GET", "/v1/doctor").document["slots"]
    return int(slots["used"]) - 1 - len(cgroups.folders(cgroups.mount_point()))


@contextlib.contextmanager
def _storms(agent: Agent) -> Iterator[subprocess.Popen[str]]:
    """All at once; what is given is the storm of forks."""
    with contextlib.ExitStack() as stack:
        mover = stack.enter_context(inside(agent.path("/moves/a"), SLEEP))
        places = [agent.path("/moves/a"), agent.path("/moves/b")]
        stack.enter_context(_over_and_over(_to_and_fro(mover.pid, places)))
        stack.enter_context(_over_and_over(_come_and_go(agent.path("/churn"))))
        stack.enter_context(inside(agent.path("/limited"), [*PYTHON, GREEDY]))
        stack.callback((agent.path("/limited") / "cgroup.kill").write_text, "1")
        stack.enter_context(inside(agent.path("/faults"), [*PYTHON, FAULT_STORM]))
        yield stack.enter_context(inside(agent.path("/forks"), [*PYTHON, FORK_STORM, str(FORKS)]))


def _kill_in_storms(agent: Agent, chance: random.Random) -> None:
    with _storms(agent) as forks:
        time.sleep(chance.uniform(0, 0.8))
        agent.end(signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.3))
        agent.start()
        assert forks.wait(120) == 0


def test_killed_at_random_moments(fresh: Agent) -> None:
    """Each time: forks and exits to the one, tasks and pages at rest, nothing frozen, the same pins, no slot lost."""
    chance = random.Random(SEED)
    names = ("/forks", "/faults", "/moves", "/moves/a", "/moves/b", "/churn", "/limited")
    for name in names:
        fresh.create(name)
    fresh.ctl("limit", "limited", "--task-limit", "12", "--page-limit", "16M").ok()
    pins = fresh.pinned()
    hits = (0, 0)
    for number in range(1, KILLS + 1):
        _kill_in_storms(fresh, chance)
        for name in names:
            _come_to_rest(fresh, name)
        shown = fresh.show("/forks")
        assert (shown["forks"], shown["exits"]) == (FORKS * number, (FORKS + 1) * number), number
        limited = fresh.show("/limited")
        assert (limited["task_limit"], limited["page_limit"]) == (12, (16 << 20) // limited["page_size"])
        assert (limited["task_limit_hits"], limited["page_limit_hits"]) >= hits
        hits = limited["task_limit_hits"], limited["page_limit_hits"]
        until(lambda: _frozen(fresh.root), lambda found: not found, "nothing frozen", 60)
        assert fresh.pinned() == pins and sorted(os.listdir(fresh.bpffs)) == ["agent", "live"]
    assert KILLS < 50 or (hits[0] and hits[1])  # in a few moments there may have been none
    until(lambda: _spare_slots(fresh), lambda spare: spare <= 0, "slots of what is gone", 120)
    lost = fresh.api.call("GET", "/v1/doctor").document["lost"]
    assert not lost["tasks"], lost
