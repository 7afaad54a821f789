# SPDX-License-Identifier: Apache-2.0
"""The two commands as users start them: processes of their own, with what they print and their exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support.waiting import PATIENCE_SECONDS

REPOSITORY = Path(__file__).resolve().parents[3]
NOBODY = 65534
STRANGER = 65533  # a group that no socket is for
COMMAND_SECONDS = PATIENCE_SECONDS


def environment(*packages: Path) -> dict[str, str]:
    """This one, with the checkout's packages, those of more folders, and nothing that points to another agent."""
    kept = {key: value for key, value in os.environ.items() if key != "CONTAINERAGENT_SOCKET"}
    folders = (REPOSITORY / "agent", REPOSITORY / "cli", *packages)
    return {**kept, "PYTHONPATH": ":".join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}


def module(name: str, *arguments: str) -> list[str]:
    """Command line of one of our packages."""
    return [sys.executable, "-m", name, *arguments]


def without(capabilities: Sequence[str], line: list[str]) -> list[str]:
    """A command line that runs without these capabilities."""
    dropped = ",".join("-" + name for name in capabilities)
    return ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", *line] if dropped else line


@dataclass(frozen=True)
class Result:
    """What a command that ended left."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Its one document."""
        return json.loads(self.out)

    def ok(self) -> Result:
        """Itself, after a look at the exit status."""
        assert self.status == 0, f"exit status {self.status}: {self.err}"
        return self

    def refused(self, *words: str, status: int = 1) -> str:
        """The one line on stderr, after a look at the exit status and for `words` in it."""
        assert self.status == status, f"exit status {self.status}: {self.out}{self.err}"
        lines = [line for line in self.err.splitlines() if not line.startswith("INFO ")]
        assert len(lines) == 1 and lines[0].startswith(("containerctl: ", "containeragent: ")), self.err
        for word in words:
            assert word in lines[0]
        return lines[0]


def run(command: Sequence[str], *, uid: int = 0, gid: int | None = None, stdin: str = "") -> Result:
    """Run to the end; as another user when `uid` is not 0, then with the one group `gid`."""
    more: dict[str, Any] = {"user": uid, "group": uid if gid is None else gid, "extra_groups": []} if uid else {}
    done = subprocess.run(
        command,
        input=stdin.encode(),
        capture_output=True,
        timeout=COMMAND_SECONDS,
        env=environment(),
        cwd="/",
        check=False,
        **more,
    )
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def containeragent(*arguments: str, uid: int = 0) -> Result:
    """`containeragent ...`, to its end."""
    return run(module("containeragent", *arguments), uid=uid)
