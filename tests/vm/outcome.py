# SPDX-License-Identifier: Apache-2.0
"""How a guest ended: in, what its serial lines brought; out, an exit status. A lost guest is not a failed test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

TIMED_OUT = 124  # as timeout(1)
LOST = 125
CONSOLE_LINES = 80  # a panic with its stack


@dataclass(frozen=True)
class Outcome:
    """The exit status, and what to say when it is not the command's."""

    status: int
    message: str = ""


def decode(status_line: str, console: str, qemu_status: int | None, timeout_seconds: float | None) -> Outcome:
    """What the guest wrote on its status line decides; `qemu_status` is None when QEMU was ended for lack of time."""
    given = re.search(r"^exit (\d+)\r?\n", status_line)
    if given:
        return Outcome(int(given[1]))
    end = "\n".join(console.replace("\r", "").splitlines()[-CONSOLE_LINES:]) or "(nothing)"
    if qemu_status is None:
        return Outcome(TIMED_OUT, f"no end within {timeout_seconds:g} s; the end of the guest's console:\n{end}")
    lost = f"the guest was lost: it gave no exit status, QEMU's is {qemu_status}"
    return Outcome(LOST, f"{lost}; the end of its console:\n{end}")


def worst(statuses: Iterable[int]) -> int:
    """One exit status for several guests: a lost one, one out of time, else the first that is not 0."""
    failed = [status for status in statuses if status]
    for status in (LOST, TIMED_OUT):
        if status in failed:
            return status
    return failed[0] if failed else 0
