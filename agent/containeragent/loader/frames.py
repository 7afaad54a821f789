# SPDX-License-Identifier: Apache-2.0
"""Page frames: how many there can be, and where the kernel keeps struct page for them.

In: /proc/zoneinfo, /proc/self/pagemap and the struct page addresses that bpf/calibrate.c saw. Out: two numbers.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import struct
from collections.abc import Sequence
from pathlib import Path

from containeragent.errors import Refused

PAGE_BYTES = mmap.PAGESIZE
_PRESENT = 1 << 63  # Documentation/admin-guide/mm/pagemap.rst
_FRAME_MASK = (1 << 55) - 1


def frames_spanned(zoneinfo: str) -> int:
    """One more than the highest page frame number of any zone, from the text of /proc/zoneinfo."""
    highest = 0
    for zone in zoneinfo.split("Node ")[1:]:
        spanned = re.search(r"^\s*spanned\s+(\d+)", zone, re.M)
        start = re.search(r"^\s*start_pfn:\s+(\d+)", zone, re.M)
        if spanned and start and int(spanned[1]):
            highest = max(highest, int(start[1]) + int(spanned[1]))
    if not highest:
        raise Refused("ENOTSUP", "/proc/zoneinfo names no memory zone: the size of the page-owner map is unknown")
    return highest


def host_frames() -> int:
    """frames_spanned of this host."""
    return frames_spanned(Path("/proc/zoneinfo").read_text())


class FreshPages:
    """Anonymous memory of `count` pages that no page frame is behind yet."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, count * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory.madvise(mmap.MADV_NOHUGEPAGE)

    def touch(self) -> None:
        """Have the kernel put a frame behind each page, in order; allocates nothing else."""
        memory = self._memory
        for at in range(0, self.count * PAGE_BYTES, PAGE_BYTES):
            memory[at] = 1

    def frames(self) -> list[int]:
        """The frame numbers, in order (/proc/self/pagemap)."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            pagemap.seek(address // PAGE_BYTES * 8)
            entries = struct.unpack(f"{self.count}Q", pagemap.read(self.count * 8))
        return [entry & _FRAME_MASK for entry in entries if entry & _PRESENT]


def struct_page_base(pages: Sequence[int], frames: Sequence[int], struct_bytes: int) -> int | None:
    """Address of the struct page of frame 0, from the addresses and the frame numbers of the same pages in one order.

    None when they are not of the same pages: one allocation in between shifts all that follow.
    """
    bases = {page - frame * struct_bytes for page, frame in zip(pages, frames, strict=False)}
    return bases.pop() if len(pages) == len(frames) and len(bases) == 1 else None
