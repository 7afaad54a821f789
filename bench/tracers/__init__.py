# SPDX-License-Identifier: Apache-2.0
"""The same counters as one would write them today: classic tracepoints with bcc, and bpftrace.

Each counts in a process of its own while it is switched on. What they do not have: totals over subtrees, tmpfs apart,
pages that move, cgroups and tasks from before, limits.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Protocol

from containeragent.errors import Refused
from containeragent.loader import sources

_FOLDER = Path(__file__).parent
_PAGES = 1 << 20  # entries of a map of pages: 4 GiB


class Tracer(Protocol):
    """What can be switched on and off."""

    def on(self) -> None:
        """Count from now on."""

    def off(self) -> None:
        """Count no more."""

    def close(self) -> None:
        """Leave nothing behind."""


class Classic:
    """classic.py beside this file: compiled once, attached and detached in an instant."""

    def __init__(self) -> None:
        environment = os.environ | {"BCC_KERNEL_SOURCE": str(sources.folder())}
        self._process = subprocess.Popen(
            ["/usr/bin/python3", str(_FOLDER / "classic.py"), str(_PAGES), str(sources.folder())],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def _say(self, word: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(word + "\n")
        if self._process.stdout.readline().strip() != word:
            raise Refused("ENOTSUP", "bench/tracers/classic.py does not run here; its complaint stands above")

    def on(self) -> None:
        """Attach."""
        self._say("on")

    def off(self) -> None:
        """Detach."""
        self._say("off")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class Bpftrace:
    """cgroups.bt beside this file: bpftrace starts anew each time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    @staticmethod
    def is_installed() -> bool:
        """Debian: apt-get install bpftrace."""
        return shutil.which("bpftrace") is not None

    def on(self) -> None:
        """Start it and wait until it counts."""
        environment = os.environ | {"BPFTRACE_MAP_KEYS_MAX": str(_PAGES)}
        line = ["bpftrace", str(_FOLDER / "cgroups.bt")]
        self._process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        for said in self._process.stdout:
            if said.startswith("counting"):
                return
        raise Refused("ENOTSUP", "bpftrace does not run cgroups.bt here; its complaint stands above")

    def off(self) -> None:
        """End it."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)  # it would print every page
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        """End it."""
        self.off()
