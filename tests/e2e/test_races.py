# SPDX-License-Identifier: Apache-2.0
"""Directories that go and come back between a look and the use of what was seen, by who owns the place (cgroups(7),
delegation): nothing else is ever touched, and what one had is not what the next one of its name has."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, SLEEP, running

OWNER = 60001
ROUNDS = 23
# Until it is killed.
CHURN = """
import contextlib, os, sys
os.chdir(sys.argv[1])
while True:
    for call, name in ((os.mkdir, "x"), (os.mkdir, "x/y"), (os.rmdir, "x/y"), (os.rmdir, "x")):
        with contextlib.suppress(OSError): call(name)
"""
_ONE = "/v1/container"
CALLS: dict[str, tuple[str, str, Any]] = {
    "limit": ("POST", f"{_ONE}/limits?name=/mine/x", {"task_limit": 5, "page_limit": "16M"}),
    "notify": ("POST", f"{_ONE}/notify?name=/mine/x", {"notify_on_release": True, "remove_on_release": True}),
    "own": ("POST", f"{_ONE}/owner?name=/mine/x", {"owner": OWNER}),
    "rename": ("POST", f"{_ONE}/rename?name=/mine/x", {"to": "/mine/z"}),
    "rename back": ("POST", f"{_ONE}/rename?name=/mine/z", {"to": "/mine/x"}),
    "create below": ("POST", "/v1/containers", {"name": "/mine/x/y", "task_limit": 7}),
    "show": ("GET", f"{_ONE}?name=/mine/x", None),
    "kill": ("POST", f"{_ONE}/kill?name=/mine/x", {}),
    "rm": ("DELETE", f"{_ONE}?name=/mine/x&recursive=true", None),
    "list": ("GET", "/v1/containers", None),
}
_KEPT = ("name", "cgroup", "id", "owner", "task_limit", "page_limit", "notify_on_release", "remove_on_release")


@pytest.fixture
def hostile(agent: Agent) -> Iterator[Agent]:
    """/mine is delegated to a user who churns in it; /other is none of his business."""
    folder = agent.create("/mine")
    for place in (folder, folder / cgroups.PROCS, folder / "cgroup.subtree_control"):
        os.chown(place, OWNER, OWNER)
    agent.create("/other")
    agent.ctl("limit", "other", "--task-limit", "11").ok()
    with running([*PYTHON, CHURN, str(folder)], user=OWNER, group=OWNER, extra_groups=[]):
        yield agent


def _state(agent: Agent) -> Any:
    """Of what nobody may touch."""
    return [{key: agent.show(name)[key] for key in _KEPT} for name in ("/", "/mine", "/other")]


def test_calls(hostile: Agent) -> None:
    """Each is done or refused in one line. Then a new directory has nothing of those that had its name."""
    before, seen = _state(hostile), Counter[tuple[int, str]]()
    for _, (method, path, body) in itertools.product(range(ROUNDS), CALLS.values()):
        answer = hostile.api.call(method, path, body=body)
        seen[answer.status, answer.code() if answer.status >= 300 else ""] += 1
    assert {status for status, _ in seen} <= {200, 201, 404, 409, 410}, seen
    assert {code for _, code in seen} <= {"", "ENOENT", "EEXIST", "EBUSY", "ENODEV"}, seen
    assert seen[404, "ENOENT"] and seen[200, ""], seen
    assert _state(hostile) == before and "Traceback" not in hostile.log.read_text()


def test_what_is_kept_goes_with_it(hostile: Agent) -> None:
    """Limits, flags, owners and names: of the directory that had them, and of no other."""
    for _, (method, path, body) in itertools.product(range(ROUNDS), list(CALLS.values())[:5]):
        hostile.api.call(method, path, body=body)
    (hostile.path("/mine") / "cgroup.max.descendants").write_text("0")  # the churn makes nothing more
    cgroups.empty(hostile.path("/mine"))
    (hostile.path("/mine") / "cgroup.max.descendants").write_text("max")
    hostile.path("/other").joinpath("x").mkdir()
    with contextlib.suppress(FileExistsError):
        hostile.path("/mine").joinpath("x").mkdir()
    shown, fresh = hostile.show("/mine/x"), hostile.show("/other/x")
    for key in ("owner", "task_limit", "page_limit", "notify_on_release", "remove_on_release"):
        assert shown[key] == fresh[key] or (key == "owner" and shown[key] is None), key


def test_attached_tasks_stay_below(hostile: Agent) -> None:
    """A task is where it was, or in what is below the place."""
    with running(SLEEP) as task:
        for _ in range(ROUNDS):
            answer = hostile.api.call("POST", f"{_ONE}/tasks?name=/mine/x", body={"pids": [task.pid]})
            assert answer.status in (200, 404, 410), answer
            if answer.status == 200:
                assert cgroups.path_of(task.pid).startswith(f"{hostile.cgroup}/mine/x")
                hostile.ctl("detach", str(task.pid)).ok()
        assert cgroups.path_of(task.pid) != f"{hostile.cgroup}/other"
