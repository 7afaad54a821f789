# SPDX-License-Identifier: Apache-2.0
"""The servers: who may use the socket, what stands in its way, and what is left when it fails."""

from __future__ import annotations

import grp
import http.client
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from containeragent.api.server import UnixServer, address_of
from containeragent.errors import Refused


def who(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the caller's ids."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['X_REMOTE_PID']} {environ['X_REMOTE_UID']}".encode()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a socket; the folder is missing too."""
    return tmp_path / "run" / "agent.sock"


def serve(path: Path, group: str = "") -> UnixServer:
    """A server that runs."""
    server = UnixServer(path, group, who)
    server.start_serving()
    return server


def ask(path: Path) -> str:
    """The answer of a request."""
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(30)
        connection.sock.connect(str(path))
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def refused(call: Callable[[], object]) -> Refused:
    """What must be refused."""
    with pytest.raises(Refused) as caught:
        call()
    return caught.value


def test_the_application_is_told_who_asks(path: Path) -> None:
    """By the kernel (unix(7), SO_PEERCRED)."""
    server = serve(path)
    try:
        assert ask(path) == f"{os.getpid()} {os.getuid()}"
    finally:
        server.stop_serving()
    assert not path.exists()


def test_for_its_owner_alone(path: Path) -> None:
    """From the moment it exists; the process's umask is as before."""
    before = os.umask(0o022)
    server = serve(path)
    try:
        assert path.stat().st_mode & 0o7777 == 0o600
        assert os.umask(before) == 0o022
    finally:
        server.stop_serving()


def test_for_a_group(path: Path) -> None:
    """One of this process's groups, which anybody may give."""
    group = grp.getgrgid(os.getgid())
    server = serve(path, group.gr_name)
    try:
        assert path.stat().st_mode & 0o7777 == 0o660 and path.stat().st_gid == group.gr_gid
    finally:
        server.stop_serving()


def test_a_group_that_is_missing(path: Path) -> None:
    """Refused, and no socket is left."""
    assert refused(lambda: serve(path, "no-such-group")).code == "ENOENT"
    assert not path.exists()


def test_a_stale_socket_is_replaced(path: Path) -> None:
    """Nobody listens on it."""
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    serve(path).stop_serving()
    assert not path.exists()


def test_another_one_is_left_alone(path: Path) -> None:
    """It still answers."""
    server = serve(path)
    try:
        assert refused(lambda: serve(path)).code == "EADDRINUSE"
        assert ask(path)
    finally:
        server.stop_serving()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    """It may be someone's."""
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("kept")
    else:
        path.symlink_to("/dev/null" if kind == "link" else "nowhere")
    assert refused(lambda: serve(path)).code == "EEXIST"
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    "address", ["", "9917", "host:", ":x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:²", "a:1:b"]
)
def test_addresses_that_are_none(address: str) -> None:
    """One line that shows how it is written."""
    assert "HOST:PORT" in refused(lambda: address_of(address)).message


@pytest.mark.parametrize("address, bound", [("127.0.0.1:0", "127.0.0.1"), (":0", "127.0.0.1"), ("[::1]:9917", "::1")])
def test_addresses(address: str, bound: str) -> None:
    """Without a host it is this one alone."""
    assert address_of(address)[0] == bound
