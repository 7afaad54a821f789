# SPDX-License-Identifier: Apache-2.0
"""An agent that may open few files: what cannot be done is refused, the log is not flooded, later all is well."""

from __future__ import annotations

import contextlib
import time

from tests.e2e.conftest import MakeAgent
from tests.e2e.support.footprint import footprint
from tests.e2e.support.http import connect, scrape
from tests.e2e.support.processes import SLEEP, inside
from tests.e2e.support.waiting import until


def test_out_of_descriptors(make_agent: MakeAgent) -> None:
    """Taken by connections that say nothing; counting does not need any."""
    agent = make_agent().start()
    folder = agent.create("web")
    most = footprint(agent.pid).descriptors + 12
    agent.end()
    agent.within = ("prlimit", f"--nofile={most}:{most}")
    agent.start()
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            with contextlib.suppress(OSError):
                stack.enter_context(connect(agent.socket, 1.0))
        time.sleep(3)
        stack.enter_context(inside(folder, SLEEP))
        assert agent.process and agent.process.poll() is None
    until(lambda: agent.api.call("GET", "/v1/containers").status, lambda status: status == 200, "answers")
    assert agent.show("/web")["num_tasks"] == 0
    assert "containeragent_tasks" in scrape(agent.address)[0]
    assert len(agent.log.read_text().splitlines()) < 200
    assert footprint(agent.pid).descriptors <= most
