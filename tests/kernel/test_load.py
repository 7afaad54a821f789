# SPDX-License-Identifier: Apache-2.0
"""Loading, replacing and unloading: counters go on, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from containeragent import libbpf, pins
from containeragent.errors import Refused
from containeragent.loader import frames
from containeragent.loader.load import BPFFS, Options, load, unload
from containeragent.pins import Pins
from tests.kernel.conftest import MakeContainer
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting, no_say
from tests.kernel.support.running import ROOT, Running

OTHER_LAYOUT = 999


def _write_stamp(pins: Pins, value: bytes) -> None:
    descriptor = pins.get("maps", "stamp")
    try:
        libbpf.map_update(descriptor, bytes(4), value)
    finally:
        os.close(descriptor)


def _everything_under(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_twice(own: Counting) -> None:
    """A second load changes nothing, and says so."""
    before, said = _everything_under(own.options.bpffs), list[str]()
    assert load(own.options, False, said.append) == own.stamp
    assert said == [f"already loaded by version {own.stamp.version}"]
    assert _everything_under(own.options.bpffs) == before


def test_unload_leaves_nothing(own: Counting) -> None:
    """No pins, no folders; once more is harmless."""
    assert own.pins.names("links")
    unload(own.options.bpffs, no_say)
    assert not own.options.bpffs.exists()
    said: list[str] = []
    unload(own.options.bpffs, said.append)
    assert said == ["nothing is loaded"]


def _links_held_here() -> int:
    held = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return held.count("anon_inode:bpf_link")


def test_pins_alone_hold_what_counts(own: Counting) -> None:
    """A process that goes on after a load, a benchmark say, does not keep programs attached beyond their pins."""
    before = _links_held_here()
    load(own.options, True, no_say)
    assert own.pins.names("links")
    assert _links_held_here() == before == 0


def test_leftovers_of_an_interrupted_load(own: Counting) -> None:
    """Its pins are removed by the next one, a replacement; how many slots there are, the kept maps decide."""
    for name in ("loading-1", "retired-2"):
        (own.options.bpffs / name / "maps").mkdir(parents=True)
        descriptor = own.pins.get("maps", "stamp")
        libbpf.obj_pin(descriptor, str(own.options.bpffs / name / "maps" / "stamp"))
        os.close(descriptor)
    stamp = load(replace(own.options, slots=128), True, no_say)
    assert stamp.slots == own.stamp.slots == 4096
    assert [path.name for path in own.options.bpffs.iterdir()] == ["live"]


def test_failed_load_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong is said, and there is nothing to clean up."""
    folder = BPFFS / f"test-{os.getpid()}-failed"

    def fail(*_: object) -> int:
        raise Refused("ENOTSUP", "no memory here")

    monkeypatch.setattr(frames, "host_frames", fail)
    with pytest.raises(Refused, match="no memory here"):
        load(Options(folder), False, no_say)
    assert not folder.exists()


