# SPDX-License-Identifier: Apache-2.0
"""The agent stops or is killed, and starts again: counting went on meanwhile, containers and counters are there."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.conftest import MakeAgent
from tests.e2e.support.agent import Agent
from tests.e2e.support.command import containeragent
from tests.e2e.support.processes import PYTHON, SLEEP, inside
from tests.e2e.support.waiting import until

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
FORKS = 4999  # prime
FORK_STORM = "import os, sys\nfor _ in range(int(sys.argv[1])):\n os.waitpid(os.fork() or os._exit(0), 0)"
# Touches 32 MiB and gives them back, over and over until it reads a line; then touches them once more and rests.
FAULT_STORM = """
import mmap, select, sys
memory = mmap.mmap(-1, 32 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
rounds = 0
while True:
    for at in range(0, len(memory), 4096): memory[at] = 1
    if select.select([sys.stdin], [], [], 0)[0]: break
    memory.madvise(mmap.MADV_DONTNEED)
    rounds += 1
sys.stdin.readline()
print(rounds, flush=True)
sys.stdin.readline()
"""
COUNTERS = (
    "num_tasks",
    "num_anon_pages",
    "num_file_pages",
    "num_shmem_pages",
    "forks",
    "exits",
    "peak_tasks",
    "peak_pages",
)


def counters(agent: Agent, name: str) -> dict[str, Any]:
    """Those that are to survive."""
    shown = agent.show(name)
    return {key: shown[key] for key in COUNTERS}


def anon_pages(pid: int) -> int:
    """Anonymous pages that a process has mapped, from its page tables (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) // PAGE_KIB
    raise AssertionError("smaps_rollup has no line Anonymous")


def test_sigterm(fresh: Agent) -> None:
    """Exit status 0, no socket; pins, containers and counters stay, and what happens meanwhile is counted."""
    with inside(fresh.create("web"), SLEEP) as sleeper, inside(fresh.create("web/jobs"), ["true"]) as job:
        job.wait()
        before = until(lambda: counters(fresh, "/web"), lambda found: found["exits"] == 1, "the job's end")
        pins = {kind: sorted(os.listdir(fresh.bpffs / "live" / kind)) for kind in ("maps", "programs", "links")}
        assert fresh.end(signal.SIGTERM) == 0
        assert not fresh.socket.exists() and sleeper.poll() is None
        assert pins == {kind: sorted(os.listdir(fresh.bpffs / "live" / kind)) for kind in pins}
        fresh.ctl("ls").refused("not running")
        with inside(fresh.path("web/jobs"), [*PYTHON, FORK_STORM, "23"]) as storm:
            assert storm.wait(60) == 0
        fresh.start()
        assert fresh.names() == ["/web", "/web/jobs"]
        after = counters(fresh, "/web")
        assert (after["forks"], after["exits"]) == (before["forks"] + 23, before["exits"] + 24)
        assert after["num_tasks"] == 1 and after["num_anon_pages"] == anon_pages(sleeper.pid)


def test_sigint_at_rest(fresh: Agent) -> None:
    """As SIGTERM; not one counter differs after the next start."""
    with inside(fresh.create("web"), SLEEP):
        until(lambda: fresh.show("/web")["num_anon_pages"], bool, "the sleeper's first pages")
        before = until(lambda: [counters(fresh, "/web") for _ in range(2)], lambda two: two[0] == two[1], "rest")
        assert fresh.end(signal.SIGINT) == 0
        assert not fresh.socket.exists()
        fresh.start()
        assert counters(fresh, "/web") == before[0]


def test_unload_after_it_stopped(make_agent: MakeAgent) -> None:
    """Every pin goes; a second time there is nothing to do."""
    agent = make_agent().start()
    agent.end()
    containeragent("unload", "--bpffs", str(agent.bpffs)).ok()
    assert not agent.bpffs.exists()
    assert "nothing is loaded" in containeragent("unload", "--bpffs", str(agent.bpffs)).ok().out


def test_killed_in_the_middle_of_two_storms(fresh: Agent) -> None:
    """SIGKILL while tasks start and end and pages come and go: afterwards every number is exact."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    folder = fresh.create("web")
    with inside(folder, [*PYTHON, FAULT_STORM], **pipes) as faults:
        with inside(folder, [*PYTHON, FORK_STORM, str(FORKS)]) as forks:
            until(lambda: fresh.show("/web")["forks"], lambda number: number > 50, "the storm")
            at_kill = fresh.show("/web")["forks"]
            fresh.end(signal.SIGKILL)
            assert fresh.socket.exists()  # nobody could remove it
            assert at_kill < FORKS, "the storm was over too soon"
            fresh.start()
            assert forks.wait(120) == 0
        shown = until(lambda: fresh.show("/web"), lambda now: now["num_tasks"] == 1, "the storm's end")
        assert (shown["forks"], shown["exits"]) == (FORKS, FORKS + 1)
        assert faults.stdin and faults.stdout
        faults.stdin.write("rest\n")
        faults.stdin.flush()
        assert int(faults.stdout.readline()) > 1
        _assert_anon_at_rest(fresh, faults.pid)
        faults.stdin.write("end\n")
        faults.stdin.flush()
        assert faults.wait(60) == 0
    ended = until(lambda: fresh.show("/web"), lambda now: now["num_anon_pages"] == 0, "the last page's end")
    assert (ended["num_tasks"], ended["exits"]) == (0, FORKS + 2)
    assert fresh.api.call("GET", "/v1/doctor").document["lost"]["tasks"] == 0


def _assert_anon_at_rest(agent: Agent, pid: int) -> None:
    """All of the process's anonymous memory was touched in the container, and it is alone there."""
    pair = until(
        lambda: (agent.show("/web")["num_anon_pages"], anon_pages(pid)), lambda two: two[0] == two[1], "anon at rest"
    )
    assert pair[0] > (32 << 10) // PAGE_KIB


def test_killed_again_and_again(fresh: Agent) -> None:
    """Nothing piles up: neither pins nor containers, and forks are exact over all of its lives."""
    folder = fresh.create("web")
    for number in range(1, 4):
        with inside(folder, [*PYTHON, FORK_STORM, "23"]) as storm:
            fresh.restart(signal.SIGKILL)
            assert storm.wait(60) == 0
        assert fresh.show("/web")["forks"] == 23 * number
    assert sorted(os.listdir(fresh.bpffs)) == ["agent", "live"]
    assert fresh.names() == ["/web"]
