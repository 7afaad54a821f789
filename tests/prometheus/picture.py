# SPDX-License-Identifier: Apache-2.0
"""Takes docs/pictures/dashboard.png anew: `python -m tests.prometheus.picture [MINUTES]` (as root, ten minutes).

The dashboard's queries, asked of a real Prometheus that scrapes a real agent with the containers of tests/page/demo.py.
Drawn by drawing.py, which needs matplotlib (`pip install matplotlib`, the extra `pictures`), not by Grafana.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.waiting import until
from tests.page.demo import shop
from tests.prometheus.conftest import DEPLOY, ROOT, Prometheus, running
from tests.prometheus.dashboard import DASHBOARD
from tests.prometheus.drawing import Span, draw

FILE = ROOT / "docs/pictures/dashboard.png"
_EVERY_SECONDS = 5
NAME = "demo"  # of the containers' cgroup and of the host, in the legends


def take(prometheus: Prometheus, minutes: float, file: Path) -> None:
    """The picture of the last minutes."""
    now = time.time()
    variables = {
        "$instance": NAME,
        "$cgroup": f"/{NAME}/.*",
        "$__rate_interval": f"{4 * _EVERY_SECONDS}s",  # as Grafana has it
        "$__range": f"{minutes * 60:.0f}s",
    }
    draw(prometheus, DASHBOARD, Span(now - minutes * 60, now, _EVERY_SECONDS, variables), file)


def main(minutes: float = 10) -> None:
    """Run everything, wait, draw."""
    agent = Agent()
    agent.root, agent.cgroup = cgroups.mount_point() / NAME, f"/{NAME}"
    assert not agent.root.exists(), f"{agent.root} is somebody's"
    with tempfile.TemporaryDirectory() as name:
        try:
            agent.start()
            folder = Path(name)
            for rules in ("rules.yml", "alerts.yml"):
                shutil.copy(DEPLOY / rules, folder)
            target = f'["{agent.address}"], labels: {{instance: {NAME}}}'
            config = (DEPLOY / "scrape.yml").read_text().replace("[127.0.0.1:9917]", target)
            config = config.replace("- targets:", "- {targets:").rstrip() + "}\n"
            with shop(agent), running(folder, config, _EVERY_SECONDS) as prometheus:
                until(lambda: prometheus.value("up"), lambda up: up == 1, "a scrape")
                print(f"{minutes:g} minutes from now on", flush=True)
                time.sleep(minutes * 60)
                take(prometheus, minutes, FILE)
        finally:
            agent.close()
    print(FILE)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main(*map(float, sys.argv[1:]))
