# SPDX-License-Identifier: Apache-2.0
"""Whose containers are, over a tree of files: what is kept on the cgroups, and what is known of those that are gone."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from containeragent.cgroups import attributes
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.containers.owners import Owners
from containeragent.errors import Refused
from tests.unit.cgroup_files import CgroupFiles

TOP: Parts = ("top",)
MINE: Parts = ("top", "mine")
KEY = "user.containeragent.owner"  # on the cgroups of every host that has an agent
ALL, ABOVE, OWNER, OTHER = range(4_000_000_001, 4_000_000_005)  # users without a name


class Host:
    """A tree with /top, /top/mine and /other, which have owners, and /top/mine/a, which has none."""

    def __init__(self, files: CgroupFiles) -> None:
        self.files = files
        for name in ("top", "top/mine", "top/mine/a", "other"):
            files.make(name)
        self.names = Names("/root")
        self.tree = Tree(files.root, self.names)
        self.owners = Owners(self.tree, self.names)
        for parts, uid in ((TOP, ABOVE), (MINE, OWNER), (("other",), OTHER)):
            self.owners.set(parts, uid)

    def restarted(self) -> Owners:
        """The next agent's."""
        self.owners = Owners(self.tree, self.names)
        self.owners.take_up()
        return self.owners

    def inode(self, name: str) -> int:
        """The id of the cgroup in a place."""
        return (self.files.root / name).stat().st_ino

    def replaced(self, name: str) -> None:
        """Somebody removes it, and makes another of that name; the old one stays aside, so that its id does."""
        folder = self.files.root / name
        folder.rename(folder.with_name("gone-" + folder.name))
        self.files.make(name)

    def user(self, cgroup: str) -> tuple[int, str] | None:
        """Whose a container is, by its path, with the container that is theirs."""
        found = self.owners.document(cgroup)
        return None if found is None else (found["uid"], found["container"])


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The agent that gave them their owners runs."""
    return Host(CgroupFiles(tmp_path, monkeypatch))


def test_owners_are_kept_on_the_cgroups(host: Host) -> None:
    """The next agent knows them; of whom one was taken away, it knows nothing."""
    assert host.files.attributes[host.inode("top/mine"), KEY] == str(OWNER).encode()
    owners = host.restarted()
    assert [owners.of(parts) for parts in ((), TOP, MINE, (*MINE, "a"))] == [None, ABOVE, OWNER, None]
    owners.set((), ALL)
    owners.set(MINE, None)
    assert host.files.attributes[host.inode("top/mine"), KEY] is None
    for owners in (host.owners, host.restarted()):
        assert [owners.of(parts) for parts in ((), TOP, MINE, (*MINE, "a"))] == [ALL, ABOVE, None, None]


@pytest.mark.parametrize("junk", [b"", b"me", b"-1", b"4294967295"])
def test_what_is_no_user(host: Host, caplog: pytest.LogCaptureFixture, junk: bytes) -> None:
    """It is said, and does not keep the agent from starting."""
    host.files.attributes[host.inode("top/mine"), KEY] = junk
    owners = host.restarted()
    assert owners.over(MINE) == [ABOVE] and owners.of(("other",)) == OTHER
    assert caplog.messages == [f"the attribute {KEY} of cgroup /top/mine is no user: {junk!r}"]


def test_one_that_goes_while_an_agent_starts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are taken up."""
    get, gone = attributes.get, host.inode("top")

    def read(directory: int, key: str) -> bytes | None:
        if Path(f"/proc/self/fd/{directory}").stat().st_ino == gone:
            raise OSError(errno.EIO, "it is gone")
        return get(directory, key)

    monkeypatch.setattr(attributes, "get", read)
    owners = host.restarted()
    assert [owners.of(parts) for parts in (TOP, MINE, ("other",))] == [None, OWNER, OTHER]


