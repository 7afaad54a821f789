# SPDX-License-Identifier: Apache-2.0
"""pyroute2: the only module that imports it, and only the parts that are needed, when they are.

Its own `import pyroute2` imports every protocol that it knows, which takes 18 MiB and a quarter of a second. So the
package is put in place without running its __init__; its sub-modules stand for themselves.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

from containeragent.errors import Refused

_lock = threading.Lock()


def _module(name: str) -> ModuleType:
    with _lock:
        if "pyroute2" not in sys.modules:
            spec = importlib.util.find_spec("pyroute2")
            if spec is None:
                raise Refused("ENOENT", "pyroute2 is not installed; run make setup")
            sys.modules["pyroute2"] = importlib.util.module_from_spec(spec)
        return importlib.import_module(f"pyroute2.{name}")


def proc_connector() -> Any:
    """The names of pyroute2's cn_proc.py, with NLMSG_DONE."""
    return _module("netlink.connector.cn_proc")


def taskstats() -> Any:
    """TaskStats, and NetlinkError that it raises."""
    stats, errors = _module("netlink.taskstats"), _module("netlink.exceptions")
    return SimpleNamespace(TaskStats=stats.TaskStats, NetlinkError=errors.NetlinkError)
