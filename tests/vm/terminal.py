# SPDX-License-Identifier: Apache-2.0
"""This terminal, lent to a guest."""

from __future__ import annotations

import contextlib
import os
import sys
import termios
from collections.abc import Iterator

from tests.vm.errors import Unusable


@contextlib.contextmanager
def lent() -> Iterator[None]:
    """QEMU makes it raw, and cannot undo that when it is killed."""
    if not sys.stdin.isatty():
        raise Unusable("a shell needs a terminal on stdin; for a single command use: run -- COMMAND")
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def size_command() -> list[str]:
    """Tells the guest's terminal this one's size, which a serial line does not."""
    columns, rows = os.get_terminal_size()
    return ["stty", "rows", str(rows), "columns", str(columns)]
