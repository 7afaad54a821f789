# SPDX-License-Identifier: Apache-2.0
"""Somebody else changes what is the agent's: pins, cgroups. It goes on, and says so where something is to be said."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.command import containeragent
from tests.e2e.support.processes import PYTHON, SLEEP, inside, running
from tests.e2e.support.waiting import until

LEAF = "-tasks"
FORKS = "import os\nfor _ in range(23):\n os.waitpid(os.fork() or os._exit(0), 0)"


def _until_put_back(agent: Agent, before: list[str]) -> None:
    """The agent looks every second."""
    until(agent.pinned, lambda now: now == before, "the pins, put back")


def _only_files(bpffs: Path) -> None:
    for top, _, files in os.walk(bpffs / "live"):
        for name in files:
            Path(top, name).unlink()


REMOVALS: dict[str, Callable[[Path], None]] = {
    "live": lambda bpffs: shutil.rmtree(bpffs / "live"),
    "all of it": shutil.rmtree,
    "files": _only_files,
    "links": lambda bpffs: shutil.rmtree(bpffs / "live" / "links"),
    "one map": lambda bpffs: (bpffs / "live" / "maps" / "rows").unlink(),
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_pins_removed(fresh: Agent, removal: str) -> None:
    """It logs and puts them back; counters are intact, now and after a restart."""
    before = fresh.pinned()
    folder = fresh.create("web")
    with inside(folder, [*PYTHON, FORKS]) as first:
        first.wait(60)
    REMOVALS[removal](fresh.bpffs)
    _until_put_back(fresh, before)
    until(fresh.log.read_text, lambda said: "put back" in said, "the log, which comes afterwards")
    with inside(folder, [*PYTHON, FORKS]) as second:
        second.wait(60)
    assert fresh.show("/web")["forks"] == 46
    containeragent("unload", "--bpffs", str(fresh.bpffs)).refused("an agent is running on")
    fresh.restart()
    with inside(folder, [*PYTHON, FORKS]) as third:
        third.wait(60)
    assert fresh.show("/web")["forks"] == 69
    assert "upkeep failed" not in fresh.log.read_text()


def test_pins_removed_twice(fresh: Agent) -> None:
    """As often as it takes."""
    before = fresh.pinned()
    for _ in range(2):
        shutil.rmtree(fresh.bpffs)
        _until_put_back(fresh, before)
    containeragent("unload", "--bpffs", str(fresh.bpffs)).refused("an agent is running on")


def test_a_cgroup_that_somebody_else_removes(agent: Agent) -> None:
    """ls goes on without it, show has its last numbers, the name can be made again."""
    for name in ("a", "a/x", "b"):
        agent.create(name)
    os.rmdir(agent.path("a/x"))
    os.rmdir(agent.path("a"))
    assert agent.names() == ["/b"]
    assert agent.show("/a")["state"] == agent.show("/a/x")["state"] == "dead"
    agent.ctl("tasks", "a").refused("there is no container /a")
    assert agent.api.call("DELETE", "/v1/container", {"name": "/a"}).code() == "ENOENT"
    agent.ctl("create", "--parents", "a/x").ok()
    assert agent.names() == ["/a", "/a/x", "/b"]


def test_the_whole_tree_that_somebody_else_removes(fresh: Agent) -> None:
    """Until the agent notices nothing breaks; then it ends with one line, and the next one begins anew."""
    for name in ("a", "a/x", "b"):
        fresh.create(name)
    fresh.ctl("limit", "a", "--task-limit", "5", "--page-limit", "16M").ok()
    fresh.ctl("notify", "b", "on").ok()
    cgroups.remove(fresh.root)
    with contextlib.suppress(OSError):  # it may have ended
        for method, path, body in (
            ("GET", "/v1/containers", None),
            ("GET", "/v1/container?name=/a", None),
            ("POST", "/v1/containers", {"name": "/new"}),
            ("POST", "/v1/container/limits?name=/a", {"task_limit": 7}),
            ("DELETE", "/v1/container?name=/b", None),
            ("GET", "/v1/top", None),
        ):
            assert fresh.api.call(method, path, body=body).status in (200, 400, 404, 409), (method, path)
    assert fresh.process and fresh.process.wait(60) == 1
    lines = fresh.log.read_text().splitlines()
    assert lines[-1].startswith(f"containeragent: cgroup root {fresh.root} was removed by someone")
    assert "Traceback" not in fresh.log.read_text() and not fresh.socket.exists()
    fresh.start()
    assert fresh.names() == []
    fresh.create("a")


def test_a_cgroup_that_somebody_else_makes(agent: Agent) -> None:
    """It is a container as any other."""
    os.mkdir(agent.path("other"))
    with inside(agent.path("other"), SLEEP) as sleeper:
        assert agent.names() == ["/other"] and agent.show("/other")["num_tasks"] == 1
        assert agent.ctl("tasks", "--json", "other").json() == [sleeper.pid]


def test_the_leaf_is_part_of_its_container(agent: Agent) -> None:
    """Made by hand here, as the agent makes it where cgroup v2 wants a container's tasks in a leaf."""
    folder = agent.create("web")
    os.mkdir(folder / LEAF)
    with inside(folder / LEAF, SLEEP) as sleeper:
        _assert_nothing_shows_the_leaf(agent, sleeper.pid)
        agent.ctl("rm", "web").refused("1 process", "--recursive")
        assert sleeper.poll() is None
        assert agent.ctl("rm", "--json", "--recursive", "web").ok().json() == {"removed": ["/web"]}
        assert sleeper.wait(30) == -9
    assert cgroups.folders(agent.root) == []


