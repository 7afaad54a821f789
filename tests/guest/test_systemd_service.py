# SPDX-License-Identifier: Apache-2.0
"""The agent as a service of systemd, from make install to make uninstall. It is started once for all of them."""

from __future__ import annotations

import grp
import os
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.e2e.support import command
from tests.e2e.support.command import NOBODY, STRANGER
from tests.e2e.support.processes import PYTHON, inside, is_gone
from tests.e2e.support.waiting import until
from tests.guest.support.installation import (
    AGENT,
    CONFIG,
    CONTAINERS,
    LOAD,
    PATIENCE_SECONDS,
    PINS,
    ROOT,
    at_rest,
    counters,
    ctl,
    drop_in,
    journal,
    main_pid,
    run,
    shown,
    traces,
    until_restarted,
    until_shown,
)

FORKS = "import os\nfor _ in range(23):\n os.waitpid(os.fork() or os._exit(0), 0)"
RELEASED = """#!/bin/sh
while read -r line; do echo "released $1 $line"; done < /proc/self/status
sleep 1
read -r line < /proc/self/oom_score_adj
echo "released $1 oom_score_adj $line"
"""
MOST_EXPOSURE = 20  # tenths
# linux/capability.h: DAC_OVERRIDE, DAC_READ_SEARCH, NET_ADMIN, SYS_NICE, PERFMON, BPF
CAPABILITIES = {1, 2, 12, 23, 38, 39}


def test_ready_when_it_is_started(before: dict[str, Any]) -> None:
    """`systemctl start` returned, so everything answers; and the agent has no right that it does not need."""
    assert shown(AGENT, "ActiveState") == "active" and "/run/containeragent/agent.sock" in shown(AGENT, "StatusText")
    assert ctl("show", "/")["num_tasks"] == 1  # what holds the cgroup
    status = dict(
        line.split(":\t") for line in Path(f"/proc/{main_pid()}/status").read_text().splitlines() if ":\t" in line
    )
    for kind in ("CapBnd", "CapEff", "CapPrm"):
        assert {bit for bit in range(64) if int(status[kind], 16) >> bit & 1} == CAPABILITIES
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and "0" not in status["Uid"].split()


def test_metrics_and_socket(before: dict[str, Any]) -> None:
    """On this host both answer; members of the service's group may use the socket, unless the configuration says no."""
    with urllib.request.urlopen("http://127.0.0.1:9917/metrics", timeout=60) as answer:
        assert b"containeragent_tasks{" in answer.read()
    group = grp.getgrnam("containeragent").gr_gid
    line = ["/usr/local/bin/containerctl", "ls"]
    assert "/" in command.run(line, uid=NOBODY, gid=group).ok().out
    assert "permission" in command.run(line, uid=NOBODY, gid=STRANGER).refused().lower()
    kept = CONFIG.read_text()
    try:
        CONFIG.write_text('socket_group = ""\n')
        run("systemctl", "restart", AGENT)
        assert "permission" in command.run(line, uid=NOBODY, gid=group).refused().lower()
    finally:
        CONFIG.write_text(kept)
        run("systemctl", "restart", AGENT)


def test_memory_is_protected(before: dict[str, Any]) -> None:
    """The slice passes on what the agent is given: without that a service's memory.min protects nothing."""
    for folder in (ROOT.parent, ROOT.parent / AGENT):
        assert int((folder / "memory.min").read_text()) >= 64 << 20
    assert Path(f"/proc/{main_pid()}/oom_score_adj").read_text() == "-900\n"


def test_exposure(before: dict[str, Any]) -> None:
    """As systemd judges it, at most 2.0."""
    for unit in (AGENT, LOAD):
        run("systemd-analyze", "--no-pager", "security", f"--threshold={MOST_EXPOSURE}", unit)


