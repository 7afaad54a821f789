# SPDX-License-Identifier: Apache-2.0
"""Files charged to containers, as a user does it, with a running agent."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.agent import Agent
from tests.e2e.support.command import NOBODY
from tests.e2e.support.processes import PYTHON, running
from tests.e2e.support.waiting import until

PAGE = os.sysconf("SC_PAGE_SIZE")
PAGES = 1009
# Map a file, touch every page, say so, and stay.
MAP = """
import mmap, sys
file = open(sys.argv[1], "rb")
memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
print(sum(memory[at] for at in range(0, len(memory), 4096)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def library() -> Iterator[Path]:
    """A file that stands for a library, not in the page cache."""
    with tempfile.TemporaryDirectory(prefix="containeragent-e2e-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "lib.so"
        path.write_bytes(b"\x01" * PAGE * PAGES)
        drop(path)
        yield path


def drop(path: Path) -> None:
    """Out of the page cache."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def file_pages(agent: Agent, name: str) -> int:
    """Of a container."""
    return int(agent.show(name)["num_file_pages"])


def until_file_pages(agent: Agent, name: str, pages: int) -> None:
    """Those that compaction is just moving to other frames are in between for a moment."""
    until(lambda: file_pages(agent, name), lambda counted: counted == pages, f"file pages of {name}", 30)


def mapped_by(agent: Agent, name: str, path: Path) -> Any:
    """A process in a container that has the file mapped."""
    line = [*PYTHON, MAP, str(path)]
    return running(agent.ctl_line("run", "--name", name, "--", *line), stdin=-1, stdout=-1)


def users(agent: Agent, path: Path) -> None:
    """Two containers map all of it, one after the other, and end."""
    for name in ("one", "two"):
        with mapped_by(agent, name, path) as process:
            assert int(process.stdout.readline()) == PAGES
            process.communicate("")


def test_a_shared_library(agent: Agent, library: Path) -> None:
    """Whoever uses it first does not pay, the container of the libraries does."""
    for name in ("libs", "other"):
        agent.create(name)
    users(agent, library)
    before = file_pages(agent, "/libs")
    (added,) = agent.ctl("--json", "file", "add", "libs", str(library)).ok().json()
    assert added["cached_pages"] == PAGES
    until_file_pages(agent, "/libs", before + PAGES)
    drop(library)
    until_file_pages(agent, "/libs", before)
    users(agent, library)
    until_file_pages(agent, "/libs", before + PAGES)
    shown = agent.ctl("file", "ls", "libs").ok().out.splitlines()
    assert shown[1].split()[:3] == [str(library), "3.9", "MiB"]
    agent.ctl("file", "add", "other", str(library)).refused("is charged to container /libs; remove it there")
    agent.ctl("file", "rm", "libs", str(library)).ok()
    agent.ctl("file", "rm", "libs", str(library)).refused("is not charged to container /libs")
    kinds = [event["kind"] for event in agent.api.call("GET", "/v1/events", {"container": "/libs"}).document]
    assert kinds[-2:] == ["file_added", "file_removed"]


def test_it_outlives_the_agent(fresh: Agent, library: Path) -> None:
    """Killed, the next one shows the same; meanwhile pages count as before. The file's end is told."""
    fresh.create("libs")
    fresh.ctl("file", "add", "libs", str(library)).ok()
    fresh.end(signal.SIGKILL)
    library.read_bytes()
    fresh.start()
    until_file_pages(fresh, "/libs", PAGES)
    (file,) = fresh.ctl("--json", "file", "ls", "libs").ok().json()["files"]
    assert (file["path"], file["cached_pages"], file["removed"]) == (str(library), PAGES, False)
    library.unlink()
    until(lambda: fresh.ctl("--json", "file", "ls", "libs").json()["files"], lambda files: not files, "its end", 30)

    def last_event() -> str:
        events = fresh.api.call("GET", "/v1/events", {"container": "/libs"}).document
        return str(events[-1]["message"]) if events else ""

    until(last_event, lambda text: text.endswith("the file is no more"), "the event of its end", 30)
    until_file_pages(fresh, "/libs", 0)


def test_refusals(agent: Agent, library: Path) -> None:
    """One line each."""
    agent.create("libs")
    folder = library.parent
    os.mkfifo(folder / "pipe")
    for path, words in {
        folder: "is a directory; only regular files can be charged",
        folder / "pipe": "is a pipe",
        Path("/dev/zero"): "is a device",
        Path("/proc/self/maps"): "files of proc have no page cache",
        agent.root / "cgroup.procs": "it cannot be mapped",
        folder / "none": "no such file or directory",
    }.items():
        agent.ctl("file", "add", "libs", str(path)).refused(words)
    agent.ctl("file", "add", "none", str(library)).refused("/none")
    agent.ctl("file", "add", "libs").refused("PATH", status=2)
    agent.ctl("file", "add", "libs", str(library), uid=NOBODY).refused("only root")
    library.chmod(0o600)
    agent.ctl("file", "add", "libs", str(library), uid=NOBODY).refused("permission denied")
    assert agent.api.call("POST", "/v1/container/files", {"name": "/libs"}).code() == "EINVAL"
    assert agent.ctl("--json", "file", "ls", "libs").ok().json()["files"] == []


def test_the_audit_knows(agent: Agent, library: Path) -> None:
    """What the kernel charges to whoever read it is no difference; a look counts the file."""
    agent.create("libs")
    for name in ("one", "two"):
        agent.ctl("run", "--keep", "--name", name, "--", "cat", str(library)).ok()
    agent.ctl("file", "add", "libs", str(library)).ok()
    found = {audit["name"]: audit["counters"] for audit in agent.ctl("audit", "--json").ok().json()}
    lines = {name: next(one for one in found[name] if one["counter"] == "num_file_pages") for name in ("/libs", "/one")}
    assert lines["/libs"]["ours"] == PAGES and lines["/libs"]["difference"] == lines["/one"]["difference"] == 0
    brought = {name: line["moved_by_files"] for name, line in lines.items()}
    by_kernel = lines["/one"]["source"] == "memory.stat"  # else it is asked for the frames that are ours
    assert brought == ({"/libs": PAGES, "/one": -PAGES} if by_kernel else {"/libs": 0, "/one": 0})
    assert agent.show("/libs")["num_files"] == 1
    library.unlink()
    agent.ctl("audit", "libs").ok()
    assert agent.show("/libs")["num_files"] == 0
