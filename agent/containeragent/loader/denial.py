# SPDX-License-Identifier: Apache-2.0
"""The programs that deny forks (bpf/deny.c): loaded and attached where the kernel lets them, both or none.

In: the compiled module. Out: why forks are not denied, or "". Lockdown, a security module or a kernel without function
tracing refuse such programs; then tasks beyond a limit are told.
"""

from __future__ import annotations

import os

from containeragent.errors import Refused
from containeragent.loader.compiler import FUNCTION_PREFIX, MODIFY_PREFIX, Module

# In the order in which they are attached: what is reserved can be given back from the beginning.
EVENTS = ("security_task_free", "security_task_alloc")
PROGRAMS = (FUNCTION_PREFIX + EVENTS[0], MODIFY_PREFIX + EVENTS[1])


def load(module: Module) -> str:
    """Have the kernel verify them."""
    try:
        module.load_all(PROGRAMS)
    except Refused as error:
        why = error.message.partition("; see ")[0].rpartition(": ")[2]
        return f"the kernel refuses programs that deny forks: {why}"
    return ""


def attach(module: Module) -> str:
    """Begin to deny."""
    try:
        for event in EVENTS:
            module.attach(event)
    except Refused as error:
        for event in EVENTS:
            if event in module.links:
                os.close(module.links.pop(event))
        return error.message
    return ""
