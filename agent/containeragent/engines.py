# SPDX-License-Identifier: Apache-2.0
"""Which engine counts: the configured one, or with `auto` the best that this host allows, found by trying.

In: the configuration. Out: a Source that is open, and closed with the stack.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path

from containeragent import refusal
from containeragent.config import Config
from containeragent.counters.netlink.source import NetlinkSource
from containeragent.counters.pinned import PinnedSource
from containeragent.counters.source import Source
from containeragent.errors import HostRefused, Refused
from containeragent.host import cgroup2
from containeragent.pins import Pins

log = logging.getLogger(__name__)


def _load(config: Config) -> None:
    """Load in a process of its own, which takes the compiler's memory with it. Another user than root cannot."""
    if os.geteuid():
        reason = refusal.noted(os.environ)
        if reason:
            raise HostRefused("EPERM", reason)
        raise Refused(
            "ENOENT",
            f"nothing is loaded under {config.bpffs}, and only root can load: systemctl restart containeragent-load, "
            "or `containeragent load`",
        )
    command = [sys.executable, "-m", "containeragent", "load", "--bpffs", config.bpffs]
    command += ["--slots", str(config.slots), "--engine", config.engine]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        log.info("%s", line)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        refused = HostRefused if done.returncode == HostRefused.status else Refused
        raise refused("EIO", reason.removeprefix("containeragent: "))


def _pinned(config: Config, stack: contextlib.ExitStack) -> Source:
    pins = Pins(Path(config.bpffs))
    if not pins.loaded():
        _load(config)  # first: it looks whether the folder may be there at all
    stack.enter_context(pins.agent_lock())
    if not pins.loaded():
        _load(config)
    source = PinnedSource(pins)
    log.info(
        "counters of version %s, layout %d, %d slots", source.stamp.version, source.stamp.layout, source.stamp.slots
    )
    return source


def _fallback(reason: str) -> Source:
    source = NetlinkSource(cgroup2.mount_point(), reason)
    log.info("counting while the agent runs: tasks by %s, pages by %s", source.engine.tasks, source.engine.pages)
    return source


def opened(config: Config, stack: contextlib.ExitStack) -> Source:
    """The one that counts."""
    if config.engine == "netlink":
        source = _fallback("the configuration says engine = netlink")
    else:
        try:
            source = _pinned(config, stack)
        except HostRefused as refused:
            if config.engine != "auto":
                raise
            log.warning("BPF is refused here, the engine netlink takes its place: %s", refused.message)
            source = _fallback(refused.message)
    stack.callback(source.close)
    return source
