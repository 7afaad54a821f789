# SPDX-License-Identifier: Apache-2.0
"""Workloads that go above a limit."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import time

from tests.kernel.workloads.resting import Rests, main, rest

PAGE = mmap.PAGESIZE
SYS_CLONE3 = 435
CLONE_PIDFD = 0x1000


def waiting(children: str) -> Rests:
    """Children that stay, until all are there."""
    started = []
    for _ in range(int(children)):
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
        started.append(child)
    yield rest("all there")
    for child in started:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    yield rest("gone")


def waves(pages: str, count: str) -> Rests:
    """Touch pages and give them back, so many times."""
    memory = mmap.mmap(-1, int(pages) * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for _ in range(int(count)):
        for page in range(int(pages)):
            memory[page * PAGE] = 1
        yield rest("touched")
        memory.madvise(mmap.MADV_DONTNEED)
        yield rest("given back")


def failing_forks(count: str) -> Rests:
    """Forks that fail late: clone3 with CLONE_PIDFD and nowhere to write to. Then forks that work."""
    arguments = (ctypes.c_uint64 * 11)(CLONE_PIDFD, 8, 0, 0, signal.SIGCHLD)
    for _ in range(int(count)):
        done = ctypes.CDLL(None, use_errno=True).syscall(SYS_CLONE3, arguments, ctypes.sizeof(arguments))
        assert (done, ctypes.get_errno()) == (-1, errno.EFAULT), done
    yield rest("failed")
    for _ in range(int(count)):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
    yield rest("worked")


def _fork_until(end: float) -> tuple[int, int]:
    """Fork, and let the children live for a moment; how often it worked, and how often it was denied."""
    forked = denied = 0
    living: list[int] = []
    while time.monotonic() < end:
        try:
            child = os.fork()
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            denied += 1
        else:
            if not child:
                os._exit(0)
            forked += 1
            living.append(child)
        if len(living) > 3 or denied % 2:
            while living:
                os.waitpid(living.pop(), 0)
    for child in living:
        os.waitpid(child, 0)
    return forked, denied


def forkers(count: str, seconds: str) -> Rests:
    """So many processes that fork at the same time as fast as they can, once all are there."""
    read, write = os.pipe()
    wait, begin = os.pipe()
    end = time.monotonic() + float(seconds)
    children = []
    for _ in range(int(count)):
        child = os.fork()
        if not child:
            os.close(begin)
            os.read(wait, 1)
            os.write(write, b"%d %d\n" % _fork_until(end))
            os._exit(0)
        children.append(child)
    os.close(begin)
    yield rest("forking")
    for child in children:
        os.waitpid(child, 0)
    os.close(write)
    lines = os.fdopen(read).read().split("\n")[:-1]
    assert len(lines) == int(count), lines
    forked, denied = (sum(int(line.split()[at]) for line in lines) for at in (0, 1))
    yield rest("ended", facts={"forked": forked, "denied": denied})


if __name__ == "__main__":
    main(waiting, waves, failing_forks, forkers)
