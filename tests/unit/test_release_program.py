# SPDX-License-Identifier: Apache-2.0
"""The release agent: which programs are run, how, and what is known of their end."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from containeragent import trust
from containeragent.errors import Refused
from containeragent.release import program


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is as it must be, whoever runs the tests."""
    monkeypatch.setattr(trust, "_ROOT", os.getuid())
    monkeypatch.setattr(trust, "way_to", lambda _: (tmp_path,))
    tmp_path.chmod(0o755)
    made = tmp_path / "agent"
    made.write_text(f"#!/bin/sh\necho \"$#,$1,$(tr '\\0' ' ' < /proc/$$/environ),$(pwd)\" > {tmp_path}/out\n")
    made.chmod(0o755)
    return made


def test_how_it_is_run(agent: Path) -> None:
    """The name is its only argument, whatever is in it; nothing of our environment; no folder of ours."""
    outcome = program.run(str(agent), "/a b/$HOME;ü")
    assert (outcome.exit_status, outcome.error) == (0, None) and outcome.seconds < 60
    said = (agent.parent / "out").read_text()
    assert said == "1,/a b/$HOME;ü,HOME=/ PATH=/sbin:/bin:/usr/sbin:/usr/bin ,/\n"


@pytest.mark.parametrize(
    "body, status, words", [("exit 23", 23, "ended with 23"), ("kill -9 $$", 137, "ended with 137")]
)
def test_how_it_ends(agent: Path, body: str, status: int, words: str) -> None:
    """By itself or by a signal."""
    agent.write_text(f"#!/bin/sh\n{body}\n")
    outcome = program.run(str(agent), "/a")
    assert outcome.exit_status == status and outcome.error is not None and words in outcome.error


def test_it_is_killed_in_time(agent: Path) -> None:
    """With what it started."""
    child = agent.parent / "child"
    agent.write_text(f"#!/bin/sh\nsleep 1000 & echo $! > {child}\nwait\n")
    outcome = program.run(str(agent), "/a", longest_seconds=0.5)
    assert outcome.exit_status == 137 and outcome.error == f"{agent} was killed after 0.5 s"
    pid = int(child.read_text())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_not_run(agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever somebody else than root could change, and what is no program."""

    def why(path: Path) -> str:
        with pytest.raises(Refused) as caught:
            program.check(str(path))
        assert program.run(str(path), "/a").error == caught.value.message
        return caught.value.message

    program.check(str(agent))
    agent.chmod(0o775)
    assert "others than root may write it" in why(agent)
    agent.chmod(0o644)
    assert "not executable" in why(agent)
    agent.chmod(0o755)
    tmp_path.chmod(0o777)
    assert f"may write {tmp_path}" in why(agent)
    tmp_path.chmod(0o1777)
    program.check(str(agent))
    assert "not a regular file" in why(tmp_path)
    assert "no such file" in why(tmp_path / "none")
    monkeypatch.setattr(trust, "_ROOT", os.getuid() + 1)
    assert "others than root may write it" in why(agent)


def test_what_cannot_be_executed(agent: Path) -> None:
    """There is no shell that would take it."""
    agent.write_text("echo no program\n")
    outcome = program.run(str(agent), "/a")
    assert outcome.exit_status is None and outcome.error == f"release_agent {agent} was not started: exec format error"
