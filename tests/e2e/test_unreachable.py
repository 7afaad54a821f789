# SPDX-License-Identifier: Apache-2.0
"""containerctl without an agent to talk to: one line that says why and what to do, and exit status 1."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.e2e.support import command
from tests.e2e.support.agent import Agent
from tests.e2e.support.command import NOBODY, STRANGER, Result

COMMANDS = (["ls"], ["show", "web"], ["create", "web"], ["rm", "web"], ["which", "1"], ["doctor"])


def ctl(path: Path, *arguments: str) -> Result:
    """`containerctl` on any socket."""
    return command.run(command.module("containerctl", "--socket", str(path), *arguments))


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: words[0])
def test_not_running(tmp_path: Path, arguments: list[str]) -> None:
    """No socket."""
    line = ctl(tmp_path / "no.sock", *arguments).refused("is not running", str(tmp_path / "no.sock"))
    assert "systemctl start containeragent" in line
    result = ctl(tmp_path / "no.sock", "--json", *arguments)
    result.refused()
    assert result.json()["error"]["code"] == "ECONNREFUSED"


def test_stale_socket(tmp_path: Path) -> None:
    """Of an agent that was killed."""
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    ctl(path, "ls").refused("nobody listens", str(path))


def test_regular_file(tmp_path: Path) -> None:
    """Not a socket at all."""
    path = tmp_path / "file"
    path.write_text("kept")
    ctl(path, "ls").refused(str(path))
    assert path.read_text() == "kept"


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    """108 bytes are one too many (unix(7))."""
    ctl(Path("/tmp/" + "x" * 103), "ls").refused()


def test_no_permission(agent: Agent) -> None:
    """A user who is not in the socket's group; it says which group that is."""
    agent.ctl("ls", uid=NOBODY, gid=STRANGER).refused("no permission", "nogroup")
    agent.ctl("create", "web", uid=NOBODY, gid=STRANGER).refused("no permission")
    assert agent.names() == []


def test_for_root_alone_without_a_group(fresh: Agent) -> None:
    """Mode 0600."""
    fresh.options = ("--socket-group", "")
    fresh.restart()
    assert fresh.socket.stat().st_mode & 0o777 == 0o600
    fresh.ctl("ls", uid=NOBODY).refused("no permission", "root alone")


def test_an_environment_variable_names_the_socket(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """CONTAINERAGENT_SOCKET, below the flag."""
    monkeypatch.setattr(command, "environment", _with(str(agent.socket)))
    assert json.loads(command.run(command.module("containerctl", "ls", "--json")).ok().out)[0]["name"] == "/"


def _with(path: str) -> object:
    before = command.environment()
    return lambda: {**before, "CONTAINERAGENT_SOCKET": path}


def test_wrong_usage(agent: Agent) -> None:
    """Exit status 2."""
    for arguments in ([], ["nothing"], ["create"], ["ls", "--wrong"], ["attach", "web"], ["run"]):
        agent.ctl(*arguments).refused("--help", status=2)
