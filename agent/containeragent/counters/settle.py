# SPDX-License-Identifier: Apache-2.0
"""Have the kernel finish what it put off, so that a snapshot is exact: its batches of pages.

Each CPU gathers up to 31 pages before it puts them on an LRU list; until then a new tmpfs page still counts as
anonymous, and an unmapped one as in use (mm/swap.c). MADV_COLLAPSE begins with lru_add_drain_all(), which empties these
batches on all CPUs that have any; called on a range without pages it does nothing else.

Since Linux kernel commit 7d8faaf15545 ("mm/madvise: introduce MADV_COLLAPSE sync hugepage collapse") (in v6.1);
before, and without huge pages, each CPU is visited and MADV_COLD drains it.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading

_MADV_COLD, _MADV_COLLAPSE = 20, 25
_HUGE_BYTES = 2 << 20


class Settler:
    """One at a time; it takes microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # One aligned range, and less than another around it, so that nothing here ever becomes a huge page. The kernel
        # only looks at memory that has been used, so one page outside the range is.
        self._memory = mmap.mmap(-1, 2 * _HUGE_BYTES - mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._address = -(-start // _HUGE_BYTES) * _HUGE_BYTES
        self._memory[0 if self._address > start else -1] = 1
        self._libc = ctypes.CDLL(None, use_errno=True)

    def settle(self) -> None:
        """Return when what was pending at the call is done."""
        with self._lock:
            if not self._advise(_MADV_COLLAPSE):
                self._visit_cpus()

    def _advise(self, advice: int) -> bool:
        """False if the kernel does not know it. That a range without pages cannot be collapsed is the good answer."""
        result = self._libc.madvise(ctypes.c_void_p(self._address), ctypes.c_size_t(_HUGE_BYTES), advice)
        return result == 0 or (advice == _MADV_COLLAPSE and self._knows_collapse(ctypes.get_errno()))

    def _knows_collapse(self, number: int) -> bool:
        # An unknown advice is EINVAL, and so is a range that cannot be collapsed; a length of 0 tells them apart.
        if number != errno.EINVAL:
            return True
        nothing = self._libc.madvise(ctypes.c_void_p(self._address), ctypes.c_size_t(0), _MADV_COLLAPSE)
        return int(nothing) == 0

    def _visit_cpus(self) -> None:
        allowed = os.sched_getaffinity(0)
        try:
            for cpu in allowed:
                os.sched_setaffinity(0, {cpu})
                self._advise(_MADV_COLD)
        finally:
            os.sched_setaffinity(0, allowed)
