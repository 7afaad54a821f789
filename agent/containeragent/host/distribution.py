# SPDX-License-Identifier: Apache-2.0
"""What this host's distribution calls a package, by os-release(5): so that advice can be followed as it stands."""

from __future__ import annotations

import platform
from collections.abc import Mapping

# Python's bcc by ID of os-release, and how it is installed there. A derivative is known by its ID_LIKE.
_BCC = {
    "debian": "apt-get install python3-bpfcc",
    "ubuntu": "apt-get install python3-bpfcc",
    "fedora": "dnf install python3-bcc",
    "arch": "pacman -S python-bcc",
    "alpine": "apk add py3-bcc",
}


def os_release() -> Mapping[str, str]:
    """Of this host; nothing where it does not say."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def install_bcc(release: Mapping[str, str] | None = None) -> str:
    """What to type; where the distribution is not known, what to look for."""
    found = os_release() if release is None else release
    for name in (found.get("ID", ""), *found.get("ID_LIKE", "").split()):
        if name in _BCC:
            return _BCC[name]
    return "install Python's bcc with the distribution's package manager (Debian: python3-bpfcc, Fedora: python3-bcc)"
