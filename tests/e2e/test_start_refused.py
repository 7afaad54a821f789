# SPDX-License-Identifier: Apache-2.0
"""An agent that cannot start: one line, exit status 1 (2 for wrong usage), and nothing left or taken from others."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeAgent
from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.e2e.support.command import NOBODY, Result, containeragent


def attempt(agent: Agent, **instead: str) -> Result:
    """`containeragent run` with this agent's flags, some of them replaced."""
    agent.take_spares()
    options = agent.run_options()
    for flag, value in instead.items():
        options += ["--" + flag.replace("_", "-"), value]
    return containeragent("run", *options)


def test_a_second_one_on_the_same_pins(agent: Agent, tmp_path: Path, make_agent: MakeAgent) -> None:
    """The first goes on."""
    other = make_agent()
    attempt(other, bpffs=str(agent.bpffs)).refused("an agent is running on", str(agent.bpffs))
    assert not other.socket.exists() and not other.root.exists() and agent.names() == []


def test_a_second_one_on_the_same_socket(agent: Agent, make_agent: MakeAgent) -> None:
    """The first still answers there."""
    attempt(make_agent(), socket=str(agent.socket)).refused("another agent listens on", str(agent.socket))
    assert agent.names() == [] and agent.ctl("ls").ok()


def test_unload_while_it_runs(agent: Agent) -> None:
    """Pins and counters stay; afterwards it would be allowed."""
    containeragent("unload", "--bpffs", str(agent.bpffs)).refused("an agent is running on")
    assert len(os.listdir(agent.bpffs / "live" / "links")) > 10
    assert agent.show("/")["num_tasks"] == 0


def test_metrics_port_taken(make_agent: MakeAgent) -> None:
    """The API's socket, which was there already, is gone again, and another attempt succeeds."""
    other = make_agent()
    with socket.create_server(("127.0.0.1", other.port)):
        attempt(other).refused(other.address.split(":")[1])
        assert not other.socket.exists()
    other.start()


@pytest.mark.parametrize(
    "flag, value",
    [
        ("metrics_address", "nonsense"),
        ("metrics_address", "127.0.0.1:99999"),
        ("metrics_address", "127.0.0.1:²"),
        ("metrics_address", "192.0.2.1:9917"),
        ("cgroup_root", "/tmp"),
        ("cgroup_root", "MOUNT"),
        ("cgroup_root", "MOUNT/../.."),
        ("cgroup_root", "MOUNT/a-parent/that-is-missing"),
        ("cgroup_root", "MOUNT/cgroup.procs"),
        ("socket_group", "no-such-group"),
        ("socket", "/proc/no.sock"),
    ],
)
def test_settings_that_only_the_host_can_refuse(loaded: Agent, flag: str, value: str) -> None:
    """In one line, and no socket is left."""
    mount = str(cgroups.mount_point())
    attempt(loaded, **{flag: value.replace("MOUNT", mount)}).refused()
    assert not loaded.socket.exists()
    assert not Path(mount, "a-parent").exists()


@pytest.fixture(scope="module")
def _module_agent() -> Iterator[Agent]:
    made = Agent()
    try:
        made.start()
        made.end()
        yield made
    finally:
        made.close()


@pytest.fixture
def loaded(_module_agent: Agent) -> Iterator[Agent]:
    """Stopped, with programs that count, so that an attempt costs no load."""
    yield _module_agent
    _module_agent.socket.unlink(missing_ok=True)


def test_a_regular_file_where_the_socket_should_be(loaded: Agent) -> None:
    """It may be someone's: it stays."""
    path = loaded.folder / "file"
    path.write_text("kept")
    attempt(loaded, socket=str(path)).refused(str(path), "is not a socket")
    assert path.read_text() == "kept"


def test_a_stale_socket_is_replaced(loaded: Agent) -> None:
    """Left by an agent that was killed; nobody has to clean up."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(loaded.socket))
    loaded.start()
    assert loaded.end() == 0 and not loaded.socket.exists()


@pytest.mark.parametrize(
    "text, words",
    [
        ("sockets = '/run/x.sock'", (":1: ", "sockets", "did you mean socket?")),
        ("slots = '16384'", ("slots", "a whole number")),
        ("slots = true", ("slots", "a whole number")),
        ("bpffs = 7", ("bpffs", "a string")),
        ("slots = = 7", (":1: ",)),
        ("[agent]", ("agent",)),
        ("slots = 3", ("slots = 3",)),
        ("engine = 'quantum'", ("quantum",)),
        ("socket = \xff", (":1: ", "UTF-8")),
    ],
)
def test_a_bad_configuration_file(loaded: Agent, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """`check` names the file and the key; `run` refuses it before it does anything."""
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("latin-1"))
    containeragent("check", "--config", str(file)).refused(str(file), *words)
    attempt(loaded, config=str(file)).refused(*words)
    assert not loaded.socket.exists()


@pytest.mark.parametrize("text", ["socket = 'relative'", 'socket = "/tmp/a\\u0000b"', "metrics_address = 'nonsense'"])
def test_check_finds_what_run_would_refuse(tmp_path: Path, text: str) -> None:
    """It reads all of it and says what is wrong where."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    containeragent("check", "--config", str(file)).refused(str(file), text.split(" ", maxsplit=1)[0])


def test_a_good_configuration_file(tmp_path: Path) -> None:
    """And none: the default one may be missing, one that was named may not."""
    file = tmp_path / "config.toml"
    file.write_text("slots = 32\nsocket_group = 'nogroup'\n")
    assert "good" in containeragent("check", "--config", str(file)).ok().out
    containeragent("check").ok()
    containeragent("check", "--config", str(tmp_path / "none")).refused("does not exist")
    containeragent("check", "--config", str(tmp_path)).refused("it is not a regular file")


@pytest.mark.parametrize("verb", ["run", "load", "unload"])
def test_not_root(verb: str, tmp_path: Path) -> None:
    """It says so."""
    tmp_path.chmod(0o755)
    containeragent(verb, "--bpffs", "/sys/fs/bpf/test-not-root", uid=NOBODY).refused("root")


def test_pins_elsewhere_than_on_the_bpf_file_system(tmp_path: Path) -> None:
    """Refused, and no folder is left."""
    containeragent("load", "--bpffs", str(tmp_path / "pins")).refused(str(tmp_path / "pins"))
    options = ["--bpffs", str(tmp_path / "pins"), "--socket", str(tmp_path / "s"), "--metrics-address", "127.0.0.1:0"]
    containeragent("run", *options).refused(str(tmp_path / "pins"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["run", "--wrong"], ["run", "--slots", "many"], ["load", "x"]])
def test_wrong_usage(arguments: list[str]) -> None:
    """Exit status 2."""
    containeragent(*arguments).refused("--help", status=2)
