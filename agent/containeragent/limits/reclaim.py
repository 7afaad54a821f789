# SPDX-License-Identifier: Apache-2.0
"""Takes memory back from a container: through its memory controller, or task by task where it has none.

In: a cgroup's directory, or ids of processes. Out: nothing; how much it was, the counters say. Without a controller:
mapped memory by process_madvise(2) with MADV_PAGEOUT (anonymous memory only where there is swap), page cache of files
that are open by posix_fadvise(2). What may not be looked at is left.
"""

from __future__ import annotations

import contextlib
import ctypes as C
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from containeragent.cgroups.directory import write_file

MEMORY_RECLAIM = "memory.reclaim"
CHUNK_BYTES = 64 << 20  # at a time, so that it can be stopped

_MADV_PAGEOUT = 21  # include/uapi/asm-generic/mman-common.h
_PROCESS_MADVISE = 440  # include/uapi/asm-generic/unistd.h, the same on x86-64 and arm64
_MOST_RANGES = 1024  # IOV_MAX
# File systems that answer by themselves: an open file of another could make us wait for whoever serves it.
_OWN_KINDS = frozenset("btrfs erofs ext2 ext3 ext4 f2fs overlay squashfs vfat xfs".split())


class _Range(C.Structure):
    _fields_ = [("start", C.c_void_p), ("bytes", C.c_size_t)]


def by_controller(directory: int, number_bytes: int) -> bool:
    """Have the kernel take back so much; False if it could not do all of it, or knows no such file (Linux 5.19)."""
    try:
        write_file(directory, MEMORY_RECLAIM, str(number_bytes))
    except OSError:
        return False
    return True


def by_task(process: int, swap: bool) -> None:
    """What can be had from one process."""
    with contextlib.suppress(OSError):
        _page_out(process, _ranges(Path(f"/proc/{process}/maps").read_text(errors="replace"), swap))
    with contextlib.suppress(OSError):
        _drop_open_files(process)


def there_is_swap(proc: Path = Path("/proc")) -> bool:
    """Whether anonymous memory has somewhere to go."""
    return len((proc / "swaps").read_text().splitlines()) > 1


def _ranges(maps: str, swap: bool) -> list[tuple[int, int]]:
    """Start and size of what may be paged out, from proc_pid_maps(5)."""
    found = []
    for line in maps.splitlines():
        place, _permissions, _offset, device, inode, *path = line.split(maxsplit=5)
        named = bool(path) and path[0].startswith("[") and path[0] not in ("[heap]", "[stack]")
        if named or not (swap or (inode != "0" and device != "00:00")):
            continue
        start, end = (int(part, 16) for part in place.split("-"))
        found.append((start, end - start))
    return found


def _page_out(process: int, ranges: Sequence[tuple[int, int]]) -> None:
    syscall = C.CDLL(None, use_errno=True).syscall
    held = os.pidfd_open(process)
    try:
        for begin in range(0, len(ranges), _MOST_RANGES):
            part = ranges[begin : begin + _MOST_RANGES]
            vector = (_Range * len(part))(*(_Range(start, size) for start, size in part))
            syscall(_PROCESS_MADVISE, held, C.byref(vector), C.c_size_t(len(part)), _MADV_PAGEOUT, 0)
    finally:
        os.close(held)


def _drop_open_files(process: int) -> None:
    kinds = _mount_kinds(Path(f"/proc/{process}/mountinfo").read_text(errors="replace"))
    for number in os.listdir(f"/proc/{process}/fd"):
        with contextlib.suppress(OSError):
            information = Path(f"/proc/{process}/fdinfo/{number}").read_text()
            if kinds.get(_mount_of(information)) in _OWN_KINDS:
                _drop(f"/proc/{process}/fd/{number}")


def _drop(path: str) -> None:
    if not stat.S_ISREG(os.stat(path).st_mode):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _mount_of(information: str) -> str:
    """The mount's id, from proc_pid_fdinfo(5)."""
    found: Iterator[str] = (line.split()[1] for line in information.splitlines() if line.startswith("mnt_id:"))
    return next(found, "")


def _mount_kinds(mountinfo: str) -> dict[str, str]:
    """File system types by the mounts' ids, from proc_pid_mountinfo(5)."""
    lines = (line.partition(" - ") for line in mountinfo.splitlines())
    return {before.split()[0]: after.split()[0] for before, _, after in lines if after}
