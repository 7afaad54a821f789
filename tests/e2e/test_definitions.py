# SPDX-License-Identifier: Apache-2.0
"""Containers that files define, with a running agent: after starts and reloads they are as the files say."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeAgent
from tests.e2e.support import cgroups, command
from tests.e2e.support.agent import Agent
from tests.e2e.support.command import NOBODY
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import SLEEP, inside
from tests.e2e.support.waiting import PATIENCE_SECONDS, until
from tests.e2e.test_subsystems import EXAMPLE, install

OWNER = 60001
WEB = """
[containers.web]
task_limit = 20
page_limit = "100M"
owner = 60001
notify_on_release = true

[containers."/shop/db/cache"]
kill_after = 30
dry_run = true
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """For definitions, and a file to charge."""
    with tempfile.TemporaryDirectory(prefix="containeragent-e2e-", dir="/var/tmp") as made:
        yield Path(made)


@pytest.fixture
def defined(make_agent: MakeAgent, folder: Path) -> Agent:
    """Stopped."""
    return make_agent("--definitions", str(folder), "--socket-group", "nogroup")


def told(agent: Agent) -> list[tuple[str, str]]:
    """Events of this agent's life."""
    return [(one["kind"], one["container"]) for one in agent.api.call("GET", "/v1/events").document]


def reload(agent: Agent) -> None:
    """Until it is done: the log says each."""
    before = agent.log.read_text().count("INFO definitions: ")
    os.kill(agent.pid, signal.SIGHUP)
    until(lambda: agent.log.read_text().count("INFO definitions: "), lambda now: now == before + 1, "the reload")


def checks(agent: Agent) -> list[tuple[str, str]]:
    """What the doctor says of definitions."""
    found = agent.api.call("GET", "/v1/doctor").document["checks"]
    return [(one["status"], one["detail"]) for one in found if one["name"] == "definitions"]


def test_they_exist_after_every_start(defined: Agent, folder: Path) -> None:
    """With everything that is said of them; once they are there, nothing is done to them any more."""
    (folder / "10.toml").write_text(WEB)
    agent = defined.start()
    assert agent.names() == ["/shop", "/shop/db", "/shop/db/cache", "/web"]
    web, cache = agent.show("/web"), agent.show("/shop/db/cache")
    assert (web["task_limit"], web["page_limit"] * web["page_size"], web["notify_on_release"]) == (20, 100 << 20, True)
    assert (web["owner"]["uid"], web["owner"]["container"]) == (OWNER, "/web")
    assert (cache["kill_after_seconds"], cache["dry_run"], cache["owner"]) == (30, True, None)
    assert told(agent) == [("created", name) for name in ("/shop", "/shop/db", "/shop/db/cache", "/web")]
    assert checks(agent) == [("yes", f"2 containers in {folder}")]
    agent.ctl("create", "web/mine", uid=OWNER, gid=NOBODY).ok()
    agent.ctl("limit", "web", "--task-limit", "max", uid=OWNER, gid=NOBODY).refused("only root may")
    agent.ctl("export", uid=OWNER, gid=NOBODY).ok()
    agent.ctl("rm", "web/mine", uid=OWNER, gid=NOBODY).ok()
    for _ in range(2):
        agent.restart(signal.SIGKILL)
        assert agent.show("/web")["id"] == web["id"] and told(agent) == []
    agent.end()
    cgroups.empty(agent.root)
    agent.start()
    assert agent.names() == ["/shop", "/shop/db", "/shop/db/cache", "/web"] and agent.show("/web")["task_limit"] == 20


def test_reload(defined: Agent, folder: Path) -> None:
    """What differs is set, and only that; what is no longer defined stays."""
    file = folder / "x.toml"
    file.write_text(WEB)
    agent = defined.start()
    with inside(agent.path("/web"), SLEEP), inside(agent.path("/web"), SLEEP):
        agent.ctl("limit", "web", "--task-limit", "1").ok()  # a hit
        file.write_text('[containers.web]\ntask_limit = 1\nowner = "none"\n[containers.new]\n')
        hits, before = agent.show("/web")["task_limit_hits"], len(told(agent))
        reload(agent)
        web = agent.show("/web")
        assert web["task_limit_hits"] == hits and web["owner"] is None
        assert web["page_limit"] == (100 << 20) // web["page_size"]  # not said any more, so as it was
        assert told(agent)[before:] == [("created", "/new")] and "/shop/db/cache" in agent.names()
        assert web["num_tasks"] == 2
    agent.ctl("rm", "new").ok()
    assert "/new" not in agent.names()
    reload(agent)
    assert "/new" in agent.names()


def test_one_that_is_removed_on_its_release(defined: Agent, folder: Path) -> None:
    """It goes; the next start or reload makes it again."""
    (folder / "x.toml").write_text("[containers.job]\nremove_on_release = true\n")
    agent = defined.start()
    for again in (reload, Agent.restart):
        with inside(agent.path("/job"), SLEEP):
            pass
        until(agent.names, lambda names: names == [], "the release")
        again(agent)
        assert agent.names() == ["/job"]


