# SPDX-License-Identifier: Apache-2.0
"""/-/healthy, for probes: whether the agent's main loop goes round. A scrape would be a dear way to ask that.

In: a beat each round, and requests. Out: 200, or 503 when there was no beat for a while; other paths are the next
application's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

PATH = "/-/healthy"
LATE_SECONDS = 30.0  # as long as systemd waits before it starts the service again (WatchdogSec)


class Health:
    """A WSGI application in front of another one."""

    def __init__(
        self, application: Callable[..., Iterable[bytes]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._application = application
        self._clock = clock
        self._beaten_at = clock()

    def beat(self) -> None:
        """The main loop is alive now."""
        self._beaten_at = self._clock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return self._application(environ, start_response)
        late_seconds = self._clock() - self._beaten_at
        alive = late_seconds < LATE_SECONDS
        body = b"ok\n" if alive else f"the main loop has been hanging for {late_seconds:.0f} s\n".encode()
        status = "200 OK" if alive else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
        return [body]
