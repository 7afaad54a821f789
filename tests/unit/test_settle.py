# SPDX-License-Identifier: Apache-2.0
"""What pages wait in on each CPU is emptied: by one call where the kernel knows it, else on one CPU after another."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from containeragent.counters.settle import Settler

COLD, COLLAPSE, HUGE_BYTES = 20, 25, 2 << 20


class Kernel:
    """madvise(2). `fails` is the errno of a collapse, 0: it is done; `knows` whether one of nothing is taken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: int, *, knows: bool) -> None:
        self.fails, self.knows = fails, knows
        self.asked: list[tuple[int, int, int]] = []
        self.cpus: list[set[int]] = []
        self.allowed = {0, 2, 5}
        monkeypatch.setattr(os, "sched_getaffinity", lambda task: set() if task else self.allowed)
        monkeypatch.setattr(
            os, "sched_setaffinity", lambda task, cpus: self.cpus.append({*cpus, *([-1] if task else [])})
        )
        self.settler = Settler()
        self.settler._libc = cast(Any, SimpleNamespace(madvise=self._madvise))

    def _madvise(self, address: ctypes.c_void_p, length: ctypes.c_size_t, advice: int) -> int:
        self.asked.append((address.value or 0, length.value, advice))
        if advice == COLD:
            return 0
        number = self.fails if length.value else (0 if self.knows else errno.EINVAL)
        ctypes.set_errno(number)
        return -1 if number else 0


@pytest.mark.parametrize(
    "fails, knows", [(0, True), (errno.EAGAIN, False), (errno.ENOMEM, False), (errno.EINVAL, True)]
)
def test_one_call_is_enough(monkeypatch: pytest.MonkeyPatch, fails: int, knows: bool) -> None:
    """It empties them whatever comes of it, but where it is not known at all."""
    kernel = Kernel(monkeypatch, fails, knows=knows)
    kernel.settler.settle()
    assert not kernel.cpus and {advice for _, _, advice in kernel.asked} == {COLLAPSE}
    assert [length for _, length, _ in kernel.asked] == ([HUGE_BYTES, 0] if fails == errno.EINVAL else [HUGE_BYTES])


def test_one_cpu_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.1; afterwards the thread runs where it may, also when one CPU went meanwhile."""
    kernel = Kernel(monkeypatch, errno.EINVAL, knows=False)
    kernel.settler.settle()
    assert kernel.cpus == [{0}, {2}, {5}, {0, 2, 5}]
    assert [advice for _, _, advice in kernel.asked] == [COLLAPSE, COLLAPSE, COLD, COLD, COLD]

    def gone(_: int, cpus: set[int]) -> None:
        kernel.cpus.append(set(cpus))
        if cpus == {2}:
            raise OSError(errno.EINVAL, "no such CPU")

    monkeypatch.setattr(os, "sched_setaffinity", gone)
    kernel.cpus = []
    with pytest.raises(OSError, match="no such CPU"):
        kernel.settler.settle()
    assert kernel.cpus == [{0}, {2}, {0, 2, 5}]


def _mapping(address: int) -> tuple[int, int]:
    """Where what is at an address begins and ends."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        for line in file:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start <= address < end:
                return start, end
    raise AssertionError("it is not mapped")


def test_which_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A range that could be one huge page, and has no page: nothing of it is ever touched, but memory beside it is."""
    kernel = Kernel(monkeypatch, 0, knows=True)
    kernel.settler.settle()
    ((address, length, _),) = kernel.asked
    assert address % HUGE_BYTES == 0 and length == HUGE_BYTES
    start, end = _mapping(address)
    assert start <= address and address + length <= end
    memory = kernel.settler._memory
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert len(memory) == 2 * HUGE_BYTES - mmap.PAGESIZE and memory[0] + memory[-1] == 1
    assert not any(memory[address - first : address - first + length])


def test_this_kernel() -> None:
    """Whatever it knows, nothing is left different."""
    before = os.sched_getaffinity(0)
    settler = Settler()
    settler.settle()
    assert os.sched_getaffinity(0) == before
    assert not settler._advise(9999) and ctypes.get_errno() == errno.EINVAL
