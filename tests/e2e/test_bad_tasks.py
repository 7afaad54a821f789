# SPDX-License-Identifier: Apache-2.0
"""Task ids that are refused: one line that says why, and no task moved. Whose tasks may be moved by whom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.support import cgroups, command
from tests.e2e.support.agent import Agent
from tests.e2e.support.command import NOBODY
from tests.e2e.support.processes import SLEEP, inside, running, zombie

KERNEL_THREAD = "2"  # kthreadd


def refused(agent: Agent, code: str, *arguments: str, uid: int = 0) -> str:
    """The line of an attempt that must end in `code`."""
    result = agent.ctl("--json", *arguments, uid=uid)
    assert result.json()["error"]["code"] == code
    return result.refused()


def test_missing(agent: Agent) -> None:
    """An id that cannot be: ids end at pid_max."""
    agent.create("web")
    missing = Path("/proc/sys/kernel/pid_max").read_text().strip()
    for arguments in (("attach", "web", missing), ("detach", missing), ("which", missing)):
        assert f"no task {missing}" in refused(agent, "ESRCH", *arguments)


def test_zombie(agent: Agent) -> None:
    """It has ended, so it can be in no container."""
    agent.create("web")
    with zombie() as pid:
        assert "zombie" in refused(agent, "ESRCH", "attach", "web", str(pid))
        assert "zombie" in refused(agent, "ESRCH", "detach", str(pid))


def test_kernel_thread(agent: Agent) -> None:
    """The kernel would take some of them."""
    agent.create("web")
    assert "kernel thread" in refused(agent, "EINVAL", "attach", "web", KERNEL_THREAD)
    assert "kernel thread" in refused(agent, "EINVAL", "detach", KERNEL_THREAD)
    assert cgroups.path_of(2) == "/"


@pytest.mark.parametrize("pid", ["-1", "-5", "text", "1.5", "", "1_0", " 7", "٣", "99999999999", "2147483648"])
def test_no_number(agent: Agent, pid: str) -> None:
    """Wrong usage: the agent is not even asked."""
    agent.create("web")
    for arguments in (["attach", "--", "web", pid], ["detach", "--", pid], ["which", "--", pid]):
        agent.ctl(*arguments).refused("is not a task's id", status=2)


@pytest.mark.parametrize("pids", [[], None, "1", [True], [1.5], ["1"], [None], [1 << 31], [-(1 << 31)], [[1]], {}])
def test_the_api_refuses_what_is_no_list_of_ids(agent: Agent, pids: object) -> None:
    """Other types of JSON."""
    agent.create("web")
    assert agent.api.call("POST", "/v1/container/tasks", {"name": "/web"}, {"pids": pids}).code() == "EINVAL"
    assert agent.api.call("POST", "/v1/detach", body={"pids": pids}).code() == "EINVAL"


def test_the_api_refuses_negative_ids(agent: Agent) -> None:
    """To the kernel they would be something else."""
    agent.create("web")
    assert agent.api.call("POST", "/v1/container/tasks", {"name": "/web"}, {"pids": [-1]}).code() == "EINVAL"
    assert agent.api.call("POST", "/v1/detach", body={"pids": [-1]}).code() == "EINVAL"


@pytest.mark.parametrize("pid", ["-1", "0", "--5", "-", "+1", "1e3", "", "9" * 30, "²", "x"])
def test_the_api_refuses_which_of_no_id(agent: Agent, pid: str) -> None:
    """Whatever stands in the query."""
    assert agent.api.call("GET", "/v1/task", {"pid": pid}).code() == "EINVAL"


def test_what_is_in_no_container_is_not_detached(agent: Agent) -> None:
    """Neither from elsewhere nor from the root."""
    with running(SLEEP) as sleeper:
        assert "in no container" in refused(agent, "EINVAL", "detach", str(sleeper.pid))
        assert cgroups.path_of(sleeper.pid) == cgroups.path_of(os.getpid())


def test_an_error_in_the_middle_says_what_was_done(agent: Agent) -> None:
    """The first is attached, and named; the third is left."""
    agent.create("web")
    with running(SLEEP) as first, running(SLEEP) as third:
        line = refused(agent, "EINVAL", "attach", "web", str(first.pid), KERNEL_THREAD, str(third.pid))
        assert f"attached before: {first.pid}" in line and str(third.pid) not in line
        assert agent.ctl("tasks", "--json", "web").json() == [first.pid]


def test_another_users(agent: Agent) -> None:
    """Only root's own commands move root's processes."""
    with running(SLEEP) as outside, inside(agent.create("web"), SLEEP) as sleeper:
        assert "belongs to user 0" in refused(agent, "EACCES", "attach", "web", str(outside.pid), uid=NOBODY)
        assert "belongs to user 0" in refused(agent, "EACCES", "detach", str(sleeper.pid), uid=NOBODY)
        assert cgroups.path_of(sleeper.pid) == f"{agent.cgroup}/web"
        assert cgroups.path_of(outside.pid) == cgroups.path_of(os.getpid())


def test_ones_own(agent: Agent) -> None:
    """A user moves processes of its own into a container of its own; and root moves them too."""
    agent.create("web")
    agent.ctl("owner", "web", "nobody").ok()
    with running(SLEEP, user=NOBODY, group=NOBODY, extra_groups=[]) as sleeper:
        pid = str(sleeper.pid)
        agent.ctl("attach", "web", pid, uid=NOBODY).ok()
        assert agent.ctl("which", pid, uid=NOBODY).ok().out == f"{pid} /web\n"
        agent.ctl("detach", pid).ok()
        agent.ctl("attach", "web", pid).ok()
        assert cgroups.path_of(sleeper.pid) == f"{agent.cgroup}/web"


def test_ones_own_shell(agent: Agent) -> None:
    """0, as another user."""
    agent.ctl("create", "web", "--owner", "nobody").ok()
    script = f"{' '.join(agent.ctl_line('attach', 'web', '0'))} && cat /proc/self/cgroup; exit $?"
    assert f"0::{agent.cgroup}/web\n" in command.run(["sh", "-c", script], uid=NOBODY).ok().out


def test_no_leaf_is_left_where_the_kernel_takes_no_task(agent: Agent) -> None:
    """Below a threaded cgroup a new one is no valid domain (cgroups(7)): refused in one line, as before afterwards."""
    agent.create("t")
    (agent.create("t/c") / "cgroup.type").write_text("threaded")
    folder = agent.create("t/c/d")
    assert (folder / "cgroup.type").read_text() == "domain invalid\n"
    with running(SLEEP) as sleeper:
        agent.ctl("attach", "t/c/d", str(sleeper.pid)).refused("was not attached")
        assert cgroups.path_of(sleeper.pid) == cgroups.path_of(os.getpid())
    assert cgroups.folders(folder) == []
