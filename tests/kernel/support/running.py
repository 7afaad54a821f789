# SPDX-License-Identifier: Apache-2.0
"""A workload in a container: a fresh Python that enters it before it allocates anything, and stops at each rest.

The workload's side is workloads/resting.py: it writes a line of JSON at each rest and waits for one.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.kernel.support.containers import Container

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Rest:
    """A point where the workload waits. `pages` and `tasks` are changes since its first rest, by counter."""

    label: str
    pages: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    too_high_anon: int = 0
    facts: dict[str, int] = field(default_factory=dict)


class Running:
    """A workload that runs; leaving the context ends it and everything in its container."""

    def __init__(self, container: Container, subject: str, *arguments: object) -> None:
        self._container = container
        module = f"tests.kernel.workloads.{subject}"
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-B", "-m", module, *map(str, arguments)],
            cwd=ROOT,
            preexec_fn=container.enter,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.kill()
        self.process.kill()  # a test that failed may have left it in another
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def rests(self) -> Iterator[Rest]:
        """Each rest; going on to the next lets the workload go on. A workload that fails is an error here."""
        assert self.process.stdin and self.process.stdout
        for line in self.process.stdout:
            yield Rest(**json.loads(line))
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        status = self.process.wait()
        assert status == 0, f"the workload ended with {status}"
