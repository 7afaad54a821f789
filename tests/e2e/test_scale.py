# SPDX-License-Identifier: Apache-2.0
"""A thousand containers, and many callers at once."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.waiting import until

MANY = 1000
MOST_KIB = 50 * 1024
_RESIDENT = re.compile(r"^[0-9a-f]+-.*?(?P<name>\S*)\n(?:[A-Z].*\n)*?Rss: +(?P<kib>\d+) kB$", re.MULTILINE)


def own_kib(pid: int) -> int:
    """Resident memory (proc(5), smaps) but for the kernel's counters, which grow with the CPUs and are there anyhow."""
    found = _RESIDENT.finditer(Path(f"/proc/{pid}/smaps").read_text())
    return sum(int(one["kib"]) for one in found if one["name"] != "anon_inode:bpf-map")


def test_a_thousand_containers(fresh: Agent) -> None:
    """Each is listed and scraped; the agent stays below 50 MiB of its own."""
    for number in range(MANY):
        os.mkdir(fresh.root / f"c{number}")
    assert len(fresh.names()) == MANY
    for _ in range(5):
        assert scrape(fresh.address)[0].count("containeragent_tasks{") > MANY
        assert len(fresh.ctl("ls", "--json").ok().json()) == MANY + 1
    assert own_kib(fresh.pid) < MOST_KIB
    cgroups.empty(fresh.root)
    assert fresh.names() == []


def test_nothing_of_the_compiler_is_in_the_agent(fresh: Agent) -> None:
    """It went with the loader; the programs' descriptors are all that is left."""
    lines = Path(f"/proc/{fresh.pid}/maps").read_text().splitlines()
    mapped = " ".join(line[line.find("/") :] for line in lines if "/" in line)  # addresses may have a bcc in them
    assert "bcc" not in mapped and "LLVM" not in mapped and "clang" not in mapped
    assert "libcrypto" not in mapped and "libssl" not in mapped  # they are for TLS, and for who opens the page
    children = Path(f"/proc/{fresh.pid}/task/{fresh.pid}/children").read_text()
    assert children == ""


def test_one_of_two_creates_wins(agent: Agent) -> None:
    """Whichever; the other is told that it exists."""
    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            bodies = [{"name": f"/c{number}/x", "parents": True}] * 8
            answers = list(pool.map(lambda body: agent.api.call("POST", "/v1/containers", body=body), bodies))
            assert sorted(answer.status for answer in answers) == [201] + [409] * 7
            assert {answer.code() for answer in answers if answer.status == 409} == {"EEXIST"}
    assert len(agent.names()) == 20


def test_one_of_two_commands_wins(agent: Agent) -> None:
    """As processes of their own."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: agent.ctl("create", "web"), range(2)))
    assert sorted(result.status for result in results) == [0, 1]
    assert agent.names() == ["/web"]


def test_create_and_rm_at_once_leak_nothing(agent: Agent) -> None:
    """Neither cgroups nor descriptors of the agent; every answer is a success or says what was in the way."""
    descriptors = Path(f"/proc/{agent.pid}/fd")
    before = len(os.listdir(descriptors))

    def step(number: int) -> int:
        name = f"/c{number % 7}"
        if number % 2:
            return agent.api.call("POST", "/v1/containers", body={"name": f"{name}/x", "parents": True}).status
        return agent.api.call("DELETE", "/v1/container", {"name": name, "recursive": "true"}).status

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(step, range(500))) <= {200, 201, 404, 409}
    for name in agent.names():
        agent.api.call("DELETE", "/v1/container", {"name": name, "recursive": "true"})
    assert cgroups.folders(agent.root) == [] and agent.names() == []
    until(lambda: len(os.listdir(descriptors)), lambda now: now <= before + 2, "descriptors given back")


def test_fifty_runs_at_once(agent: Agent) -> None:
    """Each has its own container and its own numbers; none is left."""
    with ThreadPoolExecutor(10) as pool:
        results = list(
            pool.map(lambda number: agent.ctl("run", "--json", "--", "sh", "-c", f"exit {number}"), range(50))
        )
    assert [result.status for result in results] == list(range(50))
    assert len({result.json()["name"] for result in results}) == 50
    assert {result.json()["peak_tasks"] for result in results} == {1}
    assert agent.names() == []
