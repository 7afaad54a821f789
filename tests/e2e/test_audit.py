# SPDX-License-Identifier: Apache-2.0
"""`containerctl audit` with real workloads: exact at rest, and it sees counters that are wrong."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from containeragent import libbpf
from containeragent.counters.records import ROW, SLOT
from containeragent.pins import Pins
from tests.e2e.conftest import MakeAgent
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import PYTHON, SLEEP, inside
from tests.e2e.support.waiting import until
from tests.kernel.conftest import engines
from tests.kernel.support.settings import setting

WORKLOAD = """
import mmap, os, sys
folder, pages, page = sys.argv[1], 5000, mmap.PAGESIZE
anon = mmap.mmap(-1, pages * page, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
shared = mmap.mmap(-1, pages * page, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
file = os.open(folder + "/file", os.O_RDWR | os.O_CREAT)
for at in range(pages):
    anon[at * page] = shared[at * page] = 1
    os.pwrite(file, b"x" * page, at * page)
os.fsync(file)
for _ in range(3):
    for at in range(0, pages, 16):
        os.pread(file, 16 * page, at * page)
mapping = mmap.mmap(file, pages // 2 * page)
mapping.madvise(22)
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
"""
GENERATIONS = Path("/sys/kernel/mm/lru_gen/enabled")  # of these, flags do not tell what is active
PAGES, SLACK = 5000, 1500
COUNTERS = "num_tasks num_anon_pages num_file_pages num_shmem_pages num_mapped_pages num_active_pages".split()
Line = dict[str, Any]


@contextlib.contextmanager
def at_rest(agent: Agent, folder: Path) -> Iterator[None]:
    """The container /web with anonymous, shared, mapped and active pages, at rest."""
    with inside(agent.create("web"), [*PYTHON, WORKLOAD, str(folder)], stdin=-1, stdout=-1) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield


def audited(agent: Agent, *options: str, status: int = 0) -> dict[str, dict[str, Line]]:
    """Lines by container and counter."""
    result = agent.ctl("audit", "--json", *options)
    assert result.status == status, result.err
    found = {document["name"]: document["counters"] for document in result.json()}
    return {name: {line["counter"]: line for line in lines} for name, lines in found.items()}


def at_last(agent: Agent) -> dict[str, Line]:
    """An audit of /web after a look at it, in which nothing moves: the kernel may move page cache about at any time."""
    return until(
        lambda: audited(agent, "web")["/web"],
        lambda lines: all(line["difference"] == 0 and not line["moving"] for line in lines.values()),
        "an audit without a difference, at rest",
    )


def about(pages: int) -> Any:
    """With what the interpreter has, and what the kernel may have moved."""
    return pytest.approx(pages, abs=SLACK)


def test_exact_at_rest(agent: Agent, tmp_path: Path) -> None:
    """Each counter has the kernel's figure, and `show` shows it."""
    with at_rest(agent, tmp_path):
        lines = at_last(agent)
        assert list(lines) == COUNTERS
        assert lines["num_tasks"]["source"] == "cgroup.threads"
        assert lines["num_anon_pages"]["source"] in ("memory.stat", "kpageflags")
        kernel = {counter: line["kernel"] for counter, line in lines.items()}
        assert {counter: line["ours"] for counter, line in lines.items()} == kernel
        assert kernel["num_tasks"] == 1
        assert kernel["num_anon_pages"] == about(PAGES) and kernel["num_shmem_pages"] == about(PAGES)
        assert kernel["num_file_pages"] == about(2 * PAGES)
        assert kernel["num_mapped_pages"] == about(PAGES * 3 // 2)
        shown = agent.show("/web")
        assert {counter: shown[counter] for counter in COUNTERS} == kernel


def test_active_pages(agent: Agent, tmp_path: Path) -> None:
    """Page cache that was read again is active."""
    lists = setting(GENERATIONS, "0") if GENERATIONS.exists() else contextlib.nullcontext()
    with lists, at_rest(agent, tmp_path):
        assert at_last(agent)["num_active_pages"]["kernel"] == about(PAGES)
    samples = scrape(agent.address)[0]
    line = next(
        line
        for line in samples.splitlines()
        if line.startswith(f'containeragent_active_bytes{{cgroup="{agent.cgroup}/web"')
    )
    assert float(line.split()[-1]) / os.sysconf("SC_PAGE_SIZE") == about(PAGES)


def test_all_and_one(agent: Agent) -> None:
    """Without a name all containers; with --all every cgroup of the host; a name that is not there is refused."""
    agent.create("web")
    agent.create("web/db")
    assert set(audited(agent)) == {"/", "/web", "/web/db"}
    assert set(audited(agent, "web/db")) == {"/web/db"}
    assert agent.cgroup + "/web" not in audited(agent)
    every = agent.api.call("GET", "/v1/audit", {"all": "true"}).document
    assert {"/", agent.cgroup} < {document["cgroup"] for document in every}
    agent.ctl("audit", "none").refused("there is no container /none")
    agent.ctl("audit", "web", "--all").refused("not both", status=2)


def test_the_table(agent: Agent) -> None:
    """Aligned, one line a counter."""
    agent.create("web")
    header, *lines = agent.ctl("audit", "web").ok().out.splitlines()
    assert header.split() == "CONTAINER COUNTER OURS KERNEL DIFFERENCE SOURCE NOTE".split()
    assert [line.split()[:2] for line in lines] == [["/web", counter] for counter in COUNTERS]


def falsify(agent: Agent, path: Path, pages: int) -> None:
    """Add anonymous pages that do not exist to a container's counters, beside the columns that programs write."""
    pins = Pins(agent.bpffs)
    stamp = pins.stamp()
    assert stamp
    slots, rows = pins.get("maps", "slots"), pins.get("maps", "rows")
    try:
        records = np.frombuffer(libbpf.map_memory(slots), dtype=SLOT, count=stamp.slots)
        (slot,) = np.flatnonzero(records["cgroup_id"] == path.stat().st_ino)
        np.frombuffer(libbpf.map_memory(rows, True), dtype=ROW, count=stamp.slots)["adjust_anon"][slot] += pages
    finally:
        os.close(slots)
        os.close(rows)


def test_wrong_counters_are_seen(make_agent: MakeAgent) -> None:
    """By the command, its exit status and the metric; for the container and for what is above it."""
    agent = make_agent("--drift-seconds", "1", "--rescan-percent", "50").start()
    web = agent.create("web")
    with inside(web, SLEEP):
        falsify(agent, web, 23)
        found = audited(agent, status=1)
        for name in ("/", "/web"):
            line = found[name]["num_anon_pages"]
            assert line["ours"] - line["kernel"] == line["difference"] == 23 and not line["moving"]
            assert found[name]["num_tasks"]["difference"] == 0
        assert "+23" in agent.ctl("audit", "web").out
        sample = f'containeragent_drift_pages{{cgroup="{agent.cgroup}/web",counter="anon"}} 23\n'
        until(lambda: scrape(agent.address)[0], lambda text: sample in text, "the drift in the metrics")
        assert f'containeragent_drift_tasks{{cgroup="{agent.cgroup}/web"}} 0\n' in scrape(agent.address)[0]
        falsify(agent, web, -23)
        audited(agent)


@pytest.mark.parametrize("engine", engines())
def test_the_agents_own_maps(make_agent: MakeAgent, engine: str) -> None:
    """The kernel counts the counters that the agent maps as mapped pages, and so do we; in whole ancestries."""
    agent = make_agent("--engine", engine).start()
    own = Path(f"/proc/{agent.pid}/cgroup").read_text().splitlines()[-1].removeprefix("0::")
    above = {"/", *(str(path) for path in [Path(own), *Path(own).parents])}

    def off() -> dict[str, Line]:
        """Of the last look, which is this audit's."""
        documents = agent.api.call("GET", "/v1/audit", {"all": "true"}).document
        lines = [(document["cgroup"], document["counters"]) for document in documents if document["cgroup"] in above]
        mapped = {cgroup: next(line for line in found if line["counter"] == COUNTERS[4]) for cgroup, found in lines}
        assert set(mapped) == above
        return {cgroup: line for cgroup, line in mapped.items() if line["difference"]}

    assert not until(off, lambda different: not different, "an audit without a difference in mapped pages")


def test_looks_go_on_by_themselves(make_agent: MakeAgent, tmp_path: Path) -> None:
    """What no event tells is fresh without anybody asking, and says how old it is."""
    agent = make_agent("--drift-seconds", "0", "--rescan-percent", "50").start()
    with at_rest(agent, tmp_path):
        # The first look may have met the container while its pages were being made.
        mapped = about(PAGES * 3 // 2)
        until(lambda: agent.show("/web")["num_mapped_pages"], lambda pages: pages == mapped, "a look at it at rest")
        age = next(
            line for line in scrape(agent.address)[0].splitlines() if line.startswith("containeragent_rescan_age")
        )
        assert 0 <= float(age.split()[-1]) < 60
