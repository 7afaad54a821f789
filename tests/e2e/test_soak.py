# SPDX-License-Identifier: Apache-2.0
"""Containers come and go for long: the agent stays as small as it was, every slot comes back, no count is off.

`make soak` has 2 000 in 20 minutes, `make soak-vm` in a guest. CONTAINERAGENT_SOAK: for how many seconds, how many.
Their processes are forks of this one, because a Python that starts takes an emulated guest seconds.
"""

from __future__ import annotations

import mmap
import os
import time

import pytest

from containeragent.events.bus import HISTORY_EVENTS
from tests.e2e.conftest import MakeAgent
from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.footprint import Footprint, footprint
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import forked_inside
from tests.e2e.support.storms import spare_slots
from tests.e2e.support.waiting import until

SECONDS, CONTAINERS = (int(word) for word in os.environ.get("CONTAINERAGENT_SOAK", "15:60").split(":"))
FORKS = 23
pytestmark = pytest.mark.seconds(1800 + 3 * SECONDS)
# A long one begins when everything that is bounded is full: events, final records. At first it looks at all pages.
_GRACE_SECONDS = 30
_IS_LONG = SECONDS >= 600
_GROWTH_KIB = 2048 if _IS_LONG else 8192
_CGROUP_KIB = 5  # others may make many meanwhile
_LOST = ("containeragent_events_lost_total", "containeragent_slots_exhausted_total")


def _work() -> None:
    """Forks, 1 MiB of its own, and a file of 256 KiB in tmpfs that goes before it does."""
    memory = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(memory), mmap.PAGESIZE):
        memory[at] = 1
    os.write(os.memfd_create("x"), bytes(256 << 10))
    for _ in range(FORKS):
        os.waitpid(os.fork() or os._exit(0), 0)


def _one(agent: Agent, number: int) -> None:
    """A container's life: every third is made and removed behind the agent's back, every third is left in a hurry."""
    name = f"soak-{number}"
    folder = agent.path(name)
    if number % 3 == 1:
        folder.mkdir()
    else:
        agent.create(name)
    with forked_inside(folder, _work) as work:
        if number % 3 == 2:
            agent.api.call("DELETE", "/v1/container", {"name": name, "recursive": "true"})
            return
        work.join(60)
        assert work.exitcode == 0
    if number % 3 == 1:
        cgroups.remove(folder)
    else:
        assert agent.api.call("DELETE", "/v1/container", {"name": name}).status == 200


def _fill(agent: Agent) -> None:
    """Keep as much of what was as is ever kept."""
    for _ in range(HISTORY_EVENTS // 2):
        agent.create("filling")
        assert agent.api.call("DELETE", "/v1/container", {"name": "filling"}).status == 200


def _soak(agent: Agent) -> tuple[list[Footprint], list[int]]:
    """At an even pace; what the agent took after each tenth, and the most slots in use by then."""
    begin, found, most, slots = time.monotonic(), list[Footprint](), list[int](), 0
    for number in range(CONTAINERS):
        _one(agent, number)
        if number % 20 == 0:
            scrape(agent.address)
            slots = max(slots, agent.api.call("GET", "/v1/doctor").document["slots"]["used"])
        if (number + 1) % (CONTAINERS // 10) == 0:
            found.append(footprint(agent.pid))
            most.append(slots)
            print(f"{number + 1} containers, {time.monotonic() - begin:.0f} s, {slots} slots: {found[-1]}", flush=True)
        time.sleep(max(0.0, begin + (number + 1) * SECONDS / CONTAINERS - time.monotonic()))
    return found, most


def _lost(agent: Agent) -> list[str]:
    """What is counted as lost; but for page cache from before the load that is moved, which is nobody's."""
    lines = scrape(agent.address)[0].splitlines()
    return [line for line in lines if line.startswith(_LOST) and "unclaimed" not in line]


def test_many_come_and_go(make_agent: MakeAgent) -> None:
    """To rest after the last: nothing of them is left anywhere."""
    fresh = make_agent("--grace-seconds", str(_GRACE_SECONDS)).start()
    if _IS_LONG:
        _fill(fresh)
        time.sleep(_GRACE_SECONDS)
    lost = _lost(fresh)
    found, most = _soak(fresh)
    half, last = found[4], found[-1]
    assert fresh.names() == []
    assert last.anon_kib < half.anon_kib + _GROWTH_KIB + _CGROUP_KIB * (most[-1] - most[4]), (found, most)
    assert last.descriptors <= half.descriptors + 3 and last.threads <= half.threads + 2, found
    until(lambda: spare_slots(fresh), lambda spare: spare <= 0, "slots of what is gone", 120)
    whole = [number for number in range(CONTAINERS) if number % 3 != 2]
    total = fresh.show("/")
    # Every task was born elsewhere and came in, or was forked here; all have ended here.
    assert total["forks"] >= FORKS * len(whole) and total["exits"] == total["forks"] + CONTAINERS, total
    audited = fresh.api.call("GET", "/v1/audit", {"name": "/"}).document[0]["counters"]
    # Mapped and active pages are as of the last look, and others map what is left in the page cache.
    counted = [one for one in audited if one["age_seconds"] is None]
    assert len(counted) >= 4 and not [one for one in counted if one["difference"] and not one["moving"]], audited
    assert _lost(fresh) == lost
