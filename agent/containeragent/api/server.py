# SPDX-License-Identifier: Apache-2.0
"""HTTP servers: cheroot's, with bounds; and the one on the API's Unix socket.

In: a WSGI application. Out: a server that runs in threads of its own until it is stopped.
"""

from __future__ import annotations

import errno
import grp
import json
import logging
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from containeragent.api.cheroot_alone import HTTPRequest, wsgi
from containeragent.api.connections import BODY_BYTES, HEADER_BYTES, Connection, PatientServer
from containeragent.api.descriptors import Receiver
from containeragent.api.streams import Handover
from containeragent.config import DEFAULT_GROUP
from containeragent.errors import Refused

log = logging.getLogger(__name__)
_BREATH_SECONDS = 1.0


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


class Server(PatientServer):
    """A cheroot server with bounded requests that starts and stops in one call each."""

    ConnectionClass: type[Connection] = Connection
    RequestClass = _Request
    max_request_header_size = HEADER_BYTES
    max_request_body_size = BODY_BYTES

    def __init__(self, address: Any, application: Any, threads: int, **more: Any) -> None:
        super().__init__(address, application, numthreads=threads, server_name="containeragent", **more)
        self._thread: threading.Thread | None = None

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """What cheroot has to say, on one line with its level."""
        error = sys.exc_info()[1]
        log.log(level, "%s%s", " ".join(str(msg).split()), f": {error!r}" if traceback else "")
        no_descriptors = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
        if no_descriptors and threading.current_thread() is self._thread:
            self.free_descriptors()
            time.sleep(_BREATH_SECONDS)  # it is tried again at once

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


class _ReceivingConnection(Connection):
    """Takes open files too."""

    def __init__(self, server: Any, sock: socket.socket, makefile: Any = None) -> None:
        super().__init__(server, sock, makefile)
        self.receiver = Receiver(sock)

    def receive_into(self, buffer: bytearray) -> int:
        """With what comes along."""
        return self.receiver.recv_into(buffer)

    def close(self) -> None:
        """The connection, and what came and was not asked for."""
        self.receiver.drop()
        super().close()


Serve = Callable[[Any], Server]  # of a WSGI application


class UnixServer(Server):
    """On a Unix socket that root, and the members of one group, may use; it tells the application who asks."""

    ConnectionClass = _ReceivingConnection

    def __init__(self, path: Path, group: str, application: Any) -> None:
        super().__init__(str(path), application, threads=4, peercreds_enabled=True, request_queue_size=1024)
        self.gateway = _Gateway
        self._group = group

    def bind_unix_socket(self, bind_addr: str) -> socket.socket:
        """Replace cheroot's, which lets everybody in."""
        path = Path(bind_addr)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        group = _group_id(self._group)
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


def _group_id(name: str) -> int | None:
    """None: root only."""
    try:
        return grp.getgrnam(name).gr_gid if name else None
    except KeyError:
        if name == DEFAULT_GROUP:
            return None
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
