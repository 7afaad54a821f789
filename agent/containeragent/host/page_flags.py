# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of page frames: bits of /proc/kpageflags, and what they make of a page.

Bits: include/uapi/linux/kernel-page-flags.h; meaning: Documentation/admin-guide/mm/pagemap.rst, fs/proc/page.c.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

LRU, ACTIVE, SLAB, BUDDY, MMAP, ANON = 1 << 5, 1 << 6, 1 << 7, 1 << 10, 1 << 11, 1 << 12
SWAPCACHE, SWAPBACKED, COMPOUND_HEAD, COMPOUND_TAIL = 1 << 13, 1 << 14, 1 << 15, 1 << 16
HUGE, UNEVICTABLE, NOPAGE = 1 << 17, 1 << 18, 1 << 20

# What a folio says once, in its head. Until Linux kernel commit dee3d0bef2b0 ("proc: rewrite stable_page_flags()") (in
# v6.10) the file shows each tail's own word instead, in which some of these bits mean something else.
_OF_FOLIO = LRU | ACTIVE | SWAPCACHE | SWAPBACKED | UNEVICTABLE
FREED = BUDDY | SLAB  # free, or the kernel's own since
NEVER_USED_BY_PROGRAMS = SLAB | BUDDY | HUGE | NOPAGE

GENERATIONS = "kernel/mm/lru_gen/enabled"

Flags = npt.NDArray[np.uint64]
Yes = npt.NDArray[np.bool_]


def completed(flags: Flags) -> Flags:
    """Flags in which tails have what their folio's head says. `flags` begin at the beginning of a folio."""
    tails = (flags & COMPOUND_TAIL) != 0
    if not tails.any():
        return flags
    heads = np.where(tails, 0, np.arange(len(flags)))
    np.maximum.accumulate(heads, out=heads)
    return np.where(tails, (flags & ~np.uint64(_OF_FOLIO)) | (flags[heads] & _OF_FOLIO), flags)


def are_anon(flags: Flags, mapped: Yes) -> Yes:
    """Counted in NR_ANON_MAPPED (memory.stat anon)."""
    found: Yes = mapped & ((flags & (ANON | HUGE)) == ANON)
    return found


def are_cached(flags: Flags) -> Yes:
    """Counted in NR_FILE_PAGES (memory.stat file), but for pages that are on their way to or from an LRU list."""
    on_list = (flags & (LRU | UNEVICTABLE)) != 0
    found: Yes = on_list & ((flags & (ANON | SWAPCACHE | NEVER_USED_BY_PROGRAMS)) == 0)
    return found


def are_mapped(flags: Flags, mapped: Yes) -> Yes:
    """Counted in NR_FILE_MAPPED (memory.stat file_mapped): page cache, and memory of the kernel that a program maps."""
    found: Yes = mapped & ((flags & (ANON | NEVER_USED_BY_PROGRAMS)) == 0)
    return found


def are_active(flags: Flags) -> Yes:
    """Counted in NR_ACTIVE_ANON or NR_ACTIVE_FILE (memory.stat active_anon and active_file)."""
    found: Yes = (flags & (LRU | ACTIVE | UNEVICTABLE | HUGE)) == (LRU | ACTIVE)
    return found


def tell_active(sys: Path = Path("/sys")) -> bool:
    """Whether the flags say which pages are active: the multi-generational LRU keeps generations instead."""
    try:
        return not int((sys / GENERATIONS).read_text(), 16) & 1
    except FileNotFoundError:
        return True
