# SPDX-License-Identifier: Apache-2.0
"""The agent as an administrator has it: installed by make, run by systemd, asked through containerctl."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.support.command import REPOSITORY
from tests.e2e.support.waiting import until

AGENT, LOAD, CONTAINERS = "containeragent.service", "containeragent-load.service", "containeragent-containers.service"
PINS = Path("/sys/fs/bpf/containeragent")
ROOT = Path("/sys/fs/cgroup/containeragent.slice") / CONTAINERS
CONFIG = Path("/etc/containeragent/config.toml")
PATIENCE_SECONDS = 300.0  # the guest is emulated
COUNTERS = ("num_tasks", "num_anon_pages", "num_file_pages", "forks", "exits", "peak_tasks", "peak_pages")


def run(*line: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command to its end, with its words in the error if it fails."""
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=900)
    assert done.returncode == 0 or not check, f"{' '.join(line)}: {done.stdout}{done.stderr}"
    return done


def ctl(*line: str) -> Any:
    """`containerctl --json ...`, its document."""
    out = run("/usr/local/bin/containerctl", "--json", *line).stdout
    return json.loads(out) if out.strip() else None


def counters(name: str) -> dict[str, Any]:
    """Those that outlive the agent."""
    shown = ctl("show", name)
    return {key: shown[key] for key in COUNTERS}


def at_rest(name: str) -> dict[str, Any]:
    """The same, when two readings say the same."""
    return until(lambda: [counters(name) for _ in range(2)], lambda two: two[0] == two[1], "rest", PATIENCE_SECONDS)[0]


def shown(unit: str, name: str) -> str:
    """A property of a unit."""
    return run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()


def until_shown(unit: str, name: str, value: str) -> None:
    """Wait for a property."""
    until(lambda: shown(unit, name), lambda now: now == value, f"{name} of {unit}", PATIENCE_SECONDS)


def main_pid() -> int:
    """Of the running agent."""
    return int(shown(AGENT, "MainPID"))


@contextlib.contextmanager
def drop_in(unit: str, settings: str) -> Iterator[None]:
    """Settings of a service besides its own, from its next start on."""
    file = Path(f"/run/systemd/system/{unit}.d/test.conf")
    file.parent.mkdir(parents=True)
    file.write_text(f"[Service]\n{settings}\n")
    try:
        run("systemctl", "daemon-reload")
        yield
    finally:
        file.unlink()
        file.parent.rmdir()
        run("systemctl", "daemon-reload")


def until_restarted(pid: int) -> int:
    """Wait until another main process than this one is ready; its id."""

    def main_pid() -> int:
        return int(shown(AGENT, "MainPID")) if shown(AGENT, "ActiveState") == "active" else 0

    return until(main_pid, lambda now: now not in (0, pid), "another agent", PATIENCE_SECONDS)


def journal(unit: str) -> list[dict[str, Any]]:
    """Entries of the unit's own processes since boot."""
    lines = run("journalctl", "--no-pager", "--output=json", f"_SYSTEMD_UNIT={unit}").stdout.splitlines()
    return [json.loads(line) for line in lines]


def _files() -> Iterator[tuple[str, str]]:
    """What is installed on the host, with contents where they are settings."""
    for top in ("/etc", "/usr", "/opt", "/var/lib"):
        for folder, folders, names in os.walk(top):
            if folder.endswith("__pycache__") or folder.startswith("/var/lib/systemd"):
                continue
            for name in names + folders:
                path = Path(folder, name)
                settings = top == "/etc" and path.is_file() and not name.endswith(("-", ".lock"))
                yield str(path), hashlib.sha256(path.read_bytes()).hexdigest() if settings else ""


def traces() -> dict[str, Any]:
    """Everything that an installation could leave: files, cgroups, pins, programs in the kernel, users, units."""
    programs = json.loads(run("/usr/sbin/bpftool", "--json", "prog", "show").stdout)
    return {
        "files": {entry for entry in _files() if not entry[0].endswith(("-", ".lock", "__pycache__"))},
        "cgroups": {folder for folder, _, _ in os.walk("/sys/fs/cgroup") if "test-bench" not in folder},
        "pins": [str(path) for path in Path("/sys/fs/bpf").rglob("*")],
        "programs": sorted(found["name"] for found in programs if found["type"] == "raw_tracepoint"),
        "run": sorted(str(path) for path in Path("/run").glob("*containeragent*")),
        "units": run("systemctl", "list-units", "--all", "--no-legend", "--plain", "containeragent*").stdout,
    }
