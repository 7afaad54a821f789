# SPDX-License-Identifier: Apache-2.0
"""Who may do what, as a matrix of real users and everything that can be asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.command import NOBODY, STRANGER
from tests.e2e.support.processes import SLEEP, inside, running
from tests.e2e.support.users import as_user

# Users by what they are to /top/mine; INSIDE has only a task in it. All but the stranger are in the socket's group.
ROOT, OWNER, ABOVE, INSIDE, MEMBER, OUTSIDER = 0, 60001, 60002, 60003, NOBODY, 60004
USERS = {"root": ROOT, "owner": OWNER, "above": ABOVE, "inside": INSIDE, "member": MEMBER, "stranger": OUTSIDER}
READERS = set(USERS) - {"stranger"}
INNER, OUTER, ONLY_ROOT = {"root", "above", "owner"}, {"root", "above"}, {"root"}
AS_INSIDE = ["setpriv", f"--reuid={INSIDE}", f"--regid={NOBODY}", "--clear-groups"]
ITSELF = "its own process"
_ONE = "/v1/container"

# What is asked for, and who may: method, path, name, body.
CHANGES: dict[str, tuple[str, str, str | None, Any, set[str]]] = {
    "create in it": ("POST", "/v1/containers", None, {"name": "/top/mine/new", "task_limit": 9}, INNER),
    "create deep in it": ("POST", "/v1/containers", None, {"name": "/top/mine/a/b", "parents": True}, INNER),
    "rm below": ("DELETE", _ONE, "/top/mine/x", None, INNER),
    "rename below": ("POST", f"{_ONE}/rename", "/top/mine/x", {"to": "/top/mine/y"}, INNER),
    "limit below": ("POST", f"{_ONE}/limits", "/top/mine/x", {"task_limit": 5}, INNER),
    "set below": ("POST", f"{_ONE}/attributes", "/top/mine/x", {"attributes": {"task_limit": "5"}}, INNER),
    "notify below": ("POST", f"{_ONE}/notify", "/top/mine/x", {"notify_on_release": True}, INNER),
    "own below": ("POST", f"{_ONE}/owner", "/top/mine/x", {"owner": 60009}, INNER),
    "kill below": ("POST", f"{_ONE}/kill", "/top/mine/x", None, INNER),
    "attach below": ("POST", f"{_ONE}/tasks", "/top/mine/x", ITSELF, INNER),
    "attach": ("POST", f"{_ONE}/tasks", "/top/mine", ITSELF, INNER),
    "kill": ("POST", f"{_ONE}/kill", "/top/mine", None, INNER),
    "limit": ("POST", f"{_ONE}/limits", "/top/mine", {"task_limit": "max"}, OUTER),
    "set": ("POST", f"{_ONE}/attributes", "/top/mine", {"attributes": {"task_limit": "5"}}, OUTER),
    "notify": ("POST", f"{_ONE}/notify", "/top/mine", {"remove_on_release": True}, OUTER),
    "own": ("POST", f"{_ONE}/owner", "/top/mine", {"owner": 60009}, OUTER),
    "rename": ("POST", f"{_ONE}/rename", "/top/mine", {"to": "/top/yours"}, OUTER),
    "rm": ("DELETE", f"{_ONE}", "/top/mine&recursive=true", None, OUTER),
    "create beside": ("POST", "/v1/containers", None, {"name": "/top/new"}, OUTER),
    "create at the top": ("POST", "/v1/containers", None, {"name": "/new"}, ONLY_ROOT),
    "create in another": ("POST", "/v1/containers", None, {"name": "/other/new"}, ONLY_ROOT),
    "attach to another": ("POST", f"{_ONE}/tasks", "/other", ITSELF, ONLY_ROOT),
    "kill another": ("POST", f"{_ONE}/kill", "/other", None, ONLY_ROOT),
    "limit another": ("POST", f"{_ONE}/limits", "/other", {"task_limit": 5}, ONLY_ROOT),
    "limit above": ("POST", f"{_ONE}/limits", "/top", {"task_limit": 5}, ONLY_ROOT),
    "limit all": ("POST", f"{_ONE}/limits", "/", {"task_limit": "max"}, ONLY_ROOT),
    "notify all": ("POST", f"{_ONE}/notify", "/", {"notify_on_release": False}, ONLY_ROOT),
    "own all": ("POST", f"{_ONE}/owner", "/", {"owner": None}, ONLY_ROOT),
    "rm another": ("DELETE", _ONE, "/other", None, ONLY_ROOT),
}
READS = {
    "list": "/v1/containers",
    "show": f"{_ONE}?name=/other",
    "tasks": f"{_ONE}/tasks?name=/top",
    "top": "/v1/top",
    "names": "/v1/names",
    "events": "/v1/events",
    "subsystems": "/v1/subsystems",
    "task": "/v1/task?pid=1",
    "export": "/v1/export?name=/other",
    "audit": "/v1/audit?name=/other",
    "doctor": "/v1/doctor",
    "description": "/openapi.json",
}


@pytest.fixture
def made(agent: Agent) -> Iterator[Agent]:
    """/top of ABOVE, /top/mine of OWNER with two tasks, /top/mine/x and /other of nobody."""
    for name, owner in (("/top", ABOVE), ("/top/mine", OWNER), ("/top/mine/x", None), ("/other", None)):
        body = {"name": name, "owner": owner}
        assert agent.api.call("POST", "/v1/containers", body=body).status == 201
    with inside(agent.path("/top/mine"), SLEEP), inside(agent.path("/top/mine"), [*AS_INSIDE, *SLEEP]):
        yield agent


def asked(agent: Agent, who: str, method: str, target: str, body: Any = None) -> tuple[int, str]:
    """Status and code of a request; 0 when there is no way to ask."""

    def ask() -> Any:
        try:
            sent = {"pids": [os.getpid()]} if body == ITSELF else body
            answer = agent.api.call(method, target, body=sent)
        except PermissionError:
            return 0, "EACCES"
        return answer.status, "" if answer.status < 300 else answer.code()

    def enter() -> None:
        (agent.path("/top/mine") / cgroups.PROCS).write_text("0")

    before = enter if who == "inside" else lambda: None
    status, code = as_user(USERS[who], STRANGER if who == "stranger" else NOBODY, ask, before)
    return status, code


def state(agent: Agent) -> Any:
    """What nobody may change who may not."""
    keys = ("name", "cgroup", "id", "owner", "task_limit", "notify_on_release", "remove_on_release")
    documents = agent.api.call("GET", "/v1/containers").document
    tasks = agent.api.call("GET", f"{_ONE}/tasks?name=/top/mine").document
    return [{key: document[key] for key in keys} for document in documents], tasks


@pytest.mark.parametrize("what", CHANGES)
def test_changes(made: Agent, what: str) -> None:
    """Whoever may not is refused with EACCES, and nothing is different; then whoever may does it."""
    method, path, name, body, allowed = CHANGES[what]
    target = path + (f"?name={name}" if name else "")
    before = state(made)
    for who in sorted(set(USERS) - allowed):
        status, code = asked(made, who, method, target, body)
        assert (status, code) == (0 if who == "stranger" else 403, "EACCES"), who
        assert state(made) == before
    last = {"root": "root"}.get("".join(allowed), "owner" if "owner" in allowed else "above")
    status, code = asked(made, last, method, target, body)
    assert status < 300, (last, code)


@pytest.mark.parametrize("what", READS)
def test_reads(made: Agent, what: str) -> None:
    """Everybody who may use the socket."""
    for who in USERS:
        status, _ = asked(made, who, "GET", READS[what])
        assert status == (200 if who in READERS else 0), who


def test_each_that_may(made: Agent) -> None:
    """Root, the owner, and who owns a container that it is in, one after the other."""
    for who in ("root", "above", "owner"):
        new = {"name": f"/top/mine/{who}"}
        assert asked(made, who, "POST", "/v1/containers", new) == (201, "")
        assert asked(made, who, "POST", f"{_ONE}/limits?name=/top/mine/{who}", {"task_limit": 7}) == (200, "")
        assert asked(made, who, "POST", f"{_ONE}/tasks?name=/top/mine/{who}", ITSELF) == (200, "")
        assert asked(made, who, "DELETE", f"{_ONE}?name=/top/mine/{who}&recursive=true") == (200, "")


def test_tasks_of_others(made: Agent) -> None:
    """An owner takes in only his own, and takes them out of no container that is not his; nor may he be rid of his."""
    with running(SLEEP) as of_root, running(SLEEP, user=OWNER) as own, running(SLEEP, user=OWNER) as jailed:
        made.ctl("attach", "other", str(jailed.pid)).ok()
        as_owner: dict[str, Any] = {"uid": OWNER, "gid": NOBODY}
        assert "belongs to user 0" in made.ctl("attach", "top/mine", str(of_root.pid), **as_owner).refused()
        made.ctl("attach", "top/mine", str(own.pid), **as_owner).ok()
        made.ctl("attach", "top/mine/x", str(own.pid), **as_owner).ok()
        refused = made.ctl("attach", "top/mine", str(jailed.pid), **as_owner).refused("only root")
        assert "out of container /other" in refused
        made.ctl("detach", str(jailed.pid), **as_owner).refused("only root")
        made.ctl("detach", str(own.pid), **as_owner).refused("only root")
        made.ctl("detach", str(own.pid)).ok()


def test_an_owner_ends_all_that_is_inside(made: Agent) -> None:
    """Whosever tasks they are: root put them there."""
    with inside(made.path("/top/mine/x"), SLEEP) as of_root:
        made.ctl("rm", "--recursive", "top/mine/x", uid=OWNER, gid=NOBODY).ok()
        assert of_root.wait() != 0


def test_run_in_a_container_of_ones_own(made: Agent) -> None:
    """With the limits that the owner gives it."""
    line = ("run", "--name", "top/mine/job", "--task-limit", "5", "--", "sh", "-c", "exit 7")
    assert made.ctl(*line, uid=OWNER, gid=NOBODY).status == 7
    assert "only root" in made.ctl("run", "--", "true", uid=OWNER, gid=NOBODY).refused(status=125)


def test_the_command(agent: Agent) -> None:
    """By name or number, at creation or later; `none` takes it away."""
    agent.ctl("create", "a", "--owner", "nobody").ok()
    assert agent.show("/a")["owner"] == {"user": "nobody", "uid": NOBODY, "container": "/a"}
    assert "user nobody" in agent.ctl("show", "a").ok().out
    owner = agent.ctl("owner", "--json", "a", "60001").ok().json()["owner"]
    assert owner == {"user": "60001", "uid": 60001, "container": "/a"}
    agent.ctl("owner", "a", "none").ok()
    assert agent.show("/a")["owner"] is None
    agent.ctl("owner", "a", "no-such-user").refused("no user 'no-such-user'")
    agent.ctl("create", "b", "--owner", "no-such-user").refused("no user")
    agent.ctl("owner", "a", "4294967295").refused("no user's number")
    agent.ctl("owner", "none", "nobody").refused("no container /none")
    assert agent.names() == ["/a"]


def test_owners_outlive_the_agent(fresh: Agent) -> None:
    """And go with a container that is renamed, not to another that gets its name."""
    fresh.ctl("create", "a", "--owner", str(OWNER)).ok()
    fresh.ctl("create", "a/b").ok()
    fresh.ctl("rename", "a", "c").ok()
    fresh.create("/a")
    expected = {"user": str(OWNER), "uid": OWNER, "container": "/c"}
    for _ in range(2):
        assert fresh.show("/c")["owner"] == fresh.show("/c/b")["owner"] == expected
        assert fresh.show("/a")["owner"] is None
        fresh.restart()
    (fresh.root / "a" / "b").rmdir()
    (fresh.root / "a").rmdir()
    (fresh.root / "a").mkdir()
    fresh.ctl("ls").ok()
    assert all(document["owner"] is None for document in fresh.api.call("GET", "/v1/containers").document)
