# SPDX-License-Identifier: Apache-2.0
"""Definitions become containers and containers definitions, over a tree that is only a dictionary."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from containeragent import toml_file, trust
from containeragent.cgroups import names
from containeragent.definitions import apply, export, format
from containeragent.definitions.definitions import Definitions
from containeragent.errors import Refused
from containeragent.host import users
from containeragent.limits.model import MOST_PAGES, MOST_SECONDS, MOST_TASKS, Limits
from containeragent.release.flags import Flags
from tests.unit.definable import Definable, Parts, State

FILE = Path("/d/x.toml")


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is its path here."""

    class Paths:
        """As os."""

        getpid = staticmethod(os.getpid)
        close = staticmethod(lambda _: None)
        O_RDONLY = O_NONBLOCK = O_NOCTTY = O_CLOEXEC = 0

        @staticmethod
        def open(path: str, _flags: int) -> str:
            """FileNotFoundError of one that is missing."""
            if "missing" in path:
                raise FileNotFoundError(2, "No such file or directory")
            return path

    monkeypatch.setattr(apply, "os", Paths)


def applied(made: Definable, text: str) -> list[str]:
    """What was refused."""
    good, wrong = format.definitions(toml_file.parse(FILE, text.encode()))
    assert not wrong, [one.message for one in wrong]
    found = sorted(good, key=lambda one: one.parts)
    return [one.message.removeprefix("/d/x.toml:") for one in made.applier.apply(found, lambda: None)]


def exported(made: Definable, name: str = "/") -> str:
    """All that can be said."""
    document = made.exporter.document(name)
    assert document["left_out"] == []
    return str(document["toml"])


ALL = """
[containers."/"]
notify_on_release = true
[containers."/web/db"]
task_limit = 20
page_limit = 25600
kill_after = 3
dry_run = true
owner = 60001
notify_on_release = false
files = ["/a", "/b"]
attributes = { "cpuset.cpus" = "0,1", weight = 5 }
"""


def test_all_of_it() -> None:
    """On an empty tree; the owner comes last, and a second time nothing is done."""
    made = Definable()
    assert applied(made, ALL) == []
    assert made.done == [
        ("notify", "/"),
        ("create", "/web/db"),
        ("set", "/web/db"),
        ("file", "/web/db"),
        ("file", "/web/db"),
        ("own", "/web/db"),
    ]
    assert made.states["web",].flags == Flags(True) and made.states["web", "db"].flags == Flags()
    assert made.states["web", "db"].limits == Limits(20, 25600, 3.0, True)
    made.done.clear()
    made.states["web", "db"].attributes["cpuset.cpus"] = "0-1"  # as the kernel says it
    assert applied(made, ALL) == [] and made.done == []


def test_only_what_differs() -> None:
    """And nothing that is not said."""
    made = Definable({("web",): State(Limits(5, 7), Flags(True, True), 60001, {"a.b": "1"}, ["/x"])})
    assert applied(made, "[containers.web]\ntask_limit = 5\nremove_on_release = true\nowner = 60001\n") == []
    assert made.done == []
    assert applied(made, "[containers.web]\npage_limit = 'max'\n") == [] and made.done == [("limit", "/web")]
    assert made.states["web",] == State(Limits(5), Flags(True, True), 60001, {"a.b": "1"}, ["/x"])
    made.done.clear()
    assert applied(made, "[containers.web]\nowner = 'none'\nremove_on_release = false\n") == []
    assert made.done == [("notify", "/web"), ("own", "/web")] and made.states["web",].owner is None
    made.done.clear()
    assert applied(made, "[containers.web.attributes]\na.b = 2\n") == [] and made.done == [("set", "/web")]


def test_a_container_that_cannot_be_confined_gets_no_owner() -> None:
    """He would have it without its limits. Others are made."""
    made = Definable({("web",): State()})
    made.refuses = {("limit", "/web")}
    refused = applied(made, "[containers.web]\ntask_limit = 5\nowner = 60001\nfiles = ['/a']\n[containers.other]")
    assert refused == ["1: limit refused"] and made.done == [("create", "/other")]


def test_a_file_that_is_missing() -> None:
    """Is told with its line; the rest is done."""
    made = Definable()
    refused = applied(made, "[containers.web]\nowner = 60001\nfiles = ['/missing', '/a']\n")
    assert refused == ["3: file /missing was not charged to /web: no such file or directory"]
    assert made.states["web",] == State(owner=60001, files=["/a"])
    made.refuses = {("own", "/web")}
    assert applied(made, "[containers.web]\nowner = 60002") == ["2: own refused"]


