# SPDX-License-Identifier: Apache-2.0
"""The containeragent command: exit status 0, 1 when refused, 2 for wrong usage; errors are one line on stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import containeragent
from containeragent import config, main as command
from containeragent.errors import Refused

SOURCES = Path(containeragent.__file__).resolve().parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own."""
    line = [sys.executable, "-m", "containeragent", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=120)


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """main() in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["containeragent", *arguments])
    with pytest.raises(SystemExit) as caught:
        command.main()
    code = caught.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def test_version_and_help() -> None:
    """On stdout; every command has an example."""
    assert run("--version").stdout == f"containeragent, version {containeragent.__version__}\n"
    for verb in ("load", "unload", "run", "check"):
        done = run(verb, "--help")
        assert done.returncode == 0 and f"containeragent {verb}" in done.stdout.split("Example")[1]


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["check", "--slots", "x"], ["check", "x"], ["run", "--no"]])
def test_wrong_usage(arguments: list[str]) -> None:
    """2, and where the help is."""
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("containeragent: ") and done.stderr.count("\n") == 1 and "--help" in done.stderr


def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """0 with a good file, 1 with a bad one."""
    file = tmp_path / "config.toml"
    file.write_text("slots = 32")
    assert called(monkeypatch, "check", "--config", str(file)) == 0
    file.write_text("slot = 32")
    assert called(monkeypatch, "check", "--config", str(file)) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it says."""

    def refuse(*_: object) -> None:
        raise Refused("EBUSY", "not\nnow\n")

    monkeypatch.setattr(config, "read", refuse)
    assert called(monkeypatch, "check") == 1
    assert capsys.readouterr().err == "containeragent: not now\n"


def test_only_the_loader_imports_the_compiler() -> None:
    """Neither the command nor the agent does; and containerctl's package is not needed."""
    script = "import sys, containeragent.main, containeragent.agent; print({'bcc', 'containerctl'} & set(sys.modules))"
    line = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment, timeout=120)
    assert done.stdout == "set()\n"
