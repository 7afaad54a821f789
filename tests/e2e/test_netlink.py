# SPDX-License-Identifier: Apache-2.0
"""Where BPF is refused: an agent without its capabilities counts by the process connector and the cgroups' files."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeAgent
from tests.e2e.support import cgroups, command
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import PYTHON, SLEEP, inside, running
from tests.e2e.support.waiting import PATIENCE_SECONDS, until
from tests.e2e.test_metrics import of_cgroup, series
from tests.e2e.test_scale import MANY, MOST_KIB, own_kib

PYROUTE2_KIB = 8 * 1024  # comes whole
BPF = ("bpf", "perfmon", "sys_admin")
ONE_BY_ONE = "import os\nfor _ in range(23):\n os.waitpid(os.fork() or os._exit(0), 0)"
TOGETHER = (
    "import os, sys\n"
    "sys.stdin.readline()\n"
    "for _ in range(23):\n"
    " if not os.fork():\n"
    "  sys.stdin.read()\n"
    "  os._exit(0)\n"
    "print(flush=True)\n"
    "for _ in range(23): os.wait()\n"
    "sys.stdin.read()"
)
THREADS = "import threading\ninput()\nfor _ in range({}):\n t = threading.Thread(target=int)\n t.start()\n t.join()"
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
KEYS = {
    "anon": ["anon"],
    "file": ["file"],
    "shmem": ["shmem"],
    "mapped": ["file_mapped"],
    "active": ["active_anon", "active_file"],
}


@pytest.fixture(scope="module")
def _fallen_back() -> Iterator[Agent]:
    made = Agent()
    made.without = BPF
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def fallen(_fallen_back: Agent) -> Iterator[Agent]:
    """An agent that may not use BPF, without containers before and after."""
    yield _fallen_back
    cgroups.empty(_fallen_back.root)


def memory_on_v2() -> bool:
    """Whether this host has the memory controller on cgroup v2."""
    return "memory" in (cgroups.mount_point() / "cgroup.controllers").read_text().split()


def delegate(agent: Agent) -> None:
    """Switch the controllers on for the agent's containers, as far as there are any."""
    for folder in (cgroups.mount_point(), agent.root):
        (folder / "cgroup.subtree_control").write_text("+memory +pids")


def checks(agent: Agent) -> dict[str, dict[str, str]]:
    """What the doctor finds, by name."""
    found = agent.ctl("doctor", "--json").ok().json()
    return {check["name"]: check for check in found["checks"]}


def test_it_says_why(fallen: Agent) -> None:
    """In the log, the doctor, every container's document and the metrics."""
    warned = [line for line in fallen.log.read_text().splitlines() if line.startswith("WARNING BPF is refused here")]
    assert len(warned) == 1
    reason = checks(fallen)["bpf"]["detail"]
    assert "operation not permitted" in reason.lower() and reason in warned[0]
    assert checks(fallen)["process connector"]["status"] == "yes"
    engine = {"tasks": "netlink", "pages": "memory.stat" if memory_on_v2() else "none"}
    assert fallen.show("/")["engine"] == engine
    infos = [dict(labels) for name, labels in series(fallen) if name == "engine_info"]
    assert infos == [{**engine, "reason": reason}]
    assert "netlink" in fallen.ctl("doctor").ok().out


def test_children_one_by_one(fallen: Agent) -> None:
    """Most are gone before the agent looks where they were."""
    folder = fallen.create("/web")
    with inside(folder, [*PYTHON, "input()\n" + ONE_BY_ONE], stdin=subprocess.PIPE) as storm:
        before = fallen.show("/web")["forks"]
        storm.communicate("\n", timeout=PATIENCE_SECONDS)
    shown = until(lambda: fallen.show("/web"), lambda shown: shown["num_tasks"] == 0, "rest")
    shown = until(lambda: fallen.show("/web"), lambda shown: shown["exits"] == 24, "the last exit")
    assert shown["forks"] - before == 23 and 2 <= shown["peak_tasks"] <= 4  # an exit may be told after the next fork
    samples, cgroup = series(fallen), f"{fallen.cgroup}/web"
    assert of_cgroup(samples, "forks_total", cgroup) == shown["forks"]
    assert of_cgroup(samples, "exits_total", cgroup) == 24


