# SPDX-License-Identifier: Apache-2.0
"""Names that are refused: one line that says why, exit status 1 or 2, and nothing made, removed or moved."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import SLEEP, inside, running

BAD = {
    "empty": "",
    "parent": "..",
    "rooted parent": "/..",
    "through parent": "a/../b",
    "itself": "a/.",
    "newline": "a\nb",
    "escape sequence": "a\x1b[31m",
    "4096 characters": "x" * 4096,
    "256 bytes": "x" * 256,
    "dash": "/-tasks",
    "dash below": "a/-agent",
    "control file": "cgroup.x",
    "controller": "memory.y",
    "controller below": "a/memory.max",
    "double slash": "a//b",
    "slash at the end": "a/",
    "not UTF-8": "a\udcff",
}
COMMANDS: dict[str, list[str]] = {
    "create": ["create", "--parents", "--", "NAME"],
    "show": ["show", "--", "NAME"],
    "rm": ["rm", "--recursive", "--", "NAME"],
    "tasks": ["tasks", "--", "NAME"],
    "attach": ["attach", "--", "NAME", "PID"],
    "notify": ["notify", "--", "NAME", "on"],
    "run": ["run", "--name", "NAME", "--", "true"],
}


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_create_refuses(agent: Agent, name: str) -> None:
    """Without --json one line, with it the error's document too."""
    agent.create("a")
    status = 1 if name else 2
    line = agent.ctl("create", "--parents", "--", name).refused(status=status)
    assert line.isprintable() and len(line) < 300
    refused = agent.ctl("--json", "create", "--parents", "--", name)
    refused.refused(status=status)
    assert refused.json()["error"]["code"] == "EINVAL"
    assert cgroups.folders(agent.root) == ["a"]


@pytest.mark.parametrize("command", [key for key in COMMANDS if key != "create"])
def test_every_command_refuses(agent: Agent, command: str) -> None:
    """None of them does anything with a bad name; `run` keeps 125 for what could not be started in a container."""
    agent.create("a")
    with running(SLEEP) as sleeper:
        before = cgroups.path_of(sleeper.pid)
        for name in ("", "..", "a/../a", "a\nb", "x" * 4096, "/-tasks", "memory.y"):
            words = {"NAME": name, "PID": str(sleeper.pid)}
            status = 2 if not name else 125 if command == "run" else 1
            agent.ctl(*(words.get(word, word) for word in COMMANDS[command])).refused(status=status)
        assert cgroups.path_of(sleeper.pid) == before
    assert cgroups.folders(agent.root) == ["a"]


@pytest.mark.parametrize("name", ["a\0b", "\0", "\ud800", "x" * 100_000, "/" * 5000, "..", "", "a/../a", "-a"])
def test_the_api_refuses(agent: Agent, name: str) -> None:
    """What no command line can carry comes to the same end."""
    agent.create("a")
    assert agent.api.call("POST", "/v1/containers", body={"name": name, "parents": True}).code() == "EINVAL"
    if not (name.isascii() and len(name) < 1000):
        return
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/v1/container", None),
        ("DELETE", "/v1/container", None),
        ("GET", "/v1/container/tasks", None),
        ("POST", "/v1/container/tasks", {"pids": [0]}),
        ("POST", "/v1/container/kill", {}),
    ]
    for method, path, body in calls:
        answer = agent.api.call(method, path, {"name": name}, body)
        assert (answer.status, answer.code()) == (400, "EINVAL"), (method, path)
    assert cgroups.folders(agent.root) == ["a"]


@pytest.mark.parametrize("name", [None, 7, ["a"], {"name": "a"}, True])
def test_the_api_refuses_what_is_no_text(agent: Agent, name: Any) -> None:
    """Other types of JSON."""
    assert agent.api.call("POST", "/v1/containers", body={"name": name}).code() == "EINVAL"
    assert cgroups.folders(agent.root) == []


def test_one_that_exists(agent: Agent) -> None:
    """It stays as it is, with --parents too; so does the root."""
    with inside(agent.create("web"), SLEEP) as sleeper:
        for name in ("web", "/web", "/"):
            agent.ctl("create", name).refused("exists")
            agent.ctl("create", "--parents", name).refused("exists")
        assert agent.ctl("--json", "create", "web").json()["error"]["code"] == "EEXIST"
        agent.ctl("run", "--name", "web", "--", "true").refused("exists", status=125)
        assert agent.ctl("tasks", "web").ok().out.split() == [str(sleeper.pid)]


def test_one_whose_parent_is_missing(agent: Agent) -> None:
    """Nothing is made on the way; --parents makes all of it."""
    refused = agent.ctl("--json", "create", "a/b/c")
    refused.refused("/a/b does not exist", "--parents")
    assert refused.json()["error"]["code"] == "ENOENT"
    agent.ctl("run", "--name", "a/b", "--", "true").refused("--parents", status=125)
    assert cgroups.folders(agent.root) == []
    agent.ctl("create", "--parents", "a/b/c").ok()
    assert cgroups.folders(agent.root) == ["a", "a/b", "a/b/c"]


@pytest.mark.parametrize("command", ["show", "rm", "tasks", "attach"])
def test_one_that_is_missing(agent: Agent, command: str) -> None:
    """ENOENT, in one line, with what to do."""
    words = {"NAME": "nothing", "PID": "0"}
    refused = agent.ctl("--json", *(words.get(word, word) for word in COMMANDS[command]))
    refused.refused("/nothing", "containerctl ls")
    assert refused.json()["error"]["code"] == "ENOENT"


def test_the_root_stays(agent: Agent) -> None:
    """It is neither removed nor killed."""
    agent.create("a")
    agent.ctl("rm", "/").refused("cgroup root")
    agent.ctl("rm", "--recursive", "/").refused("cgroup root")
    assert agent.api.call("POST", "/v1/container/kill", {"name": "/"}, {}).code() == "EBUSY"
    assert cgroups.folders(agent.root) == ["a"]


@pytest.mark.parametrize("name", ["x (deleted)", "über/ß", "a b", "'quoted'", '"', "x" * 255, "[red]", "memory", "a.b"])
def test_good_names_that_look_odd(agent: Agent, name: str) -> None:
    """Made, listed, shown and removed under the very name."""
    made = agent.ctl("--json", "create", "--parents", name).ok().json()
    assert made["name"] == "/" + name
    assert "/" + name in [one["name"] for one in agent.ctl("ls", "--json").ok().json()]
    assert agent.ctl("show", "--json", name).ok().json()["id"] == made["id"]
    agent.ctl("rm", name).ok()
