# SPDX-License-Identifier: Apache-2.0
"""Names and directories apart: renamed containers, directories of others in their way, and what is kept on folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containeragent.cgroups import attributes
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused


def make(folder: Path) -> None:
    """A folder that stands for a cgroup."""
    folder.mkdir()
    for file in ("cgroup.events", "cgroup.procs", "cgroup.threads"):
        (folder / file).write_text("")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With /web, /web/db and /other; new folders get the files of cgroups, and these do not stand in rmdir's way."""
    mkdir, rmdir = os.mkdir, os.rmdir

    def made(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        mkdir(path, mode, dir_fd=dir_fd)
        for file in () if dir_fd is None else ("cgroup.events", "cgroup.procs", "cgroup.threads"):
            os.close(os.open(f"{path}/{file}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=dir_fd))

    def removed(path: str, *, dir_fd: int) -> None:
        for file in ("cgroup.events", "cgroup.procs", "cgroup.threads"):
            os.unlink(f"{path}/{file}", dir_fd=dir_fd)
        rmdir(path, dir_fd=dir_fd)

    folder = tmp_path / "root"
    for name in ("", "web", "web/db", "other"):
        make(folder / name)
    monkeypatch.setattr(os, "mkdir", made)
    monkeypatch.setattr(os, "rmdir", removed)
    return folder


@pytest.fixture
def tree(root: Path) -> Tree:
    return started(root)


def started(root: Path) -> Tree:
    """As an agent that starts."""
    made = Tree(root, Names("/root"))
    made.load_names()
    return made


def code(call: object, *arguments: object) -> str:
    """The errno name of what must be refused."""
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.code


def names(tree: Tree, parts: Parts = ()) -> list[str]:
    """Of everything below."""
    found = []
    for name in tree.children(parts):
        found += ["/".join((*parts, name)), *names(tree, (*parts, name))]
    return found


def test_a_renamed_container(tree: Tree, root: Path) -> None:
    """By its new name it is what it was, with what is in it; the old name is nothing."""
    before = tree.identity(("web",)), tree.identity(("web", "db"))
    tree.rename(("web",), ("www",))
    tree.rename(("www", "db"), ("www", "sql"))
    assert (tree.identity(("www",)), tree.identity(("www", "sql"))) == before
    assert names(tree) == ["other", "www", "www/sql"]
    assert (
        code(tree.identity, ("web",))
        == code(tree.identity, ("web", "db"))
        == code(tree.tasks, ("www", "db"))
        == "ENOENT"
    )
    assert tree.names.managed("/root/web/db") == "/www/sql" and tree.names.managed("/root/web/db/-tasks") == "/www/sql"
    assert tree.names.cgroup(("www", "sql", "new")) == "/root/web/db/new"
    assert tree.names.managed("/root/other") == "/other" and tree.names.managed("/elsewhere/web") is None
    assert (root / "web" / "db").is_dir()


def test_it_outlives_the_agent(tree: Tree, root: Path) -> None:
    """On the cgroup; and nothing is kept of one that has its directory's name again."""
    tree.rename(("web",), ("www",))
    tree.rename(("www",), ("ü b",))
    assert names(started(root)) == ["other", "ü b", "ü b/db"]
    tree.rename(("ü b",), ("web",))
    with tree.opened(("web",)) as directory:
        assert attributes.read(directory) == {}
    assert names(started(root)) == names(tree) == ["other", "web", "web/db"]


def test_the_old_name_can_be_taken(tree: Tree, root: Path) -> None:
    """By another container, whose directory is another; by as many as like. Each is removed for itself."""
    first = tree.identity(("web",))
    ids = [first]
    for name in ("one", "two", "three"):
        tree.rename(("web",), (name,))
        ids.append(tree.create(("web",)))
    assert len(set(ids)) == 4
    assert [tree.identity((name,)) for name in ("one", "two", "three", "web")] == ids
    assert sorted(os.listdir(root))[:3] == ["-2.web", "-3.web", "-4.web"]
    assert names(started(root)) == names(tree) == ["one", "one/db", "other", "three", "two", "web"]
    assert code(tree.create, ("web",)) == code(tree.create, ("two",)) == "EEXIST"
    tree.remove(("web",))
    tree.remove(("one", "db"))
    tree.remove(("one",))
    assert names(tree) == ["other", "three", "two"]
    tree.create(("web",))
    assert (root / "web").is_dir() and names(tree) == names(started(root)) == ["other", "three", "two", "web"]


def test_a_long_name_gets_another_directory(tree: Tree) -> None:
    """No longer than it may be."""
    name = "é" * 127 + "x"
    tree.create((name,))
    tree.rename((name,), ("short",))
    assert tree.create((name,)) == tree.identity((name,))
    assert names(tree) == ["other", "short", "web", "web/db", name]


def test_rename_refuses(tree: Tree) -> None:
    """What is there, by its name or by its directory; what is not there."""
    assert code(tree.rename, ("web",), ("other",)) == code(tree.rename, ("web",), ("web",)) == "EEXIST"
    assert code(tree.rename, ("nowhere",), ("somewhere",)) == "ENOENT"
    tree.rename(("web",), ("www",))
    assert code(tree.rename, ("other",), ("www",)) == "EEXIST"
    assert code(tree.rename, ("web",), ("x",)) == "ENOENT"
    tree.rename(("other",), ("web",))
    assert names(tree) == ["web", "www", "www/db"]


def test_a_directory_of_others_with_its_name(tree: Tree, root: Path) -> None:
    """It is no container, and goes with its parent."""
    tree.rename(("web", "db"), ("web", "sql"))
    make(root / "web" / "sql")
    make(root / "web" / "sql" / "deep")
    assert names(tree) == names(started(root)) == ["other", "web", "web/sql"]
    assert tree.identity(("web", "sql")) == (root / "web" / "db").stat().st_ino
    assert tree.names.managed("/root/web/sql") is None and tree.names.managed("/root/web/sql/deep") is None
    tree.remove(("web", "sql"))
    tree.forget_gone()
    assert names(tree) == ["other", "web", "web/sql", "web/sql/deep"]  # nothing has its name now, so it is one
    tree.rename(("web", "sql"), ("web", "x"))
    make(root / "web" / "x")
    make(root / "web" / "x" / "y")
    tree.remove_nameless(("web",))
    assert not (root / "web" / "x").exists() and names(tree) == ["other", "web", "web/x", "web/x/deep"]


def test_others_remove_a_renamed_one(tree: Tree, root: Path) -> None:
    """Its name ends with it, whatever comes in its place."""
    for again in (False, True):
        make(root / "gone")
        tree.rename(("gone",), ("www",))
        (root / "gone").rename(root.parent / f"gone-{again}")
        if again:
            make(root / "gone")
            tree.forget_gone()
        assert code(tree.identity, ("www",)) == "ENOENT"
        assert names(tree) == (["gone"] if again else []) + ["other", "web", "web/db"]
    assert tree.create(("www",)) == (root / "www").stat().st_ino


def test_the_name_of_one_that_is_gone(tree: Tree) -> None:
    """Of its own id, not that of who is in its place."""
    tree.rename(("web",), ("www",))
    identity = tree.identity(("www",))
    assert tree.names.managed("/root/web", identity) == "/www"
    assert tree.names.managed("/root/web", identity + 1) == "/web"
    tree.names.forget(identity)
    assert tree.names.managed("/root/web", identity) == "/web"


def test_what_is_kept_may_be_nonsense(tree: Tree, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody wrote it: it is said, and the container goes by its directory."""
    for folder, name in (("web", "../x"), ("web/db", "-tasks"), ("other", "")):
        os.setxattr(root / folder / "cgroup.events", "user.containeragent.name", name.encode())
    assert names(started(root)) == ["other", "web", "web/db"]
    assert caplog.text.count("is not taken") == 3
    caplog.clear()
    for folder in ("web", "other"):
        os.setxattr(root / folder / "cgroup.events", "user.containeragent.name", b"same")
    assert "same" in names(started(root)) and caplog.text.count("is not taken") == 2