def test_children_together(fallen: Agent) -> None:
    """With everything below counted at the parent too, and a document that is right at once."""
    folder = fallen.create("/web")
    below = fallen.create("/web/db")
    with inside(below, [*PYTHON, TOGETHER], **PIPES) as workload:
        assert workload.stdout and workload.stdin
        before = fallen.show("/web")["forks"]
        workload.stdin.write("\n")
        workload.stdin.flush()
        workload.stdout.readline()
        shown = until(lambda: fallen.show("/web"), lambda shown: shown["num_tasks"] == 24, "all of them")
        assert (shown["local"]["num_tasks"], shown["peak_tasks"]) == (0, 24)
        assert shown["forks"] - before == 23
        assert fallen.show("/web/db")["local"]["num_tasks"] == 24
        assert len(fallen.ctl("tasks", "web").ok().out.split()) == 24
        workload.stdin.close()
        workload.wait(PATIENCE_SECONDS)
    shown = until(lambda: fallen.show("/web"), lambda shown: shown["exits"] == 24, "rest")
    assert (shown["num_tasks"], shown["peak_tasks"]) == (0, 24)
    assert folder.is_dir()


def test_the_commands_work(fallen: Agent) -> None:
    """As with any engine."""
    report = fallen.ctl("--json", "run", "--", *PYTHON, ONE_BY_ONE).ok().json()
    assert (report["forks"], report["exit_status"]) == (23, 0) and 2 <= report["peak_tasks"] <= 4
    fallen.ctl("create", "web").ok()
    with running(SLEEP) as task:
        fallen.ctl("attach", "web", str(task.pid)).ok()
        assert fallen.ctl("which", str(task.pid)).ok().out == f"{task.pid} /web\n"
        assert fallen.show("/web")["num_tasks"] == fallen.show("/web")["peak_tasks"] == 1
        listed = {found["name"]: found["num_tasks"] for found in fallen.ctl("ls", "--json").ok().json()}
        assert listed == {"/": 1, "/web": 1}
        fallen.ctl("detach", str(task.pid)).ok()
        assert fallen.show("/web")["num_tasks"] == 0
    fallen.ctl("rm", "web").ok()
    assert fallen.names() == []
    assert "/" in [found["name"] for found in fallen.ctl("ls", "--all", "--json").ok().json()]


