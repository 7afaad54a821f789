# SPDX-License-Identifier: Apache-2.0
"""/metrics as a WSGI application.

In: a snapshot, and functions that make families of it. Out: one scrape in the format that was asked for. It is made and
sent piece by piece, so that it takes little memory, and no thread waits long for the interpreter.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from containeragent.counters.snapshot import Snapshot
from containeragent.metrics import negotiation
from containeragent.metrics.family import Family, labelled, single
from containeragent.metrics.rendering import Renderer, compressed

log = logging.getLogger(__name__)

Collect = Callable[[Snapshot], Iterable[Family]]


class Scrape:
    """Callable as WSGI wants it. `collectors` are by name; one that fails is left out, and counted."""

    def __init__(self, snapshot: Callable[[], Snapshot], collectors: Mapping[str, Collect]) -> None:
        self._snapshot = snapshot
        self._collectors = dict(collectors)
        self._failures = dict.fromkeys(self._collectors, 0)
        self._lock = threading.Lock()
        self._renderer = Renderer()

    def families(self) -> list[Family]:
        """One reading of everything."""
        with self._lock:
            started = time.perf_counter()
            snapshot = self._snapshot()
            found = [family for name in self._collectors for family in self._collected(name, snapshot)]
            failures = {(name,): number for name, number in self._failures.items()}
            text = "Parts of a scrape that failed and were left out, since the agent's start; its log says why."
            found.append(labelled("collect_failures", text, ["collector"], failures, counter=True))
            spent = time.perf_counter() - started
            found.append(single("collect_seconds", "Time this scrape took to collect, in seconds.", spent))
            return found

    def _collected(self, name: str, snapshot: Snapshot) -> Sequence[Family]:
        try:
            return list(self._collectors[name](snapshot))
        except Exception:
            log.exception("the metrics of %s are left out of a scrape", name)
            self._failures[name] += 1
            return ()

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refused("405 Method Not Allowed", start_response, ("Allow", "GET, HEAD"))
        if environ["PATH_INFO"] != "/metrics":
            return _refused("404 Not Found", start_response)
        openmetrics = negotiation.openmetrics(environ.get("HTTP_ACCEPT", ""))
        gzip = negotiation.gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))
        headers = [("Content-Type", negotiation.OPENMETRICS if openmetrics else negotiation.TEXT)]
        headers += [("Vary", "Accept, Accept-Encoding")]
        if gzip:
            headers += [("Content-Encoding", "gzip")]
        start_response("200 OK", headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        chunks = self._renderer.rendered(self.families(), openmetrics)
        return compressed(chunks) if gzip else chunks


def _refused(status: str, start_response: Callable[..., Any], *headers: tuple[str, str]) -> Iterable[bytes]:
    body = b"The metrics are at /metrics.\n"
    start_response(
        status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *headers]
    )
    return [body]
