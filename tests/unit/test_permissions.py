# SPDX-License-Identifier: Apache-2.0
"""Who may do what, through the API's own routes: no change comes around the one place that decides."""

from __future__ import annotations

import io
import json
import os
from typing import Any

import pytest

from containeragent.api.application import Application
from containeragent.cgroups import occupancy
from containeragent.cgroups.occupancy import Occupancy
from containeragent.containers.caller import Caller
from containeragent.containers.lifecycle import New
from containeragent.containers.permissions import RULES
from tests.unit.test_service import ROOT, Service, code

OWNER, ABOVE, MEMBER = (Caller(os.getpid(), uid) for uid in (1001, 1002, 1003))
EVERYBODY_ABOVE, EVERYBODY_INSIDE = {0, ABOVE.uid}, {0, ABOVE.uid, OWNER.uid}
TASK = 9  # one of each caller's

# Every change that can be asked for of /top/mine, with who may.
CHANGES: dict[tuple[str, str], tuple[Any, set[int]]] = {
    ("DELETE", "/v1/container"): (None, EVERYBODY_ABOVE),
    ("POST", "/v1/containers"): ({"name": "/top/mine/new"}, EVERYBODY_INSIDE),
    ("POST", "/v1/container/tasks"): ({"pids": [TASK]}, EVERYBODY_INSIDE),
    ("POST", "/v1/container/limits"): ({"task_limit": 9}, EVERYBODY_ABOVE),
    ("POST", "/v1/container/attributes"): ({"attributes": {"task_limit": "9"}}, EVERYBODY_ABOVE),
    ("POST", "/v1/container/rename"): ({"to": "/top/other"}, EVERYBODY_ABOVE),
    ("POST", "/v1/container/notify"): ({"notify_on_release": False}, EVERYBODY_ABOVE),
    ("POST", "/v1/container/owner"): ({"owner": 1009}, EVERYBODY_ABOVE),
    ("POST", "/v1/container/kill"): (None, EVERYBODY_INSIDE),
    ("POST", "/v1/detach"): ({"pids": [TASK]}, {0}),
}

# They come with an open file: tests/unit/test_files.py.
FILES = {("POST", "/v1/container/files"), ("DELETE", "/v1/container/files")}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Service:
    """/top is ABOVE's, /top/mine is OWNER's and has a task of each user."""
    made = Service(monkeypatch)
    monkeypatch.setattr(occupancy, "look", lambda _: Occupancy(populated=False, has_children=False))
    made.lifecycle.create("/top", New(owner=ABOVE.uid), ROOT)
    made.lifecycle.create("/top/mine", New(owner=OWNER.uid), ROOT)
    made.cgroup = "/root/top/mine"
    return made


def asked(made: Service, method: str, path: str, body: Any, caller: Caller) -> tuple[int, Any]:
    """Status and document of a request about /top/mine."""
    made.task(TASK, uids=(caller.uid, caller.uid, caller.uid))
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "name=/top/mine",
        "wsgi.input": io.BytesIO(b"" if body is None else json.dumps(body).encode()),
        "X_REMOTE_PID": str(caller.pid),
        "X_REMOTE_UID": str(caller.uid),
    }
    started: list[Any] = []
    answer = Application(made.containers, dict)(environ, lambda *arguments: started.extend(arguments))
    assert isinstance(answer, list)
    return int(started[0].split()[0]), json.loads(answer[0])


def test_every_change_has_its_line_here(made: Service) -> None:
    """What is not a GET changes something."""
    routes = Application(made.containers, dict)._routes
    assert {route for route in routes if route[0] != "GET"} == set(CHANGES) | FILES
    assert len(RULES) == len(CHANGES) + 1


