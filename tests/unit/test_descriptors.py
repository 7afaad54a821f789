# SPDX-License-Identifier: Apache-2.0
"""Open files that come with requests: the application sees the newest, and none stays open."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containeragent.api.descriptors import Receiver
from containeragent.api.server import UnixServer
from containerctl.client import Client

KEY = "containeragent.descriptor"


def what(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the path of what came along."""
    found = environ[KEY] and os.readlink(f"/proc/self/fd/{environ[KEY]}")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [f'{{"came": {"null" if found is None else chr(34) + found + chr(34)}}}'.encode()]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Of a server in this process."""
    server = UnixServer(tmp_path / "agent.sock", "", what)
    server.start_serving()
    yield Client(str(tmp_path / "agent.sock"))
    server.stop_serving()


def opened(path: Path) -> int:
    """How often this process has a file open."""
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return sum(os.path.realpath(link) == str(path) for link in links)


def test_with_a_request(client: Client, tmp_path: Path) -> None:
    """With and without a body; closed afterwards, whether it was of use or not."""
    path = tmp_path / "file"
    path.write_text("")
    for body in (None, {"x": "y" * 100_000}):
        with path.open() as file:
            assert client.document("POST", "/", {}, body, descriptor=file.fileno()) == {"came": str(path)}
        assert opened(path) == 0
    assert client.document("GET", "/") == {"came": None}


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_the_newest_is_kept(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    """However many come in how many messages; what it drops is closed."""
    receiver, buffer = Receiver(pair[0]), bytearray(1)
    paths = [tmp_path / str(at) for at in range(5)]
    for path in paths:
        path.write_text("")
    files = [path.open() for path in paths]
    for some in (files[:1], files[1:3], files[3:]):
        socket.send_fds(pair[1], [b"x"], [file.fileno() for file in some])
        assert receiver.recv_into(buffer) == 1
    for file in files:
        file.close()
    assert sum(map(opened, paths)) == 1 and receiver.descriptor is not None
    receiver.drop()
    assert not any(map(opened, paths)) and receiver.descriptor is None
    pair[1].sendall(b"y")
    assert receiver.recv_into(buffer) == 1 and receiver.descriptor is None
    assert receiver.fileno() == pair[0].fileno()
