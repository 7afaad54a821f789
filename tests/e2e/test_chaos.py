# SPDX-License-Identifier: Apache-2.0
"""In storms, at random moments: SIGKILL of the agent, programs replaced, SIGKILL of who replaces them. Afterwards the
kernel and we say the same, and nothing is left.

`make chaos` does each a hundred times; CONTAINERAGENT_CHAOS is how often, and the seed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest

from tests.e2e.support import command
from tests.e2e.support.agent import Agent
from tests.e2e.support.footprint import footprint
from tests.e2e.support.processes import running
from tests.e2e.support.storms import FORKS, assert_at_rest, assert_nothing_lost, make_room, storms
from tests.e2e.support.waiting import PATIENCE_SECONDS, until

TIMES, SEED = (int(word) for word in os.environ.get("CONTAINERAGENT_CHAOS", "7:23").split(":"))
pytestmark = pytest.mark.seconds(1800 + 60 * TIMES)
REPLACED = max(2, TIMES // 5)  # it takes seconds


def _kill_in_storms(agent: Agent, chance: random.Random) -> None:
    with storms(agent) as forks:
        time.sleep(chance.uniform(0, 0.8))
        agent.end(signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.3))
        agent.start()
        assert forks.wait(PATIENCE_SECONDS) == 0


def test_killed_at_random_moments(fresh: Agent) -> None:
    """Each time everything is exact at rest, and pins and slots are as before."""
    chance = random.Random(SEED)
    make_room(fresh)
    pins, hits = fresh.pinned(), (0, 0)
    for number in range(1, TIMES + 1):
        _kill_in_storms(fresh, chance)
        before, hits = hits, assert_at_rest(fresh, FORKS * number, number)
        assert hits[0] >= before[0] and hits[1] >= before[1]
        assert fresh.pinned() == pins and sorted(os.listdir(fresh.bpffs)) == ["agent", "live"]
    assert TIMES < 50 or (hits[0] and hits[1])  # in a few moments there may have been none
    assert_nothing_lost(fresh)


def _replace_line(agent: Agent) -> list[str]:
    return command.module("containeragent", "load", "--replace", "--bpffs", str(agent.bpffs))


def _until_followed(agent: Agent, times: int) -> None:
    """The agent looks every second, and lets go of what was replaced."""
    until(lambda: agent.log.read_text().count("programs were replaced"), lambda seen: seen >= times, "it follows")


def test_replaced_in_storms(fresh: Agent) -> None:
    """Programs of the same version go on with the same counters; the agent holds no more than before."""
    make_room(fresh)
    pins, before = fresh.pinned(), footprint(fresh.pid)
    for number in range(1, REPLACED + 1):
        with storms(fresh) as forks:
            command.run(_replace_line(fresh)).ok()
            assert forks.wait(PATIENCE_SECONDS) == 0
        _until_followed(fresh, number)
        assert_at_rest(fresh, FORKS * number, number)
        assert fresh.pinned() == pins and sorted(os.listdir(fresh.bpffs)) == ["agent", "live"]
    assert_nothing_lost(fresh)
    assert footprint(fresh.pid).descriptors <= before.descriptors + 3


def test_killed_while_replacing(fresh: Agent) -> None:
    """At random moments of it: whichever programs there are count, each event once, and the next load clears up."""
    chance = random.Random(SEED)
    make_room(fresh)
    pins = fresh.pinned()
    with storms(fresh) as forks:
        begin = time.monotonic()
        command.run(_replace_line(fresh)).ok()
        seconds = time.monotonic() - begin
        assert forks.wait(PATIENCE_SECONDS) == 0
    for number in range(2, REPLACED + 2):
        with (
            storms(fresh) as forks,
            running(_replace_line(fresh), stdout=subprocess.DEVNULL, cwd="/", env=command.environment()) as loader,
        ):
            time.sleep(chance.uniform(0.5, 1.1) * seconds)
            loader.kill()
            assert forks.wait(PATIENCE_SECONDS) == 0
        assert_at_rest(fresh, FORKS * number, number)
    command.run(_replace_line(fresh)).ok()
    until(lambda: sorted(os.listdir(fresh.bpffs)), lambda found: found == ["agent", "live"], "nothing left", 60)
    assert fresh.pinned() == pins
    assert_nothing_lost(fresh)
