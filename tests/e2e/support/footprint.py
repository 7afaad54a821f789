# SPDX-License-Identifier: Apache-2.0
"""What a process takes of the machine, so that a test can say that it did not grow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Footprint:
    """`anon_kib` is the memory of its own."""

    anon_kib: int
    descriptors: int
    threads: int


def footprint(pid: int) -> Footprint:
    """Of a process, now (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return Footprint(int(fields["RssAnon"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")), int(fields["Threads"]))
