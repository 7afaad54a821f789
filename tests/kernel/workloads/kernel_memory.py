# SPDX-License-Identifier: Apache-2.0
"""Memory of the kernel that a program maps: the values of a BPF array."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

from tests.kernel.workloads.resting import Rests, main, rest

PAGES = 1009
SYS_BPF, BPF_MAP_CREATE, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE = 321, 0, 2, 1 << 10


def _array() -> int:
    attributes = struct.pack("5I52x", BPF_MAP_TYPE_ARRAY, 4, mmap.PAGESIZE, PAGES, BPF_F_MMAPABLE)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.syscall(SYS_BPF, BPF_MAP_CREATE, attributes, len(attributes)))
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    return descriptor


def mapped_array() -> Rests:
    """Mapped, mapped once more, and not mapped any more."""
    descriptor, size = _array(), PAGES * mmap.PAGESIZE
    yield rest("made")
    memory = mmap.mmap(descriptor, size)
    yield rest("mapped", {"mapped": PAGES})
    twice = mmap.mmap(descriptor, size)
    yield rest("twice", {"mapped": PAGES})
    memory.close()
    twice.close()
    yield rest("unmapped", {"mapped": 0})


if __name__ == "__main__":
    main(mapped_array)
