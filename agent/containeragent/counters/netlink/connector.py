# SPDX-License-Identifier: Apache-2.0
"""Task events from the kernel's process connector (CN_PROC; drivers/connector/cn_proc.c, linux/cn_proc.h).

Out: forks and exits of threads, in order on each CPU, and how many messages got lost. pyroute2 knows the protocol and
opens the socket. Reading with it is left aside: its asyncio loop belongs to one thread and ends at the first ENOBUFS.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from containeragent.errors import Refused
from containeragent.host import netlink

_WAIT_SECONDS = 1.0
_BUFFER_BYTES = 16 << 20  # of messages that wait; the kernel doubles it, and a message takes 768 there
_SO_RCVBUFFORCE = 33
_MOST_AT_ONCE = 10000  # then others may have the counters
_HEADER = struct.Struct("=16x IIII HH IIQ")  # struct nlmsghdr; cn_msg; what, cpu, timestamp_ns of proc_event
_IDS = struct.Struct("=IIII")
_FORK, _EXIT, _ACKNOWLEDGED = 0x1, 0x80000000, 0x0


class Event(NamedTuple):
    """A fork of `task`, or its exit; thread ids. `parent` is whose cgroup it is born into, if not into another."""

    is_fork: bool
    task: int
    parent: int


class Message(NamedTuple):
    """`sequence` counts all messages of a CPU. `what` is 0 for the answer to a request, whose error is `ids[0]`."""

    sequence: int
    acknowledges: int
    what: int
    cpu: int
    ids: tuple[int, ...]

    def event(self) -> Event | None:
        """None for what is neither fork nor exit."""
        if self.what == _FORK:
            parent, _, child, process = self.ids
            # A thread's parent is that of its process (copy_process() in kernel/fork.c): its process is closer.
            return Event(True, child, parent if child == process else process)
        if self.what == _EXIT:
            return Event(False, self.ids[0], 0)
        return None


def parse(datagram: bytes) -> Message | None:
    """One datagram of the connector; None for what is too short to be one."""
    if len(datagram) < _HEADER.size + _IDS.size:
        return None
    _, _, sequence, acknowledges, _, _, what, cpu, _ = _HEADER.unpack_from(datagram)
    return Message(sequence, acknowledges, what, cpu, _IDS.unpack_from(datagram, _HEADER.size))


class Sequences:
    """Finds gaps: each CPU numbers its messages, those that nobody received too."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}

    def gap(self, cpu: int, sequence: int) -> int:
        """Messages of that CPU that are missing before this one."""
        expected = self._next.get(cpu, sequence)
        self._next[cpu] = (sequence + 1) % 2**32
        missing = (sequence - expected) % 2**32
        return missing if missing < 2**31 else 0


class Connector:
    """A socket on which the kernel tells forks and exits. `lost` are messages that did not fit into its buffer."""

    def __init__(self) -> None:
        self.lost = 0
        self._sequences = Sequences()
        self._protocol = netlink.proc_connector()
        self._socket = self._opened()
        try:
            self._listen()
        except BaseException:
            self.close()
            raise

    def _opened(self) -> socket.socket:
        """Bound to the group; a plain socket, which any thread may read."""
        try:
            opened = self._protocol.ProcEventSocket()
        except OSError as error:
            raise _refused(error.errno) from None
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            opened.bind()
            plain = socket.socket(fileno=os.dup(opened.fileno()))
            plain.setblocking(False)
            return plain
        except (OSError, KeyError) as error:  # pyroute2 makes a KeyError of every bind(2) that is refused
            raise _refused(getattr(error, "errno", None) or errno.EPERM) from None
        finally:
            opened.close()

    def _send(self, action: int) -> None:
        message = self._protocol.proc_event_control()
        message["action"] = action
        message["idx"], message["val"] = self._protocol.CN_IDX_PROC, self._protocol.CN_VAL_PROC
        message["len"], message["ack"] = 4, 0
        message["header"]["type"] = self._protocol.NLMSG_DONE
        message["header"]["pid"] = os.getpid()
        message.encode()
        self._socket.send(message.data)

    def _listen(self) -> None:
        """Ask for events and wait for the answer, which a refusal may be without."""
        self._send(self._protocol.PROC_CN_MCAST_LISTEN)
        end = time.monotonic() + _WAIT_SECONDS
        while (left := end - time.monotonic()) > 0:
            for message in self._messages() if self.wait(left) else ():
                if message.what == _ACKNOWLEDGED:
                    if message.ids[0]:
                        raise _refused(message.ids[0])
                    return
        raise _refused(None)

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read."""
        poller = select.poll()
        poller.register(self._socket.fileno(), select.POLLIN)
        return bool(poller.poll(max(0.0, seconds) * 1000))

    def _messages(self) -> Iterator[Message]:
        for _ in range(_MOST_AT_ONCE):
            try:
                message = parse(self._socket.recv(4096))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # what was lost is seen by the gap
            if message is not None:
                yield message

    def events(self) -> Iterator[Event]:
        """What has come, without waiting."""
        for message in self._messages():
            if message.what == _ACKNOWLEDGED:
                continue
            self.lost += self._sequences.gap(message.cpu, message.sequence)
            event = message.event()
            if event is not None:
                yield event

    def close(self) -> None:
        """Before Linux 6.6 the kernel goes on making events for a listener that does not say goodbye."""
        with contextlib.suppress(OSError):
            self._send(self._protocol.PROC_CN_MCAST_IGNORE)
        self._socket.close()


def _refused(number: int | None) -> Refused:
    what = "the kernel's process connector cannot be used"
    hint = "it needs CAP_NET_ADMIN, CONFIG_PROC_EVENTS, and the host's network, pid and user namespaces"
    if number is None:
        return Refused("ETIMEDOUT", f"{what}: no answer; {hint}")
    return Refused.of_errno(number, what, hint)
