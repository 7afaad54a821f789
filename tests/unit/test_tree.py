# SPDX-License-Identifier: Apache-2.0
"""The cgroup tree on folders that stand for cgroups: what is read, what is written, and that nothing leads outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.cgroups.tree import Tree
from containeragent.errors import Refused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """/web with two processes in three threads, /web/db with one process, and a link out of the tree."""
    made = tmp_path / "root"
    for name, processes, threads in (("", "", ""), ("web", "9\n7\n", "9\n7\n8\n"), ("web/db", "5\n", "5\n")):
        folder = made / name
        folder.mkdir()
        (folder / "cgroup.procs").write_text(processes)
        (folder / "cgroup.threads").write_text(threads)
    (tmp_path / "outside").mkdir()
    (made / "link").symlink_to(tmp_path / "outside")
    return made


def refused(call: object, *arguments: object) -> Refused:
    """What must be refused."""
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value


def test_create(root: Path) -> None:
    """Its id is the folder's inode."""
    tree = Tree(root)
    assert tree.create(("web", "new")) == (root / "web" / "new").stat().st_ino == tree.identity(("web", "new"))


def test_create_refuses(root: Path) -> None:
    """What exists, what has no parent, what is too long for the kernel."""
    tree = Tree(root)
    assert refused(tree.create, ()).code == "EEXIST"
    assert refused(tree.create, ("web",)).code == "EEXIST"
    missing = refused(tree.create, ("no", "where"))
    assert missing.code == "ENOENT" and "parent /no does not exist" in missing.message
    assert refused(tree.create, ("x" * 256,)).code == "ENAMETOOLONG"


@pytest.mark.parametrize("parts", [("link",), ("link", "x"), ("cgroup.procs",), ("cgroup.procs", "x"), ("missing",)])
def test_only_folders_below_the_root_are_containers(root: Path, parts: tuple[str, ...]) -> None:
    """Neither links nor files; nothing is made through them."""
    tree = Tree(root)
    for call in (tree.identity, tree.children, tree.tasks, tree.processes, tree.remove, tree.kill):
        assert refused(call, parts).code == "ENOENT"
    assert refused(tree.attach, parts, 7).code == "ENOENT"
    assert list((root.parent / "outside").iterdir()) == []


def test_tasks_and_processes_of_the_subtree(root: Path) -> None:
    """Sorted."""
    tree = Tree(root)
    assert tree.tasks(("web",)) == [5, 7, 8, 9] and tree.processes(("web",)) == [5, 7, 9]
    assert tree.tasks(("web", "db")) == [5] and tree.tasks(()) == [5, 7, 8, 9]


def test_children_without_our_own(root: Path) -> None:
    """The leaf is nobody's child."""
    for name in ("-tasks", "-agent", "a"):
        (root / "web" / name).mkdir()
    assert Tree(root).children(("web",)) == ["a", "db"]


def test_leaf_identity(root: Path) -> None:
    """None where there is none."""
    tree = Tree(root)
    assert tree.leaf_identity(("web",)) is None
    (root / "web" / "-tasks").mkdir()
    assert tree.leaf_identity(("web",)) == (root / "web" / "-tasks").stat().st_ino


def test_remove_refuses_what_is_in_use(root: Path) -> None:
    """Children, processes, and processes in the leaf, in numbers."""
    tree = Tree(root)
    assert "1 child container;" in refused(tree.remove, ("web",)).message
    assert "1 process;" in refused(tree.remove, ("web", "db")).message
    (root / "web" / "more").mkdir()
    assert "2 child containers;" in refused(tree.remove, ("web",)).message
    leaf = root / "web" / "db" / "-tasks"
    leaf.mkdir()
    (leaf / "cgroup.procs").write_text("1\n2\n")
    assert "3 processes;" in refused(tree.remove, ("web", "db")).message


def test_attach_writes_the_process(root: Path) -> None:
    """Into cgroup.procs, alone."""
    Tree(root).attach(("web", "db"), 4711)
    assert (root / "web" / "db" / "cgroup.procs").read_text() == "4711"


def test_kill_of_what_is_empty(root: Path) -> None:
    """Nobody is asked to end."""
    (root / "empty").mkdir()
    (root / "empty" / "cgroup.procs").write_text("")
    assert Tree(root).kill(("empty",)) == 0


def test_kill_refuses_what_has_no_such_file(root: Path) -> None:
    """An error names the container."""
    assert refused(Tree(root).kill, ("web",)).code == "ENOENT"
