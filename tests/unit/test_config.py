# SPDX-License-Identifier: Apache-2.0
"""The configuration: the file's values under the flags', and every mistake named with its place."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from containeragent import config
from containeragent.config import Config, read
from containeragent.errors import Refused


def written(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "config.toml"
    path.write_text(text)
    return path


def refusal(path: Path | None, **flags: object) -> str:
    """The message."""
    with pytest.raises(Refused) as caught:
        read(path, flags)
    return caught.value.message


def test_defaults_are_those_of_the_design(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default file may be missing."""
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "none")
    found = read(None, {})
    assert found == Config()
    assert found.bpffs == "/sys/fs/bpf/containeragent" and found.socket == "/run/containeragent/agent.sock"
    assert found.metrics_address == "127.0.0.1:9917"


def test_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Though a device is no configuration, and others may write this one."""
    monkeypatch.setattr(config, "DEFAULT_FILE", written(tmp_path, "slots = 99"))
    assert read(Path("/dev/null"), {}) == Config()


def test_the_default_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without --config."""
    monkeypatch.setattr(config, "DEFAULT_FILE", written(tmp_path, "slots = 99"))
    assert read(None, {}).slots == 99


def test_flags_stand_above_the_file(tmp_path: Path) -> None:
    """Those that were given."""
    path = written(tmp_path, "slots = 99\nseries_cap = 7\n")
    assert read(path, {"slots": 100, "series_cap": None, "socket": None}) == Config(slots=100, series_cap=7)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """Else a typing mistake would go unseen."""
    assert "does not exist" in refusal(tmp_path / "none")
    assert refusal(tmp_path) == f"{tmp_path}: it is not a regular file"


@pytest.mark.parametrize(
    "text, word",
    [
        ("sockets = 'x'", "'sockets'"),
        ("slots = '1'", "slots must be a whole number"),
        ("slots = true", "slots must be a whole number"),
        ("slots = 1.5", "slots must be a whole number"),
        ("bpffs = 1", "bpffs must be a string"),
        ("bpffs = ['x']", "bpffs must be a string"),
        ("[socket]", "socket must be a string"),
        ("slots = 15", "slots = 15"),
        ("slots = 1048577", "slots = 1048577"),
        ("series_cap = 0", "series_cap = 0"),
        ("subsystem_seconds = 0", "subsystem_seconds = 0"),
        ("subsystem_seconds = 61", "subsystem_seconds = 61"),
        ("subsystems = ['a']", "subsystems must be a string"),
        ("series_cap = -1", "series_cap = -1"),
        ("engine = 'quantum'", "quantum"),
        ("socket = 'agent.sock'", "absolute"),
        ("bpffs = ''", "absolute"),
        ("cgroup_root = 'containers'", "absolute"),
        (f"socket = '/{'x' * 107}'", "107"),
        ("slots", "Expected"),
        ("slots = 1\nslots = 2", "slots"),
        ("x = " + "[" * 5000, ""),
    ],
)
def test_mistakes(tmp_path: Path, text: str, word: str) -> None:
    """The message names the file, and what is wrong."""
    path = written(tmp_path, text)
    message = refusal(path)
    assert str(path) in message and word in message


def test_a_mistake_in_a_flag() -> None:
    """Not blamed on a file."""
    assert refusal(None, slots=3).startswith("configuration: slots = 3")


@pytest.mark.parametrize("socket", ["/tmp/a\0b", "/tmp/a\udcff"])
def test_odd_bytes_in_paths_are_refused_or_taken(socket: str) -> None:
    """A NUL can be in no path; other bytes come from the command line as surrogates, and a path may have them."""
    try:
        assert read(None, {"socket": socket}).socket == socket and "\0" not in socket
    except Refused as refused:
        assert "socket" in refused.message


def test_every_key_has_a_flag_of_the_same_name() -> None:
    """`containeragent run`."""
    from containeragent.main import run

    flags = {parameter.name for parameter in run.params}
    assert flags - {"file"} == {field.name for field in dataclasses.fields(Config)}


_KEYS = st.sampled_from([field.name for field in dataclasses.fields(Config)]) | st.text(max_size=8)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
_ANY = st.recursive(_SCALARS, lambda some: st.lists(some, max_size=3) | st.dictionaries(_KEYS, some, max_size=3))


def _toml(value: object) -> str:
    """Near enough: what is no TOML is tried too."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _lines(values: Mapping[str, object]) -> list[str]:
    return [f"{json.dumps(key)} = {_toml(value)}" for key, value in values.items()]


@given(st.dictionaries(_KEYS, _ANY, max_size=4).map(_lines))
def test_anything_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    """In one line, whatever the keys have."""
    file = tmp_path_factory.getbasetemp() / "anything.toml"
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    _read_or_refused(file)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """No TOML, no UTF-8."""
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(data)
    _read_or_refused(file)


def _read_or_refused(file: Path) -> None:
    try:
        found = read(file, {})
    except Refused as refused:
        assert len(refused.message.splitlines()) == 1
    else:
        assert isinstance(found, Config)
