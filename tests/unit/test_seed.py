# SPDX-License-Identifier: Apache-2.0
"""Pages from before the load: what each is, whose it is, and the two looks at every block."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from containeragent.counters.records import BLOCK_PAGES, OWNER_ANON, OWNER_FILE, OWNER_MAPPED, OWNER_SHMEM
from containeragent.loader import seed
from containeragent.loader.seed import Seeder, page_types, wanted_words
from containeragent.runnable import Runnable

# include/uapi/linux/kernel-page-flags.h, by bit
LOCKED, REFERENCED, LRU, ACTIVE, SLAB, BUDDY = 1 << 0, 1 << 2, 1 << 5, 1 << 6, 1 << 7, 1 << 10
MMAP, ANON, SWAPCACHE, SWAPBACKED = 1 << 11, 1 << 12, 1 << 13, 1 << 14
HEAD, TAIL, HUGE, UNEVICTABLE, NOPAGE, KSM, THP = 1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 20, 1 << 21, 1 << 22
NOTHING, IS_ANON, IS_FILE, IS_SHMEM, IS_MAPPED = 0, OWNER_ANON, OWNER_FILE, OWNER_SHMEM, OWNER_MAPPED


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        (0, NOTHING),
        (LOCKED | REFERENCED, NOTHING),
        (LRU | ACTIVE | MMAP | ANON | SWAPBACKED, IS_ANON),
        (MMAP | ANON | SWAPBACKED, IS_ANON),
        (MMAP | ANON | SWAPBACKED | SWAPCACHE | LRU, IS_ANON),
        (MMAP | ANON | UNEVICTABLE, IS_ANON),
        (LRU | ANON | SWAPBACKED, NOTHING),
        (LRU | SWAPCACHE | SWAPBACKED, NOTHING),
        (LRU, IS_FILE),
        (LRU | MMAP | ACTIVE, IS_FILE | IS_MAPPED),
        (UNEVICTABLE | MMAP, IS_FILE | IS_MAPPED),
        (LRU | SWAPBACKED, IS_SHMEM),
        (LRU | SWAPBACKED | MMAP, IS_SHMEM | IS_MAPPED),
        (MMAP | HUGE | HEAD, NOTHING),
        (MMAP, IS_MAPPED),
        (MMAP | SLAB, NOTHING),
        (LRU | HUGE, NOTHING),
        (SLAB, NOTHING),
        (BUDDY, NOTHING),
        (NOPAGE, NOTHING),
    ],
)
def test_types(flags: int, kind: int) -> None:
    """As memory.stat counts them: anon where mapped, file with shmem apart, no swap cache, no hugetlbfs."""
    assert page_types(np.array([flags], dtype=np.uint64)).tolist() == [kind]


def test_words() -> None:
    """The type above the slot; nothing for cgroups without a slot."""
    flags = np.array([LRU, LRU | MMAP | ANON, LRU, 0], dtype=np.uint64)
    cgroups = np.array([70, 71, 72, 70], dtype=np.uint64)
    assert wanted_words(flags, cgroups, {70: 3, 71: 4}).tolist() == [IS_FILE | 3, IS_ANON | 4, 0, 0]


def test_memory_of_the_kernel_that_is_mapped() -> None:
    """It counts where the kernel charges it, other than pages of programs, which are the root's then."""
    flags = np.array([MMAP, MMAP, LRU | MMAP], dtype=np.uint64)
    cgroups = np.array([70, 0, 0], dtype=np.uint64)
    assert wanted_words(flags, cgroups, {70: 3, 0: 1}).tolist() == [IS_MAPPED | 3, 0, IS_FILE | IS_MAPPED | 1]


def test_tails_are_what_their_heads_are() -> None:
    """Tails of a folio, also of one after another; a single page after it is its own."""
    flags = np.array([LRU | HEAD, TAIL, TAIL, LRU | MMAP | ANON | HEAD | THP, TAIL | THP, LRU, 0], dtype=np.uint64)
    cgroups = np.array([70, 0, 0, 71, 0, 71, 0], dtype=np.uint64)
    wanted = [IS_FILE | 3] * 3 + [IS_ANON | 4] * 2 + [IS_FILE | 4, 0]
    assert wanted_words(flags, cgroups, {70: 3, 71: 4}).tolist() == wanted


