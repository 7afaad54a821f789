# SPDX-License-Identifier: Apache-2.0
"""HTTP servers: cheroot's, with bounds; and the one on the API's Unix socket.

In: a WSGI application. Out: a server that runs in threads of its own until it is stopped.
"""

from __future__ import annotations

import grp
import json
import os
import select
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cheroot import wsgi
from cheroot.makefile import MakeFile, StreamWriter
from cheroot.server import HTTPConnection, HTTPRequest

from containeragent.api.descriptors import Receiver
from containeragent.api.streams import Handover
from containeragent.errors import Refused

_BODY_BYTES = 1 << 20
_HEADER_BYTES = 16 << 10


class _Request(HTTPRequest):
    """What cheroot itself refuses is JSON as well."""

    def simple_response(self, status: str, msg: str = "") -> None:
        """`status` is as "413 Request Entity Too Large"."""
        error = {"code": "EINVAL", "message": msg or str(status).partition(" ")[2]}
        super().simple_response(status, json.dumps({"error": error}))


class _Gateway(wsgi.Gateway_10):
    """Lets the application give a connection away, with a Handover."""

    def respond(self) -> None:
        """Answer the request."""
        try:
            self.env["containeragent.descriptor"] = self.req.conn.receiver.descriptor
            self._answer()
        finally:
            self.req.conn.receiver.drop()

    def _answer(self) -> None:
        answer = self.req.server.wsgi_app(self.env, self.start_response)
        if not isinstance(answer, Handover):
            for chunk in answer:
                self.write(chunk)
            return
        # cheroot writes nothing more, and forgets the connection without shutting it down.
        self.req.sent_headers = self.req.close_connection = self.req.conn.linger = True
        answer.take(self.req.conn.socket.dup())
        self.req.conn.socket.close()


class _Writer(StreamWriter):
    """cheroot's copies what is left after every part that the socket takes."""

    def write(self, val: Any) -> int:
        """All of it; each part has the connection's timeout."""
        rest = memoryview(val)
        while rest:
            rest = rest[self.raw.write(rest) or 0 :]
        return len(val)


class Connection(HTTPConnection):
    """One client's."""

    def __init__(self, server: Any, sock: Any, makefile: Any = MakeFile) -> None:
        super().__init__(server, sock, makefile)
        self.wfile = _Writer(sock, "wb", self.wbufsize)

    RequestHandlerClass = _Request


class _ReceivingConnection(Connection):
    """Takes open files too."""

    def __init__(self, server: Any, sock: socket.socket, makefile: Callable[..., Any] = MakeFile) -> None:
        super().__init__(server, sock, makefile)
        self.receiver = Receiver(sock)
        self.rfile = makefile(self.receiver, "rb", self.rbufsize)

    def close(self) -> None:
        """The connection, and what came and was not asked for."""
        self.receiver.drop()
        super().close()


class Server(wsgi.Server):
    """A cheroot server with bounded requests that starts and stops in one call each."""

    ConnectionClass = Connection
    max_request_header_size = _HEADER_BYTES
    max_request_body_size = _BODY_BYTES

    def __init__(self, address: Any, application: Any, threads: int, **more: Any) -> None:
        super().__init__(address, application, numthreads=threads, server_name="containeragent", **more)
        self._thread: threading.Thread | None = None

    def process_conn(self, conn: Any) -> None:
        """A connection on which nothing came yet waits with those that are kept alive, not in a worker."""
        poller = select.poll()
        poller.register(conn.socket, select.POLLIN)
        if conn.rfile.has_data() or poller.poll(0):
            super().process_conn(conn)
        else:
            self.put_conn(conn)

    def start_serving(self) -> None:
        """Bind, and serve in a thread."""
        self.prepare()
        self._thread = threading.Thread(target=self.serve, name="serve", daemon=True)
        self._thread.start()

    def stop_serving(self) -> None:
        """Finish what is being answered, then stop."""
        self.stop()
        if self._thread:
            self._thread.join(timeout=5)


class UnixServer(Server):
    """On a Unix socket that root, and the members of one group, may use; it tells the application who asks."""

    ConnectionClass = _ReceivingConnection

    def __init__(self, path: Path, group: str, application: Any) -> None:
        super().__init__(str(path), application, threads=4, peercreds_enabled=True, request_queue_size=64)
        self.gateway = _Gateway
        self._group = group

    def bind_unix_socket(self, bind_addr: str) -> socket.socket:
        """Replace cheroot's, which lets everybody in."""
        path = Path(bind_addr)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        group = _group_id(self._group) if self._group else None
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            listener.close()
            raise Refused.of_errno(error.errno or 5, f"the API socket {path} cannot be made") from None
        finally:
            os.umask(before)
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(0o660)
        self.bind_addr = str(path)
        self.socket = listener
        return listener

    def stop_serving(self) -> None:
        """Stop, and take the socket away."""
        super().stop_serving()
        Path(str(self.bind_addr)).unlink(missing_ok=True)


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise Refused("ENOENT", f"socket_group {name} does not exist; make the group or change the setting") from None


def _remove_stale(path: Path) -> None:
    """A socket that nobody listens on is left from an agent that was killed."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Refused("EEXIST", f"{path} exists and is not a socket; remove it or choose another --socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise Refused("EADDRINUSE", f"another agent listens on {path}; stop it, or choose another --socket")


def address_of(text: str) -> tuple[str, int]:
    """Of HOST:PORT."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise Refused("EINVAL", f"metrics_address {text!r} is not HOST:PORT, for example 127.0.0.1:9917")
    return host.strip("[]") or "127.0.0.1", int(port)
