# SPDX-License-Identifier: Apache-2.0
"""What tests rely on in a guest: systemd, every controller on cgroup v2, page lists, swap."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from containeragent.host import functions
from containeragent.host.btf import Btf

CGROUPS = Path("/sys/fs/cgroup")
ZRAM = Path("/sys/block/zram0")


def _run(line: str, status: int = 0) -> str:
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout


def test_systemd() -> None:
    """It is process 1, and no unit failed."""
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert _run("systemctl list-units --failed --no-legend --plain") == ""
    assert _run(
        "systemd-run --wait --pipe --quiet -p TasksMax=7 sh -c 'cat /proc/self/cgroup; exit 23'", 23
    ).startswith("0::")


def test_journal() -> None:
    """What a unit prints is there afterwards."""
    _run("systemd-run --wait --quiet --unit=says-hello echo hello from a unit")
    assert "hello from a unit\n" in _run("journalctl --sync && journalctl -u says-hello -o cat")


def test_only_cgroup_v2() -> None:
    """With the controllers, for services too."""
    kinds = [line.split(" - ")[1].split()[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    assert kinds.count("cgroup2") == 1 and "cgroup" not in kinds
    assert {"memory", "pids"} <= set((CGROUPS / "cgroup.subtree_control").read_text().split())
    assert {"memory", "pids"} <= set((CGROUPS / "system.slice/cgroup.subtree_control").read_text().split())


@pytest.mark.parametrize("name", ["kpagecgroup", "kpageflags", "kpagecount"])
def test_page_lists(name: str) -> None:
    """Eight bytes a page frame."""
    with open(f"/proc/{name}", "rb", buffering=0) as file:
        assert len(file.read(8 * 512)) == 8 * 512


@contextlib.contextmanager
def _zram(size: str) -> Iterator[None]:
    _run("modprobe zram")
    (ZRAM / "disksize").write_text(size)
    _run("mkswap /dev/zram0 && swapon /dev/zram0")
    try:
        yield
    finally:
        _run("swapoff /dev/zram0")
        (ZRAM / "reset").write_text("1")


def test_swap() -> None:
    """A cgroup's memory goes there when it has to."""
    folder = CGROUPS / "test-swap"
    with _zram("256M"):
        folder.mkdir()
        try:
            (folder / "memory.high").write_text("16M")
            swapped = _run(
                f"echo 0 > {folder}/cgroup.procs && python3 -S -c "
                f"'x = bytearray(48 << 20); print(open(\"{folder}/memory.swap.current\").read())'"
            )
            assert int(swapped) > 16 << 20
        finally:
            folder.rmdir()


def test_programs_on_functions() -> None:
    """They load, so that tests of the kernel side are of engine fentry first."""
    assert functions.probe(Btf()) == functions.Answer(True)