def test_arguments_are_left_alone() -> None:
    """They are views of what was read."""
    flags = np.array([LRU | HEAD, TAIL], dtype=np.uint64)
    cgroups = np.array([70, 0], dtype=np.uint64)
    cgroups.flags.writeable = False
    wanted_words(flags, cgroups, {70: 3})
    assert cgroups.tolist() == [70, 0]


class Kernel:
    """The two programs and /proc: notes what it is run with, and changes its pages after the first look."""

    def __init__(self, folder: Path, blocks: int) -> None:
        self.folder = folder
        self.words: npt.NDArray[np.uint32] = np.zeros(BLOCK_PAGES, dtype=np.uint32)
        self.ran: list[tuple[str, int, list[int]]] = []
        self.gone_after_seeding = False
        self.write("kpageflags", np.zeros(blocks * BLOCK_PAGES, dtype=np.uint64))
        self.write("kpagecgroup", np.zeros(blocks * BLOCK_PAGES, dtype=np.uint64))

    def write(self, name: str, values: npt.NDArray[np.uint64]) -> None:
        """A file of /proc."""
        (self.folder / name).write_bytes(values.tobytes())

    def run(self, name: str, block: int) -> int:
        """A program."""
        self.ran.append((name, block, np.flatnonzero(self.words).tolist()))
        if self.gone_after_seeding and name == "seed":
            self.write("kpageflags", np.zeros(4 * BLOCK_PAGES, dtype=np.uint64))
        return 0

    def seeder(self, slot_of: dict[int, int]) -> Seeder:
        """The seeder on this kernel."""
        programs = [cast(Runnable, lambda block, name=name: self.run(name, block)) for name in ("seed", "confirm")]
        return Seeder(programs[0], programs[1], self.words, slot_of, self.folder)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Four blocks, one page of file in the third."""
    kernel = Kernel(tmp_path, 4)
    flags = np.zeros(4 * BLOCK_PAGES, dtype=np.uint64)
    cgroups = np.full(4 * BLOCK_PAGES, 70, dtype=np.uint64)
    flags[2 * BLOCK_PAGES + 9] = LRU
    kernel.write("kpageflags", flags)
    kernel.write("kpagecgroup", cgroups)
    return kernel


def _run(kernel: Kernel, blocks: int = 4) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    seeder = kernel.seeder({70: 3})
    try:
        seeder.run(blocks, lambda done, total: told.append((done, total)))
    finally:
        seeder.close()
    return told


def test_only_blocks_that_have_something(kernel: Kernel) -> None:
    """Each is seeded twice, looked at again, and confirmed twice."""
    assert _run(kernel) == [(0, 4)]
    assert kernel.ran == [("seed", 2, [9])] * 2 + [("confirm", 2, [9])] * 2


def test_gone_between_the_looks(kernel: Kernel) -> None:
    """The second look no longer wants it, so the programs take it out."""
    kernel.gone_after_seeding = True
    _run(kernel)
    assert kernel.ran[0] == ("seed", 2, [9]) and kernel.ran[-1] == ("confirm", 2, [])


def test_end_of_memory(kernel: Kernel) -> None:
    """More blocks than the files have frames, and a last block that is not whole."""
    flags = np.zeros(2 * BLOCK_PAGES + 12, dtype=np.uint64)
    flags[-1] = LRU
    kernel.write("kpageflags", flags)
    kernel.write("kpagecgroup", np.full(2 * BLOCK_PAGES + 12, 70, dtype=np.uint64))
    _run(kernel, blocks=9)
    assert kernel.ran[0] == ("seed", 2, [11])
    assert {block for _, block, _ in kernel.ran} == {2}


@pytest.mark.parametrize(
    ("controllers", "meaningful"), [("cpu io memory pids\n", True), ("cpu pids\n", False), ("", False)]
)
def test_where_it_is_meaningful(tmp_path: Path, controllers: str, meaningful: bool) -> None:
    """Only where the memory controller is on cgroup v2 does a page's cgroup say its container."""
    (tmp_path / "cgroup.controllers").write_text(controllers)
    assert seed.is_meaningful(tmp_path) is meaningful
    assert not seed.is_meaningful(tmp_path / "missing")