def test_restart(web: int) -> None:
    """Containers and what runs in them stay, the empty one too, and not one counter differs."""
    with inside(ROOT / "empty", [*PYTHON, FORKS]) as storm:
        assert storm.wait(PATIENCE_SECONDS) == 0
    saved, empty, pid = at_rest("/web"), at_rest("/empty"), main_pid()
    assert saved["num_tasks"] == 1 and empty["forks"] == 23
    run("systemctl", "restart", AGENT)
    assert main_pid() != pid and not is_gone(web)
    assert (counters("/web"), counters("/empty")) == (saved, empty)
    assert ctl("tasks", "/web") == [web]


def test_stopped_and_started(web: int) -> None:
    """Counting goes on meanwhile; the socket is gone meanwhile."""
    saved = at_rest("/web")
    run("systemctl", "stop", AGENT)
    assert shown(AGENT, "Result") == "success" and not Path("/run/containeragent").exists() and not is_gone(web)
    with inside(ROOT / "web", [*PYTHON, FORKS]) as storm:
        assert storm.wait(PATIENCE_SECONDS) == 0
    run("systemctl", "start", AGENT)
    after = at_rest("/web")
    assert (after["forks"], after["exits"]) == (saved["forks"] + 23, saved["exits"] + 24)
    assert after["num_anon_pages"] == saved["num_anon_pages"] and after["num_tasks"] == 1


def test_crash(web: int) -> None:
    """It is started again by itself."""
    saved, pid, restarts = at_rest("/web"), main_pid(), int(shown(AGENT, "NRestarts"))
    os.kill(pid, signal.SIGKILL)
    until_restarted(pid)
    assert int(shown(AGENT, "NRestarts")) == restarts + 1 and not is_gone(web)
    assert at_rest("/web") == saved


def test_watchdog(web: int) -> None:
    """A main loop that hangs is noticed, and the agent started again."""
    with drop_in(AGENT, "WatchdogSec=5s\nTimeoutAbortSec=1s"):
        run("systemctl", "restart", AGENT)
        pid = main_pid()
        os.kill(pid, signal.SIGSTOP)
        until_restarted(pid)
        told = run("journalctl", "--no-pager", "--output=cat", f"--unit={AGENT}").stdout
        assert "Watchdog timeout" in told and not is_gone(web)
    run("systemctl", "restart", AGENT)


def test_containers_are_held_anew(web: int) -> None:
    """Who ends the process that holds their cgroup ends no container; the agent starts anew too; limits hold."""
    ctl("limit", "web", "--task-limit", "64")
    assert (ROOT / "web/pids.max").read_text() == "64\n"
    pid, holder = main_pid(), int(shown(CONTAINERS, "MainPID"))
    os.kill(holder, signal.SIGKILL)
    until_restarted(pid)
    until(lambda: shown(CONTAINERS, "MainPID"), lambda now: now not in ("0", str(holder)), "a holder", PATIENCE_SECONDS)
    assert not is_gone(web) and ctl("tasks", "/web") == [web]
    until((ROOT / "web/pids.max").read_text, lambda text: text == "64\n", "the limit", PATIENCE_SECONDS)
    if not (ROOT / "empty").exists():  # systemd takes empty cgroups away with the unit that held them
        ctl("create", "empty")


def test_journal(before: dict[str, Any]) -> None:
    """Lines with the priority that they have, and no level in their words; a wrong setting is an error there."""
    kept = CONFIG.read_text()
    CONFIG.write_text("slots = 3\n")
    try:
        assert run("systemctl", "restart", AGENT, check=False).returncode != 0
        entries = journal(AGENT)
    finally:
        CONFIG.write_text(kept)
        run("systemctl", "restart", AGENT)
    refused = [entry for entry in entries if "slots = 3" in entry["MESSAGE"]]
    assert refused and all(entry["PRIORITY"] == "3" for entry in refused)
    starts = [entry for entry in entries if entry["MESSAGE"].endswith(" starts")]
    assert starts and all(entry["PRIORITY"] == "6" for entry in starts)
    assert not [entry for entry in entries if entry["MESSAGE"].startswith(("INFO", "<"))]


