# SPDX-License-Identifier: Apache-2.0
"""Memory that comes and goes in less usual ways. The first argument of some is a folder for their files."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import threading

from tests.kernel.workloads.resting import Rests, main, rest

PAGE = mmap.PAGESIZE
PAGES = 2048
MADV_FREE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_PAGEOUT, MADV_POPULATE_WRITE = 8, 12, 13, 21, 23
LIBC = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def _private(pages: int = PAGES) -> mmap.mmap:
    return mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _file(folder: str, pages: int = PAGES) -> int:
    path = os.path.join(folder, "odd")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.unlink(path)
    for page in range(0, pages, 64):
        os.pwrite(descriptor, b"x" * (64 * PAGE), page * PAGE)
    os.fsync(descriptor)
    return descriptor


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def private_file(folder: str) -> Rests:
    """Pages of a file that are written to privately become anonymous copies."""
    descriptor = _file(folder)
    memory = mmap.mmap(descriptor, PAGES * PAGE, mmap.MAP_PRIVATE)
    seen = sum(memory[page * PAGE] for page in range(PAGES))
    yield rest("read", {"anon": 0, "file": PAGES}, facts={"seen": seen})
    for page in range(0, PAGES, 2):
        memory[page * PAGE] = 1
    yield rest("half written", {"anon": PAGES // 2, "file": PAGES})
    os.ftruncate(descriptor, 0)
    yield rest("truncated", {"anon": 0, "file": 0})
    memory.close()


def freed_lazily() -> Rests:
    """MADV_FREE: the kernel takes them when it needs them."""
    memory = _private()
    memory.madvise(MADV_POPULATE_WRITE)
    memory.madvise(MADV_FREE)
    yield rest("given up", {"anon": PAGES})
    memory.madvise(MADV_PAGEOUT)
    yield rest("reclaimed")
    memory[:PAGE] = b"x" * PAGE
    memory.close()
    yield rest("closed", {"anon": 0})


def pipes(folder: str) -> Rests:
    """Pages of pipes are nobody's anonymous memory, neither those that are given to one."""
    descriptor = _file(folder, 256)
    memory = _private(256)
    memory.madvise(MADV_POPULATE_WRITE)
    ends = [os.pipe() for _ in range(8)]
    for _, end in ends:
        fcntl.fcntl(end, 1031, 64 * PAGE)  # F_SETPIPE_SZ
    for at, (_, end) in enumerate(ends[:4]):
        os.write(end, b"x" * 32 * PAGE)
        part = Iovec(_address(memory) + at * 32 * PAGE, 32 * PAGE)
        _checked(LIBC.vmsplice(end, ctypes.byref(part), 1, 8 | 2))  # SPLICE_F_GIFT, and not to wait
    for _, end in ends[4:]:
        os.splice(descriptor, end, 32 * PAGE, offset_src=0)
    yield rest("full", {"anon": 256, "file": 256})
    for begin, end in ends[:2]:
        os.close(end)
        while os.read(begin, 1 << 20):
            pass
    yield rest("two read")
    for begin, end in ends:
        os.close(begin)
        if (begin, end) not in ends[:2]:
            os.close(end)
    del memory
    os.close(descriptor)
    yield rest("closed", {"file": 0})


def _sharing() -> int:
    with open("/sys/kernel/mm/ksm/pages_sharing") as file:
        return int(file.read())


def merged() -> Rests:
    """KSM; the test lets it run."""
    memory = _private()
    memory[:] = b"a" * len(memory)
    yield rest("written", {"anon": PAGES})
    memory.madvise(MADV_MERGEABLE)
    for _ in range(400):
        if _sharing() >= PAGES // 2:
            break
        threading.Event().wait(0.05)
    yield rest("merged", facts={"sharing": _sharing()})
    for page in range(0, PAGES, 4):
        memory[page * PAGE] = 1
    yield rest("a quarter written to")
    memory.madvise(MADV_UNMERGEABLE)
    yield rest("apart", {"anon": PAGES})
    memory.close()
    yield rest("closed", {"anon": 0})


