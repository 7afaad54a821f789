# SPDX-License-Identifier: Apache-2.0
"""Definition files: what is read, and one clear line for everything else, whatever somebody puts into the folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from containeragent import config, toml_file, trust
from containeragent.definitions import format, reading
from containeragent.definitions.format import Definition

REPOSITORY = Path(__file__).parents[2]
FILE = Path("/d/x.toml")


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Whoever runs the tests, and wherever, but where trust itself is tried."""
    if "distrusted" not in request.fixturenames:
        monkeypatch.setattr(trust, "distrust", lambda *_, **__: None)


def read(text: str) -> tuple[list[Definition], list[str]]:
    """Definitions, and mistakes without the file's name."""
    good, wrong = format.definitions(toml_file.parse(FILE, text.encode()))
    return good, [one.message.removeprefix("/d/x.toml:") for one in wrong]


def test_everything_that_can_be_said() -> None:
    """As containerctl would take it."""
    (web, deep), wrong = read(
        """
        [containers.web]
        task_limit = 20
        page_limit = "100M"
        kill_after = 0.5
        dry_run = true
        owner = 1001
        notify_on_release = true
        remove_on_release = false
        files = ["/usr/lib/a.so", "/b"]
        [containers.web.attributes]
        cpuset.cpus = "0-1"
        "cpuset.mems" = 0
        [containers."/web/a b/c"]
        """
    )
    assert not wrong and (web.name, deep.name) == ("/web", "/web/a b/c")
    assert web.limits == {"task_limit": 20, "page_limit": "100M", "kill_after": 0.5, "dry_run": True}
    assert (web.owner, web.notify, web.remove, web.files) == (1001, True, False, ("/usr/lib/a.so", "/b"))
    assert web.attributes == {"cpuset.cpus": "0-1", "cpuset.mems": "0"}
    assert (deep.limits, deep.owner, deep.notify, deep.remove, deep.files, deep.attributes) == ({}, *[None] * 3, (), {})
    assert web.place == "/d/x.toml:2" and deep.mistake("no").message == "/d/x.toml:14: no"


@pytest.mark.parametrize(
    "said, refusal",
    [
        ("task_limit = -1", "3: task limit '-1' is not between 0 and 4194304, which no host exceeds; or write max"),
        ("task_limit = 1.5", "3: task limit '1.5' is neither a whole number nor max"),
        ("task_limit = true", "3: task limit 'True' is neither a whole number nor max"),
        ('page_limit = "1X"', "3: page limit '1X' is neither pages (25600), bytes with a unit (100M, 1G), nor max"),
        ("page_limit = 0", "3: page limit '0' is less than one page"),
        ("kill_after = nan", "3: kill-after 'nan' is neither seconds (30, 0.5) nor never"),
        ("kill_after = 1979-05-27", "3: kill-after '1979-05-27' is neither seconds"),
        ("dry_run = 1", "3: dry_run is neither true nor false"),
        ('notify_on_release = "on"', "3: notify_on_release is neither true nor false"),
        ("remove_on_release = 0", "3: remove_on_release is neither true nor false"),
        ('owner = "no such user"', "3: there is no user 'no such user'; see getent passwd, or give a number"),
        ("owner = -1", "3: -1 is no user's number"),
        ("owner = 1.0", "3: owner is no user: neither a name nor a number"),
        ('files = "/a"', '3: files is no list of paths such as ["/usr/lib/libexample.so"]'),
        ('files = ["/a", "b"]', "3: 'b' is not an absolute path"),
        ("files = [1]", "3: '1' is not an absolute path"),
        ('files = ["/a\\u0000b"]', "3: a path has a NUL, which none can have"),
        ("attributes = 1", '3: attributes is no table such as { "cpuset.cpus" = "0-1" }'),
        ("attributes.a.b = 1.5", "3: the value of 'b' is neither text nor a whole number"),
        ('attributes.a = "x\\ny"', "3: the value of 'a' is longer than"),
        ("task_limt = 1", "3: there is no key 'task_limt'; did you mean task_limit?"),
        ('"\\u001b[1m\\n" = 1', "3: there is no key '\\x1b[1m\\n'; known are task_limit, "),
        ("db.task_limit = 1", "3: there is no key 'db' with a table; a container below it is [containers.\"/web/db\"]"),
    ],
)
def test_one_line_for_each_mistake(said: str, refusal: str) -> None:
    """With the operation's own words, where the key stands; and the others are read."""
    good, (wrong,) = read(
        f"[containers.web]\nowner = 0\n{said}\n[containers.other]\n".replace("owner = 0\nowner", "\nowner")
    )
    assert wrong.startswith(refusal) and wrong.isprintable()
    assert [one.name for one in good] == ["/other"]