def test_subsystems(web: int) -> None:
    """One of another package, with no more rights than the agent's; the cpuset controller, which systemd delegates."""
    (packages,) = Path("/usr/local/lib/containeragent/lib").glob("python3*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-index", "--no-deps"]
    run(*install, "--target", str(packages), "examples/subsystem-door")
    run("systemctl", "restart", AGENT)
    try:
        ctl("set", "web", "door.open=no", "cpuset.cpus=1", "cpuset.mems=0")
        assert os.sched_getaffinity(web) == {1}
        ctl("detach", str(web))
        assert "is closed" in run("/usr/local/bin/containerctl", "attach", "web", str(web), check=False).stderr
        ctl("set", "web", "door.open=yes")
        ctl("attach", "web", str(web))
        found = ctl("show", "web")["attributes"]
        assert (found["door.came"], found["cpuset.effective_cpus"]) == (1, "1")
        assert ctl("tasks", "web") == [web]
    finally:
        run("make", "install")
        run("systemctl", "restart", AGENT)
    assert "door.open" not in ctl("show", "web")["attributes"]


def test_release_agent(web: int) -> None:
    """It is run as the agent's user with no capability, no way to one, and none of the agent's protection."""
    program, kept = Path("/usr/local/sbin/released"), CONFIG.read_text()
    program.write_text(RELEASED)
    program.chmod(0o755)
    try:
        CONFIG.write_text(f'release_agent = "{program}"\n')
        run("systemctl", "restart", AGENT)
        ctl("create", "web/job", "--notify-on-release")
        with inside(ROOT / "web/job", ["true"]) as job:
            job.wait()
        said = until(lambda: _words("released /web/job"), lambda found: "oom_score_adj" in found, "the program's end")
        # What it inherits (CapInh) is the unit's, and gives it nothing: no file gives rights after NoNewPrivs.
        assert {kind: said[kind] for kind in ("CapPrm:", "CapEff:", "CapAmb:")} == dict.fromkeys(
            ("CapPrm:", "CapEff:", "CapAmb:"), "0" * 16
        )
        assert (said["NoNewPrivs:"], said["oom_score_adj"]) == ("1", "0")
        assert "0" not in said["Uid:"].split()
    finally:
        CONFIG.write_text(kept)
        program.unlink()
        run("systemctl", "restart", AGENT)


def _words(beginning: str) -> dict[str, str]:
    """What is in the agent's journal behind these words: the first word of each line, and the rest of it."""
    entries = [
        entry["MESSAGE"].removeprefix(beginning).split(maxsplit=1)
        for entry in journal(AGENT)
        if entry["MESSAGE"].startswith(beginning)
    ]
    return {entry[0]: entry[1] for entry in entries if len(entry) == 2}


def test_after_an_upgrade(web: int) -> None:
    """`systemctl reload` exchanges the programs under the running agent, on the same counters."""
    saved, programs = at_rest("/web"), traces()["programs"]
    run("systemctl", "reload", LOAD)
    assert at_rest("/web") == saved and traces()["programs"] == programs


def test_boot(before: dict[str, Any]) -> None:
    """The target that a boot starts starts everything, in an order in which each finds what it needs."""
    run("systemctl", "stop", LOAD)  # the agent needs it, and is stopped with it
    run("systemctl", "stop", CONTAINERS)
    assert shown(AGENT, "ActiveState") == "inactive" and not PINS.exists() and not ROOT.exists()
    run("systemctl", "start", "multi-user.target")
    until_shown(AGENT, "ActiveState", "active")
    assert ctl("show", "/")["num_tasks"] == 1
    assert {LOAD, CONTAINERS} <= set(shown(AGENT, "After").split())
    assert "basic.target" not in shown(LOAD, "After").split()  # early
    run("systemd-analyze", "verify", "--man=no", AGENT, LOAD, CONTAINERS)


def test_uninstall_with_tasks(web: int) -> None:
    """They are someone's: refused, and everything goes on."""
    assert f": {web}" in run("make", "uninstall", check=False).stderr
    assert not is_gone(web) and ctl("tasks", "/web") == [web]


def test_uninstall(before: dict[str, Any]) -> None:
    """Nothing is left: no file, cgroup, pin, program, user or unit."""
    run("make", "uninstall")
    after = traces()
    for kind, found in before.items():
        assert after[kind] == found, kind