def test_failed_replacement_changes_nothing(own: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old programs count on."""
    before = _everything_under(own.options.bpffs)

    def fail(_fd: int, path: str) -> None:
        raise OSError(28, path)

    monkeypatch.setattr(libbpf, "obj_pin", fail)
    with pytest.raises(Refused, match="is the BPF file system full"):
        load(own.options, True, no_say)
    assert _everything_under(own.options.bpffs) == before


def test_other_layout(own: Counting) -> None:
    """Counters of another layout are refused with what to do, and given up with `replace`."""
    _write_stamp(own.pins, replace(own.stamp, layout=OTHER_LAYOUT).encode())
    with pytest.raises(Refused) as refused:
        load(own.options, False, no_say)
    assert refused.value.code == "EEXIST"
    assert refused.value.message == (
        f"version {own.stamp.version} is loaded with layout {OTHER_LAYOUT} of the counters, this one has "
        f"{own.stamp.layout}; run `containeragent load --replace`"
    )
    said: list[str] = []
    stamp = load(own.options, True, said.append)
    assert stamp.layout == own.stamp.layout
    assert said[0] == (
        f"layout {OTHER_LAYOUT} cannot be carried over: totals and peaks begin anew, pages from before now are counted "
        "as after a first load"
    )
    own.map_again()


def test_damaged_stamp(own: Counting) -> None:
    """A stamp that says nothing is refused, and replaced."""
    _write_stamp(own.pins, b"\0" * 1024)
    with pytest.raises(Refused, match="no stamp that this version can read"):
        load(own.options, False, no_say)
    assert load(own.options, True, no_say).layout == own.stamp.layout


def test_one_loader_at_a_time(own: Counting) -> None:
    """A second one is refused at once."""
    with own.pins.loader_lock(), pytest.raises(Refused, match="another load or unload") as refused:
        load(own.options, True, no_say)
    assert refused.value.code == "EBUSY"


def test_not_under_a_running_agent(own: Counting) -> None:
    """Unloading is refused while an agent runs on the pins."""
    with own.pins.agent_lock(), pytest.raises(Refused, match="an agent is running"):
        unload(own.options.bpffs, no_say)
    assert own.pins.loaded()


def test_replace_while_forking(own: Counting, make_container: MakeContainer) -> None:
    """Every fork and exit is counted once, whichever version saw it."""
    container = make_container("forking")
    with Running(container, "tasks", "nested_forks") as running:
        for rest in running.rests():
            if rest.label == "forking":
                load(own.options, True, no_say)
    own.map_again()
    assert own.assert_tasks_at_rest(container) == 0
    reading = own.reading(container)
    assert (reading.forks, reading.exits) == (4 * (23 * 43 + 1), 4 * (23 * 43 + 1) + 1)


@pytest.mark.every_engine
def test_replaced_programs_end_before_their_maps(own: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are still attached would find no programs to call in theirs, and say that they lost a task."""
    replaced, unlink_all, seen = _linked_programs(own.pins), pins._unlink_all, list[bool]()

    def watched(folder: Path) -> None:
        if folder.name == "maps":
            seen.append(any(map(libbpf.is_loaded, replaced)))
        unlink_all(folder)

    monkeypatch.setattr(pins, "_unlink_all", watched)
    assert all(map(libbpf.is_loaded, replaced))
    load(own.options, True, no_say)
    assert seen == [False]


def _linked_programs(pinned: Pins) -> list[int]:
    found = []
    for name in pinned.names("links"):
        descriptor = pinned.get("links", name)
        found.append(libbpf.program_of_link(descriptor))
        os.close(descriptor)
    return found


def test_replace_while_faulting(own: Counting, make_container: MakeContainer) -> None:
    """Pages of small and huge faults too, on the same counters."""
    container = make_container("faulting")
    with Running(container, "anon", "storm", 3, 6) as running:
        for rest in running.rests():
            if rest.label == "faulting":
                for _ in range(2):
                    load(own.options, True, no_say)
            elif rest.label == "calm":
                own.assert_pages_at_rest(container)
    own.map_again()
    own.assert_pages_at_rest(container)
    assert own.reading(container).total["anon"] == 0
    assert own.reading(container).peak_pages > 4096


def test_replace_keeps_what_was_counted(own: Counting, make_container: MakeContainer, disk_folder: Path) -> None:
    """At rest, the same numbers before and after."""
    container = make_container("resting")
    with Running(container, "files", "kept", disk_folder) as running:
        for _ in running.rests():
            own.assert_pages_at_rest(container)
            before = own.reading(container)
            load(own.options, True, no_say)
            own.map_again()
            own.assert_pages_at_rest(container)
            after = own.reading(container)
            # the kernel may drop page cache meanwhile, which the comparison with its own figure covers
            total, local = before.total | {"file": after.total["file"]}, before.local | {"file": after.local["file"]}
            assert after == replace(before, total=total, local=local, peak_pages=after.peak_pages)


# A loader that ends itself at some moment of a replacement, as SIGKILL or the kernel out of memory would.
KILLED = """
import os, signal, sys
from pathlib import Path
from containeragent import libbpf, pins, turn
from containeragent.loader import load
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
def after(times, call):
    def wrapper(*arguments):
        nonlocal times
        times -= 1
        return call(*arguments) if times >= 0 else kill()
    return wrapper
{}
load.load(load.Options(Path(sys.argv[1]), engine=sys.argv[2]), True, lambda _: None)
"""
MOMENTS = {
    "while it pins": "libbpf.obj_pin = after(30, libbpf.obj_pin)",
    "all is pinned": "turn.take = kill",
    "it has the turn": "pins.Pins._put_live = kill",
    "what counted is set aside": "Path.rename = after(2, Path.rename)",
    "it has taken the place": "pins._remove = kill",
}


@pytest.mark.every_engine
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_replacing(own: Counting, make_container: MakeContainer, moment: str) -> None:
    """Whoever has the turn counts on, each event once; the next load finishes or undoes it, and clears up."""
    if moment == "all is pinned" and own.stamp.engine == "tracepoint":
        moment = "it has the turn"  # there are none: both may count
    line = [sys.executable, "-c", KILLED.format(MOMENTS[moment]), str(own.options.bpffs), own.stamp.engine]
    killed = subprocess.run(line, env={**os.environ, "PYTHONPATH": str(ROOT / "agent")}, check=False, timeout=600)
    assert killed.returncode == -signal.SIGKILL
    _assert_counts(own, make_container("interrupted"), map_again=own.pins.loaded())
    load(own.options, False, no_say)
    own.map_again()
    _assert_counts(own, make_container("finished"))
    load(own.options, True, no_say)
    own.map_again()
    _assert_counts(own, make_container("replaced"))
    assert {path.name for path in own.options.bpffs.iterdir()} <= {"live", "agent"}


def _assert_counts(own: Counting, container: Container, map_again: bool = False) -> None:
    """Tasks and pages, from this moment on."""
    if map_again:
        own.map_again()
    with Running(container, "tasks", "forks") as running:
        for _ in running.rests():
            own.assert_pages_at_rest(container)
    own.assert_tasks_at_rest(container)
    assert own.reading(container).forks == 23 * 43 + 23


def test_first_load_beside_forks_and_new_cgroups(make_container: MakeContainer) -> None:
    """Tasks and cgroups that come, move and go during the load are all known afterwards."""
    parent = make_container("parent")
    storm, ended, loaded = parent.child("storm"), threading.Event(), list[Counting]()

    def churn() -> None:
        turn = 0
        while not ended.is_set():
            child = parent.child(f"child-{turn}", twin=False)
            if turn % 3:
                child.rmdir()
            turn += 1

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        with Running(storm, "tasks", "storm", 4, 5) as running:
            for rest in running.rests():
                if rest.label == "forking":
                    loaded.append(Counting("first", slots=65536))
                    ended.set()
                    churning.join()
                elif rest.label == "calm":
                    _assert_all_known(loaded[0], parent, storm)
        assert loaded[0].assert_tasks_at_rest(parent) == 0
    finally:
        ended.set()
        for counting in loaded:
            counting.close()


def _assert_all_known(counting: Counting, parent: Container, storm: Container) -> None:
    assert counting.assert_tasks_at_rest(storm) == 1
    assert counting.assert_tasks_at_rest(parent) == 1
    snapshot = counting.take()
    inodes = {path.stat().st_ino for path in parent.path.glob("child-*")}
    assert inodes <= set(snapshot.cgroup_ids)
    reading = snapshot.reading(storm.id)
    assert reading is not None and reading.partial_pages is not counting.stamp.seeded
