# SPDX-License-Identifier: Apache-2.0
"""Every page frame that is somebody's, and what the kernel says of it at this moment.

In: the owner map (bpf/owner.h) and /proc/kpageflags, joined. Out: pages by slot: anonymous, file and shmem as the
kernel sees them, and two that no event tells: mapped page cache, and pages on active lists.

Only frames with an owner are asked for. The owner map is mapped window by window: a whole one is 0.1 % of the host's
memory, which would all count as the agent's.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from containeragent.counters.filescan import FileLook
from containeragent.counters.records import BLOCK_PAGES, SLOT_MASK
from containeragent.counters.stale import StaleWords
from containeragent.host import page_flags
from containeragent.host.page_flags import Flags

KINDS = ("anon", "file", "shmem", "mapped", "active")

_BLOCK_BYTES = BLOCK_PAGES * 4
_WINDOW_BLOCKS = 512  # 1 GiB of page frames
_RUN_BLOCKS = 32  # looked at in one go: less than a millisecond of numpy

Words = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]  # (kinds, slots)


def found_in(flags: Flags, mapcounts: Flags | None) -> list[page_flags.Yes]:
    """What some frames are, in the order of KINDS; `mapcounts` may be left out if no large folio is mapped there."""
    flags = page_flags.completed(flags)
    # Of a large folio, MMAP says that some page of it is mapped; the kernel counts the pages that are.
    mapped = (flags & page_flags.MMAP) != 0 if mapcounts is None else mapcounts != 0
    cached = page_flags.are_cached(flags)
    return [
        page_flags.are_anon(flags, mapped),
        cached,
        cached & ((flags & page_flags.SWAPBACKED) != 0),
        page_flags.are_mapped(flags, mapped),
        page_flags.are_active(flags),
    ]


def count(words: Words, found: list[page_flags.Yes], counts: Counts) -> None:
    """Add what was found in some frames that are somebody's."""
    slots, owned = words & SLOT_MASK, words != 0
    for at, yes in enumerate(found):
        some = yes & owned
        if some.any():
            counts[at] += np.bincount(slots[some], minlength=counts.shape[1])[: counts.shape[1]]


class PageScanner:
    """Looks at all frames, one look at a time. It keeps its own descriptor of the owner map."""

    def __init__(self, owners: int, blocks: int, proc: Path = Path("/proc"), stale: StaleWords | None = None) -> None:
        self._blocks = blocks
        self._stale = stale
        self._closing = False
        self._lock = threading.Lock()
        self._flags, self._mapcounts = (
            os.open(proc / name, os.O_RDONLY | os.O_CLOEXEC) for name in ("kpageflags", "kpagecount")
        )
        self._owners = os.dup(owners)

    def close(self) -> None:
        """End a look that is under way, then let go."""
        self._closing = True
        with self._lock:
            for descriptor in (self._owners, self._flags, self._mapcounts):
                os.close(descriptor)

    def look(self, slots: int, files: FileLook | None = None) -> Counts | None:
        """Pages by kind (in the order of KINDS) and slot, for slots below `slots`; None when it is being closed.

        `files` sees the same frames.
        """
        counts: Counts = np.zeros((len(KINDS), slots), dtype=np.int64)
        with self._lock:
            freed: dict[int, int] = {}
            for first in range(0, self._blocks, _WINDOW_BLOCKS):
                if self._closing:
                    return None
                words = self._window(first)
                for run in _runs(words):
                    live = words[run.start : run.stop].reshape(-1)
                    self._count_run(live, first + run.start, counts, freed, files)
            if self._stale:
                self._stale.mend(freed, self._is_freed)
        return counts

    def _is_freed(self, frame: int) -> bool:
        """Whether it is free, or the kernel's own, at this moment."""
        flags = int.from_bytes(os.pread(self._flags, 8, frame * 8), sys.byteorder)
        return bool(flags & page_flags.FREED)

    def _window(self, first: int) -> Words:
        """Owner words (blocks, pages) from a block on; mapped until the last array over it is gone."""
        blocks = min(_WINDOW_BLOCKS, self._blocks - first)
        size = -(-blocks * _BLOCK_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = mmap.mmap(self._owners, size, mmap.MAP_SHARED, mmap.PROT_READ, offset=first * _BLOCK_BYTES)
        return np.frombuffer(memory, dtype=np.uint32, count=blocks * BLOCK_PAGES).reshape(blocks, BLOCK_PAGES)

    def _count_run(
        self, live: Words, block: int, counts: Counts, freed: dict[int, int], files: FileLook | None
    ) -> None:
        words = live.copy()  # they change while we look
        flags = _read(self._flags, block, len(words))
        large = page_flags.COMPOUND_HEAD | page_flags.COMPOUND_TAIL
        partly = ((flags & large) != 0) & ((flags & page_flags.MMAP) != 0) & (words != 0)
        mapcounts = _read(self._mapcounts, block, len(words)) if partly.any() else None
        found = found_in(flags, mapcounts)
        count(words, found, counts)
        if files:
            files.see(block, words, found)
        for at in np.flatnonzero((words != 0) & ((flags & page_flags.FREED) != 0) & (words == live)).tolist():
            freed[block * BLOCK_PAGES + at] = int(words[at])


def _runs(words: Words) -> Iterator[range]:
    """Ranges of neighbouring blocks with owners, none longer than a run may be."""
    owned = np.asarray(words.any(axis=1), dtype=np.int8)
    edges = np.flatnonzero(np.diff(owned, prepend=0, append=0)).tolist()
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        for first in range(start, stop, _RUN_BLOCKS):
            yield range(first, min(first + _RUN_BLOCKS, stop))


def _read(descriptor: int, block: int, frames: int) -> Flags:
    """One word a frame; 0 beyond the last frame that there is."""
    data = os.pread(descriptor, frames * 8, block * BLOCK_PAGES * 8)
    return np.frombuffer(data.ljust(frames * 8, b"\0"), dtype=np.uint64)
