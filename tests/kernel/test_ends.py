# SPDX-License-Identifier: Apache-2.0
"""Final records by the kernel side: exact for whatever ends, however short it lived and whoever removed it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from containeragent.counters.ends import End, Ends
from containeragent.counters.notices import Notices
from containeragent.counters.records import NOTICE, NOTICE_ENDED
from containeragent.loader.load import load
from tests.kernel.conftest import MakeContainer
from tests.kernel.support.counting import Counting, no_say
from tests.kernel.support.waiting import until

BATCHED_PAGES = 31 * (os.cpu_count() or 1)  # that wait for their list; freed only after that (mm/swap.c)
SCRIPT = """
import mmap, os, sys
for _ in range(23):
    os.waitpid(os.fork() or os._exit(0), 0)
memory = mmap.mmap(-1, 1000 * mmap.PAGESIZE)
for at in range(1000):
    memory[at * mmap.PAGESIZE] = 1
"""


def run_in(folder: Path, *line: str) -> None:
    """Run to the end in a cgroup."""
    subprocess.run(["sh", "-c", 'echo 0 > "$0" && exec "$@"', str(folder / "cgroup.procs"), *line], check=True)


class Reader:
    """Ends of one test's cgroups."""

    def __init__(self, counting: Counting) -> None:
        self._ends = Ends(counting.maps.ends, counting.maps.state)
        self._ends.new()

    def of(self, folder: Path) -> list[End]:
        """Those below a folder, since the last call."""
        wanted = "/" + folder.name
        return [end for end in self._ends.new() if end.path and (end.path + "/").startswith(wanted + "/")]


@pytest.fixture
def managed(counting: Counting, make_container: MakeContainer) -> Iterator[Path]:
    """A cgroup root."""
    container = make_container("managed")
    counting.maps.state["managed_root"] = counting.slot(container)
    yield container.path
    counting.maps.state["managed_root"] = 0


def test_a_short_life_is_recorded_exactly(counting: Counting, managed: Path) -> None:
    """23 children, 1 000 pages, gone before anybody took a sample."""
    reader, before = Reader(counting), time.time()
    folder = managed / "short"
    folder.mkdir()
    number = folder.stat().st_ino
    run_in(folder, os.path.realpath(sys.executable), "-S", "-E", "-c", SCRIPT)
    folder.rmdir()
    (end,) = reader.of(managed)
    assert (end.cgroup_id, end.managed, end.partial_pages, end.reason) == (number, True, False, "")
    assert (end.forks, end.exits, end.peak_tasks) == (23, 24, 2)
    assert 1000 <= end.peak_pages < 1000 + 3000
    assert end.pages == end.local["anon"] + end.local["file"] and end.local["anon"] <= BATCHED_PAGES
    assert end.born_at is not None and before - 1 < end.born_at < end.died_at < time.time() + 1


def test_pages_left_behind_are_told(counting: Counting, managed: Path, disk_folder: Path) -> None:
    """500 of page cache stay, and count as the container's and its parent's at their ends."""
    reader = Reader(counting)
    folder = managed / "parent" / "child"
    folder.mkdir(parents=True)
    script = f"open({str(disk_folder / 'file')!r}, 'wb').write(b'x' * (500 << 12))"
    run_in(folder, os.path.realpath(sys.executable), "-S", "-E", "-c", script)
    folder.rmdir()
    folder.parent.rmdir()
    child, parent = reader.of(managed)
    assert child.local["file"] >= 500 and 0 <= child.pages - child.local["file"] <= BATCHED_PAGES
    assert not child.has_children
    assert parent.has_children and parent.local["file"] == 0 and abs(parent.pages - child.pages) < 64
    assert (parent.exits, parent.forks) == (child.exits, child.forks)


