# SPDX-License-Identifier: Apache-2.0
"""Whose the socket is besides root's."""

from __future__ import annotations

import grp

import pytest

from containeragent.api.server import _group_id
from containeragent.config import DEFAULT_GROUP
from containeragent.errors import Refused


@pytest.fixture(autouse=True)
def groups(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The groups of this host."""
    known = {"wheel": 10}

    def look_up(name: str) -> grp.struct_group:
        return grp.struct_group((name, "x", known[name], []))

    monkeypatch.setattr(grp, "getgrnam", look_up)
    return known


def test_a_group(groups: dict[str, int]) -> None:
    """By its name; the default one where there is one."""
    groups[DEFAULT_GROUP] = 123
    assert _group_id("wheel") == 10 and _group_id(DEFAULT_GROUP) == 123


def test_no_group() -> None:
    """None was asked for, or the default one is missing: root only."""
    assert _group_id("") is None and _group_id(DEFAULT_GROUP) is None


def test_a_group_that_is_missing() -> None:
    """Whoever named it wanted to let somebody in."""
    with pytest.raises(Refused, match="socket_group nobodys does not exist") as caught:
        _group_id("nobodys")
    assert caught.value.code == "ENOENT"
