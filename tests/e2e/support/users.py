# SPDX-License-Identifier: Apache-2.0
"""Requests of other users: a process of theirs connects to the socket."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.support.waiting import PATIENCE_SECONDS


def as_user(uid: int, gid: int, ask: Callable[[], Any], before: Callable[[], None] = lambda: None) -> Any:
    """What `ask` returns, as JSON has it, in a child with these ids and no other group; `before` is root's still."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before()
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            with open(writing, "w") as file:
                json.dump(ask(), file)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        return json.loads(_read_all(reading))
    finally:
        os.kill(child, signal.SIGKILL)  # it is not reaped yet, so the id is its own
        os.waitpid(child, 0)
        os.close(reading)


def _read_all(descriptor: int) -> bytes:
    """To the end. A fork of a process with threads may hang in its child."""
    text, end = b"", time.monotonic() + PATIENCE_SECONDS
    while True:
        left = end - time.monotonic()
        assert left > 0 and select.select([descriptor], [], [], left)[0], f"the other user's process hangs: {text!r}"
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return text
        text += chunk
