# SPDX-License-Identifier: Apache-2.0
"""Mounts are read as proc(5) writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.host import mounts
from containeragent.host.mounts import Mount

TEXT = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
31 23 0:28 / /sys/fs/cgroup rw,relatime shared:2 master:3 - tmpfs tmpfs rw,mode=755
40 31 0:39 /part /mnt/part\\040of\\134it rw,relatime - cgroup2 cgroup2 rw
38 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 23 0:40 / /sys/fs/bpf rw,nosuid - bpf bpf rw
43 42 0:41 / /sys/fs/bpf/over rw - tmpfs tmpfs rw
"""


@pytest.fixture
def mountinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's mounts."""
    file = tmp_path / "mountinfo"
    file.write_text(TEXT)
    monkeypatch.setattr(mounts, "MOUNTINFO", file)
    return file


def test_parse() -> None:
    """In order, optional fields skipped, octal escapes resolved."""
    found = list(mounts.parse(TEXT))
    assert found[0] == Mount("/", "/proc", "proc")
    assert found[3] == Mount("/part", "/mnt/part of\\it", "cgroup2")
    assert len(found) == len(TEXT.splitlines())


@pytest.mark.parametrize("text", ["", "\n", "22 27 0:21\n", "22 27 0:21 / /proc rw\n", "- proc\n"])
def test_lines_that_are_none(text: str) -> None:
    """Left out."""
    assert list(mounts.parse(text)) == []


def test_whole_mount_before_part(mountinfo: Path) -> None:
    """A mount of the whole file system is taken, wherever it stands."""
    assert mounts.find("cgroup2") == Mount("/", "/sys/fs/cgroup/unified", "cgroup2")


def test_part_where_there_is_no_whole(mountinfo: Path) -> None:
    """As in containers."""
    mountinfo.write_text("".join(line for line in TEXT.splitlines(True) if "unified" not in line))
    found = mounts.find("cgroup2")
    assert found and found.root == "/part"


def test_not_mounted(mountinfo: Path) -> None:
    """None, not a guess."""
    assert mounts.find("tracefs") is None


@pytest.mark.parametrize(
    ("path", "kind", "inside"),
    [
        ("/sys/fs/bpf", "bpf", True),
        ("/sys/fs/bpf/containeragent", "bpf", True),
        ("/sys/fs/bpf/a/b/../c", "bpf", True),
        ("/sys/fs/bpf/over/x", "bpf", False),
        ("/sys/fs/bpfother", "bpf", False),
        ("/var/tmp", "ext4", True),
        ("/sys/fs/cgroup", "cgroup2", False),
    ],
)
def test_inside(mountinfo: Path, path: str, kind: str, inside: bool) -> None:
    """By whole components, and the innermost mount."""
    assert mounts.is_inside(Path(path), kind) is inside


def test_mounted_over(mountinfo: Path) -> None:
    """Of several mounts on one point the last one shows."""
    mountinfo.write_text(TEXT + "50 42 0:50 / /sys/fs/bpf rw - tmpfs tmpfs rw\n")
    assert not mounts.is_inside(Path("/sys/fs/bpf"), "bpf")
