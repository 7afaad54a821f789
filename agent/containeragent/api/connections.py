# SPDX-License-Identifier: Apache-2.0
"""Connections of which none can hold a worker: requests are read ahead of it, answers sent on after it.

In: sockets of clients, of which some are slow, silent, or send garbage. Out: whole requests to cheroot's workers; what
a client does not take at once waits with its connection. All of it is bounded: time, bytes, connections.
"""

from __future__ import annotations

import contextlib
import re
import select
import selectors
import socket
import time
from typing import Any

from containeragent.api.cheroot_alone import HTTPConnection, HTTPRequest, wsgi

HEADER_BYTES = 16 << 10
BODY_BYTES = 1 << 20
MOST_CONNECTIONS = 256  # of one server
HELD_BYTES = 64 << 20  # of all of them
_SENDING_SECONDS = 30.0
_AT_ONCE_BYTES = 64 << 10
_WAITED_FOR_BYTES = 1 << 20
_PATIENCE_SECONDS = 0.25  # with an answer
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*([0-9]{1,18})[ \t]*\r?$")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding:.*chunked[ \t]*\r?$")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;|$)")  # not what int() takes, -5 among it
_CONTINUE = re.compile(rb"(?im)^expect:[ \t]*100-continue[ \t]*\r?$")
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Errors = tuple[type[Exception], ...]


def request_bytes(data: bytes | bytearray) -> int | None:
    """Bytes of the first request in `data` as far as they are needed to answer it; None when some are missing."""
    head = _BLANK_LINE.search(data, 0, HEADER_BYTES + 4)
    if head is None:
        return HEADER_BYTES if len(data) > HEADER_BYTES else None
    lines = bytes(data[: head.end()])
    if _CHUNKED.search(lines):
        return _chunked_bytes(data, head.end())
    length = _LENGTH.search(lines)
    body = int(length[1]) if length else 0
    needed = head.end() + (body if body <= BODY_BYTES else 0)  # it is refused by its length alone
    return needed if len(data) >= needed else None


def _chunked_bytes(data: bytes | bytearray, begin: int) -> int | None:
    """The end of a body in chunks (RFC 9112, 7.1) that begins there; what is malformed or too long ends it."""
    while begin < BODY_BYTES + HEADER_BYTES:
        end = data.find(b"\r\n", begin, begin + 64)
        if end < 0:
            return begin if len(data) > begin + 64 else None
        found = _SIZE.match(data, begin, end)
        if found is None:
            return end
        size = int(found[1], 16)
        begin = end + 2 + size + 2
        if begin > len(data) and begin < BODY_BYTES + HEADER_BYTES:
            return None
        if size == 0:
            return begin
    return len(data)


def _waits_for_continue(data: bytearray) -> bool:
    """Whether the client wants to hear that before it sends the body (RFC 9110, 10.1.1)."""
    head = _BLANK_LINE.search(data, 0, HEADER_BYTES)
    return head is not None and _CONTINUE.search(data, 0, head.end()) is not None


class _Received:
    """What a client sent, as a file that never waits: at its end there is nothing more."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.bytes_read = 0

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all without."""
        return self._take(len(self.data) if size is None or size < 0 else size)

    def readline(self, size: int = -1) -> bytes:
        """A line, or its first `size` bytes."""
        end = self.data.find(b"\n") + 1 or len(self.data)
        return self._take(end if size is None or size < 0 else min(end, size))

    def _take(self, size: int) -> bytes:
        taken = bytes(self.data[:size])
        del self.data[:size]
        self.bytes_read += len(taken)
        return taken

    def has_data(self) -> bool:
        """Whether something can be answered without waiting, as cheroot asks."""
        return request_bytes(self.data) is not None

    def close(self) -> None:
        """Forget it."""
        self.data.clear()


