# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of the BPF engines on hosts that differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.checks import Check
from containeragent.counters import pinned_checks
from containeragent.host import page_flags
from containeragent.pins import Pins
from containeragent.stamp import Stamp
from tests.unit.test_stamp import STAMP


def found(folder: Path, stamp: Stamp = STAMP, not_put_back: str = "") -> dict[str, Check]:
    """By name."""
    return {check.name: check for check in pinned_checks.checks(Pins(folder), stamp, {}, not_put_back)}


@pytest.mark.parametrize("tells, status", [(True, "yes"), (False, "no")])
def test_why_active_pages_are_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells: bool, status: str
) -> None:
    """The multi-generational LRU, and what can be done."""
    monkeypatch.setattr(page_flags, "tell_active", lambda: tells)
    check = found(tmp_path)["active pages"]
    assert check.status == status
    if not tells:
        assert "/sys/kernel/mm/lru_gen/enabled" in check.detail and check.hint and "+memory" in check.hint


def test_pins_that_are_not_put_back(tmp_path: Path) -> None:
    """What is at stake."""
    (tmp_path / "live/maps").mkdir(parents=True)
    assert found(tmp_path)["pins"] == Check("pins", "yes", str(tmp_path))
    check = found(tmp_path, not_put_back="read-only file system")["pins"]
    assert check.status == "no" and check.detail.endswith("cannot be put back: read-only file system")
    assert check.hint and "as long as the agent runs" in check.hint