@pytest.mark.parametrize(
    "key, why",
    [
        ('"a/../b"', "'a/../b' is not a container name: .. is not allowed in it"),
        ('".."', "'..' is not a container name"),
        ('""', "'' is not a container name: it is empty"),
        ('"a//b"', "it has an empty component"),
        ('"a\\nb\\u001b"', "'a\\nb\\x1b' is not a container name: it has control characters"),
        ('"a\\u0000"', "'a\\x00' is not a container name: it has control characters"),
        ('"-a"', "a component begins with a dash"),
        ('"cgroup.procs"', "cgroup v2 reserves names that begin with cgroup."),
        (f'"{"a/" * 2000}b"', "it has more than 3072 bytes"),
        (f'"{"a" * 256}"', "a component has 256 bytes, 255 are allowed"),
    ],
)
def test_names_that_no_container_has(key: str, why: str) -> None:
    """Refused as the command line refuses them; the others are read."""
    good, (wrong,) = read(f"[containers.{key}]\ntask_limit = 3\n[containers.other]\n")
    assert wrong.startswith("1: ") and why in wrong and wrong.isprintable()
    assert [one.name for one in good] == ["/other"]


def test_all_mistakes_are_told() -> None:
    """Not only the first."""
    good, wrong = read('slots = 3\n[containers.a]\ntask_limit = -1\nowner = 1.5\nfiles = ["a", "/b", "c"]\n')
    assert not good and [line.split(":")[0] for line in wrong] == ["1", "3", "4", "5", "5"]


@pytest.mark.parametrize(
    "text",
    ["containers = 3", "[containers]\nweb = 3", "[[containers]]\n", "[containers.'/']\nremove_on_release = true"],
)
def test_no_tables(text: str) -> None:
    """And what the root is not for."""
    good, (wrong,) = read(text)
    assert not good and wrong.isprintable()


def test_an_empty_file() -> None:
    """Defines nothing."""
    assert read("") == read("[containers]") == ([], [])


def test_a_name_twice_in_one_file() -> None:
    """TOML takes web and /web for different keys: the first stays."""
    parsed = "[containers.web]\n\n[containers.'/web']\ntask_limit = 1\n"
    assert [one.name for one in read(parsed)[0]] == ["/web", "/web"]


def test_a_folder(tmp_path: Path) -> None:
    """Files in the order of their names; parents come first; of two that define the same, both are named."""
    (tmp_path / "20.toml").write_text("[containers.web]\n\n[containers.'a/b/c']\n")
    (tmp_path / "10.toml").write_text("[containers.'web/db']\n[containers.'/web']\ntask_limit = 1\n[containers.a]")
    (tmp_path / ".30.toml").write_text("nonsense")
    (tmp_path / "README").write_text("nonsense")
    found = reading.of_folder(str(tmp_path))
    assert [one.name for one in found.definitions] == ["/a", "/a/b/c", "/web", "/web/db"]
    assert found.definitions[2].limits == {"task_limit": 1}
    (mistake,) = found.mistakes
    first, second = tmp_path / "10.toml", tmp_path / "20.toml"
    assert mistake.message == f"{second}:1: container /web is defined at {first}:2 already; keep one of them"


