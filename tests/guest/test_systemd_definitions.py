# SPDX-License-Identifier: Apache-2.0
"""Definition files and the service: as root's files say after a start, a reload, and what a boot does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.waiting import until
from tests.guest.support.installation import (
    AGENT,
    CONTAINERS,
    LOAD,
    PATIENCE_SECONDS,
    ROOT,
    ctl,
    journal,
    main_pid,
    run,
    shown,
    until_shown,
)

FOLDER = Path("/etc/containeragent/containers.d")
FILE = FOLDER / "test.toml"
TEXT = """
[containers.web]
task_limit = 64
page_limit = "100M"
owner = "daemon"

[containers."/web/db"]
notify_on_release = true
files = ["/bin/sh"]
attributes = { "cpuset.cpus" = "0,1", "cpuset.mems" = "0" }
"""


@pytest.fixture
def defined(before: dict[str, Any]) -> Iterator[None]:
    """After a reload."""
    FILE.write_text(TEXT)
    FILE.chmod(0o644)
    try:
        reload(2)
        yield
    finally:
        FILE.unlink()
        reload(0)
        ctl("rm", "web", "--recursive")


def reload(count: int) -> None:
    """Until it is done, with so many defined."""
    before = len(_reloads())
    run("systemctl", "reload", AGENT)
    until(_reloads, lambda found: len(found) > before, "the reload", PATIENCE_SECONDS)
    until_shown(AGENT, "ActiveState", "active")
    assert checks() == [("yes", f"{count} containers in {FOLDER}")]


def _reloads() -> list[str]:
    """What the journal has of them."""
    said = [entry["MESSAGE"] for entry in journal(AGENT)]
    return [one for one in said if one.startswith("definitions: ") and ", mistakes: " in one]


def checks() -> list[tuple[str, str]]:
    """What the doctor says of definitions."""
    return [(one["status"], one["detail"]) for one in ctl("doctor")["checks"] if one["name"] == "definitions"]


def events() -> list[tuple[str, str]]:
    """Of this agent's life."""
    lines = run("/usr/local/bin/containerctl", "--json", "events").stdout.splitlines()
    return [(one["kind"], one["container"]) for one in map(json.loads, lines)]


def test_the_example_is_installed(before: dict[str, Any]) -> None:
    """And is good, as all that was installed; it defines nothing as it is."""
    assert [path.name for path in FOLDER.iterdir()] == ["example.toml.disabled"] and FOLDER.stat().st_uid == 0
    assert (
        "defined: 3 containers"
        in run("/usr/local/bin/containeragent", "check", str(FOLDER / "example.toml.disabled")).stdout
    )
    assert checks() == [("yes", f"0 containers in {FOLDER}")]


def test_reload(defined: None) -> None:
    """Made by the running agent, with the kernel's controllers; the second time nothing happens."""
    assert (ROOT / "web/pids.max").read_text() == "64\n"
    assert int((ROOT / "web/memory.high").read_text()) == 100 << 20
    assert (ROOT / "web/db/cpuset.cpus").read_text() == "0-1\n"
    web, db = ctl("show", "web"), ctl("show", "web/db")
    assert (web["owner"]["user"], db["notify_on_release"], web["notify_on_release"]) == ("daemon", True, False)
    assert [one["path"] for one in ctl("file", "ls", "web/db")["files"]] == [str(Path("/bin/sh").resolve())]
    happened, pid = events(), main_pid()
    reload(2)
    assert (events(), main_pid()) == (happened, pid)


def test_restart_and_boot(defined: None) -> None:
    """A restart changes nothing; after a boot, which leaves no cgroup, the same are there."""
    exported = ctl("export")
    run("systemctl", "restart", AGENT)
    assert ctl("export") == exported and events() == []
    run("systemctl", "stop", LOAD)
    run("systemctl", "stop", CONTAINERS)
    assert shown(AGENT, "ActiveState") == "inactive" and not ROOT.exists()
    run("systemctl", "start", "multi-user.target")
    until_shown(AGENT, "ActiveState", "active")
    assert ctl("export") == exported


def test_a_mistake_does_not_keep_it_from_starting(defined: None) -> None:
    """Nor from reloading; the journal has an error."""
    bad = FOLDER / "bad.toml"
    bad.write_text("[containers.bad]\ntask_limit = -1\n")
    try:
        run("systemctl", "restart", AGENT)
        ((status, detail),) = checks()
        assert (status, detail.partition(": ")[0]) == ("no", f"{bad}:2")
        assert (ROOT / "web/db").exists() and not (ROOT / "bad").exists()
        said = run("journalctl", "--no-pager", "--output=cat", "--priority=err", f"--unit={AGENT}").stdout
        assert f"definitions: {bad}:2: task limit" in said
        assert f"{bad}:2: " in run("/usr/local/bin/containeragent", "check", check=False).stderr
    finally:
        bad.unlink()