def test_every_end_of_many_at_once(counting: Counting, managed: Path) -> None:
    """8 threads make and remove 47 each; each record has its own numbers and path."""
    reader = Reader(counting)

    def work(thread: int) -> None:
        for number in range(47):
            folder = managed / f"{thread}-{number}"
            folder.mkdir()
            if not number % 23:
                run_in(folder, "true")
            folder.rmdir()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    ends = reader.of(managed)
    names = [(end.path or "").rpartition("/")[2] for end in ends]
    assert sorted(names) == sorted(f"{thread}-{number}" for thread in range(8) for number in range(47))
    ran = [name for name, end in zip(names, ends, strict=True) if end.exits]
    assert sorted(ran) == sorted(f"{thread}-{number}" for thread in range(8) for number in (0, 23, 46))
    sequences = [end.sequence for end in ends]
    assert sequences == list(range(sequences[0], sequences[0] + 8 * 47))


def test_a_long_path_says_so(counting: Counting, managed: Path) -> None:
    """320 bytes are kept."""
    reader = Reader(counting)
    deep = managed / ("a" * 200) / ("b" * 200)
    deep.mkdir(parents=True)
    deep.rmdir()
    deep.parent.rmdir()
    cut, whole = reader.of(managed)
    assert cut.path_cut and cut.path is not None and len(cut.path) == 319
    assert f"/{managed.name}/{'a' * 200}/{'b' * 200}".startswith(cut.path)
    assert not whole.path_cut and whole.path == f"/{managed.name}/{'a' * 200}"


def test_others_push_none_of_ours_out(counting: Counting, managed: Path, make_container: MakeContainer) -> None:
    """1 100 sessions come and go elsewhere."""
    reader = Reader(counting)
    (managed / "mine").mkdir()
    (managed / "mine").rmdir()
    elsewhere = make_container("elsewhere").path
    for number in range(1100):
        (elsewhere / str(number)).mkdir()
        (elsewhere / str(number)).rmdir()
    assert [end.path for end in reader.of(managed)] == [f"/{managed.name}/mine"]


def test_notices_wake_their_listener(counting: Counting, managed: Path) -> None:
    """Within a moment, those of managed cgroups, without anybody polling."""
    heard: list[int] = []
    when: list[float] = []

    def hear(batch: list[bytes]) -> None:
        when.append(time.monotonic())
        heard.extend(int(np.frombuffer(notice, dtype=NOTICE)["cgroup_id"][0]) for notice in batch)

    descriptor = counting.pins.get("maps", "notices")
    notices = Notices(descriptor, {NOTICE_ENDED: hear})
    try:
        ids = []
        for number in range(23):
            folder = managed / str(number)
            folder.mkdir()
            ids.append(folder.stat().st_ino)
            folder.rmdir()
        ended = time.monotonic()
        until(lambda: ids[-1] in heard, bool, 10)
        assert [one for one in heard if one in ids] == ids
        assert min(when) < ended + 1
    finally:
        notices.close()
        os.close(descriptor)


def test_nobody_listens(counting: Counting, managed: Path) -> None:
    """The ring fills, and what finds no room is counted; the records are there all the same."""
    reader = Reader(counting)
    before = counting.take().health.notices_lost
    for _ in range(3000):  # 24 bytes each in 64 KiB
        (managed / "x").mkdir()
        (managed / "x").rmdir()
    lost = counting.take().health.notices_lost - before
    assert 200 < lost < 3000
    assert len(reader.of(managed)) == 1024


def test_records_outlive_a_replacement_of_the_programs(own: Counting, make_container: MakeContainer) -> None:
    """And each end is recorded once while both sets count: the replaced ones do in this process as long as it lives."""
    container = make_container("managed")
    folder = container.path
    ends = Ends(own.maps.ends, own.maps.state)
    ends.new()
    own.maps.state["managed_root"] = own.slot(container)
    (folder / "before").mkdir()
    (folder / "before").rmdir()
    load(own.options, True, no_say)
    own.map_again()
    (folder / "after").mkdir()
    (folder / "after").rmdir()
    assert [end.path for end in ends.new() if end.managed] == [f"/{folder.name}/before", f"/{folder.name}/after"]
    own.maps.state["managed_root"] = 0
