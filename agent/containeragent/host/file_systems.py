# SPDX-License-Identifier: Apache-2.0
"""Which file system an open file is on, as far as it has no page cache of its own (statfs(2), linux/magic.h)."""

from __future__ import annotations

import ctypes
import sys

_WITHOUT_PAGES = {
    0x9FA0: "proc",
    0x62656572: "sysfs",
    0x64626720: "debugfs",
    0x74726163: "tracefs",
    0x958458F6: "hugetlbfs",
}
_STATFS_BYTES, _TYPE_BYTES = 256, ctypes.sizeof(ctypes.c_long)


def without_pages(descriptor: int) -> str | None:
    """Its name, if its files have no pages in the page cache."""
    libc, raw = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(_STATFS_BYTES)
    if libc.fstatfs(descriptor, raw):
        return None
    return _WITHOUT_PAGES.get(int.from_bytes(raw.raw[:_TYPE_BYTES], sys.byteorder))
