# SPDX-License-Identifier: Apache-2.0
"""The containeragent command: exit status 0, 1 when refused, 2 for wrong usage; errors are one line on stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import containeragent
from containeragent import config, main as command, trust
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
    assert run("--version").stdout == f"containeragent {containeragent.__version__}\n"
    for verb in ("load", "unload", "run", "check"):
        done = run(verb, "--help")
        assert done.returncode == 0 and f"containeragent {verb}" in done.stdout.split("Example")[1]


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["check", "--slots", "x"], ["check", "--x"], ["run", "--no"]])
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


def test_check_tells_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each: of the configuration, of what it names, and of the definitions."""
    monkeypatch.setattr(trust, "distrust", lambda *_, **__: None)
    file, folder = tmp_path / "config.toml", tmp_path / "containers.d"
    file.write_text(f"slots = 1\nserie_cap = 2\nrelease_agent = '{tmp_path}'\ndefinitions = '{folder}'\n")
    folder.mkdir()
    definition = folder / "web.toml"
    definition.write_text("[containers.web]\ntask_limit = -1\n[containers.db]\nowner = 1.5\n")
    assert called(monkeypatch, "check", "--config", str(file)) == 1
    lines = [line.removeprefix("containeragent: ") for line in capsys.readouterr().err.splitlines()]
    assert [line.partition(": ")[0] for line in lines] == [
        f"{file}:2",
        f"{file}:1",
        f"release_agent {tmp_path} is not run",
        f"{definition}:2",
        f"{definition}:4",
    ]


def test_check_of_a_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Only that, whosever it is."""
    draft = tmp_path / "draft.toml"
    draft.write_text("[containers.web]\n")
    draft.chmod(0o666)
    missing = str(tmp_path / "none.toml")
    assert called(monkeypatch, "check", str(draft)) == 0
    assert capsys.readouterr().out == "defined: 1 container\n"
    assert called(monkeypatch, "check", str(draft), str(draft), missing) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert f"{draft}:1: container /web is defined at {draft}:1 already" in first
    assert second == f"containeragent: {missing}: it cannot be read: no such file or directory"


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it says."""

    def refuse(*_: object) -> None:
        raise Refused("EBUSY", "not\nnow\n")

    monkeypatch.setattr(config, "read", refuse)
    assert called(monkeypatch, "unload") == 1
    assert capsys.readouterr().err == "containeragent: not now\n"


def test_only_the_loader_imports_the_compiler() -> None:
    """Neither the command nor the agent does; and containerctl's package is not needed."""
    script = "import sys, containeragent.main, containeragent.agent; print({'bcc', 'containerctl'} & set(sys.modules))"
    line = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment, timeout=120)
    assert done.stdout == "set()\n"
