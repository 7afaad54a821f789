# SPDX-License-Identifier: Apache-2.0
"""Storms of forks, faults, files, moves, mkdir and rmdir, and of hits on both limits; and what is exact after them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, SLEEP, inside
from tests.e2e.support.waiting import PATIENCE_SECONDS, until

FORKS = 499  # prime
NAMES = ("/forks", "/faults", "/files", "/moves", "/moves/a", "/moves/b", "/churn", "/limited")
_TASKS_MOST, _PAGES_MOST = 12, "16M"
_FORKS = "import os, sys\nfor _ in range(int(sys.argv[1])):\n os.waitpid(os.fork() or os._exit(0), 0)"
_FAULTS = """
import mmap, time
memory, end = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), time.monotonic() + 1
while time.monotonic() < end:
    for at in range(0, len(memory), 4096): memory[at] = 1
    memory.madvise(mmap.MADV_DONTNEED)
"""
# A file of 1 MiB comes into the page cache, is read, cut and written again; at the end it goes. What its file system
# reads of the disk meanwhile stays cached, some pages of the container's.
_FILE_PAGES = 256
_FILES = """
import os, tempfile, time
end = time.monotonic() + 1
with tempfile.TemporaryFile() as disk:
    memory = os.memfd_create("x")
    while time.monotonic() < end:
        for file in (disk.fileno(), memory):
            os.pwrite(file, bytes(1 << 20), 0), os.pread(file, 1 << 20, 0)
            os.ftruncate(file, 0)
"""
# Has 30 MiB and 30 tasks at most, above both limits.
_GREEDY = """
import mmap, os, time
memory = mmap.mmap(-1, 30 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, len(memory), 4096): memory[at] = 1
for _ in range(30):
    try: os.fork() or os.execvp("sleep", ["sleep", "100"])
    except BlockingIOError: time.sleep(0.02)
time.sleep(100)
"""


def make_room(agent: Agent) -> None:
    """The containers that the storms are in."""
    for name in NAMES:
        agent.create(name)
    agent.ctl("limit", "limited", "--task-limit", str(_TASKS_MOST), "--page-limit", _PAGES_MOST).ok()


@contextlib.contextmanager
def _over_and_over(step: Callable[[], None]) -> Iterator[None]:
    """In a thread until the end."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.001):
            step()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive(), "a step of a storm hangs"


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


@contextlib.contextmanager
def storms(agent: Agent, forks: int = FORKS) -> Iterator[subprocess.Popen[str]]:
    """All at once; what is given is the storm of forks, which has an end."""
    with contextlib.ExitStack() as stack:
        mover = stack.enter_context(inside(agent.path("/moves/a"), SLEEP))
        places = [agent.path("/moves/a"), agent.path("/moves/b")]
        stack.enter_context(_over_and_over(_to_and_fro(mover.pid, places)))
        stack.enter_context(_over_and_over(_come_and_go(agent.path("/churn"))))
        stack.enter_context(inside(agent.path("/limited"), [*PYTHON, _GREEDY]))
        stack.callback((agent.path("/limited") / "cgroup.kill").write_text, "1")
        stack.enter_context(inside(agent.path("/faults"), [*PYTHON, _FAULTS]))
        stack.enter_context(inside(agent.path("/files"), [*PYTHON, _FILES]))
        yield stack.enter_context(inside(agent.path("/forks"), [*PYTHON, _FORKS, str(forks)]))


def _threads(folder: Path) -> int:
    """The kernel's count, those below included."""
    return sum(len((Path(top) / "cgroup.threads").read_text().split()) for top, _, _ in os.walk(folder))


def assert_at_rest(agent: Agent, forks: int, rounds: int) -> tuple[int, int]:
    """After `rounds` storms with `forks` in all: tasks as the kernel has them, no page of those that ended, forks and
    exits to the one, limits as they were, nothing frozen. The hits of both limits.
    """
    for name in NAMES:
        _come_to_rest(agent, name)
    shown = agent.show("/forks")
    assert (shown["forks"], shown["exits"]) == (forks, forks + rounds), rounds
    limited = agent.show("/limited")
    assert (limited["task_limit"], limited["page_limit"]) == (_TASKS_MOST, (16 << 20) // limited["page_size"])
    until(lambda: _frozen(agent.root), lambda found: not found, "nothing frozen", 60)
    return limited["task_limit_hits"], limited["page_limit_hits"]


def _come_to_rest(agent: Agent, name: str) -> None:
    def pair() -> tuple[int, int]:
        return agent.show(name)["num_tasks"], _threads(agent.path(name))

    until(pair, lambda found: found[0] == found[1], f"tasks of {name}", 60)
    if not _threads(agent.path(name)):
        until(lambda: agent.show(name)["num_anon_pages"], lambda pages: pages == 0, f"pages of {name}", 60)
    if name == "/files":
        until(lambda: agent.show(name)["num_file_pages"], lambda pages: pages < _FILE_PAGES, f"files of {name}", 60)
        until(lambda: _differing(agent, name), lambda found: not found, f"audit of {name}", 60)


def _differing(agent: Agent, name: str) -> list[dict[str, Any]]:
    """Lines of an audit in which we and the kernel differ; but for what is as of the last look at all pages."""
    (audited,) = agent.api.call("GET", "/v1/audit", {"name": name}).document
    return [line for line in audited["counters"] if line["difference"] and line["age_seconds"] is None]


def _frozen(top: Path) -> list[str]:
    return [str(folder) for folder in top.rglob("cgroup.events") if "frozen 1" in folder.read_text()]


def assert_nothing_lost(agent: Agent) -> None:
    """Every slot of what is gone comes back, and every task was entered when it started."""
    until(lambda: spare_slots(agent), lambda spare: spare <= 0, "slots of what is gone", 120)
    lost = agent.api.call("GET", "/v1/doctor").document["lost"]
    assert lost["tasks"] == 0, lost


def spare_slots(agent: Agent) -> int:
    """Those in use that belong to no cgroup; others make cgroups meanwhile."""
    slots = agent.api.call("GET", "/v1/doctor").document["slots"]
    return int(slots["used"]) - 1 - len(cgroups.folders(cgroups.mount_point()))
