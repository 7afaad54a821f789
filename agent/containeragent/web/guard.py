# SPDX-License-Identifier: Apache-2.0
"""What stands before the pages of the metrics address: passwords, headers, a limit of requests.

In: requests. Out: the answers of the application behind it, to those that may have them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from containeragent.errors import Refused
from containeragent.web.passwords import Passwords
from containeragent.web.reading import Web

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Guard:
    """A WSGI application around another."""

    def __init__(self, web: Web, application: Application) -> None:
        self._web = web
        self._application = application
        self._passwords = Passwords()
        self._bucket = _Bucket()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            config, _ = self._web.now()
        except Refused:  # the log says what is wrong, not who asks
            return _answer(start_response, "500 Internal Server Error", "The web configuration is wrong.")
        extra = list(config.headers.items())
        if not self._bucket.has_room(*config.rate):
            return _answer(start_response, "429 Too Many Requests", "Too many requests.", *extra)
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        if config.users and not self._passwords.are_right(authorization, config.users):
            asked = ("WWW-Authenticate", "Basic")
            return _answer(start_response, "401 Unauthorized", "Unauthorized", asked, *extra)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, *extra], *more)

        return self._application(environ, start)


def _answer(start_response: Callable[..., Any], status: str, text: str, *headers: tuple[str, str]) -> Iterable[bytes]:
    body = text.encode() + b"\n"
    kind = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, [*kind, *headers])
    return [body]


class _Bucket:
    """Tokens: one more each interval, up to `burst`; a request takes one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: float | None = None
        self._at = time.monotonic()

    def has_room(self, interval_seconds: float, burst: int) -> bool:
        if not interval_seconds:
            return True
        with self._lock:
            now = time.monotonic()
            before = burst if self._tokens is None else self._tokens
            tokens = min(float(burst), before + (now - self._at) / interval_seconds)
            self._at = now
            self._tokens = tokens - 1 if tokens >= 1 else tokens
            return tokens >= 1
