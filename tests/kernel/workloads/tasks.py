# SPDX-License-Identifier: Apache-2.0
"""Workloads that start, end and replace tasks. What they expect of `tasks` is exact."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

from tests.kernel.workloads import ring
from tests.kernel.workloads.resting import Rests, main, rest

STORM = 23 * 43  # both prime: a counter that is off by a factor shows
FEW = 23
SYS_CLONE3 = 435
CLONE_INTO_CGROUP = 0x200000000
TRUE = "/bin/true"


def _fork_and_wait(times: int) -> None:
    for _ in range(times):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)


def forks() -> Rests:
    """One child after the other, then all at once."""
    _fork_and_wait(STORM)
    yield rest("one by one", tasks={"forks": STORM, "exits": STORM, "num_tasks": 0})
    children = []
    for _ in range(FEW):
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
    try:
        yield rest("waiting", tasks={"forks": STORM + FEW, "exits": STORM, "num_tasks": FEW})
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    yield rest("killed", tasks={"forks": STORM + FEW, "exits": STORM + FEW, "num_tasks": 0})


def nested_forks() -> Rests:
    """Several processes that fork at the same time, and whose children outlive them."""
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            _fork_and_wait(STORM)
            os._exit(0)
        children.append(child)
    yield rest("forking")
    for child in children:
        os.waitpid(child, 0)
    count = 4 * (STORM + 1)
    yield rest("ended", tasks={"forks": count, "exits": count, "num_tasks": 0})


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    barrier, end = threading.Barrier(count + 1), threading.Event()

    def wait() -> None:
        barrier.wait()
        end.wait()

    started = [threading.Thread(target=wait) for _ in range(count)]
    for thread in started:
        thread.start()
    barrier.wait()
    yield
    end.set()
    for thread in started:
        thread.join()


def threads(count: str) -> Rests:
    """Threads that are all there at once."""
    number = int(count)
    with _threads(number):
        yield rest("all there", tasks={"forks": number, "exits": 0, "num_tasks": number})
    yield rest("joined", tasks={"forks": number, "exits": number, "num_tasks": 0})


def zombie() -> Rests:
    """A task that ended and was not waited for counts no more, as in cgroup.threads."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    yield rest("not waited for", tasks={"forks": 1, "exits": 1, "num_tasks": 0})
    os.waitpid(child, 0)


def leader_gone() -> Rests:
    """A process whose first thread ended goes on: the leader is not in cgroup.threads any more."""
    child = os.fork()
    if not child:
        thread = threading.Thread(target=time.sleep, args=(30,))
        thread.start()
        ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit, not exit_group
    time.sleep(0.2)
    yield rest("leader ended", tasks={"forks": 2, "exits": 1, "num_tasks": 1})
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    yield rest("all ended", tasks={"forks": 2, "exits": 2, "num_tasks": 0})


def exec_in_thread() -> Rests:
    """exec from a thread that is not the leader: it takes the leader's id, all others end."""
    for _ in range(FEW):
        child = os.fork()
        if not child:
            _exec_from_third_thread()
        os.waitpid(child, 0)
    yield rest("ended", tasks={"forks": FEW * 3, "exits": FEW * 3, "num_tasks": 0})
    ready, end = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(ready, 0)
        os.close(end)
        _exec_from_third_thread("/bin/cat")
    time.sleep(0.3)
    yield rest("runs on", tasks={"forks": FEW * 3 + 3, "exits": FEW * 3 + 2, "num_tasks": 1})
    os.close(end)
    os.waitpid(child, 0)


def _exec_from_third_thread(program: str = TRUE) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    threading.Thread(target=time.sleep, args=(30,)).start()
    threading.Thread(target=os.execv, args=(program, [program])).start()
    signal.pause()


def spawned() -> Rests:
    """posix_spawn, which is vfork and exec."""
    for _ in range(STORM):
        child = os.posix_spawn(TRUE, [TRUE], {})
        os.waitpid(child, 0)
    yield rest("ended", tasks={"forks": STORM, "exits": STORM, "num_tasks": 0})


def io_workers() -> Rests:
    """Threads that the kernel starts for io_uring: they are the process's, but no system call forks them."""
    child = os.fork()
    if not child:
        ring.start_workers(FEW)
        signal.pause()
    while len(os.listdir(f"/proc/{child}/task")) <= FEW:
        time.sleep(0.01)
    yield rest("at work", tasks={"forks": FEW + 1, "exits": 0, "num_tasks": FEW + 1})
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    yield rest("ended", tasks={"forks": FEW + 1, "exits": FEW + 1, "num_tasks": 0})


class _CloneArgs(ctypes.Structure):
    """struct clone_args of linux/sched.h."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


def into_cgroup(folder: str) -> Rests:
    """clone3 with CLONE_INTO_CGROUP: children begin in another container than their parent."""
    cgroup = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    arguments = _CloneArgs(flags=CLONE_INTO_CGROUP, exit_signal=signal.SIGCHLD, cgroup=cgroup)
    clone3 = ctypes.PyDLL(None, use_errno=True).syscall  # keeps the interpreter's lock, which the child needs too
    children = []
    for turn in range(STORM + FEW):
        child = clone3(SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
        if child < 0:
            raise OSError(ctypes.get_errno(), "clone3")
        if not child:
            if turn < STORM:
                os._exit(0)
            signal.pause()
        if turn < STORM:
            os.waitpid(child, 0)
        else:
            children.append(child)
    yield rest("started", tasks={"forks": 0, "exits": 0, "num_tasks": 0}, facts={"forks": STORM + FEW, "exits": STORM})
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    yield rest("ended", tasks={"forks": 0, "exits": 0}, facts={"forks": STORM + FEW, "exits": STORM + FEW})


def storm(processes: str, seconds: str) -> Rests:
    """Forks and threads in several processes for some time, to be moved about meanwhile."""
    end = time.monotonic() + float(seconds)
    children = []
    for _ in range(int(processes)):
        child = os.fork()
        if not child:
            while time.monotonic() < end:
                _fork_and_wait(10)
                with _threads(3):
                    pass
            os._exit(0)
        children.append(child)
    yield rest("forking")
    for child in children:
        os.waitpid(child, 0)
    yield rest("calm", tasks={"num_tasks": 0})


if __name__ == "__main__":
    threading.stack_size(64 * 1024)
    sys.setswitchinterval(0.0005)
    main(
        forks,
        nested_forks,
        threads,
        zombie,
        leader_gone,
        exec_in_thread,
        spawned,
        io_workers,
        into_cgroup,
        storm,
    )
