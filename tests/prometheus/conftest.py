# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus, Debian's, that scrapes an agent and evaluates our rules."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent, free_port
from tests.e2e.support.waiting import PATIENCE_SECONDS, until

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "build/prometheus/usr/bin"  # deploy/setup.sh puts Debian's there where none is installed
DEPLOY = ROOT / "deploy/prometheus"


def tool(name: str) -> str:
    """prometheus or promtool."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:{UNPACKED}")
    assert found, f"no {name}: make setup-test"
    return found


class Prometheus:
    """Queries to a running one."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        """The `data` of an answer of its API."""
        with urllib.request.urlopen(f"{self._address}{path}?{urllib.parse.urlencode(query)}", timeout=60) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Samples now."""
        found = self.get("/api/v1/query", query=expression)["result"]
        assert isinstance(found, list)
        return found

    def value(self, expression: str) -> float | None:
        """Of the one sample; None when there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def answers(self) -> bool:
        """Whether it is ready."""
        try:
            self.get("/api/v1/status/buildinfo")
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """An agent of this module's own."""
    made = Agent()
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture(autouse=True)
def _no_container_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "agent" in request.fixturenames:
        cgroups.empty(request.getfixturevalue("agent").root)


@pytest.fixture(scope="module")
def prometheus(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It scrapes the agent every second, with the files of deploy/prometheus."""
    folder = tmp_path_factory.mktemp("prometheus")
    for rules in ("rules.yml", "alerts.yml"):
        shutil.copy(DEPLOY / rules, folder)
    with running(folder, (DEPLOY / "scrape.yml").read_text().replace("127.0.0.1:9917", agent.address)) as made:
        yield made


@contextlib.contextmanager
def running(folder: Path, config: str, every_seconds: int = 1) -> Iterator[Prometheus]:
    """One with that configuration that scrapes that often."""
    port = free_port()
    often = f"global: {{scrape_interval: {every_seconds}s, evaluation_interval: {every_seconds}s}}\n"
    (folder / "prometheus.yml").write_text(often + config)
    line = [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            [*line, f"--web.listen-address=127.0.0.1:{port}"], stderr=log, stdout=log, cwd=folder
        )
        stack.callback(process.wait, PATIENCE_SECONDS)
        stack.callback(process.terminate)
        made = Prometheus(port)
        until(made.answers, bool, "Prometheus' first answer")
        yield made
