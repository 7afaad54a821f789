# SPDX-License-Identifier: Apache-2.0
"""Tests in several guests side by side: in, kernels and pytest's arguments; out, lines with a kernel's name each."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import IO

from tests.vm.guest import Guest, Task
from tests.vm.image import Image
from tests.vm.outcome import Outcome, worst

FOLDERS = ("tests/kernel", "tests/e2e", "tests/guest")
Say = Callable[[str], None]


def pytest_command(arguments: Sequence[str]) -> list[str]:
    """pytest with `arguments`, or on every folder that is for guests."""
    return ["python", "-m", "pytest", "-ra", "--durations=10", "--durations-min=10", *(arguments or FOLDERS)]


def run(image: Image, task: Task, kernels: Sequence[str], say: Say) -> int:
    """The task's command once for each kernel, all at the same time; the worst exit status."""
    with contextlib.ExitStack() as stack:
        begin = time.monotonic()
        guests = {
            name: stack.enter_context(Guest(image, replace(task, kernel=name), subprocess.PIPE)) for name in kernels
        }
        copies = {name: _Copy(guest.output, f"{name:>4} | ", say) for name, guest in guests.items()}
        ended: dict[str, Outcome] = {}
        for name, guest in guests.items():
            ended[name] = guest.wait()
            copies[name].join()
            if ended[name].message:
                say(f"vm: {name}: {ended[name].message}")
        for name, outcome in ended.items():
            say(f"vm: {name}: {summary(copies[name].last, outcome)}")
        say(f"vm: after {time.monotonic() - begin:.0f} s")
        return worst(outcome.status for outcome in ended.values())


def summary(last_line: str, outcome: Outcome) -> str:
    """pytest's last line, without colours and frame, when the command gave a status."""
    if outcome.message:
        return outcome.message.splitlines()[0]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", last_line).strip("= \n")
    return f"{plain or 'no output'} (exit status {outcome.status})"


class _Copy(threading.Thread):
    """Passes lines on as they come; `last` is the last one."""

    def __init__(self, source: IO[bytes] | None, prefix: str, say: Say) -> None:
        super().__init__(daemon=True)
        assert source
        self._source, self._prefix, self._say = source, prefix, say
        self.last = ""
        self.start()

    def run(self) -> None:
        with self._source:
            for line in self._source:
                text = line.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]  # what a screen would show
                self.last = text or self.last
                self._say(self._prefix + text)
