# SPDX-License-Identifier: Apache-2.0
"""Why containers end is known to the next agent, once, and is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.cgroups import attributes
from containeragent.cgroups.tree import Tree
from containeragent.containers import causes
from containeragent.containers.causes import KEY, Causes
from tests.unit.cgroup_files import CgroupFiles


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """The cgroup root alone."""
    return Tree(CgroupFiles(tmp_path, monkeypatch).root)


def kept(tree: Tree) -> bytes | str | None:
    with tree.opened(()) as directory:
        return attributes.get(directory, KEY)


def test_the_next_agent_knows(tree: Tree) -> None:
    """Of each the newest, until it is asked for."""
    before = Causes(tree)
    before.put(7, "killed: one")
    before.put(8, "killed: another")
    before.put(7, "killed: why")
    after = Causes(tree)
    assert (after.pop(7), after.pop(7), after.pop(9)) == ("killed: why", None, None)
    assert Causes(tree).pop(8) == "killed: another"
    assert kept(tree) is None


def test_the_oldest_go_first(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put again is new."""
    monkeypatch.setattr(causes, "MOST", 2)
    made = Causes(tree)
    for number in (1, 2, 1, 3):
        made.put(number, "killed")
    assert [made.pop(number) for number in (1, 2, 3)] == ["killed", None, "killed"]


@pytest.mark.parametrize("value", [b"[]", b"{", b'{"x": 1}', b"\xff"])
def test_what_is_not_ours(tree: Tree, value: bytes) -> None:
    """It is said and left out."""
    with tree.opened(()) as directory:
        attributes.put(directory, KEY, value)
    assert Causes(tree).pop(1) is None


def test_what_cannot_be_kept_is_known_here(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel bounds attributes (ENOSPC)."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    made = Causes(tree)
    monkeypatch.setattr(attributes, "put", full)
    made.put(7, "killed")
    assert "not known to the next agent" in caplog.text and made.pop(7) == "killed"
