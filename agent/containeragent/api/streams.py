# SPDX-License-Identifier: Apache-2.0
"""Followers of events: connections that stay open and get a line of JSON for each event.

In: sockets that the HTTP server handed over, so that no follower holds one of its few workers. Out: chunked HTTP. One
thread serves them all, never waits for a slow one, and notices at once when one goes away.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from containeragent.errors import Refused
from containeragent.events.bus import Bus, Subscription, Wanted

MOST_FOLLOWERS = 64
_EVENTS_AT_ONCE = 256
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Handover:
    """An answer that is not written by the HTTP server: it gives the connection away."""

    take: Callable[[socket.socket], None]


class _Follower:
    def __init__(self, connection: socket.socket, subscription: Subscription) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.subscription = subscription
        self.unsent = bytearray(_HEAD)

    def pump(self) -> bool:
        """Send what can be sent without waiting; False when nobody is there any more."""
        try:
            while self.unsent or self._fill():
                del self.unsent[: self.connection.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def _fill(self) -> bool:
        lines = b"".join(event.line for event in self.subscription.take(_EVENTS_AT_ONCE))
        if lines:
            self.unsent += b"%x\r\n%b\r\n" % (len(lines), lines)
        return bool(lines)

    def is_there(self) -> bool:
        """Whether the client still is, once its socket says something. It has nothing more to ask."""
        try:
            return bool(self.connection.recv(4096))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def end(self) -> None:
        """Say that this is all, if it can be said at once."""
        if self.pump() and not self.unsent:
            with contextlib.suppress(OSError):
                self.connection.send(_LAST_CHUNK)


class Streams:
    """All followers, at most `most`."""

    def __init__(self, bus: Bus, most: int = MOST_FOLLOWERS) -> None:
        self._bus = bus
        self._most = most
        self._followers: dict[int, _Follower] = {}
        self._arrived: list[_Follower] = []
        self._poller = select.poll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poller.register(self._wake, select.POLLIN)
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._followers) + len(self._arrived)

    def follow(self, wanted: Wanted, since: int | None) -> Handover:
        """The answer to one more follower. With `since`, it first gets what is remembered after that sequence."""
        if len(self) >= self._most:
            raise Refused("EBUSY", f"{self._most} clients follow events already; end one of them")
        return Handover(lambda connection: self._arrive(connection, wanted, since))

    def _arrive(self, connection: socket.socket, wanted: Wanted, since: int | None) -> None:
        subscription = self._bus.subscribe(wanted, self._wake_up, since)
        with self._lock:
            self._arrived.append(_Follower(connection, subscription))
        self._wake_up()

    def _wake_up(self) -> None:
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """End all streams, and the thread."""
        self._stopped = True
        self._wake_up()
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopped:
            for descriptor, _ in self._poller.poll():
                if descriptor == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._wake)
                elif not self._followers[descriptor].is_there():
                    self._drop(descriptor)
            self._take_in()
            for descriptor in list(self._followers):
                self._serve(descriptor)
        self._take_in()
        for descriptor in list(self._followers):
            self._followers[descriptor].end()
            self._drop(descriptor)

    def _take_in(self) -> None:
        with self._lock:
            for follower in self._arrived:
                self._followers[follower.connection.fileno()] = follower
            self._arrived.clear()

    def _serve(self, descriptor: int) -> None:
        follower = self._followers[descriptor]
        if not follower.pump():
            self._drop(descriptor)
            return
        self._poller.register(descriptor, select.POLLIN | (select.POLLOUT if follower.unsent else 0))

    def _drop(self, descriptor: int) -> None:
        follower = self._followers.pop(descriptor)
        with contextlib.suppress(KeyError):
            self._poller.unregister(descriptor)
        self._bus.unsubscribe(follower.subscription)
        follower.connection.close()
