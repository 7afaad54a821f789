# SPDX-License-Identifier: Apache-2.0
"""Tests in several guests side by side: in, kernels and pytest's arguments; out, lines with a kernel's name each."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import IO

from tests.vm.guest import Guest, Task
from tests.vm.image import Image
from tests.vm.outcome import Outcome, worst

FOLDERS = ("tests/guest", "tests/kernel", "tests/e2e")  # what others load would slow the first one down
# What `make test` has time for. The service hardly depends on the kernel, so that is on one of them. Tasks and pages
# are exact by the best engine, which is fentry on both: through huge pages, parts of them, compaction, reclaim with
# swap and moves; on the other one, whose hooks are others, also tmpfs, odd ends, limits of the kernel, and an audit.
_COUNTED = ("engine.py::test_auto_is_the_best_that_loads", "pages_anon.py", "pages_swapped.py", "pages_moved.py")
_COUNTED_TOO = ("pages_file.py", "pages_odd.py", "tasks.py", "tasks_moved.py")
_ALWAYS = ("-k", "not tracepoint", "tests/guest/test_bench.py")
SHORT = {
    "6.12": (*_ALWAYS, "tests/guest/test_systemd_service.py", *(f"tests/kernel/test_{name}" for name in _COUNTED)),
    "6.1": (
        *_ALWAYS,
        *(f"tests/kernel/test_{name}" for name in _COUNTED + _COUNTED_TOO),
        "tests/e2e/test_kernel_limits.py",
        "tests/e2e/test_audit.py::test_exact_at_rest",
    ),
}
Say = Callable[[str], None]


def pytest_command(arguments: Sequence[str]) -> list[str]:
    """pytest with `arguments`, or on every folder that is for guests."""
    return ["python", "-m", "pytest", "-ra", "--durations=10", "--durations-min=10", *(arguments or FOLDERS)]


def run(image: Image, task: Task, arguments: Mapping[str, Sequence[str]], say: Say) -> int:
    """pytest with the arguments of each kernel, all at the same time; the worst exit status."""
    with contextlib.ExitStack() as stack:
        begin = time.monotonic()
        tasks = {name: replace(task, kernel=name, command=pytest_command(its)) for name, its in arguments.items()}
        guests = {name: stack.enter_context(Guest(image, its, subprocess.PIPE)) for name, its in tasks.items()}
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
