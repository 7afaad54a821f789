# SPDX-License-Identifier: Apache-2.0
"""Readings of a folder tree that looks like cgroups: rows, nodes and the snapshot that they become."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.counters.netlink import columns, files
from containeragent.counters.netlink.nodes import Node, Nodes
from containeragent.counters.netlink.walk import walk

PAGE = 4096
STAT = "anon {}\nfile {}\nkernel 999\nfile_mapped {}\nshmem {}\ninactive_anon 5\nactive_anon {}\nactive_file {}\n"


def stat(anon: int, file: int = 0, mapped: int = 0, shmem: int = 0, active: tuple[int, int] = (0, 0)) -> str:
    """Pages in, memory.stat out."""
    return STAT.format(*(pages * PAGE for pages in (anon, file, mapped, shmem, *active)))


def cgroup(folder: Path, tasks: str = "", **contents: str) -> Path:
    """A folder with cgroup.threads; `memory_stat` becomes memory.stat."""
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.threads").write_text(tasks)
    for name, text in contents.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """Root, web with memory, web/worker without, web/db with peaks."""
    root = cgroup(tmp_path / "mount", "1\n2\n", memory_stat=stat(100, 50, 5, 7, (30, 20)))
    web = cgroup(root / "web", "10\n", memory_stat=stat(40, 10), memory_peak=f"{60 * PAGE + 1}\n")
    cgroup(web / "worker", "11\n12\n")
    cgroup(web / "db", "13\n", memory_stat=stat(15, 10), pids_peak="9\n")
    (root / "not-a-cgroup").mkdir()
    return root


def test_columns(mount: Path) -> None:
    """Totals cover the subtree; what a cgroup without memory.stat has is its parent's."""
    rows = walk(mount)
    snapshot = columns.snapshot(rows, None, PAGE, lost=3)
    by_name = {name: snapshot.reading((mount / name).stat().st_ino) for name in (".", "web", "web/worker", "web/db")}
    assert len(snapshot) == 4 and snapshot.health.tasks_lost == 3 and snapshot.health.slots is None
    root, web, worker, database = by_name.values()
    assert root and web and worker and database
    counters = ("tasks", "anon", "file", "shmem", "mapped", "active")
    assert [root.total[name] for name in counters] == [6, 100, 50, 7, 5, 50]
    assert [root.local[name] for name in counters] == [2, 60, 40, 7, 5, 50]
    assert (web.total["tasks"], web.local["tasks"]) == (4, 1) and (web.total["anon"], web.local["anon"]) == (40, 25)
    assert worker.total["tasks"] == 2 and worker.total["anon"] is worker.local["file"] is None
    assert web.peak_pages == 60 and root.peak_pages is None and database.peak_tasks == 9
    assert web.peak_tasks is web.forks is web.exits is None


def test_with_task_events(mount: Path) -> None:
    """Peaks of the kernel stand above ours: it has seen more."""
    rows, nodes = walk(mount), Nodes(mount)
    made: list[Node] = []
    for row in rows:
        made.append(nodes.node(row.cgroup_id, None if row.parent is None else made[row.parent]))
    for node in made:
        node.peak, node.forks, node.exits = 5, 23, 22
    snapshot = columns.snapshot(rows, made, PAGE, lost=0)
    at = {name: snapshot.index[(mount / name).stat().st_ino] for name in (".", "web", "web/db")}
    assert [snapshot.peak_tasks[at[name]] for name in (".", "web", "web/db")] == [6, 5, 9]
    assert set(snapshot.forks) == {23} and set(snapshot.exits) == {22}


def test_readings_of_a_moment_apart(mount: Path) -> None:
    """A child read later may have more than its parent had: never below zero."""
    cgroup(mount / "web/db", "13\n", memory_stat=stat(45))
    snapshot = columns.snapshot(walk(mount), None, PAGE, lost=0)
    assert snapshot.local["anon"][snapshot.index[(mount / "web").stat().st_ino]] == 0


@pytest.mark.parametrize("text", [b"", b"anon 4096\nfile 0\n", b"total_anon 1\n"])
def test_an_incomplete_memory_stat_is_unknown(text: bytes) -> None:
    """Not zero."""
    assert files.parse_memory_stat(text) is None


def test_missing_files_are_unknown(tmp_path: Path) -> None:
    """And so is one that holds no number, as memory.max does."""
    (tmp_path / "memory.max").write_text("max\n")
    assert files.number(b"%s" % bytes(tmp_path), b"memory.max") is None
    assert files.number(bytes(tmp_path), b"memory.peak") is None and files.memory(bytes(tmp_path)) is None
    assert files.tasks(bytes(tmp_path / "gone")) is None


def proc(folder: Path, task: int, path: str) -> None:
    """/proc/TASK/cgroup."""
    (folder / str(task)).mkdir(parents=True, exist_ok=True)
    (folder / str(task) / "cgroup").write_text(f"4:memory:/other\n0::{path}\n")


def test_locate(mount: Path, tmp_path: Path) -> None:
    """By path, with parents; what is gone is None; nodes are dropped when a reading has not seen them."""
    nodes = Nodes(mount, tmp_path / "proc")
    for task, path in ((1, "/"), (13, "/web/db"), (14, "/web/gone"), (15, "/web/db (deleted)")):
        proc(tmp_path / "proc", task, path)
    found = nodes.locate(13)
    assert found is not None and found.cgroup_id == (mount / "web/db").stat().st_ino
    inodes = [node.cgroup_id for node in found.upwards()]
    assert inodes == [(mount / name).stat().st_ino for name in ("web/db", "web", ".")]
    root = nodes.locate(1)
    assert root is not None and root.parent is None and root is list(found.upwards())[-1]
    assert nodes.locate(14) is nodes.locate(15) is nodes.locate(99) is None
    nodes.reading += 1
    nodes.node(root.cgroup_id, None)
    nodes.forget_unseen()
    assert len(nodes) == 1 and nodes.locate(13) is not found
