# SPDX-License-Identifier: Apache-2.0
"""What takes long says so: on a terminal, after a second, in a line that is gone when it is done."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

AFTER_SECONDS = 1.0
_CLEAR = "\r\x1b[K"  # ECMA-48: to the beginning of the line, and erase it


@contextmanager
def waiting(for_what: str) -> Iterator[None]:
    """Of what goes on inside; `for_what` is said with the seconds. Nothing is written where stderr is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done, started = threading.Event(), time.monotonic()
    teller = threading.Thread(target=_tell, args=(for_what, started, done), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell(for_what: str, started: float, done: threading.Event) -> None:
    told = False
    while not done.wait(AFTER_SECONDS):
        told = True
        _write(f"{_CLEAR}{for_what} for {time.monotonic() - started:.0f} s")
    if told:
        _write(_CLEAR)


def _write(text: str) -> None:
    with suppress(OSError, ValueError):  # the terminal may be gone
        sys.stderr.write(text)
        sys.stderr.flush()
