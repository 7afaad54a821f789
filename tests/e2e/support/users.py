# SPDX-License-Identifier: Apache-2.0
"""Requests of other users: a process of theirs connects to the socket."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any


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
    with open(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    return json.loads(text)
