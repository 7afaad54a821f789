# SPDX-License-Identifier: Apache-2.0
"""Containers with something going on in them, for pictures: a shop, a batch job at its task limit, a build that forks.

`python -m tests.page.demo` runs them beside an agent until Ctrl-C, and says how to look at them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, inside

_WAVE = """
import math, os, time
low, high, every = {low} << 20, {high} << 20, {every}
data, started = bytearray(os.urandom(1) * low), time.time()
while True:
    wanted = int(low + (high - low) * (1 - math.cos((time.time() - started) / every * 2 * math.pi)) / 2)
    if wanted > len(data):
        data += b"x" * (wanted - len(data))
    else:
        del data[wanted:]
    time.sleep(0.5)
"""
_WORKERS = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    for _ in range({number}):
        try:
            os.fork() or (time.sleep({seconds}), os._exit(0))
        except OSError:
            pass
    time.sleep({seconds} + {rest})
"""
_READ = """
import time
with open({path!r}, "rb") as file:
    while file.read(1 << 20):
        pass
data = b"x" * (80 << 20)
time.sleep(1e6)
"""


@contextlib.contextmanager
def shop(agent: Agent) -> Iterator[None]:
    """About 600 MiB, and less than half a core."""
    with contextlib.ExitStack() as stack:
        stack.callback(cgroups.empty, agent.root)
        file = stack.enter_context(tempfile.NamedTemporaryFile(dir="/var/tmp"))
        for _ in range(120):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        containers: dict[str, tuple[str, dict[str, int | str]]] = {
            "/shop/web": (_WAVE.format(low=60, high=175, every=90), {"task_limit": 20, "page_limit": "200M"}),
            "/shop/db": (_READ.format(path=file.name), {"page_limit": "512M"}),
            "/shop/cache": (_WAVE.format(low=38, high=40, every=30), {}),
            "/batch": (_WORKERS.format(number=8, seconds=4, rest=2), {"task_limit": 8}),
            "/ci/build-1": (_WORKERS.format(number=6, seconds=0.1, rest=0.2), {"task_limit": 100}),
            "/ci/build-2": (_WAVE.format(low=40, high=67, every=40), {"page_limit": "64M"}),
            "/größe": ("import time\ntime.sleep(1e6)", {}),
        }
        for name, (program, limits) in containers.items():
            made = agent.api.call("POST", "/v1/containers", body={"name": name, "parents": True, **limits})
            assert made.status == 201, made.document
            stack.enter_context(inside(Path(agent.path(name)), [*PYTHON, program]))
        yield


def main() -> None:
    """Until Ctrl-C."""
    agent = Agent()
    try:
        agent.start()
        with shop(agent):
            print(f"http://{agent.address}/\ncontainerctl --socket {agent.socket} top", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        agent.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
