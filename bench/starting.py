# SPDX-License-Identifier: Apache-2.0
"""Time from starting `containeragent run` to the first answered scrape, with nothing loaded and on loaded programs."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

from bench import agents, counting
from bench.tables import Table, quartiles
from containeragent.host import cgroup2
from containeragent.loader.load import unload

TARGET_SECONDS = 2.0


def _first_scrape_seconds(folder: str, root: Path) -> float:
    """Start an agent, wait for its first answer, stop it; what it loaded stays."""
    begin = time.perf_counter()
    with agents.answering(folder, root):
        return time.perf_counter() - begin


def run(pairs: int) -> Table:
    """One row each for a first start and for one on loaded programs."""
    table = Table(f"Start to first scrape, {pairs} times", ("start", "q1_s", "median_s", "q3_s", "target_s"))
    root = cgroup2.mount_point() / f"bench-{os.getpid()}"
    seconds: dict[str, list[float]] = {"first": [], "on loaded programs": []}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for _ in range(pairs):
                for values in seconds.values():
                    values.append(_first_scrape_seconds(folder, root))
                unload(counting.OPTIONS.bpffs, counting.silent)
        finally:
            unload(counting.OPTIONS.bpffs, counting.silent)
            with contextlib.suppress(FileNotFoundError):
                root.rmdir()
    table.rows += [(kind, *quartiles(values), TARGET_SECONDS) for kind, values in seconds.items()]
    return table