def test_pages(fallen: Agent) -> None:
    """Those of memory.stat where it is there; elsewhere null, without series, and the doctor says so."""
    if not memory_on_v2():
        folder = fallen.create("/web")
        with inside(folder, SLEEP):
            shown, samples = fallen.show("/web"), series(fallen)
        assert [shown[f"num_{name}_pages"] for name in KEYS] == [None] * 5 and shown["peak_pages"] is None
        assert "anon_bytes" not in {name for name, _ in samples}
        assert "anon, file, shmem" in checks(fallen)["counters"]["detail"]
        return
    delegate(fallen)
    folder = fallen.create("/web")
    with inside(folder, [*PYTHON, "x = bytearray(16 << 20); print(flush=True); input()"], **PIPES) as workload:
        assert workload.stdout
        workload.stdout.readline()
        before, shown, after = stat(folder), fallen.show("/web"), stat(folder)
    for name, keys in KEYS.items():
        low, high = sorted(sum(read[key] for key in keys) // 4096 for read in (before, after))
        assert low <= shown[f"num_{name}_pages"] <= high, name
    assert shown["num_anon_pages"] >= 4096 and shown["peak_pages"] >= shown["num_anon_pages"]
    assert shown["local"]["num_anon_pages"] == shown["num_anon_pages"]


def stat(folder: Path) -> dict[str, int]:
    """memory.stat."""
    return {key: int(value) for key, value in map(str.split, (folder / "memory.stat").read_text().splitlines())}


def lost_events(agent: Agent) -> int:
    """As the doctor says, after a message of each CPU: its next one is what shows a gap."""
    for cpu in os.sched_getaffinity(0):
        subprocess.run(["taskset", "-c", str(cpu), "true"], check=True)
    return int(agent.api.call("GET", "/v1/doctor").document["lost"]["tasks"])


def test_lost_events_are_counted_and_tasks_stay_right(make_agent: MakeAgent) -> None:
    """More than the socket holds while the agent is stopped: said, and what is there afterwards is counted right."""
    agent = make_agent("--engine", "netlink").start()
    folder = agent.create("/web")
    with inside(folder, [*PYTHON, THREADS.format(30000)], stdin=subprocess.PIPE) as storm:
        assert storm.stdin
        until(lambda: agent.show("/web"), lambda shown: shown["num_tasks"] == 1, "the workload")
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            storm.stdin.write("\n")
            storm.stdin.flush()
            assert storm.wait(PATIENCE_SECONDS) == 0
        finally:
            os.kill(agent.pid, signal.SIGCONT)
    with inside(folder, SLEEP):
        until(lambda: lost_events(agent), bool, "the loss")
        shown = until(lambda: agent.show("/web"), lambda shown: shown["num_tasks"] == 1, "the sleep alone")
        seen = shown["forks"] + shown["exits"]
        assert 0 < shown["forks"] < 30000
        until(lambda: lost_events(agent), lambda lost: lost >= 60001 - seen, "all of the loss")
    until(lambda: "messages of the process connector were lost" in agent.log.read_text(), bool, "a line in the log")


def test_without_events_either(make_agent: MakeAgent) -> None:
    """No CAP_NET_ADMIN: tasks are counted, forks and exits are unknown, statistics are refused; each says why."""
    agent = make_agent("--engine", "netlink")
    agent.without = (*BPF, "net_admin", "dac_read_search")
    agent.start()
    folder = agent.create("/web")
    with inside(folder, SLEEP):
        shown = until(lambda: agent.show("/web"), lambda shown: shown["num_tasks"] == 1, "the task")
        agent.ctl("tasks", "web", "--stats").refused("CAP_NET_ADMIN")
    assert (shown["num_tasks"], shown["forks"], shown["exits"]) == (1, None, None)
    assert shown["engine"]["tasks"] == "cgroup.threads" and agent.names() == ["/web"]
    found = checks(agent)
    assert found["process connector"]["status"] == "no" and "CAP_NET_ADMIN" in found["process connector"]["detail"]
    assert "engine = netlink" in found["bpf"]["detail"] and "forks" in found["counters"]["detail"]


def test_a_named_engine_does_not_fall_back(make_agent: MakeAgent) -> None:
    """One line, with the exit status that says it is the host; nothing is left."""
    agent = make_agent("--engine", "tracepoint")
    line = command.module("containeragent", "run", *agent.run_options())
    command.run(command.without(BPF, line)).refused("operation not permitted", status=3)
    assert not agent.socket.exists() and not agent.root.exists()
    assert "nothing to load" in command.containeragent("load", "--engine", "netlink").ok().out


def test_a_thousand_containers(make_agent: MakeAgent) -> None:
    """The agent stays small; each is listed and scraped; those that go are forgotten."""
    agent = make_agent("--engine", "netlink").start()
    for number in range(MANY):
        os.mkdir(agent.root / f"c{number}")
    assert len(until(agent.names, lambda names: len(names) == MANY, "all")) == MANY
    for _ in range(5):
        assert scrape(agent.address)[0].count("containeragent_tasks{") > MANY
        assert len(agent.ctl("ls", "--json").ok().json()) == MANY + 1
    assert agent.ctl("tasks", "/", "--stats").ok()
    assert own_kib(agent.pid) < MOST_KIB + PYROUTE2_KIB
    cgroups.empty(agent.root)
    until(agent.names, lambda names: names == [], "none")


def test_programs_that_count_stay_when_others_are_refused(agent: Agent) -> None:
    """An exchange that the host refuses has failed; that is not a host that does not let BPF count."""
    before = agent.pinned()
    line = command.module("containeragent", "load", "--replace", "--bpffs", str(agent.bpffs))
    command.run(command.without(BPF, line)).refused("not permitted")
    assert agent.pinned() == before and agent.show("/")["engine"]["tasks"] != "netlink"