def test_a_folder_is_applied_and_what_is_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line each: in the log, for the doctor and for the metrics; after it is mended, none."""
    monkeypatch.setattr(trust, "distrust", lambda *_, **__: None)
    made, beats = Definable(), []
    file = tmp_path / "x.toml"
    file.write_text("[containers.a]\ntask_limit = -1\n[containers.b]\nfiles = ['/missing']\n[containers.c]\n")
    definitions = Definitions(str(tmp_path), made.applier)
    definitions.apply(lambda: beats.append(1))
    assert made.done == [("create", "/b"), ("create", "/c")] and len(beats) == 2
    assert definitions.count == 2 and [one.split(" ")[0] for one in definitions.mistakes] == [
        f"{file}:2:",
        f"{file}:4:",
    ]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"definitions: {one}" for one in definitions.mistakes
    ]
    assert [(one.status, one.detail) for one in definitions.checks()] == [("no", one) for one in definitions.mistakes]
    file.write_text("[containers.a]\n")
    definitions.apply()
    (check,) = definitions.checks()
    assert (check.status, check.detail) == ("yes", f"1 container in {tmp_path}") and definitions.mistakes == ()
    assert made.is_there(("b",))  # one that is defined no more stays
    file.write_text("".join(f"[containers.a{number}]\nx = 1\n" for number in range(12)))
    definitions.apply()
    assert [one.detail for one in definitions.checks()][-1] == "2 more mistakes"


def test_an_export() -> None:
    """What a person would have written, the same each time."""
    made = Definable()
    applied(made, ALL)
    made.states["größe x",] = State()
    assert exported(made) == (
        '[containers."/"]\nnotify_on_release = true\n\n'
        '[containers."/größe x"]\nnotify_on_release = false\n\n'
        '[containers."/web"]\nnotify_on_release = true\n\n'
        '[containers."/web/db"]\ntask_limit = 20\npage_limit = "100M"\nkill_after = 3\ndry_run = true\n'
        'notify_on_release = false\nowner = 60001\nfiles = [\n    "/a",\n    "/b",\n]\n\n'
        '[containers."/web/db".attributes]\n"cpuset.cpus" = "0,1"\nweight = "5"\n'
    )
    assert exported(made, "web/db").startswith('[containers."/web/db"]\n') and exported(Definable()) == ""
    with pytest.raises(Refused):
        made.exporter.document("/none")


def test_what_a_file_cannot_say() -> None:
    """Is left out, and told."""
    made = Definable(
        {
            ("a\nb",): State(),
            ("web",): State(files=["/\udcff", "/good"], attributes={"a.b": "x\ny", "a.c": None, "a.d": "", "a.e": 1.5}),
        }
    )
    document = made.exporter.document("/")
    assert (
        document["toml"]
        == '[containers."/web"]\nfiles = [\n    "/good",\n]\n\n[containers."/web".attributes]\n"a.e" = "1.5"\n'
    )
    cgroup, file, attribute = document["left_out"]
    assert cgroup == "cgroup /a\\x0ab is no container that could be defined: its name is not allowed"
    assert file == "file /\\xff of /web: it is not UTF-8"
    assert attribute.startswith("attribute a.b of /web: the value of 'a.b' is longer than ")


def test_a_subsystem_that_does_not_answer() -> None:
    """What is left out because of it is told, and nothing is set without knowing what is there."""
    made = Definable({("web",): State(Limits(5), attributes={"x.a": "1"})})
    made.refuses = {("attributes", "/web")}
    document = made.exporter.document("/")
    assert document["toml"] == '[containers."/web"]\ntask_limit = 5\n'
    assert document["left_out"] == ["attributes of /web: subsystem x does not say its attributes: it hung"]
    refused = applied(made, "[containers.web]\nowner = 60001\nattributes = { x.a = 1 }\n")
    assert refused == ["1: subsystem x does not say its attributes: it hung"] and made.done == []


@pytest.mark.parametrize(
    "size_bytes, shown", [(4096, "4K"), (100 << 20, "100M"), ((100 << 20) + 4096, "102404K"), (MOST_PAGES * 4096, "4E")]
)
def test_sizes(size_bytes: int, shown: str) -> None:
    """In the largest unit."""
    assert export.size_of(size_bytes) == shown


def test_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number where a name would lead to somebody else."""
    known = {1: "bob", 2: "none", 3: "77", 4: "twin", 5: "gone"}
    monkeypatch.setattr(users, "name_of", lambda uid: known[uid])

    def look_up(name: str) -> Any:
        uid = {"bob": 1, "none": 2, "twin": 9}[name]
        return pwd.struct_passwd((name, "x", uid, 0, "", "/", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwnam", look_up)
    assert [export.owner_of(uid) for uid in known] == ["bob", 2, 3, 4, 5]


def _is_component(text: str) -> bool:
    try:
        return names.parse("/" + text) == (text,)
    except Refused:
        return False


_components = st.text(min_size=1, max_size=6).filter(_is_component)


_limits = st.builds(
    Limits,
    st.none() | st.integers(0, MOST_TASKS),
    st.none() | st.integers(1, MOST_PAGES),
    st.none() | st.floats(0, MOST_SECONDS),
    st.booleans(),
)
_printable = st.text(min_size=1, max_size=8).filter(str.isprintable)
_states = st.builds(
    State,
    _limits,
    st.builds(Flags, st.booleans(), st.booleans()),
    st.none() | st.integers(0, users.MOST),
    st.dictionaries(_printable, _printable, max_size=3),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9).map("/f".__add__),
        max_size=3,
        unique=True,
    ),
)


@st.composite
def trees(draw: st.DrawFn) -> dict[Parts, State]:
    """Any state that containers can be in."""
    found: dict[Parts, State] = {(): draw(_states)}
    found[()].flags = Flags(found[()].flags.notify)
    for parts in draw(st.lists(st.lists(_components, min_size=1, max_size=3).map(tuple), max_size=5)):
        for length in range(1, len(parts) + 1):
            found.setdefault(parts[:length], draw(_states))
    return found


@given(trees())
def test_an_export_makes_the_same_containers(states: dict[Parts, State]) -> None:
    """On an empty tree; there it is exported as the same text, and applied once more it changes nothing."""
    text = exported(Definable(states))
    made = Definable()
    assert applied(made, text) == []
    assert exported(made) == text and made.states == states
    made.done.clear()
    assert applied(made, text) == [] and made.done == []


def test_the_applier_asks_as_root() -> None:
    """So nobody's rights are in its way."""
    assert Definable().applier._caller.uid == 0
