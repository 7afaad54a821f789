# SPDX-License-Identifier: Apache-2.0
"""Workloads on page cache: files on disk, tmpfs, shared memory. The first argument is a folder for their files."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal

from tests.kernel.workloads.resting import Rests, main, rest

PAGE = mmap.PAGESIZE
PAGES = 16384
MADV_REMOVE, MADV_COLLAPSE = 9, 25


def _write(descriptor: int, pages: int = PAGES) -> None:
    chunk = b"x" * PAGE
    for page in range(pages):
        os.pwrite(descriptor, chunk, page * PAGE)


def _read(descriptor: int, pages: int = PAGES) -> None:
    for page in range(0, pages, 16):
        os.pread(descriptor, 16 * PAGE, page * PAGE)


def _create(folder: str, name: str = "file") -> tuple[int, str]:
    path = os.path.join(folder, name)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), path


def _drop(descriptor: int, first: int = 0, pages: int = 0) -> None:
    os.posix_fadvise(descriptor, first * PAGE, pages * PAGE, os.POSIX_FADV_DONTNEED)


def _share(pages: int = PAGES) -> mmap.mmap:
    return mmap.mmap(-1, pages * PAGE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)


def _touch(memory: mmap.mmap, pages: int = PAGES, step: int = 1) -> None:
    for page in range(0, pages, step):
        memory[page * PAGE] = 1


def disk(folder: str) -> Rests:
    """A file's life."""
    descriptor, path = _create(folder)
    _write(descriptor)
    os.fsync(descriptor)
    yield rest("written", {"file": PAGES, "shmem": 0})
    _drop(descriptor)
    yield rest("dropped", {"file": 0})
    _read(descriptor)
    yield rest("read", {"file": PAGES, "shmem": 0})
    os.ftruncate(descriptor, PAGES // 4 * PAGE)
    yield rest("truncated", {"file": PAGES // 4})
    os.unlink(path)
    yield rest("unlinked", {"file": PAGES // 4})
    os.close(descriptor)
    yield rest("closed", {"file": 0})


def mapped(folder: str) -> Rests:
    """Page cache by way of page faults, shared and private."""
    descriptor, path = _create(folder)
    os.ftruncate(descriptor, PAGES * PAGE)
    shared = mmap.mmap(descriptor, PAGES * PAGE)
    _touch(shared)
    yield rest("written through the mapping", {"file": PAGES, "shmem": 0, "anon": 0})
    private = mmap.mmap(descriptor, PAGES * PAGE, mmap.MAP_PRIVATE)
    _touch(private, PAGES // 2)
    yield rest("private copies", {"file": PAGES, "anon": PAGES // 2})
    private.close()
    shared.flush()
    shared.close()
    yield rest("unmapped", {"file": PAGES, "anon": 0})
    _drop(descriptor)
    yield rest("dropped", {"file": 0})
    os.unlink(path)
    os.close(descriptor)


def sparse(folder: str) -> Rests:
    """Holes that are read have page cache too."""
    descriptor, path = _create(folder)
    os.ftruncate(descriptor, PAGES * PAGE)
    _read(descriptor)
    yield rest("holes read", {"file": PAGES})
    os.unlink(path)
    os.close(descriptor)
    yield rest("closed", {"file": 0})


def parts(folder: str) -> Rests:
    """Large folios of page cache that are dropped and truncated in the middle."""
    descriptor, path = _create(folder)
    for offset in range(0, PAGES, 512):
        os.pwrite(descriptor, b"x" * (512 * PAGE), offset * PAGE)
    os.fsync(descriptor)
    yield rest("written", {"file": PAGES})
    _drop(descriptor)
    _read(descriptor)
    for first in range(0, PAGES, 512):
        _drop(descriptor, first + 3, 256)
    yield rest("dropped in parts")
    os.ftruncate(descriptor, (PAGES // 2 + 7) * PAGE + 1)
    yield rest("truncated in the middle")
    os.unlink(path)
    os.close(descriptor)
    yield rest("closed", {"file": 0})


def kept(folder: str, name: str = "kept", pages: str = "512") -> Rests:
    """A file that stays when its writer ends."""
    descriptor, _ = _create(folder, name)
    _write(descriptor, int(pages))
    os.fsync(descriptor)
    yield rest("written", {"file": int(pages)})


def tmpfs(folder: str) -> Rests:
    """A file on tmpfs is shmem, and file too."""
    descriptor, path = _create(folder)
    _write(descriptor)
    yield rest("written", {"file": PAGES, "shmem": PAGES, "anon": 0})
    os.ftruncate(descriptor, PAGES // 4 * PAGE)
    yield rest("truncated", {"file": PAGES // 4, "shmem": PAGES // 4})
    os.unlink(path)
    yield rest("unlinked", {"file": PAGES // 4, "shmem": PAGES // 4})
    os.close(descriptor)
    yield rest("closed", {"file": 0, "shmem": 0})


def shared_anon() -> Rests:
    """Shared memory of one process tree."""
    memory = _share()
    _touch(memory)
    yield rest("touched", {"shmem": PAGES, "file": PAGES, "anon": 0})
    memory.madvise(mmap.MADV_DONTNEED)
    yield rest("unmapped, not gone", {"shmem": PAGES, "file": PAGES})
    memory.madvise(MADV_REMOVE, 0, PAGES // 2 * PAGE)
    yield rest("half removed", {"shmem": PAGES // 2, "file": PAGES // 2})
    memory.close()
    yield rest("closed", {"shmem": 0, "file": 0})


def shared_with_child() -> Rests:
    """Whoever touches first pays, and here both are in one container; it stays until the last one ends."""
    memory = _share()
    _touch(memory, PAGES // 2)
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        _touch(memory)
        os.write(told, b"x")
        signal.pause()
    try:
        os.read(ready, 1)
        yield rest("child touched the rest", {"shmem": PAGES, "file": PAGES})
        memory.close()
        yield rest("parent let go", {"shmem": PAGES, "file": PAGES})
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    yield rest("child gone", {"shmem": 0, "file": 0})


def memfd() -> Rests:
    """memfd_create, and a private mapping of it: copies are anonymous."""
    descriptor = os.memfd_create("test")
    _write(descriptor, 4096)
    yield rest("written", {"shmem": 4096, "file": 4096})
    private = mmap.mmap(descriptor, 4096 * PAGE, mmap.MAP_PRIVATE)
    _touch(private, 4096)
    yield rest("private copies", {"shmem": 4096, "anon": 4096})
    private.close()
    os.close(descriptor)
    yield rest("closed", {"shmem": 0, "file": 0, "anon": 0})


def shmem_collapsed() -> Rests:
    """MADV_COLLAPSE of shared memory: new huge pages take the place of those in the cache, holes are filled."""
    memory = _share()
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    first, collapsed = -(start // PAGE) % 512, 8 * 512
    _touch(memory, PAGES, step=2)
    yield rest("touched", {"shmem": PAGES // 2})
    memory.madvise(mmap.MADV_HUGEPAGE)
    memory.madvise(MADV_COLLAPSE, first * PAGE, collapsed * PAGE)
    yield rest("collapsed", {"shmem": (PAGES + collapsed) // 2, "file": (PAGES + collapsed) // 2})
    _let_go(memory)
    yield rest("let go", {"shmem": 0, "file": 0})


def _let_go(memory: mmap.mmap) -> None:
    """ctypes still looks at it, so it cannot be closed; its pages can be removed."""
    memory.madvise(MADV_REMOVE)


def reclaimed(folder: str, pages: str) -> Rests:
    """
    More page cache than the limit that the test set allows, round and round, beside anonymous memory. Written back in
    small parts: where a group's cache is all dirty, the multi-generational LRU (6.12) calls the out-of-memory killer.
    """
    descriptor, path = _create(folder)
    memory = mmap.mmap(-1, int(pages) // 4 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _touch(memory, int(pages) // 4)
    chunk = b"x" * (64 * PAGE)
    for page in range(0, 2 * int(pages), 64):
        os.pwrite(descriptor, chunk, page * PAGE)
        os.fdatasync(descriptor)
    for _ in range(2):
        _read(descriptor, 2 * int(pages))
    yield rest("reclaimed", {"anon": int(pages) // 4})
    os.unlink(path)
    os.close(descriptor)
    yield rest("closed", {"anon": int(pages) // 4, "file": 0})


if __name__ == "__main__":
    main(disk, mapped, sparse, parts, kept, tmpfs, shared_anon, shared_with_child, memfd, shmem_collapsed, reclaimed)