def _assert_nothing_shows_the_leaf(agent: Agent, pid: int) -> None:
    shown = agent.show("/web")
    assert shown["num_tasks"] == shown["local"]["num_tasks"] == 1
    assert agent.names() == ["/web"]
    listed = [one for one in agent.ctl("ls", "--all", "--json").ok().json() if one["cgroup"].startswith(agent.cgroup)]
    assert [one["name"] for one in listed] == ["/", "/web"] and listed[1]["local"]["num_tasks"] == 1
    assert agent.ctl("which", str(pid)).ok().out == f"{pid} /web\n"
    assert agent.ctl("tasks", "--json", "web").ok().json() == [pid]


def test_an_empty_leaf_does_not_keep_its_container(agent: Agent) -> None:
    """rm takes it along; what is in a leaf can be detached."""
    folder = agent.create("web")
    os.mkdir(folder / LEAF)
    with inside(folder / LEAF, SLEEP) as sleeper:
        agent.ctl("detach", str(sleeper.pid)).ok()
    agent.ctl("rm", "web").ok()
    assert cgroups.containers(agent.root) == []


def test_no_internal_process(agent: Agent) -> None:
    """Attach works where a child has controllers, and nothing shows how (cgroups(7), "no internal processes").

    Where the cgroup root has no controller, the rule does not bite and the task is in the container itself.
    """
    folder = agent.create("web")
    agent.create("web/db")
    controllers = (agent.root / "cgroup.controllers").read_text().split()
    if controllers:
        (agent.root / "cgroup.subtree_control").write_text("+" + controllers[0])
        (folder / "cgroup.subtree_control").write_text("+" + controllers[0])
    with running(SLEEP) as sleeper:
        agent.ctl("attach", "web", str(sleeper.pid)).ok()
        assert (cgroups.path_of(sleeper.pid) == f"{agent.cgroup}/web/{LEAF}") is bool(controllers)
        assert agent.show("/web")["local"]["num_tasks"] == 1 and agent.names() == ["/web", "/web/db"]
        assert agent.ctl("which", str(sleeper.pid)).ok().out == f"{sleeper.pid} /web\n"
        assert agent.ctl("tasks", "--json", "web").ok().json() == [sleeper.pid]
        assert agent.ctl("rm", "--json", "--recursive", "web").ok().json() == {"removed": ["/web/db", "/web"]}
    assert cgroups.folders(agent.root) == []
    if controllers:
        (agent.root / "cgroup.subtree_control").write_text("-" + controllers[0])


@pytest.mark.parametrize("name", [b'caf\xff"\\', b"a\x0bb", b"a\x1cb", b"tab\there", b"\x1b[31m", "a\u2028b".encode()])
def test_names_that_only_others_can_give(agent: Agent, name: bytes) -> None:
    """The kernel takes them: ls and which agree on the name, and every output stays one line of printable text."""
    folder = os.fsencode(agent.root) + b"/" + name
    os.mkdir(folder)
    with inside(Path(os.fsdecode(folder)), SLEEP) as sleeper:
        (listed,) = agent.names()
        table = agent.ctl("ls").ok().out
        assert len(table.splitlines()) == 3 and table.replace("\n", "").isprintable()
        found = agent.api.call("GET", "/v1/task", {"pid": sleeper.pid})
        assert found.status == 200 and found.document["name"] == listed
        which = agent.ctl("which", str(sleeper.pid)).ok().out
        assert which.count("\n") == 1 and which.strip().isprintable()
