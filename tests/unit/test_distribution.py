# SPDX-License-Identifier: Apache-2.0
"""Names of packages: os-release comes in, what to type goes out."""

from __future__ import annotations

import pytest

from containeragent.counters.netlink import checks
from containeragent.host import distribution
from containeragent.host.distribution import install_bcc


@pytest.mark.parametrize(
    "release, command",
    [
        ({"ID": "debian"}, "apt-get install python3-bpfcc"),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, "apt-get install python3-bpfcc"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt-get install python3-bpfcc"),
        ({"ID": "fedora"}, "dnf install python3-bcc"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install python3-bcc"),
        ({"ID": "arch"}, "pacman -S python-bcc"),
        ({"ID": "alpine"}, "apk add py3-bcc"),
    ],
)
def test_known(release: dict[str, str], command: str) -> None:
    """By its own id, or that of what it is like."""
    assert install_bcc(release) == command


@pytest.mark.parametrize("release", [{}, {"ID": "haiku"}, {"ID": "", "ID_LIKE": ""}])
def test_unknown(release: dict[str, str]) -> None:
    """No command that would fail."""
    text = install_bcc(release)
    assert "package manager" in text and "python3-bcc" in text


def test_a_host_without_os_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as unknown."""

    def missing() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr("platform.freedesktop_os_release", missing)
    assert "package manager" in install_bcc()


def test_the_doctor_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where BPF does not count."""
    monkeypatch.setattr(distribution, "os_release", lambda: {"ID": "fedora"})
    assert "dnf install python3-bcc" in checks.bpf_hint()
