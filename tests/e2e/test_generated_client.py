# SPDX-License-Identifier: Apache-2.0
"""A client that a generator makes from /openapi.json, used as its users would."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.support.agent import Agent

Call = Any  # of a module that did not exist when types were checked


class Client:
    """The generated package, and its client on the agent's socket."""

    def __init__(self, agent: Agent) -> None:
        socket = httpx.HTTPTransport(uds=str(agent.socket))
        made = importlib.import_module("generated_client").Client
        self._client = made(base_url="http://localhost", httpx_args={"transport": socket}, timeout=30.0)

    def close(self) -> None:
        """Hang up."""
        self._client.get_httpx_client().close()

    def call(self, operation: str, **arguments: Any) -> Any:
        """What the operation answers, as the generated class for it."""
        module: Call = importlib.import_module(f"generated_client.api.default.{operation}")
        return module.sync(client=self._client, **arguments)

    def body(self, kind: str, values: dict[str, Any]) -> Any:
        """The generated class for a body."""
        return getattr(importlib.import_module("generated_client.models"), kind).from_dict(values)


@pytest.fixture(scope="module")
def generated(session_agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A package on the path, generated from what the agent serves, without a warning."""
    folder = tmp_path_factory.mktemp("generated")
    served, config = folder / "openapi.json", folder / "config.yml"
    served.write_text(json.dumps(session_agent.api.call("GET", "/openapi.json").document))
    config.write_text("post_hooks: []\n")  # its code is not laid out: nobody reads it
    line = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    line += ["--path", str(served), "--config", str(config), "--output-path", str(folder / "generated_client")]
    subprocess.run(line, check=True, timeout=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


@pytest.fixture
def client(agent: Agent, generated: None) -> Iterator[Client]:
    """Connected to the agent."""
    made = Client(agent)
    yield made
    made.close()


def test_a_generated_client_manages_containers(client: Client, agent: Agent) -> None:
    """Make, limit, fill, look, empty, remove; every answer fits the class that was made for it."""
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        try:
            made = client.call("create_container", body=client.body("NewContainer", {"name": "/web", "task_limit": 5}))
            assert (made.name, made.task_limit, made.num_tasks) == ("/web", 5, 0)
            limits = client.body("Limits", {"page_limit": "64M"})
            assert client.call("set_limits", name="/web", body=limits).page_limit == (64 << 20) // made.page_size
            tasks = client.body("Tasks", {"pids": [sleeper.pid]})
            assert client.call("attach_tasks", name="/web", body=tasks).attached == [sleeper.pid]
            assert client.call("list_tasks", name="/web") == [sleeper.pid]
            assert client.call("find_task", pid=sleeper.pid).name == "/web"
            assert [one.name for one in client.call("list_containers")] == ["/", "/web"]
            assert client.call("list_top").containers[0].name == "/"
            audited = {line.counter: line.difference for line in client.call("audit", name="/web")[0].counters}
            assert audited["num_tasks"] == 0
            kinds = [event.kind.value for event in client.call("list_events", container="/web")]
            assert kinds[-1] == "attached"
            assert client.call("kill_container", name="/web").killed == 1
        finally:
            sleeper.kill()
    assert client.call("remove_container", name="/web").removed == ["/web"]
    assert agent.names() == []


def test_what_is_refused_is_an_error_of_the_generated_class(client: Client) -> None:
    """With the code and the line that containerctl would print."""
    refused = client.call("show_container", name="/nobody").error
    assert refused.code == "ENOENT" and "/nobody" in refused.message


def test_the_agent_itself(client: Client) -> None:
    """What it found on this host, its subsystems, and both shapes of a list of tasks."""
    found = client.call("doctor")
    assert {check.name for check in found.checks} >= {"kernel", "cgroup2"}
    assert {one.name for one in client.call("list_subsystems")} >= {"cpu", "cpuset"}
    client.call("create_container", body=client.body("NewContainer", {"name": "/web"}))
    assert client.call("list_tasks", name="/web", stats=True).tasks == []
