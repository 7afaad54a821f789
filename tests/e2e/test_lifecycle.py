# SPDX-License-Identifier: Apache-2.0
"""A container's life as a user sees it: create, ls, show, attach, which, tasks, detach, rm, with and without --json."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from containeragent.cgroups.names import LEAF
from containeragent.cgroups.root import MOST_LEVELS
from tests.e2e.support import cgroups, command
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, SLEEP, inside, running
from tests.e2e.support.waiting import until

SHOWN = (
    "name cgroup id managed workload state page_size engine limit_mode notify_on_release remove_on_release "
    "partial_pages num_tasks num_anon_pages num_file_pages num_shmem_pages num_mapped_pages num_active_pages num_files "
    "task_limit page_limit "
    "task_limit_hits page_limit_hits peak_tasks peak_pages forks exits throttled_seconds kill_after_seconds dry_run "
    "local attributes owner page_faults"
).split()
# No limit, or unknown on some host
UNKNOWN = set(
    "num_mapped_pages num_active_pages num_files task_limit page_limit kill_after_seconds workload owner "
    "page_faults".split()
)
THREADS = "import threading\nfor _ in range(6): threading.Thread(target=threading.Event().wait).start()"


def test_a_life_in_text(agent: Agent) -> None:
    """What succeeds says nothing but what was asked for."""
    assert agent.ctl("create", "web").ok() == agent.ctl("create", "/web/db").ok()
    assert cgroups.folders(agent.root) == ["web", "web/db"]
    with running(SLEEP) as sleeper:
        pid = str(sleeper.pid)
        assert agent.ctl("attach", "web/db", pid).ok().out == ""
        assert cgroups.path_of(sleeper.pid) == f"{agent.cgroup}/web/db"
        assert agent.ctl("which", pid).ok().out == f"{pid} /web/db\n"
        assert agent.ctl("tasks", "web").ok().out == f"{pid}\n"
        agent.ctl("detach", pid).ok()
        assert cgroups.path_of(sleeper.pid).removesuffix("/" + LEAF) == agent.cgroup
        assert agent.ctl("which", pid).ok().out == f"{pid} /\n"
    assert agent.ctl("rm", "web/db").ok() == agent.ctl("rm", "/web").ok()
    assert cgroups.containers(agent.root) == []


def test_a_life_in_json(agent: Agent) -> None:
    """One document each."""
    made = agent.ctl("--json", "create", "--parents", "shop/web").ok().json()
    assert made["name"] == "/shop/web" and made["num_tasks"] == 0
    with running(SLEEP) as sleeper:
        pid = sleeper.pid
        assert agent.ctl("attach", "--json", "shop/web", str(pid)).ok().json() == {"attached": [pid]}
        place = {"pid": pid, "name": "/shop/web", "cgroup": f"{agent.cgroup}/shop/web"}
        assert agent.ctl("which", "--json", str(pid)).ok().json() == place
        assert agent.ctl("tasks", "--json", "shop").ok().json() == [pid]
        assert [found["num_tasks"] for found in agent.ctl("ls", "--json").ok().json()] == [1, 1, 1]
        assert agent.ctl("detach", "--json", str(pid)).ok().json() == {"detached": [pid]}
    assert agent.ctl("rm", "--json", "--recursive", "shop").ok().json() == {"removed": ["/shop/web", "/shop"]}


def test_show_has_every_counter(agent: Agent) -> None:
    """Those that this version does not keep are null, not 0; text and JSON have the same keys."""
    folder = agent.create("web")
    shown = agent.ctl("show", "--json", "web").ok().json()
    assert sorted(shown) == sorted(SHOWN)
    assert {key for key, value in shown.items() if value is None} <= UNKNOWN
    assert shown["id"] == folder.stat().st_ino and shown["cgroup"] == f"{agent.cgroup}/web"
    lines = agent.ctl("show", "web").ok().out.splitlines()
    assert {line.split("  ")[0].strip() for line in lines} >= set(SHOWN) - {"local", "attributes"}


def test_ls_has_managed_containers_and_all_has_every_cgroup(agent: Agent) -> None:
    """Sorted by path; --all tells them apart."""
    for name in ("b", "a", "a/x"):
        agent.create(name)
    assert [one["name"] for one in agent.ctl("ls", "--json").ok().json()] == ["/", "/a", "/a/x", "/b"]
    assert [line.split()[0] for line in agent.ctl("ls").ok().out.splitlines()] == ["NAME", "/", "/a", "/a/x", "/b"]
    everything = agent.ctl("ls", "--all", "--json").ok().json()
    assert [one["cgroup"] for one in everything] == sorted(one["cgroup"] for one in everything)
    assert {one["cgroup"]: one["managed"] for one in everything}["/"] is False
    assert {one["cgroup"]: one["managed"] for one in everything}[f"{agent.cgroup}/a/x"] is True


def test_numbers_cover_what_is_below_and_local_does_not(agent: Agent) -> None:
    """As pids.current does."""
    agent.create("web")
    with inside(agent.create("web/db"), SLEEP), running(SLEEP) as other:
        agent.ctl("attach", "web", str(other.pid)).ok()
        web = until(lambda: agent.show("/web"), lambda shown: shown["num_tasks"] == 2, "two tasks")
        assert web["local"]["num_tasks"] == 1 and web["local"]["num_anon_pages"] < web["num_anon_pages"]


def test_a_process_moves_with_all_its_threads(agent: Agent) -> None:
    """Whichever of its thread ids is named; tasks are threads, sorted."""
    agent.create("web")
    with running([*PYTHON, THREADS]) as process:
        folder = f"/proc/{process.pid}/task"
        threads = until(lambda: sorted(map(int, os.listdir(folder))), lambda ids: len(ids) == 7, "seven threads")
        agent.ctl("attach", "web", str(threads[-1])).ok()
        assert agent.ctl("tasks", "--json", "web").ok().json() == threads
        assert agent.show("/web")["num_tasks"] == 7
        assert agent.ctl("which", "--json", str(threads[3])).ok().json()["name"] == "/web"


def test_0_is_the_shell_that_calls(agent: Agent) -> None:
    """attach, which and detach of the caller; everything it starts afterwards is in the container too."""
    agent.create("web")
    ctl = " ".join(agent.ctl_line())
    script = f"{ctl} attach web 0 && {ctl} which 0 && cat /proc/self/cgroup && {ctl} detach 0 && {ctl} which 0; exit $?"
    lines = command.run(["sh", "-c", script]).ok().out.splitlines()
    pid = lines[0].split()[0]
    assert lines[0] == f"{pid} /web" and f"0::{agent.cgroup}/web" in lines and lines[-1] == f"{pid} /"


def test_no_move_only_refuses_what_is_in_another_container(agent: Agent) -> None:
    """From nowhere, and into its own container again, it goes."""
    agent.create("a")
    agent.create("b")
    with running(SLEEP) as sleeper:
        pid = str(sleeper.pid)
        agent.ctl("attach", "--no-move", "a", pid).ok()
        agent.ctl("attach", "--no-move", "a", pid).ok()
        agent.ctl("attach", "--no-move", "b", pid).refused("is in container /a already")
        assert cgroups.path_of(sleeper.pid) == f"{agent.cgroup}/a"
        agent.ctl("attach", "b", pid).ok()
        assert cgroups.path_of(sleeper.pid) == f"{agent.cgroup}/b"


def test_recursive_rm_kills_tasks_and_removes_children(agent: Agent) -> None:
    """Deepest first; without --recursive nothing happens."""
    agent.create("web")
    with inside(agent.create("web/db"), SLEEP) as sleeper:
        agent.ctl("rm", "web").refused("1 child container", "--recursive")
        agent.ctl("rm", "web/db").refused("1 process", "--recursive")
        assert sleeper.poll() is None and cgroups.folders(agent.root) == ["web", "web/db"]
        agent.ctl("rm", "web", "--recursive").ok()
        assert sleeper.wait(30) == -9 and cgroups.folders(agent.root) == []


def test_a_name_is_made_again_with_counters_at_zero(agent: Agent) -> None:
    """A new container inherits nothing of one that had its name."""
    for _ in range(3):
        with inside(agent.create("web"), [*PYTHON, "import os; os.wait() if os.fork() else None"]) as process:
            process.wait(30)
        shown = until(lambda: agent.show("/web"), lambda found: found["num_tasks"] == 0, "no task")
        assert (shown["forks"], shown["exits"], shown["peak_tasks"]) == (1, 2, 2)
        agent.ctl("rm", "web").ok()


def test_doctor(agent: Agent) -> None:
    """Every check has an answer, and a hint where that is no."""
    found = agent.ctl("doctor", "--json").ok().json()
    assert {check["status"] for check in found["checks"]} <= {"yes", "no", "unknown"}
    assert all(check["hint"] for check in found["checks"] if check["status"] == "no")
    assert found["slots"]["size"] == 16384 and found["slots"]["exhausted"] == 0 and found["lost"]["tasks"] == 0
    assert "yes" in agent.ctl("doctor").ok().out


def test_many_at_once_keep_their_own_numbers(agent: Agent) -> None:
    """Forks of containers that run at the same time do not mix."""
    script = "import os, sys\nfor _ in range(int(sys.argv[1])):\n os.waitpid(os.fork() or os._exit(0), 0)"
    wanted = {f"/c{number}": number for number in (23, 47, 101)}

    def work(name: str, forks: int) -> None:
        with inside(agent.create(name), [*PYTHON, script, str(forks)]) as process:
            assert process.wait(60) == 0

    threads = [threading.Thread(target=work, args=pair) for pair in wanted.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: agent.show(name)["forks"] for name in wanted} == wanted
    assert {name: agent.show(name)["exits"] for name in wanted} == {name: forks + 1 for name, forks in wanted.items()}


def test_nested_as_deep_as_can_be(fresh: Agent) -> None:
    """Whoever owns a container may nest cgroups in it; the kernel ends that before nobody can end or remove it."""
    at, depth = os.open(fresh.create("web"), os.O_RDONLY), 1
    with pytest.raises(BlockingIOError):  # EAGAIN, of cgroup.max.depth
        while depth < 2000:
            os.mkdir("d", dir_fd=at)
            below = os.open("d", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at, depth = below, depth + 1
    assert depth == MOST_LEVELS
    with running(SLEEP) as sleeper:
        procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=at)
        os.write(procs, str(sleeper.pid).encode())
        os.close(procs)
        os.close(at)
        fresh.restart()
        assert fresh.ctl("tasks", "web").ok().out.split()[-1] == str(sleeper.pid)
        fresh.ctl("audit", "web").ok()
        fresh.ctl("rm", "web", "--recursive").ok()
        assert sleeper.wait(60) == -signal.SIGKILL
    assert fresh.names() == []