def test_an_owner_that_cannot_be_kept(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays with the one before: the next agent would know of no other."""

    def full(_directory: int, _key: str, _value: str | None) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(attributes, "put", full)
    with pytest.raises(Refused, match="/top/mine"):
        host.owners.set(MINE, OTHER)
    assert host.owners.of(MINE) == OWNER


def test_all_that_are_over_one(host: Host) -> None:
    """Outermost first, whether it is there or not."""
    for parts in (MINE, (*MINE, "a"), (*MINE, "new", "b")):
        assert host.owners.over(parts) == [ABOVE, OWNER]
    assert host.owners.over(()) == [] and host.owners.over(TOP) == [ABOVE]
    host.owners.set((), ALL)
    assert host.owners.over(()) == [ALL] and host.owners.over(MINE) == [ALL, ABOVE, OWNER]


def test_another_in_its_place_is_nobodys(host: Host) -> None:
    """Before anybody has noticed; those above it stay over it."""
    host.replaced("top/mine")
    assert host.owners.of(MINE) is None and host.owners.over(MINE) == [ABOVE]
    host.owners.set(MINE, OTHER)
    assert host.owners.of(MINE) == OTHER and host.owners.over(MINE) == [ABOVE, OTHER]


def test_one_that_is_gone_is_nobodys(host: Host) -> None:
    """Nothing is in its place."""
    (host.files.root / "top").rename(host.files.root / "gone")
    assert host.owners.of(TOP) is None and host.owners.of(MINE) is None
    assert host.owners.over(TOP) == host.owners.over(MINE) == []
    host.owners.forget_gone()
    assert host.user("/root/top/mine") is None and host.user("/root/other") == (OTHER, "/other")


def test_those_that_are_gone_are_forgotten(host: Host) -> None:
    """All of them; who is there still keeps its owner."""
    for name in ("top", "other"):
        host.replaced(name)
    host.files.make("top/mine")
    host.owners.set(("gone-top", "mine"), ALL)
    host.owners.forget_gone()
    found = [host.user(f"/root/{name}") for name in ("top", "top/mine", "other", "gone-top/mine/a")]
    assert found == [None, None, None, (ALL, "/gone-top/mine")]


def test_only_those_on_the_way_are_looked_at(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container of a path, from its leaf too, and those that it is in."""
    host.owners.set((), ALL)
    host.replaced("top")
    host.files.make("top/mine")
    looks: list[Parts] = []
    identity = host.tree.directory_identity

    def look(directories: Parts) -> int:
        looks.append(directories)
        return identity(directories)

    monkeypatch.setattr(host.tree, "directory_identity", look)
    host.owners.forget_gone("/root/top/mine/-tasks")
    assert looks == [(), TOP, MINE]
    assert host.user("/root/top/mine/a") == (ALL, "/")


def test_an_owner_that_comes_meanwhile_stays(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one in its place was given away while it was looked at."""
    host.replaced("other")
    identity = host.tree.directory_identity

    def look(directories: Parts) -> int:
        if directories == ("other",):
            host.owners.set(directories, OWNER)
        return identity(directories)

    monkeypatch.setattr(host.tree, "directory_identity", look)
    host.owners.forget_gone()
    assert host.owners.of(("other",)) == OWNER


def test_the_nearest_is_shown(host: Host) -> None:
    """With the container that is theirs; by number who has no name."""
    wanted: dict[str, Any] = {"user": str(OWNER), "uid": OWNER, "container": "/top/mine"}
    for cgroup in ("/root/top/mine", "/root/top/mine/-tasks", "/root/top/mine/a/b"):
        assert host.owners.document(cgroup) == wanted
    assert host.user("/root/top") == (ABOVE, "/top") and host.user("/root") is None
    host.owners.set((), 0)
    assert host.owners.document("/root/new") == {"user": "root", "uid": 0, "container": "/"}


def test_a_renamed_one_keeps_its_owner(host: Host) -> None:
    """By its new name, with all below it; nobody owns what has its old one."""
    host.owners.set((), ALL)
    host.tree.rename(TOP, ("up",))
    assert host.owners.of(("up",)) == ABOVE and host.owners.over(("up", "mine")) == [ALL, ABOVE, OWNER]
    assert host.owners.over(MINE) == [ALL]
    assert host.user("/root/top/mine") == (OWNER, "/up/mine")
    host.owners.set(("up", "mine"), OTHER)
    assert host.user("/root/top/mine/a") == (OTHER, "/up/mine") and host.restarted().of(("up", "mine")) == OTHER
