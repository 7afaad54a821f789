# SPDX-License-Identifier: Apache-2.0
"""Names that would command a terminal, forge a line of a log, or add a label: every output shows them, none obeys."""

from __future__ import annotations

import os
import re
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import PYTHON, inside
from tests.e2e.support.waiting import until

CGROUP = '\x1b[31m\x07"} 7\r\t\x9b2J\u202e<0>'
COMM = b"\x1b[2J\n<0>\r\x9bx\xff"  # 15 bytes at most
RENAMED = f"import ctypes, time; ctypes.CDLL(None).prctl(15, {COMM!r}); time.sleep(100)"
# All but the end of a line; what turns the direction of writing is not visible either.
_COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def evil(agent: Agent) -> Path:
    """A cgroup that somebody else made below the cgroup root."""
    folder = agent.root / "web" / CGROUP
    agent.create("web")
    folder.mkdir()
    return folder


def test_no_output_obeys(agent: Agent, evil: Path) -> None:
    """Of containerctl, the log and the metrics; with the name of a cgroup and that of a process."""
    with inside(evil, [*PYTHON, RENAMED]) as process:
        until(lambda: Path(f"/proc/{process.pid}/comm").read_bytes(), lambda comm: comm != b"python3\n", "its name")
        until(lambda: COMM[:4] in Path(f"/proc/{process.pid}/comm").read_bytes(), bool, "its name")
        pid = str(process.pid)
        agent.ctl("attach", "web", pid).ok()
        (evil / cgroups.PROCS).write_text(pid)
        outputs = {
            " ".join(line): agent.ctl(*line)
            for line in (
                ("ls",),
                ("ls", "--all"),
                ("ls", "--dead"),
                ("show", "web"),
                ("show", f"/web/{CGROUP}"),
                ("show", f"{agent.cgroup}/web/{CGROUP}"),
                ("limit", f"/web/{CGROUP}", "--task-limit", "5"),
                ("create", f"/web/{CGROUP}"),
                ("rm", CGROUP),
                ("rename", "web", CGROUP),
                ("set", "web", f"{CGROUP}=1"),
                ("set", "web", f"cpuset.cpus={CGROUP}"),
                ("attach", CGROUP, pid),
                ("tasks", "web"),
                ("tasks", "web", "--stats"),
                ("which", pid),
                ("events",),
                ("audit", "web"),
                ("top", "--batch", "--iterations", "1"),
                ("top", "--batch", "--iterations", "1", "--json"),
                ("ls", "--all", "--json"),
                ("events", "--json"),
                ("doctor",),
                ("export",),
                ("export", "web"),
                ("ls", "--all", "--dead", "--json"),
                ("owner", f"/web/{CGROUP}", CGROUP),
                ("notify", f"/web/{CGROUP}", "on"),
                ("detach", pid),
                ("file", "ls", f"/web/{CGROUP}"),
                ("file", "add", "web", f"/tmp/{CGROUP}"),
                ("run", "--name", f"web/{CGROUP}", "--", "true"),
                ("--socket", f"/tmp/{CGROUP}", "ls"),
            )
        }
        said = {line: result.out + result.err for line, result in outputs.items()}
        # Label values are UTF-8 to be taken literally, and no terminal's business: all but what is not printable there.
        said["page"] = "".join(
            urllib.request.urlopen(f"http://{agent.address}{path}", timeout=60).read().decode()
            for path in ("/", "/live/top?all=true")
        )
        said["metrics"] = scrape(agent.address)[0].replace("\u202e", "")
        agent.ctl("rm", "web", "--recursive").ok()
    said["events of its end"] = agent.ctl("events").out + agent.ctl("ls", "--dead").out
    said["log"] = agent.log.read_text()
    assert {line: found[0] for line, text in said.items() if (found := _COMMANDS.search(text))} == {}
    families = list(text_string_to_metric_families(said["metrics"]))
    shown = {sample.labels["cgroup"] for family in families for sample in family.samples if "cgroup" in sample.labels}
    assert [name for name in shown if name.startswith(f"{agent.cgroup}/web/") and "31m" in name]
    assert not re.search(r"(?m)^<0>", said["log"])
    assert "31m" in said["ls"] + said["ls --all"]
    assert os.path.basename(str(evil)) == CGROUP
