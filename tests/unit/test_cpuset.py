# SPDX-License-Identifier: Apache-2.0
"""The subsystem cpuset over a tree that is only files: what is shown, what is written, and when tasks are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.cgroups.tree import Tree
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.subsystems.api import Container, Task
from containeragent.subsystems.attributes import Attributes
from containeragent.subsystems.builtin.cpuset import Cpuset
from containeragent.subsystems.members import BuiltIn
from containeragent.subsystems.registry import Registry

TASK = Task(7, 0)


class Files:
    """A mount with the cgroup root `root` and the container /web in it."""

    def __init__(self, top: Path, controllers: str) -> None:
        self.root = top / "root"
        self.web = self.root / "web"
        self.web.mkdir(parents=True)
        (top / "cpuset.cpus.effective").write_text("0-3\n")
        (top / "cpuset.mems.effective").write_text("0\n")
        for folder in (top, self.root, self.web):
            (folder / "cgroup.controllers").write_text(controllers + "\n")
            (folder / "cgroup.subtree_control").write_text("\n")
            (folder / "cgroup.procs").write_text("")
        self.subsystem = Cpuset(Tree(self.root))
        bus = Bus()
        registry = Registry(Container("/", "/root", 1, str(self.root)), bus)
        registry.register(BuiltIn(self.subsystem, checks=lambda: [self.subsystem.check()]))
        self.attributes = Attributes(registry, bus)
        self.container = Container("/web", "/root/web", 2, str(self.web))

    def shown(self) -> list[object]:
        """Values of cpus, mems, effective_cpus, effective_mems."""
        found = self.attributes.shown(self.container)
        return [found[f"cpuset.{name}"] for name in ("cpus", "mems", "effective_cpus", "effective_mems")]

    def has(self, cpus: str, mems: str) -> None:
        """Files of the controller."""
        for name, text in (("cpus", cpus), ("mems", mems)):
            (self.web / f"cpuset.{name}").write_text(text + "\n")
            (self.web / f"cpuset.{name}.effective").write_text((text or "0") + "\n")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """With the controller, which is not on yet."""
    return Files(tmp_path, "cpuset memory")


def test_shown(files: Files) -> None:
    """Without lists of its own, what applies is the parent's."""
    assert files.shown() == ["", "", "0-3", "0"]
    files.has("1", "")
    assert files.shown() == ["1", "", "1", "0"]


@pytest.mark.parametrize("cpus, mems, refused", [("", "", ""), ("1", "0", ""), ("1", "", "mems"), ("", "0", "cpus")])
def test_a_task_is_refused_while_either_is_empty(files: Files, cpus: str, mems: str, refused: str) -> None:
    """ENOSPC, and what to do; a container without a cpuset of its own takes tasks."""
    files.subsystem.can_attach(files.container, TASK)
    files.has(cpus, mems)
    if not refused:
        files.subsystem.can_attach(files.container, TASK)
        return
    with pytest.raises(Refused, match=rf"containerctl set /web cpuset.{refused}=0") as caught:
        files.subsystem.can_attach(files.container, TASK)
    assert caught.value.code == "ENOSPC"


def test_set(files: Files) -> None:
    """The controller is turned on above it; a list is as the user wrote it, the kernel judges it."""
    files.attributes.set(files.container, {"cpuset.cpus": "0-1,3"})
    assert (files.root / "cgroup.subtree_control").read_text() == "+cpuset"
    assert (files.web / "cpuset.cpus").read_text() == "0-1,3\n"
    files.has("1", "0")
    files.attributes.set(files.container, {"cpuset.cpus": ""})
    assert (files.web / "cpuset.cpus").read_text() == "\n"


def test_set_of_nothing_turns_nothing_on(files: Files) -> None:
    """It is so already."""
    files.attributes.set(files.container, {"cpuset.cpus": ""})
    assert (files.root / "cgroup.subtree_control").read_text() == "\n"


def test_tasks_in_the_way_go_to_the_leaf(files: Files) -> None:
    """Before the controller is turned on; a file keeps its lines, so that they move again and again here."""
    (files.root / "-tasks").mkdir()
    (files.root / "-tasks" / "cgroup.procs").write_text("")
    (files.root / "cgroup.procs").write_text("7\n8\n")
    files.attributes.set(files.container, {"cpuset.cpus": "0"})
    assert (files.root / "-tasks" / "cgroup.procs").read_text() in ("7", "8")


@pytest.mark.parametrize("name, text, code", [("/", "0", "EACCES"), ("/web", "\u0663", "EINVAL")])
def test_what_is_refused(files: Files, name: str, text: str, code: str) -> None:
    """The root's is not ours; what no list can be does not reach the kernel."""
    path = str(files.root) if name == "/" else files.container.path
    with pytest.raises(Refused) as caught:
        files.attributes.set(Container(name, "", 1, path), {"cpuset.cpus": text})
    assert caught.value.code == code


def test_without_a_controller(tmp_path: Path) -> None:
    """Unknown, set says so and what to do, the doctor too; tasks come in."""
    files = Files(tmp_path, "memory")
    for name in ("cpus", "mems"):
        (tmp_path / f"cpuset.{name}.effective").unlink()
    assert files.shown() == [None] * 4
    files.subsystem.can_attach(files.container, TASK)
    with pytest.raises(Refused, match=r"cpuset.cpus was not set: the cgroup root .* has no cpuset controller; echo"):
        files.attributes.set(files.container, {"cpuset.cpus": "0"})
    assert files.subsystem.check().status == "no"
