# SPDX-License-Identifier: Apache-2.0
"""Pages that exist when the programs are loaded, where the kernel can say whose they are.

In: /proc/kpageflags and /proc/kpagecgroup (Documentation/admin-guide/mm/pagemap.rst), which name the memory cgroup of
a page; that is a container only where the memory controller is on cgroup v2. Out: owner words, entered by the programs
in bpf/sweep.c while the others are already counting.

Every block is looked at twice: before its words are entered and after. A page that went in between either was freed
under the eyes of the programs, or is not wanted any more at the second look.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from containeragent.counters.records import BLOCK_PAGES, OWNER_ANON, OWNER_FILE, OWNER_MAPPED, OWNER_SHMEM
from containeragent.host import page_flags
from containeragent.runnable import Runnable

Words = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.uint64]


def is_meaningful(mount: Path) -> bool:
    """Whether the pages' memory cgroups are on this cgroup2 hierarchy."""
    try:
        return "memory" in (mount / "cgroup.controllers").read_text().split()
    except OSError:
        return False


def page_types(flags: Numbers) -> Words:
    """OWNER_ type of each page, 0 for pages that are not counted: free, kernel's own, swap cache only, hugetlbfs.

    What counts as mapped is OWNER_MAPPED too; that alone is memory of the kernel that a program maps.
    """
    mapped, cached = (flags & page_flags.MMAP) != 0, page_flags.are_cached(flags)
    types = np.where(cached, np.where(flags & page_flags.SWAPBACKED, OWNER_SHMEM, OWNER_FILE), 0)
    types = np.where(page_flags.are_mapped(flags, mapped), types | OWNER_MAPPED, types)
    types = np.where(page_flags.are_anon(flags, mapped), OWNER_ANON, types)
    return np.where(flags & page_flags.NEVER_USED_BY_PROGRAMS, 0, types).astype(np.uint32)


def _inherit_from_heads(flags: Numbers, types: Words, cgroups: Numbers) -> None:
    """Tails of a folio have no LRU flag or cgroup of their own on some kernels: give them their head's."""
    tails = (flags & page_flags.COMPOUND_TAIL) != 0
    heads = np.where(tails, 0, np.arange(len(flags)))
    np.maximum.accumulate(heads, out=heads)
    types[tails] = types[heads[tails]]
    cgroups[tails] = cgroups[heads[tails]]


def wanted_words(flags: Numbers, cgroups: Numbers, slot_of: dict[int, int]) -> Words:
    """Owner words of one block of pages, from their flags and the inodes of their cgroups."""
    types, owners = page_types(flags), cgroups.copy()
    _inherit_from_heads(flags, types, owners)
    types[(types == OWNER_MAPPED) & (owners == 0)] = 0  # the kernel counts its own memory only where it charges it
    inodes, index = np.unique(owners, return_inverse=True)
    slots = np.array([slot_of.get(int(inode), 0) for inode in inodes], dtype=np.uint32)[index]
    return np.where((types != 0) & (slots != 0), types | slots, 0).astype(np.uint32)


class Seeder:
    """Enters the pages of the whole host, block by block."""

    def __init__(
        self,
        seed: Runnable,
        confirm: Runnable,
        seed_words: Words,
        slot_of: dict[int, int],
        proc: Path = Path("/proc"),
    ) -> None:
        self._seed, self._confirm = seed, confirm
        self._words = seed_words
        self._slot_of = slot_of
        self._flags = os.open(proc / "kpageflags", os.O_RDONLY)
        self._cgroups = os.open(proc / "kpagecgroup", os.O_RDONLY)

    def close(self) -> None:
        """Close the files."""
        os.close(self._flags)
        os.close(self._cgroups)

    def _look(self, block: int) -> Words:
        size, offset = BLOCK_PAGES * 8, block * BLOCK_PAGES * 8
        flags = np.frombuffer(os.pread(self._flags, size, offset), dtype=np.uint64)
        cgroups = np.frombuffer(os.pread(self._cgroups, size, offset), dtype=np.uint64)
        words = np.zeros(BLOCK_PAGES, dtype=np.uint32)
        if len(flags) and len(flags) == len(cgroups):
            words[: len(flags)] = wanted_words(flags, cgroups, self._slot_of)
        return words

    def run(self, blocks: int, progress: Callable[[int, int], None]) -> None:
        """All blocks; `progress` is told the blocks done and their number."""
        for block in range(blocks):
            self._seed_one(block)
            if block % 256 == 0:
                progress(block, blocks)

    def _seed_one(self, block: int) -> None:
        words = self._look(block)
        if not words.any():
            return
        self._words[:] = words
        self._seed(block)
        self._seed(block)
        self._words[:] = self._look(block)
        self._confirm(block)
        self._confirm(block)