class _Unsent:
    """What a client is sent, as a file that never waits."""

    def __init__(self, connection: socket.socket, would_block: Errors) -> None:
        self._connection = connection
        self._would_block = would_block
        self.data = bytearray()
        self.bytes_written = 0
        self.patience_seconds = _PATIENCE_SECONDS

    def write(self, data: bytes) -> int:
        """Send what goes at once, keep the rest. For memory's sake wait a little for who takes much."""
        rest = memoryview(data)
        with contextlib.suppress(*self._would_block):
            while rest and not self.data:  # without a copy, for who takes all of it
                rest = rest[self._connection.send(rest[:_AT_ONCE_BYTES]) :]
        self.data += rest
        self.bytes_written += len(data)
        while len(self.data) > _WAITED_FOR_BYTES and self.patience_seconds > 0:
            begin = time.monotonic()
            poller = select.poll()
            poller.register(self._connection, select.POLLOUT)
            poller.poll(self.patience_seconds * 1000)
            self.patience_seconds -= time.monotonic() - begin
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what goes at once. OSError when the client is gone."""
        with contextlib.suppress(*self._would_block):
            while self.data:
                del self.data[: self._connection.send(self.data[:_AT_ONCE_BYTES])]

    def close(self) -> None:
        """Forget it."""
        self.data.clear()


class Connection(HTTPConnection):
    """One client's. `waits_since` is when the wait began that may last only so long, by the monotonic clock."""

    would_block: Errors = (BlockingIOError,)  # what its socket raises then

    def __init__(self, server: Any, sock: socket.socket, _makefile: Any = None) -> None:
        super().__init__(server, sock, lambda *_: None)
        sock.setblocking(False)
        self.RequestHandlerClass = server.RequestClass
        self.rfile, self.wfile = _Received(), _Unsent(sock, self.would_block)
        self.waits_since = time.monotonic()
        self._half = self._ended = self._told = False
        self._keep = True

    @property
    def last_used(self) -> float:
        """What cheroot compares with the time of day, whatever that is set to meanwhile."""
        return time.time() - (time.monotonic() - self.waits_since)

    @property
    def held_bytes(self) -> int:
        """Memory that it takes."""
        return len(self.rfile.data) + len(self.wfile.data)

    def receive_into(self, buffer: bytearray) -> int:
        """What is there; 0 at the end."""
        return int(self.socket.recv_into(buffer))

    def next_step(self) -> str:
        """Receive and send what can be at once; then what it waits for: `read`, `write`, a `worker`, its `end`."""
        try:
            self.wfile.flush()
        except OSError:
            return "end"
        if self.wfile.data:
            return "write"
        if not self._keep:
            return "end"
        self._receive()
        if self.rfile.has_data() or (self._ended and self.rfile.data):
            return "worker"
        return "end" if self._ended else "read"

    def _receive(self) -> None:
        """As much as one request may have, and a little of the next."""
        data = self.rfile.data
        while not self.rfile.has_data() and not self._ended:
            buffer = bytearray(_AT_ONCE_BYTES)
            try:
                count = self.receive_into(buffer)
            except self.would_block:
                break
            except OSError:
                count = 0
            if count and not data:
                self.waits_since, self._half = time.monotonic(), True
            data += buffer[:count]
            self._ended = not count
        if not self._told and not self.rfile.has_data() and _waits_for_continue(data):
            self._told = True
            with contextlib.suppress(OSError):
                self.socket.send(_GO_ON)

    def communicate(self) -> bool:
        """Answer a request. What is not sent then waits without the worker."""
        self._half = self._told = False
        self.wfile.patience_seconds = _PATIENCE_SECONDS
        keep = bool(super().communicate())  # type: ignore[no-untyped-call]
        self.waits_since = time.monotonic()
        if self.linger or not self.wfile.data:  # it was given away, or all is sent
            return keep
        self.waits_since += _SENDING_SECONDS - self.server.timeout
        self._keep = keep
        return True

    def drop(self) -> None:
        """It took too much: whoever waits for it learns that it ended."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._ended = True
        self.rfile.close()
        self.wfile.close()

    def close(self) -> None:
        """Close it, or only forget it if it was given away."""
        self.server.closed(self)
        if self._half and not self._ended:
            with contextlib.suppress(OSError):
                self.socket.send(_TOO_SLOW)
        super().close()


class PatientServer(wsgi.Server):
    """A cheroot server for such connections."""

    ConnectionClass: type[Connection] = Connection
    RequestClass = HTTPRequest
    _connections: Any

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._open: dict[Connection, bool] = {}  # with whether it waits for its client

    def process_conn(self, conn: Connection) -> None:
        """A new connection, or one of which something was waited for."""
        self._open[conn] = False
        if len(self._open) > MOST_CONNECTIONS or conn.held_bytes > _AT_ONCE_BYTES:
            self._make_room()
        step = conn.next_step()
        if step == "worker":
            super().process_conn(conn)
        elif step == "end":
            conn.close()
        else:
            self._open[conn] = True
            event = selectors.EVENT_WRITE if step == "write" else selectors.EVENT_READ
            self._connections._selector.register(conn.socket.fileno(), event, data=conn)

    def put_conn(self, conn: Connection) -> None:
        """A worker is done with it."""
        if self.ready:
            self.process_conn(conn)
        else:
            conn.close()

    def closed(self, conn: Connection) -> None:
        """It is no longer ours."""
        self._open.pop(conn, None)

    def free_descriptors(self) -> None:
        """No connection can be accepted, and cheroot's loop sees to the others after that only: close who waits.

        In the thread of that loop.
        """
        for one in [one for one, waits in list(self._open.items()) if waits]:
            with contextlib.suppress(KeyError):
                self._connections._selector.unregister(one.socket.fileno())
                one.close()

    def _make_room(self) -> None:
        """Drop who waited longest while there are too many, or they hold too much."""
        waiting = sorted((one for one, waits in list(self._open.items()) if waits), key=lambda one: one.waits_since)
        held, number = sum(one.held_bytes for one in list(self._open)), len(self._open)
        for one in waiting:
            if number <= MOST_CONNECTIONS and held <= HELD_BYTES:
                return
            held, number = held - one.held_bytes, number - 1
            self._open[one] = False
            one.drop()
