# SPDX-License-Identifier: Apache-2.0
"""Open files that come with a request (unix(7), SCM_RIGHTS): whoever asks opened it, with its own rights and paths.

In: a connection's socket. Out: a reader for the HTTP server, and the newest descriptor that came.
"""

from __future__ import annotations

import array
import os
import socket
from typing import Any

_ONE = socket.CMSG_SPACE(array.array("i", [0]).itemsize)


class Receiver:
    """A socket to read from. What comes along and nobody takes is closed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._descriptor: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def recv_into(self, buffer: Any) -> int:
        """As that of a socket."""
        count, messages, _, _ = self._connection.recvmsg_into([buffer], _ONE, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in messages:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array("i")
                numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
                for number in numbers:
                    self.drop()
                    self._descriptor = number
        return count

    @property
    def descriptor(self) -> int | None:
        """The newest that came and was not dropped."""
        return self._descriptor

    def drop(self) -> None:
        """Close what came."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
