# SPDX-License-Identifier: Apache-2.0
"""Page frames: how many there can be, and where the kernel keeps struct page for them.

In: /proc/zoneinfo, /proc/self/pagemap and the struct page addresses that bpf/calibrate.c saw. Out: two numbers.
"""

from __future__ import annotations

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


def touch_pages(count: int) -> list[int]:
    """Touch `count` new anonymous pages and give their frame numbers; the pages are gone afterwards."""
    with mmap.mmap(-1, count * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for page in range(count):
            memory[page * PAGE_BYTES] = 1
        return _frames_at(_address(memory), count)


def _address(memory: mmap.mmap) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _frames_at(address: int, count: int) -> list[int]:
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(address // PAGE_BYTES * 8)
        entries = struct.unpack(f"{count}Q", pagemap.read(count * 8))
    return [entry & _FRAME_MASK for entry in entries if entry & _PRESENT]


def struct_page_base(pages: Sequence[int], frames: Sequence[int], struct_bytes: int) -> int:
    """Address of the struct page of frame 0, from addresses seen and frame numbers of which each was among them.

    Frames are contiguous in parts, so a wrong base explains many: only one that explains all, alone, is taken.
    """
    seen = set(pages)
    bases = [page - frames[0] * struct_bytes for page in seen]
    fitting = [base for base in bases if all(base + frame * struct_bytes in seen for frame in frames)]
    if len(fitting) != 1:
        raise Refused(
            "ENOTSUP",
            f"could not find where this kernel keeps struct page ({len(fitting)} answers for {len(frames)} pages): "
            "is /proc/self/pagemap readable with CAP_SYS_ADMIN?",
        )
    return fitting[0]