def test_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default one may be missing, and an empty name is none; another that is missing is a mistake."""
    assert reading.of_folder("") == reading.Found()
    (mistake,) = reading.of_folder(f"{tmp_path}/none").mistakes
    assert mistake.message == f"{tmp_path}/none: it cannot be read: no such file or directory"
    monkeypatch.setattr(reading, "DEFAULT_DEFINITIONS", f"{tmp_path}/none")
    assert reading.of_folder(f"{tmp_path}/none") == reading.Found()
    (tmp_path / "file").touch()
    assert "not a directory" in reading.of_folder(f"{tmp_path}/file").mistakes[0].message


def test_what_somebody_puts_into_the_folder(tmp_path: Path) -> None:
    """A line each, at once, and the good one is read."""
    (tmp_path / "good.toml").write_text("[containers.web]")
    (tmp_path / "directory.toml").mkdir()
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "link.toml").symlink_to("/etc/passwd")
    (tmp_path / "dangling.toml").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.toml"))
    with (tmp_path / "huge.toml").open("wb") as huge:
        huge.truncate(100 << 20)
    (tmp_path / "latin.toml").write_bytes(b"[containers.web]\n# gr\xf6\xdfe\n")
    (tmp_path / "nul.toml").write_bytes(b"[containers.x]\n\0")
    (tmp_path / "many.toml").write_bytes(b"a = " + b"[" * 100000)
    (tmp_path / "new\nline\x1b.toml").write_text("x")
    with open(os.fsencode(tmp_path) + b"/\xff.toml", "w", encoding="ascii") as file:
        file.write("x = ")
    found = reading.of_folder(str(tmp_path))
    assert [one.name for one in found.definitions] == ["/web"]
    said = {
        Path(line.partition(".toml")[0]).name: line.partition(".toml")[2]
        for line in (one.message for one in found.mistakes)
    }
    assert said.pop("\\xff").startswith(":1: ") and said.pop("new\\x0aline\\x1b").startswith(":1: ")
    assert said.pop("nul").startswith(":2: ") and "nested too deeply" in said.pop("many")
    assert said == {
        "directory": ": it is not a regular file",
        "fifo": ": it is not a regular file",
        "link": ": it is a symbolic link, which is not followed; put the file itself here",
        "dangling": ": it is a symbolic link, which is not followed; put the file itself here",
        "socket": ": it cannot be read: no such device or address",
        "huge": ": it has more than 1 MiB",
        "latin": ":2: this is not UTF-8",
    }
    assert all(one.message.isprintable() and len(one.message) < 300 for one in found.mistakes)


@pytest.fixture
def distrusted() -> None:
    """Nothing is taken for good."""


def test_what_others_could_write(distrusted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not believed in the folder; a draft that is named is."""
    file = tmp_path / "x.toml"
    file.write_text("[containers.web]")
    file.chmod(0o666)
    (mistake,) = reading.of_folder(str(tmp_path)).mistakes
    assert mistake.message == f"{file}: others than root may write it; chown root {file} && chmod go-w {file}"
    assert [one.name for one in reading.of_files([file], trusting=True).definitions] == ["/web"]


def test_the_example_is_good() -> None:
    """As it is, and with everything that is commented out."""
    example = (REPOSITORY / "deploy/systemd/containers.d/example.toml.disabled").read_text()
    good, wrong = read(example)
    assert [one.name for one in good] == ["/web", "/web/db", "/daemon"] and not wrong
    uncommented = "\n".join(
        line[1:] if line.startswith("#") and " = " in line else line for line in example.split("\n")
    )
    everything, wrong = read(uncommented)
    assert not wrong
    used = {key for one in everything for key in one.file.values["containers"][one.key]}
    assert used == set(format.KEYS)


def test_the_default_folder_is_that_of_the_design() -> None:
    """Beside the configuration."""
    assert Path(config.DEFAULT_DEFINITIONS) == config.DEFAULT_FILE.parent / "containers.d"


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.datetimes(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.dictionaries(st.sampled_from(sorted(format.KEYS)), _values, max_size=3) | _values,
        max_size=3,
    )
)
def test_whatever_the_values_are(tables: dict[str, Any]) -> None:
    """Each is a definition, or has a line."""
    file = toml_file.TomlFile(FILE, "", {"containers": tables})
    good, wrong = format.definitions(file)
    assert all(one.message.isprintable() for one in wrong)
    assert len(good) + len(wrong) >= len(tables)
