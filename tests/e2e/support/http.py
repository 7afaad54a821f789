# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP, written by hand enough to send what no good client would."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.e2e.support.waiting import PATIENCE_SECONDS

SECONDS = PATIENCE_SECONDS


@dataclass(frozen=True)
class Answer:
    """Status and JSON document."""

    status: int
    document: Any

    def code(self) -> str:
        """The error's errno name."""
        return str(self.document["error"]["code"])


def connect(path: Path, seconds: float = SECONDS) -> socket.socket:
    """A connection to a Unix socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(seconds)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = connect(self._path, self._seconds)


class Api:
    """The API behind a socket; a connection a request."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def raw(self, method: str, target: str, body: bytes | None = None, seconds: float = SECONDS) -> tuple[int, bytes]:
        """Status and body of any request."""
        connection = _UnixConnection(self.path, seconds)
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def call(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None, seconds: float = SECONDS
    ) -> Answer:
        """A request with a query and a JSON body."""
        target = path + ("?" + urlencode(query) if query else "")
        status, text = self.raw(method, target, None if body is None else json.dumps(body).encode(), seconds)
        return Answer(status, json.loads(text))


def scrape(address: str, accept: str = "text/plain", seconds: float = SECONDS) -> tuple[str, str]:
    """Text and content type of /metrics."""
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=seconds) as response:
        return response.read().decode(), response.headers["Content-Type"]
