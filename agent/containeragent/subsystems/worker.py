# SPDX-License-Identifier: Apache-2.0
"""The process of one third-party subsystem: python -m containeragent.subsystems.worker NAME MODULE:CLASS DESCRIPTOR

In: requests of the agent, a line of JSON each. Out: replies. It ends when the agent does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from containeragent import service_manager
from containeragent.errors import Refused
from containeragent.subsystems.api import hooks
from containeragent.subsystems.installed import GROUP
from containeragent.subsystems.perform import FAILED, Reply, perform, short
from containeragent.subsystems.remote import START, encoded


def _end_with_the_agent(connection: socket.socket) -> None:
    """Also while a call hangs."""
    poller = select.poll()
    poller.register(connection, select.POLLRDHUP)
    poller.poll()
    os._exit(0)


def _made(name: str, target: str) -> tuple[Any, Reply]:
    try:
        made = EntryPoint(name, target, GROUP).load()()
        found = hooks(made)
        called = getattr(made, "name", name) or name
    except (Exception, SystemExit) as error:
        reason = error.message if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        return None, Reply(code=FAILED, reason=short(reason))
    if called != name:
        return None, Reply(code=FAILED, reason=f"it calls itself {called!r}")
    if not found:
        return None, Reply(code=FAILED, reason="it has no hook; see containeragent.subsystems.Subsystem")
    return made, Reply(sorted(found))


def main(name: str, target: str, descriptor: int) -> None:
    """Serve until the agent hangs up."""
    service_manager.log_to_stderr(os.environ)
    with contextlib.suppress(OSError):  # what protects the agent when memory is short is not for this one
        Path("/proc/self/oom_score_adj").write_text("0")
    connection = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_the_agent, args=(connection,), daemon=True).start()
    subsystem: Any = None
    with connection.makefile("rb") as requests:
        for line in requests:
            asked = json.loads(line)
            if asked["call"] == START:
                subsystem, reply = _made(name, target)
            else:
                reply = perform(subsystem, asked)
            connection.sendall(encoded(reply))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
