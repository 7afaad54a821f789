# SPDX-License-Identifier: Apache-2.0
"""No room in the folders that the agent writes to: it goes on, and nothing is half written afterwards."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.e2e.conftest import MakeAgent
from tests.e2e.support import command
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import PYTHON, inside
from tests.e2e.support.waiting import until
from tests.kernel.support import own_mounts

FORKS = "import os\nfor _ in range(23):\n os.waitpid(os.fork() or os._exit(0), 0)"
# A file system of 64 KiB that only this process and its children see; stdout and stderr go there as well.
ON_SMALL = 'mount -t tmpfs -o size=64k,nr_inodes=8 small "$0" && exec env TMPDIR="$0" "$@" > "$0/log" 2>&1'
FULL_SOCKET = 'mount -t tmpfs -o size=64k,nr_inodes=1 small "$0" && exec "$@"'


def _within(folder: Path, script: str, shell: str = "sh") -> tuple[str, ...]:
    folder.mkdir(exist_ok=True)
    return own_mounts.within(script, str(folder), shell=shell)


def _fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError as error:
            assert os.strerror(error.errno or 0) == "No space left on device"


def test_no_room_for_the_log(make_agent: MakeAgent) -> None:
    """Counting, changes and answers go on. With room again every line of the log is a whole one."""
    agent = make_agent()
    agent.within = _within(small := agent.folder / "small", ON_SMALL)
    agent.start()
    seen = Path(f"/proc/{agent.pid}/root", *small.parts[1:])
    _fill(seen)
    before = (seen / "log").stat().st_size
    for number in range(100):  # each has a line
        agent.create("a" * 99 + str(number))
    with inside(agent.create("web"), [*PYTHON, FORKS]) as forks:
        assert forks.wait(60) == 0
    agent.ctl("limit", "web", "--task-limit", "7").ok()
    shown = agent.show("/web")
    assert (shown["forks"], shown["task_limit"]) == (23, 7) and "containeragent_tasks" in scrape(agent.address)[0]
    assert (seen / "log").stat().st_size < before + 4096
    (seen / "filler").unlink()
    (agent.bpffs / "live" / "links" / "cgroup_mkdir").unlink()
    text = until((seen / "log").read_text, lambda text: "put back" in text, "lines again", 60)
    (told,) = (line for line in text.splitlines() if "could not be written when they came" in line)
    assert re.fullmatch(r"WARNING [0-9]+ lines of this log .*: No space left on device", told)
    torn = [line for line in text.splitlines() if line and not re.match(r"(INFO|WARNING|ERROR) \S", line)]
    assert len(torn) <= 1 and all("INFO".startswith(line) for line in torn), torn


def test_no_room_to_load(make_agent: MakeAgent) -> None:
    """The compiler needs none."""
    agent = make_agent().start()
    small = agent.folder / "small"
    filled = 'dd if=/dev/zero of="$0/filler" 2> /dev/null || :; touch "$0/"{1..9} 2> /dev/null || :; exec env'
    script = ON_SMALL.replace("exec env", filled)
    line = command.module("containeragent", "load", "--replace", "--bpffs", str(agent.bpffs))
    script = script.replace(' > "$0/log" 2>&1', "")
    command.run([*_within(small, script, "bash"), *line]).ok()
    until(lambda: "programs were replaced" in agent.log.read_text(), bool, "the agent follows")


def test_no_room_for_the_socket(make_agent: MakeAgent) -> None:
    """Refused in one line; counters that were there are there when there is room."""
    agent = make_agent().start()
    with inside(agent.create("web"), [*PYTHON, FORKS]) as forks:
        assert forks.wait(60) == 0
    agent.end()
    _refused(agent)
    agent.start()
    assert agent.show("/web")["forks"] == 23


def _refused(agent: Agent) -> None:
    small = agent.folder / "small"
    options = [word if word != str(agent.socket) else str(small / "agent.sock") for word in agent.run_options()]
    line = [*_within(small, FULL_SOCKET), *command.module("containeragent", "run", *options)]
    done = subprocess.run(
        line, capture_output=True, text=True, env=command.environment(), cwd="/", timeout=120, check=False
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "agent.sock" in done.stderr.splitlines()[-1] and "no space left on device" in done.stderr.splitlines()[-1]