@pytest.mark.parametrize("caller", [ROOT, ABOVE, OWNER, MEMBER], ids=["root", "above", "owner", "member"])
@pytest.mark.parametrize("route", CHANGES, ids=" ".join)
def test_changes(made: Service, route: tuple[str, str], caller: Caller) -> None:
    """Refused with EACCES, and nothing is different then."""
    body, allowed = CHANGES[route]
    before = dict(made.tree.ids), [*made.documents.all(False)], list(made.keeper.asked), list(made.tree.attached)
    status, document = asked(made, *route, body, caller)
    if caller.uid in allowed:
        assert status < 300, document
        return
    assert (status, document["error"]["code"]) == (403, "EACCES") and "only root" in document["error"]["message"]
    after = dict(made.tree.ids), [*made.documents.all(False)], list(made.keeper.asked), list(made.tree.attached)
    assert after == before


def test_who_may_is_said(made: Service) -> None:
    """Root's own containers are not said to be root's twice."""
    _, document = asked(made, "POST", "/v1/container/limits", {"task_limit": 9}, MEMBER)
    why = "use sudo, or ask root for a container of your own (create --owner)"
    message = f"only root and user 1002 may change limits of container /top/mine; {why}"
    assert document["error"]["message"] == message
    made.settings.own("/top", 0, ROOT)
    _, document = asked(made, "POST", "/v1/container/limits", {"task_limit": 9}, MEMBER)
    assert document["error"]["message"] == message.replace(" and user 1002", "")


@pytest.mark.parametrize(
    "route, what",
    {
        ("DELETE", "/v1/container"): "remove container /top/mine",
        ("POST", "/v1/containers"): "create container /top/mine/new",
        ("POST", "/v1/container/tasks"): "move tasks into container /top/mine",
        ("POST", "/v1/container/limits"): "change limits of container /top/mine",
        ("POST", "/v1/container/attributes"): "set attributes of container /top/mine",
        ("POST", "/v1/container/rename"): "rename container /top/mine",
        ("POST", "/v1/container/notify"): "change what happens at the release of container /top/mine",
        ("POST", "/v1/container/owner"): "give away container /top/mine",
        ("POST", "/v1/container/kill"): "end the tasks of container /top/mine",
        ("POST", "/v1/detach"): "move tasks into container /;",
    }.items(),
)
def test_what_they_may_not_is_said(made: Service, route: tuple[str, str], what: str) -> None:
    """In words of its own for every operation."""
    _, document = asked(made, *route, CHANGES[route][0], MEMBER)
    assert f" may {what}" in document["error"]["message"]


def test_who_owns_all(made: Service) -> None:
    """Everything in the cgroup root is theirs, but not what root gave it."""
    made.settings.own("/", MEMBER.uid, ROOT)
    made.lifecycle.create("/x", New(), MEMBER)
    made.settings.limit("/x", {"task_limit": 9}, MEMBER)
    assert code(made.settings.limit, "/", {"task_limit": 9}, MEMBER) == "EACCES"


def test_who_owns_nothing_there_takes_no_task_out(made: Service) -> None:
    """What limits those that root put there, holds them; from above it and from outside, tasks may come."""
    made.lifecycle.create("/jail", New(), ROOT)
    for cgroup, status in (("/root/jail", 403), ("/root", 200), ("/root/top", 200), ("/user.slice", 200)):
        made.cgroup = cgroup
        found, document = asked(made, "POST", "/v1/container/tasks", {"pids": [TASK]}, OWNER)
        assert found == status, document
        assert found == 200 or "may move tasks out of container /jail" in document["error"]["message"]


def test_whose_it_is(made: Service) -> None:
    """The nearest owner upwards; not that of another which had its name before."""
    made.lifecycle.create("/top/mine/a", New(), ROOT)
    assert made.documents.show("/top/mine/a")["owner"] == {"user": "1001", "uid": 1001, "container": "/top/mine"}
    assert made.documents.show("/top")["owner"]["uid"] == ABOVE.uid and made.documents.show("/")["owner"] is None
    made.settings.own("/top/mine", None, ROOT)
    assert made.documents.show("/top/mine/a")["owner"]["container"] == "/top"
    made.lifecycle.remove("/top", True, ROOT)
    made.lifecycle.create("/top", New(), ROOT)
    assert made.documents.show("/top")["owner"] is None
    assert asked(made, "POST", "/v1/containers", {"name": "/top/x"}, ABOVE)[0] == 403
