# SPDX-License-Identifier: Apache-2.0
"""A TCP port on loopback that leads to a Unix socket, for HTTP tools that know no other transport."""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.support.http import connect
from tests.e2e.support.waiting import PATIENCE_SECONDS


@contextlib.contextmanager
def bridge(path: Path) -> Iterator[str]:
    """The URL, as long as it is there."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with connect(path) as inner:
                back = threading.Thread(target=_copy, args=(inner, self.connection), daemon=True)
                back.start()
                _copy(self.connection, inner)
                back.join(PATIENCE_SECONDS)

    class Port(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Port(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError), source.makefile("rb", buffering=0) as reader, sink.makefile("wb", 0) as writer:
        shutil.copyfileobj(reader, writer)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
