# SPDX-License-Identifier: Apache-2.0
"""What is read of /proc, on trees made for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containeragent.errors import Refused
from containeragent.host import cgroup2
from containeragent.host.process import Age, Process, age, leader, look_up, threads

KTHREAD = 0x00200000


def made(
    proc: Path, pid: int, *, name: str = "sh", state: str = "S", flags: int = 0x400000, tgid: int | None = None
) -> Path:
    """A task of user 1000 with effective user 1001 and saved user 1002."""
    folder = proc / str(pid)
    folder.mkdir()
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n")  # as the kernel does it (fs/proc/array.c)
    (folder / "status").write_text(
        f"Name:\t{escaped}\nState:\t{state} (x)\nTgid:\t{tgid or pid}\nNgid:\t0\nPid:\t{pid}\n"
        "Uid:\t1000\t1001\t1002\t1003\n"
    )
    (folder / "stat").write_text(f"{pid} ({name}) {state} 1 {pid} {pid} 0 -1 {flags} 0 0 0 0 1 2 0 0 20 0 3 0 4711 0\n")
    return folder


def test_a_process(tmp_path: Path) -> None:
    """Real, effective and saved user."""
    made(tmp_path, 7)
    assert look_up(7, tmp_path) == Process(process=7, uids=(1000, 1001, 1002), ended=False, kernel_thread=False)


def test_age_and_threads(tmp_path: Path) -> None:
    """Of a task that is there; nothing of one that is not."""
    task = made(tmp_path, 8, tgid=7)
    (task / "task" / "8").mkdir(parents=True)
    assert age(8, tmp_path) == Age(started_ticks=4711, threads=3)
    assert leader(8, tmp_path) == 7 and threads(8, tmp_path) == 1
    assert (age(9, tmp_path), leader(9, tmp_path), threads(9, tmp_path)) == (None, None, 0)


def test_a_thread_leads_to_its_process(tmp_path: Path) -> None:
    """As /proc shows threads that are not listed."""
    made(tmp_path, 8, tgid=7)
    found = look_up(8, tmp_path)
    assert found and found.process == 7


def test_missing(tmp_path: Path) -> None:
    """None, also when it goes between two reads."""
    assert look_up(7, tmp_path) is None
    (made(tmp_path, 7) / "stat").unlink()
    assert look_up(7, tmp_path) is None


@pytest.mark.parametrize(
    "state, ended", [("R", False), ("D", False), ("T", False), ("Z", True), ("X", True), ("x", True)]
)
def test_states(tmp_path: Path, state: str, ended: bool) -> None:
    """A zombie has ended."""
    made(tmp_path, 7, state=state)
    found = look_up(7, tmp_path)
    assert found and found.ended is ended


def test_a_kernel_thread(tmp_path: Path) -> None:
    """Told by its flag, not by its name."""
    made(tmp_path, 2, name="kthreadd", flags=0x208040)
    made(tmp_path, 3, name="kthreadd")
    kernels, users = look_up(2, tmp_path), look_up(3, tmp_path)
    assert kernels and kernels.kernel_thread and users and not users.kernel_thread


@pytest.mark.parametrize(
    "name", ["(sd-pam)", "a) Z 1 (", ") Z 1 2 3 4 5 6", "a\nUid:\t0\t0\t0\t0", "\x0bUid:\t0\t0\t0\t0", "\udcff"]
)
def test_a_name_that_looks_like_something_else(tmp_path: Path, name: str) -> None:
    """A process chooses its name: it must change neither the user nor the state."""
    folder = made(tmp_path, 7, name="x")
    for file in ("status", "stat"):
        text = (folder / file).read_text()
        if file == "status":
            text = text.replace("Name:\tx", "Name:\t" + name.replace("\n", "\\n"))
        else:
            text = text.replace("(x)", f"({name})")
        (folder / file).write_bytes(os.fsencode(text))
    assert look_up(7, tmp_path) == Process(process=7, uids=(1000, 1001, 1002), ended=False, kernel_thread=False)


def test_this_process() -> None:
    """The real /proc."""
    found = look_up(os.getpid())
    assert found and found.process == os.getpid() and found.uids[1] == os.geteuid() and not found.kernel_thread


@pytest.mark.parametrize(
    "text, path",
    [
        ("0::/\n", "/"),
        ("9:name=systemd:/x\n0::/web/db\n", "/web/db"),
        ("0::/a:b::c\n", "/a:b::c"),
        ("0::/a\x0bb\n", "/a\x0bb"),
        ("0::/a\u2028b\n", "/a\u2028b"),
        ("4:memory:/a\x0bb\n0::/web\n", "/web"),
        ("0::/web (deleted)\n", "/web (deleted)"),
    ],
)
def test_the_cgroup_of_a_task(tmp_path: Path, text: str, path: str) -> None:
    """The line of cgroup v2, whole: only a newline ends it (cgroups(7))."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(text)
    assert cgroup2.path_of_task(7, tmp_path) == path


def test_no_cgroup_v2(tmp_path: Path) -> None:
    """A kernel booted without it."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("1:cpu:/\n")
    with pytest.raises(Refused):
        cgroup2.path_of_task(7, tmp_path)
