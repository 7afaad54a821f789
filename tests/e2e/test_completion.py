# SPDX-License-Identifier: Apache-2.0
"""Completion in a real bash: names of containers come from the running agent, quickly, or not at all."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.support import command
from tests.e2e.support.agent import Agent

# The words, the last of them unfinished, as bash has them when Tab is pressed; then one candidate a line.
SCRIPT = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_containerctl_completion containerctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(tmp_path: Path, socket: Path, *words: str) -> list[str]:
    """What bash offers after these words."""
    environment = command.environment() | {"CONTAINERAGENT_SOCKET": str(socket), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    program = tmp_path / "containerctl"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'containerctl'\nfrom containerctl.main import main\nmain()\n"
    )
    program.chmod(0o755)
    source = tmp_path / "completion"
    source.write_text(command.run(command.module("containerctl", "completion", "bash")).ok().out)
    line = ["bash", "--norc", "-c", SCRIPT, "bash", str(source), "containerctl", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment, timeout=60)
    assert done.stderr == ""
    return done.stdout.split()


def test_names_of_the_running_agent(agent: Agent, tmp_path: Path) -> None:
    """With and without the slash; commands and options as well; none that a shell would take apart."""
    for name in ("/web", "/web/db", "/shop", "/we $(x)"):
        agent.create(name)
    assert completed(tmp_path, agent.socket, "rm", "we") == ["web", "web/db"]
    assert completed(tmp_path, agent.socket, "show", "/s") == ["/shop"]
    assert completed(tmp_path, agent.socket, "show", "/") == ["/", "/shop", "/web", "/web/db"]
    assert completed(tmp_path, agent.socket, "events", "--container", "sh") == ["shop"]
    assert completed(tmp_path, agent.socket, "--socket", str(agent.socket), "de") == ["detach"]
    assert completed(tmp_path, agent.socket, "rm", "--rec") == ["--recursive"]


def test_nothing_without_an_agent(tmp_path: Path) -> None:
    """Silently, and soon."""
    started = time.monotonic()
    assert completed(tmp_path, tmp_path / "none", "rm", "we") == []
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "shell, word", [("bash", "complete -o"), ("zsh", "#compdef containerctl"), ("fish", "complete")]
)
def test_scripts(shell: str, word: str) -> None:
    """One for each shell."""
    out = command.run(command.module("containerctl", "completion", shell)).ok().out
    assert word in out and "_CONTAINERCTL_COMPLETE" in out
