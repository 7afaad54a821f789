# SPDX-License-Identifier: Apache-2.0
"""The shell session of Documentation/containers.txt (2006), in today's commands: make Charlie, go in, nest, leave."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tests.e2e.support import command
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import SLEEP, is_gone, running
from tests.e2e.support.waiting import until

SESSION = """
set -e
$ctl create Charlie
$ctl attach Charlie 0
$ctl which $$
cat /proc/self/cgroup > {folder}/inside
sleep 1000 > /dev/null 2>&1 &
echo $! > {folder}/background
$ctl tasks Charlie
$ctl create Charlie/Snoopy
$ctl attach Charlie/Snoopy $!
$ctl which $!
"""


def test_charlie(agent: Agent, tmp_path: Path) -> None:
    """A shell that goes into its container takes along what it starts from then on."""
    ctl = shlex.join(agent.ctl_line())
    done = command.run(["sh", "-c", f"ctl={shlex.quote(ctl)}\n" + SESSION.format(folder=tmp_path)]).ok()
    shell, *tasks, snoopy = done.out.splitlines()
    background = int((tmp_path / "background").read_text())
    try:
        number, name = shell.split()
        assert name == "/Charlie" and {number, str(background)} <= set(tasks)
        assert f"0::{agent.cgroup}/Charlie\n" in (tmp_path / "inside").read_text()
        assert snoopy == f"{background} /Charlie/Snoopy"
        assert agent.show("/Charlie")["num_tasks"] == 1 and agent.show("/Charlie")["local"]["num_tasks"] == 0
        agent.ctl("rm", "Charlie").refused("child container")
        agent.ctl("rm", "Charlie/Snoopy").refused("1 process")
    finally:
        os.kill(background, 9)
    until(lambda: is_gone(background), bool, "its end")
    # One pid at a time, as the file `tasks` took them
    with running(SLEEP) as first, running(SLEEP) as second:
        for task in (first, second):
            agent.ctl("attach", "Charlie", str(task.pid)).ok()
        assert agent.ctl("tasks", "Charlie", "--json").ok().json() == sorted([first.pid, second.pid])
    agent.ctl("rm", "Charlie/Snoopy").ok()
    agent.ctl("rm", "Charlie").ok()
    assert agent.names() == []