def test_mistakes_keep_nothing_else_away(defined: Agent, folder: Path) -> None:
    """A line each in the log, the doctor and `check`; a number in the metrics; and the rest is there."""
    (folder / "bad.toml").write_text("[containers.a]\ntask_limit = -1\n[containers.b]\nfiles = ['/none']\n")
    (folder / "good.toml").write_text("[containers.c]\n[containers.b]\n")
    (folder / "worse.toml").write_bytes(b"\xff")
    (folder / "link.toml").symlink_to("/etc/shadow")
    (folder / "open.toml").write_text("[containers.d]\n")
    (folder / "open.toml").chmod(0o666)
    os.mkfifo(folder / "pipe.toml")
    agent = defined.start()
    assert agent.names() == ["/b", "/c"]
    found = [detail.removeprefix(f"{folder}/").partition(": ")[0] for status, detail in checks(agent) if status == "no"]
    assert found == ["bad.toml:2", "good.toml:2", "link.toml", "open.toml", "pipe.toml", "worse.toml:1", "bad.toml:4"]
    assert f"container /b is defined at {folder}/bad.toml:3 already" in checks(agent)[1][1]
    log = agent.log.read_text()
    assert all(log.count(f"ERROR definitions: {detail}\n") == 1 for _, detail in checks(agent))
    assert "containeragent_definitions 2\ncontaineragent_" in _sorted(scrape(agent.address)[0])
    assert "containeragent_definition_mistakes 7" in scrape(agent.address)[0]
    line = ["check", "--config", "/dev/null", "--definitions", str(folder)]
    checked = command.run(command.module("containeragent", *line))
    assert checked.status == 1
    assert checked.err.splitlines() == [f"containeragent: {detail}" for _, detail in checks(agent)[:-1]]
    for name in ("bad", "worse", "link", "open", "pipe"):
        (folder / f"{name}.toml").unlink()
    reload(agent)
    assert checks(agent) == [("yes", f"2 containers in {folder}")]
    assert "containeragent_definition_mistakes 0" in scrape(agent.address)[0]
    assert command.run(command.module("containeragent", *line)).ok()


def _sorted(text: str) -> str:
    return "\n".join(sorted(line for line in text.splitlines() if not line.startswith("#")))


def made_by_hand(agent: Agent, charged: Path) -> None:
    """Of everything something."""
    for line in (
        ("notify", "/", "on"),
        ("create", "web", "--task-limit", "50", "--page-limit", "25601", "--kill-after", "2.5", "--owner", str(OWNER)),
        ("create", "web/db", "--no-notify-on-release", "--remove-on-release", "--page-limit", "1G", "--dry-run"),
        ("create", "web/größe x", "--owner", "root"),
        ("create", "a/b/c", "--parents"),
        ("rename", "a/b", "a/z"),
        ("set", "web", "door.open=no"),
        ("file", "add", "web/db", str(charged)),
    ):
        agent.ctl(*line).ok()


def test_an_export_makes_the_same_again(make_agent: MakeAgent, folder: Path, tmp_path: Path) -> None:
    """Checked, applied to an empty tree, exported, and after a restart: the same text each time."""
    charged, file = tmp_path / "lib.so", folder / "all.toml"
    charged.write_bytes(b"x" * 9000)
    door = install(EXAMPLE, tmp_path / "door")
    agent = make_agent("--definitions", str(folder), "--subsystem-seconds", "60")
    agent.packages = (door,)
    made_by_hand(agent.start(), charged)
    exported = agent.ctl("export").ok().out
    assert tomllib.loads(exported)["containers"]["/web/db"] == {
        "page_limit": "1G",
        "dry_run": True,
        "notify_on_release": False,
        "remove_on_release": True,
        "files": [str(charged)],
        "attributes": {"door.open": "yes"},
    }
    file.write_text(exported)
    before = {name: _settings(agent, name) for name in ("/", *agent.names())}
    agent.end()
    cgroups.remove(agent.root)
    checked = command.run(command.module("containeragent", "check", "--config", "/dev/null", str(file))).ok()
    assert checked.out == "defined: 7 containers\n"
    agent.start()
    assert agent.ctl("export").ok().out == exported and checks(agent)[0][0] == "yes"
    assert {name: _settings(agent, name) for name in ("/", *agent.names())} == before
    happened = told(agent)
    reload(agent)
    assert told(agent) == happened
    agent.restart()
    assert agent.ctl("export").ok().out == exported and told(agent) == []
    part = agent.ctl("export", "web/db", "--json").ok().json()
    assert list(tomllib.loads(part["toml"])["containers"]) == ["/web/db"] and part["left_out"] == []
    agent.ctl("export", "none").refused("there is no container /none")


def _settings(agent: Agent, name: str) -> dict[str, Any]:
    keys = (
        "task_limit page_limit kill_after_seconds dry_run notify_on_release remove_on_release owner attributes".split()
    )
    shown = {key: agent.show(name)[key] for key in keys}
    shown["attributes"] = {key: value for key, value in shown["attributes"].items() if key.startswith("door.")}
    return shown


def test_what_no_file_can_say(agent: Agent) -> None:
    """Is left out, and told."""
    agent.create("/web")
    (agent.path("/web") / "a\x1bb").mkdir()
    done = agent.ctl("export").ok()
    assert done.out == '[containers."/web"]\n' and done.err.startswith("containerctl: left out: cgroup /web/a\\x1bb ")


def test_what_systemd_hears(defined: Agent, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its beginning with the time, and its end (sd_notify(3)); and that a start goes on, with each container."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "notify"))
        listener.settimeout(PATIENCE_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        (folder / "x.toml").write_text("[containers.web]\n[containers.db]\n")
        agent = defined.start()
        assert [listener.recv(4096) for _ in range(2)] == [b"EXTEND_TIMEOUT_USEC=30000000"] * 2
        assert listener.recv(4096).startswith(b"READY=1\n")
        os.kill(agent.pid, signal.SIGHUP)
        assert listener.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert listener.recv(4096).startswith(b"READY=1\n")