def by_userfaultfd() -> Rests:
    """Pages that a monitor of the same process copies in."""
    memory = _private(256)
    descriptor = _checked(LIBC.syscall(323, 0o2000000))
    fcntl.ioctl(descriptor, 0xC018AA3F, bytearray(struct.pack("QQQ", 0xAA, 0, 0)))
    fcntl.ioctl(descriptor, 0xC020AA00, bytearray(struct.pack("QQQQ", _address(memory), 256 * PAGE, 1, 0)))
    source = _private(256)
    source[:] = b"s" * len(source)
    yield rest("registered", {"anon": 256})
    copy = struct.pack("QQQQq", _address(memory), _address(source), 256 * PAGE, 0, 0)
    fcntl.ioctl(descriptor, 0xC028AA03, bytearray(copy))
    yield rest("copied", {"anon": 512})
    os.close(descriptor)
    del memory, source


def system_v(pages: str = "512") -> Rests:
    """Shared memory of System V, which outlives who made it until it is removed."""
    size = int(pages) * PAGE
    identity = _checked(LIBC.shmget(0, ctypes.c_size_t(size), 0o1600))
    LIBC.shmat.restype = ctypes.c_void_p
    address = LIBC.shmat(identity, None, 0)
    ctypes.memset(address, 1, size)
    yield rest("written", {"shmem": int(pages), "file": int(pages)})
    LIBC.shmdt(ctypes.c_void_p(address))
    yield rest("detached", {"shmem": int(pages)})
    _checked(LIBC.shmctl(identity, 0, None))
    yield rest("removed", {"shmem": 0, "file": 0})


def allocated_ahead(folder: str) -> Rests:
    """tmpfs: fallocate, holes, and an end in the middle of a page."""
    descriptor = os.open(os.path.join(folder, "ahead"), os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, PAGES * PAGE)
    yield rest("allocated", {"shmem": PAGES, "file": PAGES})
    _checked(LIBC.fallocate(descriptor, 3, ctypes.c_long(0), ctypes.c_long(PAGES // 2 * PAGE)))  # a hole
    yield rest("hole", {"shmem": PAGES // 2})
    os.ftruncate(descriptor, (PAGES * 3 // 4) * PAGE - 17)
    yield rest("truncated", {"shmem": PAGES // 4})
    os.unlink(os.path.join(folder, "ahead"))
    os.close(descriptor)
    yield rest("gone", {"shmem": 0, "file": 0})


def remote() -> Rests:
    """A process writes into another one's fresh memory (a debugger does)."""
    memory = _private()
    start, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b"x")
        signal.pause()
    os.read(start, 1)
    data = b"r" * (64 * PAGE)
    local = Iovec(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value, len(data))
    for page in range(0, PAGES, 64):
        there = Iovec(_address(memory) + page * PAGE, 64 * PAGE)
        _checked(LIBC.process_vm_writev(child, ctypes.byref(local), 1, ctypes.byref(there), 1, 0))
    yield rest("written", {"anon": PAGES})
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    yield rest("gone", {"anon": 0})


def killed_at_once() -> Rests:
    """Many processes that end while they allocate."""
    children = []
    for _ in range(23):
        child = os.fork()
        if not child:
            while True:
                _private(512).madvise(MADV_POPULATE_WRITE)
        children.append(child)
    threading.Event().wait(0.5)
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    yield rest("all gone", {"anon": 0})


def programs() -> Rests:
    """Programs one after another: stacks, bss and page tables of each are gone with it."""
    for _ in range(43):
        os.waitpid(os.posix_spawn("/bin/true", ["/bin/true"], {}), 0)
    yield rest("ended", {"anon": 0})


def asynchronous(folder: str) -> Rests:
    """The rings of io_setup(2) are page cache of a file that nobody sees."""
    context = ctypes.c_ulong(0)
    _checked(LIBC.syscall(206, 4096, ctypes.byref(context)))
    yield rest("set up")
    _checked(LIBC.syscall(207, context))
    yield rest("destroyed", {"file": 0})


def direct(folder: str) -> Rests:
    """Reads and writes past the page cache."""
    descriptor = _file(folder, 256)
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_DIRECT)
    memory = _private(256)
    memory.madvise(MADV_POPULATE_WRITE)
    os.preadv(again, [memory], 0)
    yield rest("read", {"anon": 256})
    os.pwrite(again, memory, 0)
    yield rest("written", {"anon": 256})
    memory.close()
    os.close(again)
    os.close(descriptor)
    yield rest("closed", {"file": 0, "anon": 0})


if __name__ == "__main__":
    main(
        private_file, freed_lazily, pipes, merged, by_userfaultfd, system_v, allocated_ahead, remote, killed_at_once,
        programs, asynchronous, direct,
    )  # fmt: skip
