# SPDX-License-Identifier: Apache-2.0
"""Messages of the process connector, as linux/cn_proc.h lays them out, and the gaps between them."""

from __future__ import annotations

import struct

from hypothesis import given, strategies as st

from containeragent.counters.netlink.connector import Event, Sequences, parse
from containeragent.host import netlink

FORK, EXEC, EXIT = 0x1, 0x2, 0x80000000


def datagram(what: int, *ids: int, cpu: int = 0, sequence: int = 0) -> bytes:
    """struct nlmsghdr, struct cn_msg, struct proc_event."""
    event = struct.pack("=IIQ6I", what, cpu, 99, *ids, *[0] * (6 - len(ids)))
    return struct.pack("=IHHII IIII HH", 76, 3, 0, sequence, 0, 1, 1, sequence, 0, len(event), 0) + event


def test_fork() -> None:
    """Thread ids: the parent's, its process, the child's, its process. A thread comes from its process."""
    message, thread = parse(datagram(FORK, 10, 9, 12, 12, cpu=1, sequence=7)), parse(datagram(FORK, 10, 9, 13, 12))
    assert message is not None and (message.cpu, message.sequence) == (1, 7)
    assert message.event() == Event(is_fork=True, task=12, parent=10)
    assert thread is not None and thread.event() == Event(is_fork=True, task=13, parent=12)


def test_exit() -> None:
    """The first id is the thread that ended."""
    message = parse(datagram(EXIT, 12, 13, 0, 17, 10, 11))
    assert message is not None and message.event() == Event(is_fork=False, task=12, parent=0)


def test_what_else_there_is() -> None:
    """Neither fork nor exit; an answer with its error; too short."""
    message, answer = parse(datagram(EXEC, 12, 12)), parse(datagram(0, 1))
    assert message is not None and message.event() is None
    assert answer is not None and answer.what == 0 and answer.ids[0] == 1
    assert parse(datagram(FORK, 1, 1, 2, 2)[:50]) is None


def test_pyroute2_reads_the_same() -> None:
    """Our layout is its layout."""
    raw = datagram(FORK, 10, 11, 12, 13, cpu=1, sequence=7)
    protocol = netlink.proc_connector()
    theirs = protocol.proc_event_fork(raw)
    theirs.decode()
    assert [theirs[key] for key in ("parent_pid", "child_pid", "cpu", "seq")] == [10, 12, 1, 7]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(0, 2**32 - 1))
def test_gaps_are_what_was_left_out(gaps: list[int], first: int) -> None:
    """Also where the number of 32 bits begins anew; the first message of a CPU tells nothing."""
    sequences, number, found = Sequences(), first, []
    sequences.gap(0, number)
    for gap in gaps:
        number = (number + 1 + gap) % 2**32
        found.append(sequences.gap(0, number))
    assert found == gaps
    assert sequences.gap(1, 1234) == 0
